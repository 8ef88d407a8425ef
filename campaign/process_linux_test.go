package campaign

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// Nothing that processes do while they are looked at may keep us from looking on: a watch
// that does not come back is a night that never ends, and says nothing.
func TestMemoryIsCountedWhileProcessesComeAndGo(t *testing.T) {
	t.Parallel()
	busy := exec.Command("sh", "-c", "for i in 1 2 3; do while :; do /bin/true; done & done; wait")
	busy.SysProcAttr = ownGroup()
	if err := busy.Start(); err != nil {
		t.Skipf("needs sh: %v", err)
	}
	defer busy.Wait()
	defer killGroup(busy.Process.Pid)
	looks := make(chan int64)
	go func() {
		defer close(looks)
		for began := time.Now(); time.Since(began) < 3*time.Second; {
			looks <- treeMemory(os.Getpid())
		}
	}()
	for {
		select {
		case used, ok := <-looks:
			if !ok {
				return
			}
			if used <= 0 || used > 4<<30 {
				t.Fatalf("this test and a shell use %d bytes", used)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("one look takes for ever")
		}
	}
}
