package sshd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"nemesis/nodes/forks"
)

// session is one channel: some env requests, then one program, then signals to it.
type session struct {
	server  *Server
	channel ssh.Channel
	env     []string
	started bool
	begin   func()     // what the session does once its program is granted
	process Process    // nil for SFTP
	outputs []*os.File // our ends of the program's standard output and error
}

// serve handles requests until the client or the program's end closes the channel.
func (s *session) serve(requests <-chan *ssh.Request) {
	for request := range requests {
		ok := s.handle(request)
		if request.WantReply {
			request.Reply(ok, nil)
		}
		// Not before the reply: a quick program would close the channel ahead of it.
		if s.begin != nil {
			s.begin()
			s.begin = nil
		}
	}
	// Nobody listens any more: the program finds its output broken, and its input
	// at an end once it has read what had arrived.
	closeAll(s.outputs)
	s.channel.Close()
}

func (s *session) handle(request *ssh.Request) bool {
	switch request.Type {
	case "env":
		var v struct{ Name, Value string }
		if ssh.Unmarshal(request.Payload, &v) != nil || v.Name != "LANG" && !strings.HasPrefix(v.Name, "LC_") {
			return false
		}
		s.env = append(s.env, v.Name+"="+v.Value)
		return true
	case "exec":
		var command struct{ Line string }
		if s.started || ssh.Unmarshal(request.Payload, &command) != nil {
			return false
		}
		s.started = true
		return s.exec(command.Line)
	case "subsystem":
		var v struct{ Name string }
		if s.started || ssh.Unmarshal(request.Payload, &v) != nil || v.Name != "sftp" {
			return false
		}
		s.started = true
		return s.sftp()
	case "signal":
		var v struct{ Name string }
		if s.process == nil || ssh.Unmarshal(request.Payload, &v) != nil {
			return false
		}
		for signal, name := range signalNames {
			if name == v.Name {
				s.process.Signal(signal)
				return true
			}
		}
	}
	return false // no terminals, no forwarding, no login shells
}

// exec starts the program; the rest happens beside the request loop.
func (s *session) exec(line string) bool {
	var read, write [3]*os.File
	for i := range read {
		var err error
		if read[i], write[i], err = os.Pipe(); err != nil {
			closeAll(slices.Concat(read[:i], write[:i]))
			return s.refuse(fmt.Errorf("make a pipe: %w", err))
		}
	}
	theirs := [3]*os.File{read[0], write[1], write[2]}
	stdin, stdout, stderr := write[0], read[1], read[2]
	env := append(slices.Clone(s.server.Env), s.env...)
	forks.Settle() // the program may run what this process has just received; which it is, only the shell knows
	process, err := s.server.Start([]string{"/bin/sh", "-c", line}, env, s.server.Home, theirs)
	closeAll(theirs[:])
	if err != nil {
		closeAll([]*os.File{stdin, stdout, stderr})
		return s.refuse(err)
	}
	s.process, s.outputs = process, []*os.File{stdout, stderr}

	s.begin = func() { s.relay(stdin, stdout, stderr) }
	return true
}

// relay carries the program's streams and, in the end, how it ended.
func (s *session) relay(stdin, stdout, stderr *os.File) {
	go func() {
		io.Copy(stdin, s.channel)
		stdin.Close()
	}()
	var output sync.WaitGroup
	output.Go(func() { forward(s.channel, stdout) })
	output.Go(func() { forward(s.channel.Stderr(), stderr) })
	go func() {
		kind, payload := exitRequest(s.process.Wait())
		s.channel.SendRequest(kind, false, payload)
		output.Wait()
		s.channel.CloseWrite()
		s.channel.Close()
	}()
}

// forward copies a program's output, and breaks its pipe when nobody takes it.
func forward(to io.Writer, from *os.File) {
	io.Copy(to, from)
	from.Close()
}

// refuse says why a program could not start where the client will look for it.
func (s *session) refuse(err error) bool {
	fmt.Fprintf(s.channel.Stderr(), "start a program: %v\n", err)
	return false
}

func (s *session) sftp() bool {
	server, err := sftp.NewServer(s.channel, sftp.WithServerWorkingDirectory(s.server.Home))
	if err != nil {
		return s.refuse(err)
	}
	s.begin = func() {
		go func() {
			var status syscall.WaitStatus
			if err := server.Serve(); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, fs.ErrClosed) {
				status = 1 << 8 // exit status 1
			}
			kind, payload := exitRequest(status)
			s.channel.SendRequest(kind, false, payload)
			s.channel.Close()
		}()
	}
	return true
}

// exitRequest is how RFC 4254 tells a program's end.
func exitRequest(status syscall.WaitStatus) (kind string, payload []byte) {
	if !status.Signaled() {
		return "exit-status", ssh.Marshal(struct{ Code uint32 }{uint32(status.ExitStatus())})
	}
	name, ok := signalNames[status.Signal()]
	if !ok {
		name = "SIG@openssh.com" // OpenSSH's word for a signal the RFC does not name
	}
	return "exit-signal", ssh.Marshal(struct {
		Name          string
		Core          bool
		Message, Lang string
	}{Name: name, Core: status.CoreDump(), Message: status.Signal().String()})
}

// signalNames are the signals RFC 4254 names.
var signalNames = map[syscall.Signal]string{
	syscall.SIGABRT: "ABRT", syscall.SIGALRM: "ALRM", syscall.SIGFPE: "FPE", syscall.SIGHUP: "HUP",
	syscall.SIGILL: "ILL", syscall.SIGINT: "INT", syscall.SIGKILL: "KILL", syscall.SIGPIPE: "PIPE",
	syscall.SIGQUIT: "QUIT", syscall.SIGSEGV: "SEGV", syscall.SIGTERM: "TERM",
	syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2",
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
