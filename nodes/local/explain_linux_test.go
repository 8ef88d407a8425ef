package local

import (
	"strings"
	"syscall"
	"testing"
)

func TestAdviceNamesTheSettingThatRefused(t *testing.T) {
	for _, c := range []struct {
		name       string
		err        error
		privileged bool
		settings   map[string]string
		want       string
	}{
		{"root in a plain container", syscall.EPERM, true, nil, "--privileged"},
		{"root on a kernel without bridges", syscall.EOPNOTSUPP, true, nil, "a kernel with"},
		{"user namespaces counted down to none", syscall.ENOSPC, false, map[string]string{"user/max_user_namespaces": "0"}, "user.max_user_namespaces=15000"},
		{"user namespaces used up", syscall.ENOSPC, false, map[string]string{"user/max_user_namespaces": "100"}, "user.max_user_namespaces=15000"},
		{"an old Debian", syscall.EPERM, false, map[string]string{"kernel/unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"},
		{"Ubuntu since 23.10", syscall.EACCES, false, map[string]string{"kernel/unprivileged_userns_clone": "1", "kernel/apparmor_restrict_unprivileged_userns": "1"}, "kernel.apparmor_restrict_unprivileged_userns=0"},
		{"a user in a container", syscall.EPERM, false, nil, "--privileged"},
		{"a kernel without user namespaces", syscall.EINVAL, false, nil, "a kernel with user"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := explain("make namespaces", c.err, c.privileged)
			if !strings.HasPrefix(err.Error(), "make namespaces: "+c.err.Error()+": ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("not one line with the attempt and the refusal: %q", err)
			}
			got := advice(c.err, c.privileged, func(name string) string { return c.settings[name] })
			if !strings.Contains(got, c.want) {
				t.Errorf("advice %q, want it to contain %q", got, c.want)
			}
		})
	}
}
