package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/hashicorp/go-sockaddr"
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
//	@inventory, @inventory:db  an Ansible inventory (INI or YAML), or a group of it
//	ssh-config:db1,web*        from here on, Host blocks of ~/.ssh/config
//
// with a user in front and a port behind wherever that makes sense. A node is
// called what its host is called; where one host appears with several ports,
// the port is part of the name. Whatever is wrong with the list is a
// *UsageError.
//
// The options say which configuration patterns of Host blocks are looked up in.
func Parse(list string, opt Options) ([]Host, error) {
	hosts, err := parser{opt: opt, files: true}.list(list)
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

// parser reads lists of hosts.
type parser struct {
	opt   Options
	files bool // a list may name files
}

func (p parser) list(list string) ([]Host, error) {
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
			more, err = p.alias(item)
		case item[0] == '@' && p.files:
			more, err = p.file(item[1:])
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

// file reads a list of hosts with several lines, or an inventory. What the file is
// shows in what it holds.
func (p parser) file(path string) ([]Host, error) {
	content, err := readFile(path)
	group := ""
	if before, after, ok := cutLast(path, ":"); ok && errors.Is(err, fs.ErrNotExist) {
		if more, again := readFile(before); !errors.Is(again, fs.ErrNotExist) {
			content, path, group, err = more, before, after, again
		}
	}
	if err != nil {
		return nil, err
	}
	var hosts []Host
	switch form := formOf(string(content)); {
	case form != formList:
		hosts, err = inventory(form, content, group)
	case group != "":
		err = fmt.Errorf("it is a plain list, without a group %s", group)
	default:
		hosts, err = p.lines(string(content))
	}
	var at *lineError
	switch {
	case errors.As(err, &at):
		return nil, fmt.Errorf("%s:%w", path, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case len(hosts) == 0:
		return nil, fmt.Errorf("%s names no host", path)
	}
	return hosts, nil
}

func (p parser) lines(content string) ([]Host, error) {
	p.files = false
	var hosts []Host
	for i, text := range strings.Split(content, "\n") {
		text, _, _ = strings.Cut(text, "#")
		more, err := p.list(text)
		if err != nil {
			return nil, wrong(i+1, "%v", err)
		}
		hosts = append(hosts, more...)
	}
	return hosts, nil
}

// alias is the Host block of that name, or those that fit a pattern.
func (p parser) alias(alias string) ([]Host, error) {
	if strings.ContainsAny(alias, "!@/ \t") {
		return nil, fmt.Errorf("%q is neither the name nor a pattern of Host blocks", alias)
	}
	if !strings.ContainsAny(alias, "*?") {
		return []Host{{HostName: alias, Alias: true}}, nil
	}
	home, _ := os.UserHomeDir() // without one there is no file to read
	files, err := readConfig(p.opt, home)
	if err != nil {
		return nil, err
	}
	var hosts []Host
	for _, name := range files.named() {
		if matchPattern(name, alias) {
			hosts = append(hosts, Host{HostName: name, Alias: true})
		}
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("no Host block in %s fits %q", files.paths(), alias)
	}
	return hosts, nil
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
		if h.Node.Name == "" {
			count[h.HostName]++
		}
	}
	taken := map[string]bool{}
	for i := range hosts {
		h := &hosts[i]
		if h.Node.Name == "" { // an inventory has names of its own
			h.Node.Name = h.HostName
			if count[h.HostName] > 1 && h.Port != 0 {
				h.Node.Name = hostPort(h.HostName, h.Port)
			}
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
