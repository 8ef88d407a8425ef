package shadow

import (
	"debug/elf"
	_ "embed" // the listings
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// The stubs are kept as listings, so that no assembler is needed to build them, and none
// for another architecture to test them. Whoever changes an instruction asks an
// assembler for its bytes; a test reads the bytes back and compares the meaning.

//go:embed stubs_amd64.lst
var amd64Stubs string

//go:embed stubs_arm64.lst
var arm64Stubs string

// machine is what differs between the architectures.
type machine struct {
	elf elf.Machine
	// stubs is a listing: a line is a label with its colon, or an instruction, its bytes
	// before what they mean. A line that begins with // is a comment.
	stubs string
	// forward is the listing of a jump to the absolute address that is called %[1]s.
	forward string
	// jump is the instruction that replaces the beginning of a copied function, with
	// room for the distance.
	jump []byte
	// decode turns the first column of a listing into code.
	decode func(digits string) ([]byte, error)
	// relate writes the distance to a target into the instruction that ends at end.
	relate func(code []byte, end, target int) error
}

// machineOf finds a machine by its name in Go.
func machineOf(arch string) (machine, error) {
	switch arch {
	case "amd64":
		return machine{
			elf:     elf.EM_X86_64,
			stubs:   amd64Stubs,
			forward: "\tff25@%[1]s jmpq *%[1]s(%%rip)\n",
			jump:    []byte{0xe9, 0, 0, 0, 0},
			decode:  hex.DecodeString,
			relate:  relateAMD64,
		}, nil
	case "arm64":
		return machine{
			elf:   elf.EM_AARCH64,
			stubs: arm64Stubs,
			// x16 is for those who come between a caller and a callee.
			forward: "\t58000010@%[1]s ldr x16, %[1]s\n\td61f0200 br x16\n",
			jump:    []byte{0, 0, 0, 0x14},
			decode:  decodeARM64,
			relate:  relateARM64,
		}, nil
	}
	return machine{}, fmt.Errorf("build a shadow clock for %s: it exists for amd64 and arm64 only; run the server without", arch)
}

// program is assembled code, whose references to labels are still open.
type program struct {
	code   []byte
	labels map[string]int
	refs   []reference
}

// reference is an instruction that ends at end and contains the distance to a label.
type reference struct {
	end int
	to  string
}

// assemble appends the code of a listing.
func (m machine) assemble(p *program, listing string) error {
	for line := range strings.Lines(listing) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "//") {
			continue
		}
		if label, ok := strings.CutSuffix(words[0], ":"); ok {
			p.labels[label] = len(p.code)
			continue
		}
		digits, to, refers := strings.Cut(words[0], "@")
		code, err := m.decode(digits)
		if err != nil {
			return fmt.Errorf("read the listing of the stubs at %q: %w", line, err)
		}
		p.code = append(p.code, code...)
		if refers {
			if m.elf == elf.EM_X86_64 {
				p.code = append(p.code, 0, 0, 0, 0)
			}
			p.refs = append(p.refs, reference{end: len(p.code), to: to})
		}
	}
	return nil
}

// place lays a word behind the code, 8-aligned, under a label.
func (p *program) place(label string, word uint64) {
	for len(p.code)%8 != 0 {
		p.code = append(p.code, 0)
	}
	p.labels[label] = len(p.code)
	p.code = binary.LittleEndian.AppendUint64(p.code, word)
}

// link closes the references.
func (m machine) link(p program) error {
	for _, r := range p.refs {
		target, ok := p.labels[r.to]
		if !ok {
			// The stubs call the originals of functions that every known vDSO has.
			return fmt.Errorf("it has no function %s", strings.TrimPrefix(r.to, "original_"))
		}
		if err := m.relate(p.code, r.end, target); err != nil {
			return err
		}
	}
	return nil
}

func relateAMD64(code []byte, end, target int) error {
	binary.LittleEndian.PutUint32(code[end-4:], uint32(int32(target-end)))
	return nil
}

// decodeARM64 reads an instruction as it is commonly written: one number, which
// memory holds with the lowest byte first.
func decodeARM64(digits string) ([]byte, error) {
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, err
	}
	if len(b) != 4 {
		return nil, fmt.Errorf("an instruction has 4 bytes, not %d", len(b))
	}
	return []byte{b[3], b[2], b[1], b[0]}, nil
}

// relateARM64 counts in instructions, from the beginning of the one that refers.
func relateARM64(code []byte, end, target int) error {
	word := code[end-4 : end]
	op := binary.LittleEndian.Uint32(word)
	distance := uint32((target - (end - 4)) >> 2)
	switch {
	case op&0x7c000000 == 0x14000000: // b, bl: 26 bits
		op |= distance & (1<<26 - 1)
	case op&0xff000010 == 0x54000000, // b.cond: 19 bits
		op&0x7e000000 == 0x34000000, // cbz, cbnz
		op&0xff000000 == 0x58000000: // ldr of a literal
		op |= distance & (1<<19 - 1) << 5
	default:
		return fmt.Errorf("link the stubs: instruction %08x contains no distance", op)
	}
	binary.LittleEndian.PutUint32(word, op)
	return nil
}
