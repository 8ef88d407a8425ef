package ssh

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/hashicorp/go-sockaddr"

	"nemesis/nodes"
)

// maxHosts bounds a list. Nobody tests a cluster of a thousand nodes, but many
// mistype a prefix length.
const maxHosts = 256

const aliasPrefix = "ssh-config:"

// Parse reads a list of hosts, separated by commas. Each is one of
//
//	db1   admin@db1   db1:2222   10.0.0.11   fd00::11   [fd00::11]:22
//	10.0.0.0/29                the usable addresses of a network
//	10.0.0.11-10.0.0.15        a range of addresses, both ends included
//	@file                      one or more of these on each line, # for comments
//	ssh-config:db1,db2         from here on, names of Host blocks in ~/.ssh/config
//
// with a user in front and a port behind wherever that makes sense. A node is
// called what its host is called; where one host appears with several ports,
// the port is part of the name. Whatever is wrong with the list is a
// *UsageError.
func Parse(list string) ([]Host, error) {
	hosts, err := parseList(list, true)
	if err != nil {
		return nil, &UsageError{fmt.Sprintf("read nodes %q: %v", list, err)}
	}
	if len(hosts) == 0 {
		return nil, &UsageError{fmt.Sprintf("read nodes %q: no host is named; write host,host or @file", list)}
	}
	if err := name(hosts); err != nil {
		return nil, &UsageError{fmt.Sprintf("read nodes %q: %v", list, err)}
	}
	return hosts, nil
}

func parseList(list string, files bool) ([]Host, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	var hosts []Host
	alias := false
	for _, item := range strings.Split(list, ",") {
		item = strings.TrimSpace(item)
		if rest, ok := strings.CutPrefix(item, aliasPrefix); ok {
			alias, item = true, rest
		}
		var more []Host
		var err error
		switch {
		case item == "":
			err = fmt.Errorf("a host is missing beside a comma")
		case alias:
			more, err = parseAlias(item)
		case item[0] == '@' && files:
			more, err = parseFile(item[1:])
		case item[0] == '@':
			err = fmt.Errorf("%q: a file of hosts cannot name another", item)
		default:
			more, err = parseItem(item)
		}
		if err != nil {
			return nil, err
		}
		if hosts = append(hosts, more...); len(hosts) > maxHosts {
			return nil, fmt.Errorf("more than %d hosts", maxHosts)
		}
	}
	return hosts, nil
}

func parseFile(path string) ([]Host, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var hosts []Host
	for i, text := range strings.Split(string(content), "\n") {
		text, _, _ = strings.Cut(text, "#")
		more, err := parseList(text, false)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %v", path, i+1, err)
		}
		hosts = append(hosts, more...)
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("%s names no host", path)
	}
	return hosts, nil
}

func parseAlias(alias string) ([]Host, error) {
	if strings.ContainsAny(alias, "*?!@/ \t") {
		return nil, fmt.Errorf("%q is not the name of one Host block", alias)
	}
	return []Host{{HostName: alias, Alias: true}}, nil
}

// parseItem reads [user@]address[:port], where the address may be many.
func parseItem(item string) ([]Host, error) {
	user, rest, found := cutLast(item, "@")
	if !found {
		user, rest = "", item
	} else if user == "" || strings.ContainsAny(user, " \t@:/") {
		return nil, fmt.Errorf("%q: %q is not a user name", item, user)
	}
	address, port, err := splitPort(rest)
	if err != nil {
		return nil, fmt.Errorf("%q: %v", item, err)
	}
	names, err := expand(address)
	if err != nil {
		return nil, err
	}
	hosts := make([]Host, len(names))
	for i, n := range names {
		hosts[i] = Host{HostName: n, Port: port, User: user}
	}
	return hosts, nil
}

