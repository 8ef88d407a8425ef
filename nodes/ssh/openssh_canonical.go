package ssh

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// resolvePatience is how long DNS may take to say whether there is a host of one name.
const resolvePatience = 5 * time.Second

// inDNS says whether an address is known for a name.
func inDNS(host string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), resolvePatience)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	return err == nil && len(addrs) > 0
}

// canonical completes a host's name as CanonicalizeHostname asks for: by the first of
// CanonicalDomains in which there is a host of that name. It returns "" where the name stays
// what it is. A host that is reached through another is only looked up where that is
// "always": its name may mean something there alone.
func (l *lookup) canonical() (string, error) {
	host, err := l.hostName()
	if err != nil {
		return "", err
	}
	relayed := l.relayed || first(l.found.one("proxyjump"), "none") != "none" || !strings.EqualFold(first(l.found.one("proxycommand"), "none"), "none")
	if isAddress(host) || relayed && !strings.EqualFold(l.found.one("canonicalizehostname"), "always") {
		return "", nil
	}
	if v := first(l.found.one("canonicalizepermittedcnames"), "none"); !strings.EqualFold(v, "none") {
		return "", fmt.Errorf("CanonicalizePermittedCNAMEs may give %s another name, and nemesis does not follow CNAMEs; give it a HostName", host)
	}
	resolves := l.resolves
	if resolves == nil {
		resolves = inDNS
	}
	if anchored, is := strings.CutSuffix(host, "."); is && resolves(host) {
		return anchored, nil
	}
	most, err := strconv.Atoi(first(l.found.one("canonicalizemaxdots"), "1"))
	if err != nil {
		return "", fmt.Errorf("CanonicalizeMaxDots %q is not a number", l.found.one("canonicalizemaxdots"))
	}
	if strings.Count(host, ".") > most {
		return "", nil
	}
	domains := l.found["canonicaldomains"]
	if len(domains) == 1 && strings.EqualFold(domains[0], "none") {
		domains = nil
	}
	for _, domain := range domains {
		if name := host + "." + domain; resolves(name) {
			return strings.TrimSuffix(name, "."), nil
		}
	}
	if v := l.found.one("canonicalizefallbacklocal"); v != "" && !isYes(v) {
		return "", fmt.Errorf("no address is known for %s in any of CanonicalDomains (%s), and CanonicalizeFallbackLocal is no; give it a HostName", host, first(strings.Join(domains, " "), "none"))
	}
	return "", nil
}
