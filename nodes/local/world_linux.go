package local

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// What a world tells the program that runs in it. A network namespace is named by
// its inode, so that the variables mean nothing where they were merely inherited.
const (
	dirVariable     = "NEMESIS_WORLD_DIR"
	networkVariable = "NEMESIS_WORLD_NETWORK"
)

// Inside reports whether this process runs in a private world.
func Inside() bool {
	network := os.Getenv(networkVariable)
	return network != "" && network == networkName()
}

func networkName() string {
	name, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return ""
	}
	return name
}

// inputFD is the descriptor of World.Input in the program.
const inputFD = firstFD + 1

// world is the first process in its namespaces. It makes them fit to live in and
// becomes the program again, with the same PID, so that the program's death is the
// end of the world. Its arguments are the world's directory, those of its control groups
// (or ""; then each :controller=directory), then the program's.
func world(args []string) int {
	const troubleFD = inputFD - 1
	unix.CloseOnExec(troubleFD) // the pipe's end tells Run that there is a world
	err := enter(args)
	fmt.Fprintln(os.NewFile(troubleFD, "trouble"), err)
	return 5
}

// groupMount is where control groups are mounted, by convention.
const groupMount = "/sys/fs/cgroup"

// limitingMount is where the control groups of version 1 are mounted that limit what a
// world uses, by controller: their hierarchies are others than that of groupMount.
func limitingMount(worldDir, controller string) string {
	return filepath.Join(worldDir, "limits", controller)
}

// enter returns only if it fails.
func enter(args []string) error {
	if len(args) < 2 || os.Getpid() != 1 {
		return fmt.Errorf("enter a local world: this is not one")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return explain("make mounts private", err, ownsMachine())
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return explain("mount /proc for local nodes", err, ownsMachine())
	}
	if err := raiseNetwork(); err != nil {
		return explain("make a network for local nodes", err, ownsMachine())
	}
	// What runs here makes its control groups below the world's own, which the keeper
	// removes. A user namespace may be refused this, and then there are none.
	group, limiting, _ := strings.Cut(args[1], ":")
	for _, one := range strings.FieldsFunc(limiting, func(r rune) bool { return r == ':' }) {
		controller, dir, _ := strings.Cut(one, "=")
		at := limitingMount(args[0], controller)
		if err := os.MkdirAll(at, 0o755); err == nil {
			_ = unix.Mount(dir, at, "", unix.MS_BIND, "")
		}
	}
	if group != "" {
		_ = unix.Mount(group, groupMount, "", unix.MS_BIND, "")
	}
	os.Setenv(dirVariable, args[0])
	os.Setenv(networkVariable, networkName())
	// The wish to die with the keeper belongs to a thread, and exec keeps only the
	// thread that calls it. Until then it is the first thread's, so there is no gap.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("tie the local world to its keeper: %w", err)
	}
	err := unix.Exec("/proc/self/exe", append([]string{os.Args[0]}, args[2:]...), os.Environ())
	return fmt.Errorf("start nemesis in its local world: %w", err)
}

// ownsMachine reports whether this is the user namespace of the whole machine.
func ownsMachine() bool {
	content, err := os.ReadFile("/proc/self/uid_map")
	var inside, outside, size uint32
	if err == nil {
		_, err = fmt.Sscan(string(content), &inside, &outside, &size)
	}
	return err == nil && inside == 0 && outside == 0 && size == 1<<32-1
}

// The private network. A node's number is the last byte of both its addresses.
var (
	network4 = netip.MustParsePrefix("10.77.0.0/24")
	network6 = netip.MustParsePrefix("fd77::/64")
)

// control is the number of the control side.
const control = 254

func address4(number int) netip.Addr {
	b := network4.Addr().As4()
	b[3] = byte(number)
	return netip.AddrFrom4(b)
}

func address6(number int) netip.Addr {
	b := network6.Addr().As16()
	b[15] = byte(number)
	return netip.AddrFrom16(b)
}
