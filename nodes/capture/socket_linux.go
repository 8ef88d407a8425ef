package capture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Run captures what a filter keeps on all interfaces of this node into a ring, until ctx ends.
// The error says in one line why a node cannot, such as for want of CAP_NET_RAW.
func Run(ctx context.Context, filter Filter, dir string, size int64) error {
	all := uint16(unix.ETH_P_ALL)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all<<8|all>>8))
	if err != nil {
		return fmt.Errorf("capture packets: open a packet socket: %w; it takes CAP_NET_RAW", err)
	}
	defer unix.Close(fd)
	// What arrives faster than it is written down waits here, and is lost beyond that.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	// Whoever waits for a packet looks up again that often: whether it is over, and what to flush.
	idle := unix.NsecToTimeval((100 * time.Millisecond).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &idle); err != nil {
		return fmt.Errorf("capture packets: %w", err)
	}
	ring, err := NewRing(dir, size)
	if err != nil {
		return err
	}
	defer ring.Close()
	if err := ring.Flush(); err != nil {
		return err
	}
	buffer := make([]byte, mostPacket)
	flushed := time.Now()
	for ctx.Err() == nil {
		n, from, err := unix.Recvfrom(fd, buffer, unix.MSG_TRUNC)
		now := time.Now()
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN):
		case err != nil:
			return fmt.Errorf("capture packets: %w", err)
		default:
			link, is := from.(*unix.SockaddrLinklayer)
			// What a node sends to itself is seen twice, going out and coming in.
			if is && link.Pkttype == unix.PACKET_OUTGOING && link.Hatype == unix.ARPHRD_LOOPBACK {
				continue
			}
			packet := buffer[:min(n, len(buffer))]
			if filter.Keeps(packet) {
				if err := ring.Add(now, packet, n); err != nil {
					return err
				}
			}
		}
		if now.Sub(flushed) > 100*time.Millisecond {
			if err := ring.Flush(); err != nil {
				return err
			}
			flushed = now
		}
	}
	return ring.Close()
}
