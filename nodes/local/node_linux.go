package local

import (
	"encoding/json"
	"fmt"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"nemesis/nodes/local/sshd"
)

// settings are what a cluster tells a node that it starts.
type settings struct {
	Name       string
	Number     int
	Hosts      string // /etc/hosts
	Dir        string // the node's, in the world's
	Cache      string
	Patchwork  bool
	HostKey    []byte // PEM
	Authorized []byte // in SSH's wire format
}

// greeting is what the node answers: nothing but notes when it serves.
type greeting struct {
	Notes []string
	Error string
}

// The descriptors of a node's PID 1.
const (
	settingsFD = firstFD
	greetingFD = firstFD + 1
)

// nodeEnv is what OpenSSH gives to the programs of a root user.
var nodeEnv = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh",
}

// node is PID 1 of a node: it makes the machine, then serves SSH for ever. Its
// arguments only show in ps which node it is.
func node([]string) int {
	unix.CloseOnExec(settingsFD)
	unix.CloseOnExec(greetingFD)
	answer := os.NewFile(greetingFD, "greeting")
	server, listener, notes, err := becomeNode(os.NewFile(settingsFD, "settings"))
	g := greeting{Notes: notes}
	if err != nil {
		g.Error = err.Error()
	}
	json.NewEncoder(answer).Encode(g)
	answer.Close()
	if err != nil {
		return 5
	}
	fmt.Fprintln(os.Stderr, server.Serve(listener))
	return 5
}

func becomeNode(from *os.File) (*sshd.Server, net.Listener, []string, error) {
	if os.Getpid() != 1 {
		return nil, nil, nil, fmt.Errorf("become a node: this process is not the first of a namespace")
	}
	var s settings
	if err := json.NewDecoder(from).Decode(&s); err != nil {
		return nil, nil, nil, fmt.Errorf("read the node's settings: %w", err)
	}
	from.Close()
	hostKey, err := ssh.ParsePrivateKey(s.HostKey)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the node's host key: %w", err)
	}
	authorized, err := ssh.ParsePublicKey(s.Authorized)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the node's authorized key: %w", err)
	}
	unix.Umask(0o022)
	if err := unix.Sethostname([]byte(s.Name)); err != nil {
		return nil, nil, nil, fmt.Errorf("set host name %s: %w", s.Name, err)
	}
	if err := raise("lo"); err != nil {
		return nil, nil, nil, err
	}
	if err := raise("eth0", addressesOf(s.Number)...); err != nil {
		return nil, nil, nil, err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, nil, nil, fmt.Errorf("make mounts private: %w", err)
	}
	r := root{dir: s.Dir, patchwork: s.Patchwork}
	err = r.build(map[string]string{
		"hostname": s.Name + "\n",
		"hosts":    s.Hosts,
		// No name server is in reach; one that refuses at once beats one that times out.
		"resolv.conf": "nameserver 127.0.0.1\n",
	}, s.Cache)
	if err != nil {
		return nil, nil, r.notes, err
	}
	listener, err := net.Listen("tcp", ":22")
	if err != nil {
		return nil, nil, r.notes, fmt.Errorf("listen for SSH: %w", err)
	}
	return &sshd.Server{
		HostKey: hostKey, User: "root", Authorized: authorized,
		Home: "/root", Env: nodeEnv, Start: newChildren().start,
	}, listener, r.notes, nil
}
