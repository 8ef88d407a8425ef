package shadow

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Step by step is how we read the instructions of arm64; QEMU reads them as a processor
// does. (Debian: apt install qemu-user-static.)
func TestTheStubsOfARM64UnderQEMU(t *testing.T) {
	if runtime.GOARCH == "arm64" {
		t.Skip("this machine is arm64: the other tests have run the stubs")
	}
	if testing.Short() {
		t.Skip("compiling for another architecture takes a while")
	}
	qemu, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		qemu, err = exec.LookPath("qemu-aarch64")
	}
	if err != nil {
		t.Skip("there is no qemu-aarch64 here to run code of arm64")
	}
	compiler, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go command here to compile for arm64")
	}
	binary := filepath.Join(t.TempDir(), "shadow.test")
	build := exec.Command(compiler, "test", "-c", "-o", binary, ".")
	build.Env = append(build.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("compile the tests for arm64: %v\n%s", err, out)
	}
	out, err := exec.Command(qemu, binary, "-test.v", "-rapid.nofailfile").CombinedOutput()
	if err != nil {
		t.Fatalf("run the tests: %v\n%s", err, out)
	}
	for _, want := range []string{
		"--- PASS: TestChangedClocksFollowTheParameters/arm64 ",
		"--- PASS: TestOtherFunctionsAreTheKernelsOwn/arm64 ",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("QEMU did not run %q:\n%s", want, out)
		}
	}
}
