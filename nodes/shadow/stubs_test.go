package shadow

import (
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"
	"golang.org/x/arch/x86/x86asm"
)

// A listing says everything twice, in bytes and in words. A disassembler that has
// nothing to do with us must find that they say the same.
func TestListingsMatchTheirBytes(t *testing.T) {
	for arch, disassemble := range disassemblers {
		t.Run(arch, func(t *testing.T) {
			m, err := machineOf(arch)
			if err != nil {
				t.Fatal(err)
			}
			listing := m.stubs + "forward:\n" + fmt.Sprintf(m.forward, "original_clock_gettime")
			p := program{labels: map[string]int{}}
			if err := m.assemble(&p, listing); err != nil {
				t.Fatal(err)
			}
			names := map[int]string{}
			for label, at := range p.labels {
				names[at] = label
			}
			for _, label := range []string{"page", "original_clock_gettime", "original_gettimeofday"} {
				p.place(label, 0)
				names[p.labels[label]] = label
			}
			if err := m.link(p); err != nil {
				t.Fatal(err)
			}
			at := 0
			for line := range strings.Lines(listing) {
				line, _, _ = strings.Cut(line, "//")
				_, want, ok := strings.Cut(strings.TrimSpace(line), " ")
				if !ok && !strings.HasSuffix(line, "\tc3\n") {
					continue // a label or a comment
				}
				got, size := disassemble(t, p.code[at:], at, names)
				if got != plain(want) {
					t.Errorf("%q is %q", strings.TrimSpace(line), got)
				}
				at += size
			}
			if first := p.labels["page"]; at > first || at+8 <= first {
				t.Errorf("the listing ends at %d, the addresses behind it begin at %d", at, first)
			}
		})
	}
}

// disassemblers tell the first instruction of code, which lies at a distance of at from
// the labels' zero, in the plain form of what a listing says, and its length.
var disassemblers = map[string]func(t *testing.T, code []byte, at int, names map[int]string) (string, int){
	"amd64": func(t *testing.T, code []byte, at int, names map[int]string) (string, int) {
		inst, err := x86asm.Decode(code, 64)
		if err != nil {
			t.Fatalf("no instruction at %d: %v", at, err)
		}
		text := x86asm.GNUSyntax(inst, 0, nil)
		if inst.PCRel != 0 {
			distance := int(int32(binary.LittleEndian.Uint32(code[inst.PCRelOff:])))
			name := names[at+inst.Len+distance]
			text = regexp.MustCompile(`(-?0x[0-9a-f]+)\(%rip\)`).ReplaceAllString(text, name+"(%rip)")
			text = regexp.MustCompile(`\.[+-]0x[0-9a-f]+`).ReplaceAllString(text, name)
		}
		return plain(text), inst.Len
	},
	"arm64": func(t *testing.T, code []byte, at int, names map[int]string) (string, int) {
		inst, err := arm64asm.Decode(code)
		if err != nil {
			t.Fatalf("no instruction at %d: %v", at, err)
		}
		text := arm64asm.GNUSyntax(inst)
		text = regexp.MustCompile(`\.[+-]0x[0-9a-f]+`).ReplaceAllStringFunc(text, func(s string) string {
			distance, err := strconv.ParseUint(strings.TrimPrefix(s[1:], "+"), 0, 64)
			if err != nil {
				t.Fatal(err)
			}
			return names[at+int(distance)]
		})
		return plain(text), 4
	},
}

// plain writes what means the same the same way.
func plain(text string) string {
	text = strings.NewReplacer(", ", ",", "jmpq ", "jmp ").Replace(text)
	return strings.Join(strings.Fields(text), " ")
}
