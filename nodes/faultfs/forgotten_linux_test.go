package faultfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Programs that forget one sync must be found, and correct ones never accused. All seeds:
//
//	TMPDIR=/dev/shm NEMESIS_LONG=1 go test ./nodes/faultfs -run Forget -v -timeout 1h
func seedsOf(short int) uint64 {
	if os.Getenv("NEMESIS_LONG") != "" {
		return 1000
	}
	return uint64(short)
}

// keeper is a small program that keeps numbers in files, one a key: it writes a new file,
// syncs it, renames it over the old one and syncs the directory; to remove a key it
// removes the file and syncs the directory. It may forget one of these syncs.
type keeper struct {
	dir    string
	forget string
	// left is how many more system calls it makes before it is killed.
	left int
}

var errKilled = errors.New("it was killed")

func (k *keeper) call(do func() error) error {
	if k.left--; k.left < 0 {
		return errKilled
	}
	return do()
}

func (k *keeper) syncDir(of string) error {
	if k.forget == of {
		return nil
	}
	return k.call(func() error {
		d, err := os.Open(k.dir)
		if err != nil {
			return err
		}
		defer d.Close()
		return d.Sync()
	})
}

func (k *keeper) put(key string, value int) error {
	path := filepath.Join(k.dir, key)
	var f *os.File
	err := k.call(func() (err error) { f, err = os.Create(path + ".new"); return err })
	if f != nil {
		defer f.Close()
	}
	if err == nil {
		err = k.call(func() error { _, err := fmt.Fprintf(f, "%d\n%s", value, strings.Repeat("x", 3000)); return err })
	}
	if err == nil && k.forget != "file" {
		err = k.call(f.Sync)
	}
	if err == nil {
		err = k.call(func() error { return os.Rename(path+".new", path) })
	}
	if err != nil {
		return err
	}
	return k.syncDir("rename")
}

func (k *keeper) remove(key string) error {
	if err := k.call(func() error { return os.Remove(filepath.Join(k.dir, key)) }); err != nil {
		return err
	}
	return k.syncDir("directory")
}

// kept reads a key; 0 is none, -1 one that is damaged.
func (k *keeper) kept(key string) int {
	text, err := os.ReadFile(filepath.Join(k.dir, key))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	number, rest, _ := bytes.Cut(text, []byte("\n"))
	value, bad := strconv.Atoi(string(number))
	if err != nil || bad != nil || len(rest) != 3000 {
		return -1
	}
	return value
}

// wrong runs the program, takes the power at some system call, and says which key is not
// what was acknowledged last, or what was under way; "" for none.
func (k *keeper) wrong(d *mounted, rng *rand.Rand, loss Loss) (string, error) {
	keys := []string{"a", "b", "c"}
	k.left = 1 + rng.IntN(60)
	acknowledged, underWay := map[string]int{}, map[string]int{}
	for value := 1; ; value++ {
		key := keys[rng.IntN(len(keys))]
		var err error
		if acknowledged[key] > 0 && rng.IntN(3) == 0 {
			underWay[key] = 0
			if err = k.remove(key); err == nil {
				acknowledged[key] = 0
			}
		} else {
			underWay[key] = value
			if err = k.put(key, value); err == nil {
				acknowledged[key] = value
			}
		}
		if errors.Is(err, errKilled) {
			break
		}
		if err != nil {
			return "", err
		}
		delete(underWay, key)
	}
	if _, err := d.lose(loss); err != nil {
		return "", err
	}
	for _, key := range keys {
		got := k.kept(key)
		if going, is := underWay[key]; got != acknowledged[key] && !(is && got == going) {
			return fmt.Sprintf("%s is %d, and %d was acknowledged", key, got, acknowledged[key]), nil
		}
	}
	return "", nil
}

func TestGoProgramThatForgetsASyncIsFound(t *testing.T) {
	for _, forget := range []string{"", "file", "rename", "directory"} {
		t.Run("forgets "+forget, func(t *testing.T) {
			d := newMount(t, false)
			found := 0
			for seed := range seedsOf(60) {
				dir := filepath.Join(d.Path, strconv.FormatUint(seed, 10))
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				d.v.WriteBack()
				k := &keeper{dir: dir, forget: forget}
				wrong, err := k.wrong(d, rand.New(rand.NewPCG(seed, 4)), Loss{Sectors: seed%2 == 1, Seed: seed})
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if wrong != "" {
					found++
				}
				if wrong != "" && forget == "" {
					t.Fatalf("seed %d: the program forgets nothing, and %s", seed, wrong)
				}
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}
			if forget != "" && found == 0 {
				t.Error("nothing was found")
			}
			t.Logf("found by %d of %d seeds", found, seedsOf(60))
		})
	}
}

