package local

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"nemesis/nodes/cgroup"
)

// The descriptors Run gives its keeper.
const (
	lifeFD    = firstFD     // reads the end of file when Run's process is gone
	handedFD  = firstFD + 2 // World.Input, for the world
	troubleFD = firstFD + 1 // takes the line that says why there is no world
)

// keeper outlives whatever happens to Run's process and to the world, and cleans
// up after both. Its arguments are the directory to work in, then the program's.
//
// It sees the world's end exactly when nothing of it runs any more: the kernel
// does not report the death of a PID namespace's first process before every other
// process of the namespace is dead and reaped.
func keeper(args []string) int {
	// Pdeathsig means the death of the thread that forked. Locked to the main
	// goroutine, it is the death of this process.
	runtime.LockOSThread()
	unix.CloseOnExec(lifeFD)
	unix.CloseOnExec(troubleFD)
	unix.CloseOnExec(handedFD)
	life, trouble := os.NewFile(lifeFD, "life"), os.NewFile(troubleFD, "trouble")
	fail := func(err error) int {
		fmt.Fprintln(trouble, err)
		return 5
	}
	if len(args) == 0 {
		return fail(fmt.Errorf("keep a local world: no directory was given"))
	}
	signals := make(chan os.Signal, 16)
	passOn(signals)

	dir, err := claimDir(args[0])
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err := dir.remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()

	privileged := mayUnshare()
	// Where the world may not have a control group, its servers are found by other means.
	groupDir := ""
	group, err := cgroup.Make(dir.groupName())
	if err == nil {
		groupDir = group.Dir()
	}
	for controller, limiting := range cgroup.LimitingDirs(dir.groupName(), group) {
		groupDir += fmt.Sprintf(":%s=%s", controller, limiting)
	}
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if !privileged {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	cmd := exec.Command("/proc/self/exe", append([]string{Command, "world", dir.path, groupDir}, args[1:]...)...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	input := os.NewFile(handedFD, "input")
	cmd.ExtraFiles = []*os.File{trouble, input}
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		return fail(explain("make namespaces for local nodes", err, privileged))
	}
	trouble.Close()
	input.Close()
	go func() {
		// Nothing is ever written: this waits for the other end to close.
		io.Copy(io.Discard, life)
		cmd.Process.Kill()
	}()
	go func() {
		for s := range signals {
			cmd.Process.Signal(s)
		}
	}()
	cmd.Wait()
	return exitCode(cmd.ProcessState)
}

// mayUnshare reports whether this process can make namespaces without making a
// user namespace first.
func mayUnshare() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if os.Geteuid() != 0 || unix.Capget(&header, &data[0]) != nil {
		return false
	}
	need := uint32(1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN)
	return data[0].Effective&need == need
}

// cacheDir is a directory of nemesis below the user's cache directory.
func cacheDir(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a directory for local nodes: %w: set HOME or XDG_CACHE_HOME", err)
	}
	return filepath.Join(cache, "nemesis", name), nil
}
