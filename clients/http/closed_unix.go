//go:build unix

package http

import (
	"net"
	"syscall"
)

// closed reports whether the server has closed a connection on which nothing is expected, or
// said something there that nobody asked for. It sends nothing.
func closed(conn net.Conn) bool {
	s, is := conn.(syscall.Conn)
	if !is {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = n > 0 || err != syscall.EAGAIN && err != syscall.EWOULDBLOCK && err != syscall.EINTR
		return true
	})
	return err != nil || gone
}
