package ssh_test

import (
	"context"
	"os"
	"testing"
	"time"

	"nemesis/nodes"
	"nemesis/nodes/conformance"
	"nemesis/nodes/ssh"
)

func TestConformanceOnOpenSSH(t *testing.T) {
	s := startServer(t)
	opt := s.options(t)
	conformance.Run(t, func(t *testing.T) nodes.Conn { return s.dial(t, opt) })
}

// For an ordinary user's programs sshd does what it refuses to root's: it signals them.
func TestConformanceAsAnOrdinaryUserOfRootsServer(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root's sshd can log in somebody else; the test above was an ordinary user's")
	}
	s := startServer(t)
	opt := s.options(t)
	opt.User, opt.Sudo = ordinary, true
	conformance.Run(t, func(t *testing.T) nodes.Conn {
		conn := s.dial(t, opt)
		if !conn.Sudo() {
			t.Error("an ordinary user needs no sudo?")
		}
		return conn
	})
}

// NEMESIS_TEST_HOSTS names hosts as --nodes does: db1,admin@db2:2222,@file, vagrant.
// They are reached as the ssh command would reach them.
func TestConformanceOnGivenHosts(t *testing.T) {
	list := os.Getenv("NEMESIS_TEST_HOSTS")
	if list == "" {
		t.Skip("NEMESIS_TEST_HOSTS names no host")
	}
	hosts, opt, err := givenHosts(t, list)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := ssh.NewCluster(t.Context(), hosts, opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range cluster.Nodes() {
		t.Run(n.Name, func(t *testing.T) {
			conformance.Run(t, func(t *testing.T) nodes.Conn {
				conn, err := cluster.Connect(context.Background(), n.Name)
				if err != nil {
					t.Fatal(err)
				}
				return conn
			})
		})
	}
}

func givenHosts(t *testing.T, list string) ([]ssh.Host, ssh.Options, error) {
	opt := ssh.Options{Timeout: time.Minute}
	if list != "vagrant" {
		hosts, err := ssh.Parse(list, opt)
		return hosts, opt, err
	}
	dir, err := ssh.VagrantDir(os.Getenv("NEMESIS_TEST_VAGRANT"))
	if err != nil {
		return nil, opt, err
	}
	machines, err := ssh.FindVagrant(dir)
	if err != nil {
		return nil, opt, err
	}
	return machines.Hosts(t.Context(), opt)
}
