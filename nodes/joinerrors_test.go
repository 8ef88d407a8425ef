package nodes

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
)

func TestOneMistakeOnManyNodesIsOneLine(t *testing.T) {
	all := []Node{
		{Name: "n1", Address: netip.MustParseAddr("10.0.0.1")},
		{Name: "n2", Address: netip.MustParseAddr("10.0.0.2"), Others: []netip.Addr{netip.MustParseAddr("fd00::2")}},
		{Name: "n10", Address: netip.MustParseAddr("10.0.0.10")},
	}
	refused := func(i int) error {
		return fmt.Errorf("connect to %s (root@%s:22): login refused", all[i].Name, all[i].Address)
	}
	for name, tc := range map[string]struct {
		errs []error
		want string
	}{
		"nothing went wrong":    {[]error{nil, nil, nil}, ""},
		"one node":              {[]error{nil, refused(1), nil}, "connect to n2 (root@10.0.0.2:22): login refused"},
		"the same on all":       {[]error{refused(0), refused(1), refused(2)}, "connect to n1 (root@10.0.0.1:22): login refused; likewise n2 n10"},
		"two kinds":             {[]error{refused(0), errors.New("n2 burns"), refused(2)}, "connect to n1 (root@10.0.0.1:22): login refused; likewise n10\nn2 burns"},
		"several of one node":   {[]error{errors.Join(errors.New("a"), errors.New("b")), nil, nil}, "a; b"},
		"about another node":    {[]error{errors.New("n1 hates n10"), nil, errors.New("n10 hates n10")}, "n1 hates n10\nn10 hates n10"},
		"a further address":     {[]error{nil, errors.New("fd00::2 is gone"), nil}, "fd00::2 is gone"},
		"a name in other words": {[]error{errors.New("n1x"), errors.New("n2x"), nil}, "n1x\nn2x"},
	} {
		got := ""
		if err := JoinErrors(all, tc.errs); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
	if err := JoinErrors(all, []error{fmt.Errorf("n1: %w", context.Canceled), nil, nil}); !errors.Is(err, context.Canceled) {
		t.Errorf("the cause is lost: %v", err)
	}
}
