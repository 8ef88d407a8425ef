package local

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// explain turns the kernel's refusal into a line that says what to change. The
// kernel refuses with one EPERM for many reasons; its settings tell them apart.
func explain(attempt string, err error, privileged bool) error {
	return fmt.Errorf("%s: %w: %s", attempt, err, advice(err, privileged, readSetting))
}

// advice reads settings as /proc/sys names them; one that does not exist is "".
func advice(err error, privileged bool, setting func(name string) string) string {
	const instead = "run as root, or name other machines with --nodes"
	const kernel = "local nodes need a kernel with user, network, PID, UTS, IPC and mount namespaces, bridges and veth"
	switch {
	case privileged && errors.Is(err, syscall.EPERM):
		return "this root may not make namespaces or mounts; in a container, start it with --privileged"
	case privileged:
		return kernel
	case setting("user/max_user_namespaces") == "0" || errors.Is(err, syscall.ENOSPC):
		return "set sysctl user.max_user_namespaces=15000, " + instead
	case setting("kernel/unprivileged_userns_clone") == "0":
		return "set sysctl kernel.unprivileged_userns_clone=1, " + instead
	case setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "set sysctl kernel.apparmor_restrict_unprivileged_userns=0, " + instead
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES):
		return "user namespaces are forbidden here, as in most containers; start the container with --privileged, " + instead
	default:
		return kernel + "; " + instead
	}
}

func readSetting(name string) string {
	value, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(value))
}