// splitPort takes the port off, which an IPv6 address has only behind brackets.
func splitPort(s string) (address string, port int, err error) {
	if inside, ok := strings.CutPrefix(s, "["); ok {
		inside, after, closed := strings.Cut(inside, "]")
		if !closed {
			return "", 0, fmt.Errorf("the bracket is never closed")
		}
		if addr, err := netip.ParseAddr(inside); err != nil || !addr.Is6() {
			return "", 0, fmt.Errorf("%q is not an IPv6 address", inside)
		}
		if after == "" {
			return inside, 0, nil
		}
		if after[0] != ':' {
			return "", 0, fmt.Errorf("only a port can follow the bracket")
		}
		port, err = parsePort(after[1:])
		return inside, port, err
	}
	if strings.Count(s, ":") != 1 {
		return s, 0, nil
	}
	address, text, _ := strings.Cut(s, ":")
	port, err = parsePort(text)
	return address, port, err
}

// expand makes the hosts that an address, a network or a range stands for.
func expand(address string) ([]string, error) {
	if strings.Contains(address, "/") {
		return network(address)
	}
	if from, to, ok := strings.Cut(address, "-"); ok {
		a, errA := netip.ParseAddr(from)
		b, errB := netip.ParseAddr(to)
		switch {
		case errA == nil && errB == nil:
			return between(a, b)
		case errA == nil:
			return nil, fmt.Errorf("%q: a range ends with a whole address, as in 10.0.0.11-10.0.0.15", address)
		}
	}
	if addr, err := netip.ParseAddr(address); err == nil {
		return []string{addr.String()}, nil
	}
	if err := checkName(address); err != nil {
		return nil, err
	}
	return []string{address}, nil
}

func network(cidr string) ([]string, error) {
	var first, last sockaddr.IPAddr
	if prefix, err := netip.ParsePrefix(cidr); err != nil {
		return nil, fmt.Errorf("%q is not a network; write it as 10.0.0.0/29", cidr)
	} else if prefix.Addr().Is4() {
		n, err := sockaddr.NewIPv4Addr(prefix.String())
		if err != nil {
			return nil, fmt.Errorf("%q is not a network: %v", cidr, err)
		}
		first, last = n.FirstUsable(), n.LastUsable()
	} else {
		n, err := sockaddr.NewIPv6Addr(prefix.String())
		if err != nil {
			return nil, fmt.Errorf("%q is not a network: %v", cidr, err)
		}
		first, last = n.FirstUsable(), n.LastUsable()
	}
	a, okA := netip.AddrFromSlice(*first.NetIP())
	b, okB := netip.AddrFromSlice(*last.NetIP())
	if !okA || !okB {
		return nil, fmt.Errorf("%q has no usable address", cidr)
	}
	return between(a.Unmap(), b.Unmap())
}

func between(a, b netip.Addr) ([]string, error) {
	if a.BitLen() != b.BitLen() || b.Less(a) {
		return nil, fmt.Errorf("%q is not a range: the second address must come after the first", a.String()+"-"+b.String())
	}
	var addrs []string
	for at := a; ; at = at.Next() {
		if len(addrs) == maxHosts {
			return nil, fmt.Errorf("%s to %s are more than %d hosts", a, b, maxHosts)
		}
		addrs = append(addrs, at.String())
		if at == b {
			return addrs, nil
		}
	}
}

// checkName refuses what no resolver would know, so that a typing error is told
// at once and not after a timeout.
func checkName(s string) error {
	numeric := true
	for _, label := range strings.Split(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return fmt.Errorf("%q is not a host name or address", s)
		}
		if strings.Trim(label, "0123456789-") != "" {
			numeric = false
		}
	}
	if numeric {
		return fmt.Errorf("%q is not an address", s)
	}
	return nil
}

// name gives every node its name, and refuses a host that is there twice.
func name(hosts []Host) error {
	count := map[string]int{}
	for _, h := range hosts {
		count[h.HostName]++
	}
	taken := map[string]bool{}
	for i := range hosts {
		h := &hosts[i]
		h.Node = nodes.Node{Name: h.HostName}
		if count[h.HostName] > 1 && h.Port != 0 {
			h.Node.Name = hostPort(h.HostName, h.Port)
		}
		if taken[h.Node.Name] {
			return fmt.Errorf("%s is named twice", h.Node.Name)
		}
		taken[h.Node.Name] = true
	}
	return nil
}

func hostPort(host string, port int) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(port)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
