package ssh

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	gossh "golang.org/x/crypto/ssh"
)

// maxLegs bounds the way to a host, whose jumps may have jumps of their own.
const maxLegs = 8

// leg is one login on the way to a host. The last leg is the host itself.
type leg struct {
	host     Host
	settings settings
	known    hostKeys
	keys     *keyring
}

// route settles the way to a host: one leg where it is reached directly, and
// otherwise the jump hosts in the order in which they are passed. Nobody is
// dialled. The keys must be closed.
func route(host Host, opt Options) ([]leg, error) {
	legs, err := legsTo(host, opt, maxLegs)
	if err != nil {
		closeKeys(legs)
		return nil, err
	}
	return legs, nil
}

// legsTo returns what it has opened even when it fails.
func legsTo(host Host, opt Options, left int) ([]leg, error) {
	l := leg{host: host}
	var err error
	if l.settings, err = settle(host, opt); err != nil {
		return nil, err
	}
	if left == 0 {
		return nil, &UsageError{fmt.Sprintf("connect to %s: the way leads through more than %d hosts; does a ProxyJump lead in a circle?", l.settings.name, maxLegs)}
	}
	var legs []leg
	if l.settings.jump != "" {
		jumps, err := parser{opt: opt}.list(l.settings.jump)
		if err == nil && len(jumps) == 0 {
			err = fmt.Errorf("it names no host")
		}
		if err != nil {
			return nil, &UsageError{fmt.Sprintf("connect to %s: read its ProxyJump %s: %v", l.settings.name, l.settings.jump, err)}
		}
		for i, jump := range jumps {
			jump.Node.Name = jump.HostName
			if i > 0 {
				jump.Jump = "none" // it is reached from the one before
			}
			more, err := legsTo(jump, hopOptions(jump, opt), left-1-len(legs))
			legs = append(legs, more...)
			if err != nil {
				return legs, err
			}
		}
	}
	if l.known, err = knownKeys(l.settings, opt); err != nil {
		return legs, err
	}
	if l.keys, err = gather(l.settings, opt); err != nil {
		return legs, err
	}
	return append(legs, l), nil
}

// hopOptions are the flags that hold for a jump host too. User and port are the
// nodes'; a key is tried on the way as well, unless the configuration names one
// for the jump host.
func hopOptions(jump Host, opt Options) Options {
	opt.User, opt.Port, opt.Jump = "", 0, ""
	if len(opt.Keys) == 0 {
		return opt
	}
	asConfigured := opt
	asConfigured.Keys = nil
	home, _ := os.UserHomeDir() // without one there are fewer files
	if files, err := readConfig(opt, home); err == nil {
		said, err := files.find(hostQuery{name: jump.HostName, user: jump.User, home: home})
		if err == nil && len(said["identityfile"]) > 0 {
			return asConfigured
		}
	}
	return opt
}

func closeKeys(legs []leg) {
	for _, l := range legs {
		l.keys.close()
	}
}

// via says through whom a host is reached, "" when directly.
func via(legs []leg) string {
	var names []string
	for _, l := range legs[:len(legs)-1] {
		names = append(names, l.settings.name)
	}
	return strings.Join(names, ", ")
}

// address is where the leg's server is, as far as it has been looked up.
func (l leg) address() string {
	if l.host.Node.Address.IsValid() && !l.host.Forwarded {
		return netip.AddrPortFrom(l.host.Node.Address, uint16(l.settings.port)).String()
	}
	return l.settings.address()
}

// relayed is a connection through jump hosts. Closing it closes the connection to
// the first of them: the others have nothing without it, and a polite farewell
// would have to be written to somebody who may not read.
type relayed struct {
	net.Conn
	bottom net.Conn
}

func (r relayed) Close() error { return r.bottom.Close() }

// through dials from a jump host that is logged in to.
func through(hop *gossh.Client, bottom net.Conn) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := hop.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return relayed{conn, bottom}, nil
	}
}