// SQLite forgets a sync when it is told to: in the mode DELETE, synchronous=FULL does not
// sync the directory after the journal that undoes a transaction is removed, which EXTRA
// does; with a WAL, NORMAL does not sync it when a transaction commits, which FULL does.
func TestSQLiteThatForgetsASyncIsFound(t *testing.T) {
	sqlite, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("there is no sqlite3 on this machine; Debian's package is sqlite3")
	}
	for _, c := range []struct {
		journal, synchronous string
		forgets              bool
	}{
		{"DELETE", "EXTRA", false},
		{"DELETE", "FULL", true}, // the directory
		{"TRUNCATE", "FULL", false},
		{"WAL", "FULL", false},
		{"WAL", "NORMAL", true}, // the file
		{"DELETE", "OFF", true}, // everything
	} {
		t.Run(c.journal+" "+c.synchronous, func(t *testing.T) {
			d := newMount(t, false)
			found := 0
			for seed := range seedsOf(8) {
				dir := filepath.Join(d.Path, strconv.FormatUint(seed, 10))
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				wrong, err := sqliteWrong(sqlite, dir, c.journal, c.synchronous, d, rand.New(rand.NewPCG(seed, 5)), Loss{Sectors: seed%2 == 1, Seed: seed})
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if wrong != "" {
					found++
				}
				if wrong != "" && !c.forgets {
					t.Fatalf("seed %d: it forgets nothing, and %s", seed, wrong)
				}
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}
			if c.forgets && found == 0 {
				t.Error("nothing was found")
			}
			t.Logf("found by %d of %d seeds", found, seedsOf(8))
		})
	}
}

// sqliteWrong lets sqlite3 insert numbers, kills it after some, takes the power, and says
// what is wrong with the database then.
func sqliteWrong(sqlite, dir, journal, synchronous string, d *mounted, rng *rand.Rand, loss Loss) (string, error) {
	db := filepath.Join(dir, "db")
	made := exec.Command(sqlite, db, "PRAGMA journal_mode="+journal+"; CREATE TABLE t(i INTEGER, filler TEXT);")
	if out, err := made.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	d.v.WriteBack()
	var script strings.Builder
	fmt.Fprintf(&script, "PRAGMA journal_mode=%s;\nPRAGMA synchronous=%s;\n", journal, synchronous) // it does not remember the first but for WAL
	for i := 1; i <= 30; i++ {
		fmt.Fprintf(&script, "INSERT INTO t VALUES(%d, '%s');\nSELECT 'acknowledged', %d;\n", i, strings.Repeat("x", rng.IntN(3000)), i)
	}
	cmd := exec.Command(sqlite, "-batch", db)
	cmd.Stdin = strings.NewReader(script.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	killAfter, acknowledged := 1+rng.IntN(20), 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if digits, is := strings.CutPrefix(lines.Text(), "acknowledged|"); is {
			if acknowledged, err = strconv.Atoi(digits); err != nil {
				return "", err
			}
		}
		if acknowledged == killAfter {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait() // it was killed
	if acknowledged < killAfter {
		return "", fmt.Errorf("it acknowledged %d of %d", acknowledged, killAfter)
	}
	if _, err := d.lose(loss); err != nil {
		return "", err
	}
	text, err := exec.Command(sqlite, "-batch", db, "PRAGMA integrity_check; SELECT count(*), max(i) FROM t;").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("it cannot be read: %v: %s", err, text), nil
	}
	var count, last int
	if n, _ := fmt.Sscanf(string(text), "ok\n%d|%d", &count, &last); n != 2 {
		return fmt.Sprintf("it is damaged: %s", text), nil
	}
	if count != last || last < acknowledged {
		return fmt.Sprintf("%d rows up to %d are left of %d acknowledged ones", count, last, acknowledged), nil
	}
	return "", nil
}
