package benchmark

import "syscall"

// notSurviving has the kernel kill a server when this process dies, however that happens. Ctrl-C is not for it.
func notSurviving() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
