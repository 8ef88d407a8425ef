package ssh

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func prefixes(text string) []netip.Prefix {
	var all []netip.Prefix
	for word := range strings.FieldsSeq(text) {
		all = append(all, netip.MustParsePrefix(word))
	}
	return all
}

func TestAddressOfANodeBehindAForwardedPort(t *testing.T) {
	for name, c := range map[string]struct{ me, other, here, want string }{
		"VirtualBox: one network translated, one shared": {"10.0.2.15/24 192.168.56.11/24", "10.0.2.15/24 192.168.56.12/24", "192.168.56.0/24", "192.168.56.11"},
		"none is near": {"10.0.2.15/24 10.9.0.1/24", "10.0.2.15/24 10.9.0.2/24", "192.168.56.0/24", "10.9.0.1"},
		"what is far is left out beside what is near": {"172.17.0.1/16 192.168.56.11/24", "172.18.0.1/16 192.168.56.12/24", "192.168.56.0/24", "192.168.56.11"},
		"IPv4 comes first":                            {"fd00::11/64 192.168.56.11/24", "fd00::12/64", "192.168.56.0/24 fd00::/64", "192.168.56.11 fd00::11"},
		"nothing of one's own":                        {"10.0.2.15/24", "10.0.2.15/24", "10.0.2.0/24", ""},
		"nothing at all":                              {"", "10.0.2.15/24", "10.0.2.0/24", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, a := range distinct([][]netip.Prefix{prefixes(c.me), prefixes(c.other)}, 0, prefixes(c.here)) {
				got = append(got, a.String())
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
