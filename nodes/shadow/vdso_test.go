package shadow

import (
	"debug/elf"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestTheCopyIsTheKernelsButForTheBeginningOfItsFunctions(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			m, err := machineOf(arch)
			if err != nil {
				t.Fatal(err)
			}
			vdso := madeUp(t, arch, 0x7000_0000, 0x6000_0000).bytes(t)
			image, err := Build(arch, vdso, 0x7000_0000, 0x5000_0000, 0x4000_0000)
			if err != nil {
				t.Fatal(err)
			}
			if image.Entry != 0x5000_0000 {
				t.Errorf("it enters at %#x", image.Entry)
			}
			found, err := functions(vdso, m.elf)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				jump := image.Code[f.offset:][:len(m.jump)]
				if slices.Equal(jump, vdso[f.offset:][:len(m.jump)]) {
					t.Errorf("%s is as it was", f.name)
				}
				copy(jump, vdso[f.offset:])
			}
			if diff := cmp.Diff(vdso, image.Code[:len(vdso)]); diff != "" {
				t.Errorf("with the jumps undone (-kernel +copy):\n%s", diff)
			}
		})
	}
}

func TestVDSOVariantsAreAccepted(t *testing.T) {
	const at = 0x7000_0000
	usual := madeUp(t, "amd64", at, 0)
	want, err := functions(usual.bytes(t), elf.EM_X86_64)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range want {
		names = append(names, f.name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"clock_getres", "clock_gettime", "getcpu", "getrandom", "gettimeofday", "time"}, names); diff != "" {
		t.Errorf("its functions (-want +got):\n%s", diff)
	}
	for says, change := range map[string]func(*kernel){
		"the older hash table":       func(k *kernel) { k.sysvHash = true },
		"linked for a fixed address": func(k *kernel) { k.address = 0xffff_ffff_ff70_0000 },
	} {
		k := usual
		change(&k)
		got, err := functions(k.bytes(t), elf.EM_X86_64)
		if err != nil {
			t.Errorf("%s: %v", says, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(function{})); diff != "" {
			t.Errorf("%s (-usual +got):\n%s", says, diff)
		}
	}
}

func TestAVDSOThatIsRefused(t *testing.T) {
	amd64 := func(change func(*kernel)) []byte {
		k := madeUp(t, "amd64", 0x7000_0000, 0)
		change(&k)
		return k.bytes(t)
	}
	good := amd64(func(*kernel) {})
	edit := func(at int, b ...byte) []byte { return slices.Replace(slices.Clone(good), at, at+len(b), b...) }
	const phdr, dynamic = 64, 64 + 2*56
	for _, c := range []struct {
		says string
		arch string
		vdso []byte
		want string
	}{
		{"another architecture", "riscv64", good, "for riscv64: it exists for amd64 and arm64 only"},
		{"of another machine", "arm64", good, "it is made for EM_X86_64, not for EM_AARCH64"},
		{"nothing", "amd64", nil, "it ends at byte 0"},
		{"no ELF file", "amd64", edit(0, 'M', 'Z'), "does not begin with the header"},
		{"32 bits", "amd64", edit(4, 1), "does not begin with the header"},
		{"a program", "amd64", edit(16, byte(elf.ET_EXEC)), "it is of type ET_EXEC"},
		{"cut off", "amd64", good[:textAt], "loadable segments"},
		{"headers behind its end", "amd64", edit(32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "it ends at byte"},
		{"two segments", "amd64", edit(phdr+56, byte(elf.PT_LOAD)), "it has 2 loadable segments"},
		{"no dynamic section", "amd64", edit(phdr+56, byte(elf.PT_NOTE)), "it has 0 dynamic sections"},
		{"a dynamic section elsewhere", "amd64", edit(phdr+56+16+3, 0x7f), "its dynamic section: 80 bytes at"},
		{"no hash table", "amd64", edit(dynamic, 0x7f), "it has no hash table"},
		{"a hash table elsewhere", "amd64", edit(dynamic+8+3, 0x7f), "its hash table: 16 bytes at"},
		{"strings elsewhere", "amd64", edit(dynamic+16+8+3, 0x7f), "its string table:"},
		{"fewer strings", "amd64", edit(dynamic+32+8, 3), "runs out of its string table"},
		{"symbols elsewhere", "amd64", edit(dynamic+48+8+3, 0x7f), "its symbol table:"},
		{"no clock_gettime", "amd64", amd64(func(k *kernel) {
			delete(k.functions, "__vdso_clock_gettime")
			k.aliases = nil
		}), "it has no function clock_gettime"},
		{"a function too short", "amd64", amd64(func(k *kernel) {
			k.sizes = map[string]uint64{"__vdso_getcpu": 4}
		}), `its function "getcpu" has 4 bytes, too few for a jump of 5`},
		{"a function behind the end", "amd64", amd64(func(k *kernel) {
			k.sizes = map[string]uint64{"__vdso_getcpu": 1 << 20}
		}), `its function "__vdso_getcpu": 1048576 bytes at`},
		{"huge", "amd64", make([]byte, maxVDSO+1), "it is longer than 1048576 bytes"},
	} {
		t.Run(c.says, func(t *testing.T) {
			_, err := Build(c.arch, c.vdso, 0x7000_0000, 0x5000_0000, 0x4000_0000)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "build a shadow") || !strings.Contains(err.Error(), "run the server without") {
				t.Errorf("the error does not say what to do, in one line: %v", err)
			}
		})
	}
}

func TestFunctionsThatOverlapAreRefused(t *testing.T) {
	m, err := machineOf("amd64")
	if err != nil {
		t.Fatal(err)
	}
	found := []function{{"a", 0x100, 64}, {"b", 0x100, 64}, {"c", 0x104, 64}}
	if err := m.room(found); err == nil {
		t.Error("a jump over the beginning of the next function: no error")
	}
	if err := m.room(found[:2]); err != nil {
		t.Errorf("two names of one function: %v", err)
	}
}

// What a process has mapped may be anything. It is refused or understood, and never
// more than that is touched.
func TestAnyVDSOImageIsParsedWithoutPanic(t *testing.T) {
	vdsos := map[string][]byte{}
	for _, arch := range []string{"amd64", "arm64"} {
		vdsos[arch] = madeUp(t, arch, 0x7000_0000, 0).bytes(t)
		k := madeUp(t, arch, 0x7000_0000, 0)
		k.sysvHash = true
		vdsos[arch+" sysv"] = k.bytes(t)
	}
	var built, refused int
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{"amd64", "arm64", "amd64 sysv", "arm64 sysv"}).Draw(t, "kind")
		vdso := slices.Clone(vdsos[kind])
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			at := rapid.IntRange(0, textAt-8).Draw(t, "at")
			switch rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				vdso[at] = rapid.Byte().Draw(t, "byte")
			case 1:
				binary.LittleEndian.PutUint32(vdso[at&^3:], rapid.Uint32().Draw(t, "word"))
			case 2:
				binary.LittleEndian.PutUint64(vdso[at&^7:], rapid.Uint64().Draw(t, "long"))
			}
		}
		vdso = vdso[:len(vdso)-rapid.SampledFrom([]int{0, 0, 0, 1, 16, 64}).Draw(t, "cut")]
		before := slices.Clone(vdso)
		image, err := Build(kind[:5], vdso, 0x7000_0000, 0x5000_0000, 0x4000_0000)
		if !slices.Equal(vdso, before) {
			t.Fatal("the process's own bytes were changed")
		}
		if err != nil {
			refused++
			return
		}
		built++
		if len(image.Code) != CodeSize(len(vdso)) {
			t.Fatalf("the image has %d bytes, not %d", len(image.Code), CodeSize(len(vdso)))
		}
	})
	t.Logf("%d understood, %d refused", built, refused)
}
