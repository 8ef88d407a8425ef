package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/nodes/faultfs"
)

// greeting finds out what this node is and can do.
func (s *server) greeting() (greeting, error) {
	sum, err := ownHash()
	if err != nil {
		return greeting{}, err
	}
	g := greeting{Protocol: protocolVersion, SHA256: sum, Facts: Facts{
		Version: version(sum), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Root: os.Geteuid() == 0, Addrs: addresses(), Interfaces: interfaces(), Dir: s.files.dir, BootID: bootID(),
		Cannot: map[string]string{}, Processes: s.super.running(), Platform: lookAround("/"),
	}}
	g.Facts.HeldBy = HeldByCgroup
	if s.super.groups.root == nil {
		g.Facts.HeldBy, g.Facts.NoCgroup = HeldByTag, s.super.groups.why
	}
	if err := faultfs.Available(); err != nil && faultfs.LosesPower() == nil {
		g.Facts.DiskOnLoop = firstLine(err.Error())
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		g.Facts.Kernel, g.Facts.Hostname = text(name.Release[:]), text(name.Nodename[:])
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(s.files.dir, &disk); err == nil {
		g.Facts.DiskFree = int64(disk.Bavail) * disk.Bsize
		g.Facts.DiskTotal = int64(disk.Blocks) * disk.Bsize
	}
	for kind, make := range s.kinds {
		if err := make().Check(s.host); err != nil {
			g.Facts.Cannot[kind] = firstLine(err.Error())
		}
	}
	s.cannot = g.Facts.Cannot
	s.clocks.rest() // a check may have read the clocks, and most runs never do
	s.tidy()
	return g, nil
}

// tidy removes old binaries and contents, and marks this binary as used.
func (s *server) tidy() {
	now := time.Now()
	if self, err := os.Readlink("/proc/self/exe"); err == nil {
		_ = os.Chtimes(self, now, now)
	}
	prune(s.files.store.dir, now)
	prune(s.files.own("bin"), now)
}

func ownHash() (string, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("read the agent's own binary: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read the agent's own binary: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// version names the commit when the binary knows it, and always the content.
func version(sum string) string {
	v := "binary " + sum[:16]
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				v = setting.Value + ", " + v
			}
		}
	}
	return v
}

func addresses() []netip.Addr {
	out := []netip.Addr{}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return out
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			out = append(out, p.Addr())
		}
	}
	return out
}

// interfaces are the network interfaces with their addresses; none where the kernel does not tell.
func interfaces() []Interface {
	var out []Interface
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, one := range all {
		i := Interface{Name: one.Name, Index: one.Index, MTU: one.MTU, MAC: one.HardwareAddr.String(), Flags: uint(one.Flags)}
		addrs, err := one.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				i.Addrs = append(i.Addrs, p)
			}
		}
		out = append(out, i)
	}
	return out
}

func readClocks() reading {
	var wall, mono unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &wall) // cannot fail for these two
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono)
	return reading{Wall: wall.Nano(), Mono: mono.Nano()}
}

func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return firstLine(string(b))
}

// defaultDir is where the agent of this user keeps its files.
func defaultDir() string {
	if os.Geteuid() == 0 {
		return rootDir
	}
	return filepath.Join("/var/tmp", fmt.Sprintf("nemesis-%d", os.Geteuid()))
}
