package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/nodes/cgroup"
)

// workDir is the directory of one world. Whoever holds the lock on the directory
// itself owns it; the kernel lets go of the lock with its last holder. So an
// unlocked directory is one whose keeper is dead, whether by kill -9 or by a reboot,
// and anybody may remove it.
type workDir struct {
	path string
	lock *os.File
}

// claimDir makes a directory of our own below base, and removes those that nobody owns.
func claimDir(base string) (*workDir, error) {
	if err := os.MkdirAll(base, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory for local nodes: %w: set XDG_CACHE_HOME to where you may write", err)
	}
	base, err := filepath.EvalSymlinks(base)
	if err != nil {
		return nil, fmt.Errorf("make a directory for local nodes: %w", err)
	}
	var disk unix.Statfs_t
	if unix.Statfs(base, &disk) == nil && disk.Flags&unix.ST_NOEXEC != 0 {
		return nil, fmt.Errorf("make a directory for local nodes: no program may run in %s, which is mounted noexec: set XDG_CACHE_HOME to another disk", base)
	}
	abandoned, dir, err := turn(base, makeDir)
	for _, d := range abandoned {
		d.remove() // what resists now is tried again by the next world
	}
	return dir, err
}

// turn finds the abandoned directories and calls then. One at a time here: a directory
// that is made but not yet locked looks abandoned.
func turn(base string, then func(base string) (*workDir, error)) (abandoned []*workDir, made *workDir, err error) {
	lock, err := lockFile(base, unix.LOCK_EX)
	if err != nil {
		return nil, nil, err
	}
	defer lock.Close()
	abandoned = abandonedDirs(base)
	made, err = then(base)
	return abandoned, made, err
}

// RemoveAbandoned removes the directories and control groups of worlds whose keeper and
// outer process were both killed, so that nobody was left to do it, and returns the paths of
// those directories. Worlds that live keep theirs: the kernel holds their lock. It may be
// called at any time, outside of worlds. dir is World.Dir.
func RemoveAbandoned(dir string) (removed []string, err error) {
	base, err := baseDir(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(base); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	abandoned, _, err := turn(base, func(string) (*workDir, error) { return nil, nil })
	for _, d := range abandoned {
		if e := d.remove(); e != nil {
			err = errors.Join(err, e)
		} else {
			removed = append(removed, d.path)
		}
	}
	return removed, err
}

// baseDir is where the directories of worlds are made.
func baseDir(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	return cacheDir("local")
}

// worldPrefix begins the names of the directories we made, so that nothing else is
// ever taken for abandoned.
const worldPrefix = "world-"

func makeDir(base string) (*workDir, error) {
	path, err := os.MkdirTemp(base, worldPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a directory for local nodes: %w", err)
	}
	lock, err := lockFile(path, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		return nil, err
	}
	return &workDir{path, lock}, nil
}

// abandonedDirs are the directories that nobody owned, now ours.
func abandonedDirs(base string) []*workDir {
	var found []*workDir
	entries, _ := os.ReadDir(base)
	for _, entry := range entries {
		if !entry.IsDir() || !strings.HasPrefix(entry.Name(), worldPrefix) {
			continue
		}
		path := filepath.Join(base, entry.Name())
		if lock, err := lockFile(path, unix.LOCK_EX|unix.LOCK_NB); err == nil {
			found = append(found, &workDir{path, lock})
		}
	}
	return found
}

func lockFile(path string, how int) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("lock a directory for local nodes: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s for local nodes: %w: it must be on a local disk", path, err)
	}
	return f, nil
}

// groupName is the name of the world's control group.
func (d *workDir) groupName() string { return "nemesis-" + filepath.Base(d.path) }

// remove takes the directory and the control group away and gives up the lock.
func (d *workDir) remove() error {
	err := errors.Join(removeTree(d.path), cgroup.RemoveNamed(d.groupName()))
	d.lock.Close()
	return err
}

// removeTree removes what a node left behind, including directories it closed to
// its own user: an overlay's work directory has mode 0 from the start. The kernel
// may take a moment to let go of the last mounts of a node that has just died.
func removeTree(path string) error {
	var err error
	for range 10 {
		if err = os.RemoveAll(path); err == nil {
			return nil
		}
		filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
			if entry != nil && entry.IsDir() {
				os.Chmod(path, 0o700)
			}
			return nil
		})
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("remove a local node's files: %w", err)
}
