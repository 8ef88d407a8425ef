// Package sshd is the SSH server inside a local node. It exists so that a local
// node is reached, and fails, the way a real machine does: what works here works
// against OpenSSH, and what OpenSSH refuses is refused here.
//
// A connection that proves it holds the one authorized key may open sessions. A
// session runs one program through /bin/sh -c, as OpenSSH does, or one SFTP
// server:
//
//	listener ─▶ connection ─▶ session ─┬─ exec ─▶ Start ─▶ program
//	                                   └─ subsystem sftp
//
// For example, a client that asks for `echo "$HOME"` gets "/root\n" on the
// channel, then exit-status 0, then the end of the channel.
//
// Four habits of OpenSSH are kept on purpose, since a control side that forgets
// one of them works on a kinder server only:
//
//   - A lost connection or a closed channel kills nothing. The program sees the
//     end of its input, and a broken pipe when it writes.
//   - The channel stays open after the program's end for as long as anything
//     still holds its output, so a daemon has to let go of it.
//   - One connection has at most ten sessions at a time (MaxSessions).
//   - Of the environment, only LANG and LC_* are taken from the client.
package sshd

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// maxSessions is OpenSSH's default.
	maxSessions = 10
	// loginGrace is how long a connection may take to prove who it is.
	loginGrace = 30 * time.Second
)

// Server serves one user with one key. Its fields must not change once it serves.
type Server struct {
	HostKey    ssh.Signer
	User       string
	Authorized ssh.PublicKey // the only key that may log in
	Home       string        // where programs and SFTP start
	Env        []string      // what every program gets, as "name=value"
	Start      Start
}

// Start starts a program. argv[0] is its path, files are its standard input,
// output and error, and it leads a session and process group of its own.
type Start func(argv, env []string, dir string, files [3]*os.File) (Process, error)

// Process is a started program.
type Process interface {
	// Signal reaches the program's whole process group. Once the program has
	// ended it does nothing.
	Signal(syscall.Signal)
	// Wait returns how the program ended. It is called once.
	Wait() syscall.WaitStatus
}

// Serve answers connections until the listener is closed, and returns why it stopped.
func (s *Server) Serve(listener net.Listener) error {
	config := &ssh.ServerConfig{ServerVersion: "SSH-2.0-nemesis", PublicKeyCallback: s.login}
	config.AddHostKey(s.HostKey)
	for {
		conn, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("accept SSH connections: %w", err)
		}
		go s.serve(conn, config)
	}
}

func (s *Server) login(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	if meta.User() != s.User {
		return nil, fmt.Errorf("log in %q: this node has no user but %s", meta.User(), s.User)
	}
	if !bytes.Equal(key.Marshal(), s.Authorized.Marshal()) {
		return nil, fmt.Errorf("log in %q: the key is not the authorized one", meta.User())
	}
	return nil, nil
}

// serve runs one connection. A client that misbehaves loses its connection; there
// is nobody to tell beyond that.
func (s *Server) serve(raw net.Conn, config *ssh.ServerConfig) {
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(loginGrace))
	conn, channels, requests, err := ssh.NewServerConn(raw, config)
	if err != nil {
		return
	}
	defer conn.Close()
	raw.SetDeadline(time.Time{})

	// Keepalives are global requests nobody knows: the refusal is the answer.
	go ssh.DiscardRequests(requests)

	var open sync.WaitGroup
	defer open.Wait()
	slots := make(chan struct{}, maxSessions)
	for asked := range channels {
		if kind := asked.ChannelType(); kind != "session" {
			asked.Reject(ssh.UnknownChannelType, fmt.Sprintf("a local node opens sessions only, not %q", kind))
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			asked.Reject(ssh.ConnectionFailed, fmt.Sprintf("this connection already has %d sessions", maxSessions))
			continue
		}
		channel, requests, err := asked.Accept()
		if err != nil {
			return
		}
		open.Go(func() {
			defer func() { <-slots }()
			(&session{server: s, channel: channel}).serve(requests)
		})
	}
}
