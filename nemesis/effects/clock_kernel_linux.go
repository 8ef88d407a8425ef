//go:build linux && (amd64 || arm64)

package effects

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// linux is the kernel of this machine.
type linux struct{}

func theKernel() kernel { return linux{} }

// The inode numbers of the first namespaces of a machine, which are the same on every
// Linux since 3.8.
const (
	firstUser = "user:[4026531837]"
	firstPID  = "pid:[4026531836]"
)

// machineOurs says why this process must not, or may not, set the machine's clock.
func machineOurs() error {
	for path, first := range map[string]string{"/proc/self/ns/user": firstUser, "/proc/self/ns/pid": firstPID} {
		is, err := os.Readlink(path)
		if err != nil {
			return fmt.Errorf("the machine's clock cannot be changed: %w", err)
		}
		if is != first {
			return errors.New("the machine's clock cannot be changed: this node is a container or a local one, and its clock is that of the machine around it")
		}
	}
	// CAP_SYS_TIME is 25 in capabilities(7); capget needs no version dance for the low word.
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("the machine's clock cannot be changed: read our capabilities: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_SYS_TIME) == 0 {
		return errors.New("the machine's clock cannot be changed: that needs root (CAP_SYS_TIME): log in as root or pass --sudo")
	}
	return nil
}

func (linux) now() (instant, error) {
	var best instant
	for i := range 5 { // the quickest bounds best
		var first, wall, mono, boot, last unix.Timespec
		for _, c := range []struct {
			id int32
			to *unix.Timespec
		}{
			{unix.CLOCK_MONOTONIC_RAW, &first}, {unix.CLOCK_REALTIME, &wall}, {unix.CLOCK_MONOTONIC, &mono},
			{unix.CLOCK_BOOTTIME, &boot}, {unix.CLOCK_MONOTONIC_RAW, &last},
		} {
			if err := unix.ClockGettime(c.id, c.to); err != nil {
				return instant{}, fmt.Errorf("read the machine's clocks: %w", err)
			}
		}
		took := last.Nano() - first.Nano()
		if i > 0 && took >= best.Took {
			continue
		}
		best = instant{Wall: wall.Nano(), Mono: mono.Nano(), Raw: first.Nano() + took/2, Took: took}
		// What the two clocks differ by for having been read one after the other is no sleep.
		if asleep := boot.Nano() - mono.Nano(); asleep > took {
			best.Asleep = asleep
		}
	}
	return best, nil
}

// shift adds to the wall clock inside the kernel: between reading a clock and setting
// it, this process could have been kept from running.
func (linux) shift(by time.Duration) error {
	seconds, rest := by/time.Second, by%time.Second
	if rest < 0 {
		seconds, rest = seconds-1, rest+time.Second
	}
	_, err := unix.Adjtimex(&unix.Timex{
		Modes: unix.ADJ_SETOFFSET | unix.ADJ_NANO,
		Time:  unix.Timeval{Sec: int64(seconds), Usec: int64(rest)},
	})
	return err
}

func (linux) pace() (pace, error) {
	var t unix.Timex
	_, err := unix.Adjtimex(&t)
	return pace{Tick: t.Tick, Freq: t.Freq, Status: t.Status, TAI: t.Tai}, err
}

func (linux) setPace(p pace) error {
	_, err := unix.Adjtimex(&unix.Timex{
		Modes: unix.ADJ_TICK | unix.ADJ_FREQUENCY | unix.ADJ_STATUS | unix.ADJ_TAI,
		Tick:  p.Tick, Freq: p.Freq, Status: p.Status, Constant: int64(p.TAI),
	})
	return err
}

func (linux) boot() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}
