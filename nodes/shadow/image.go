package shadow

import (
	"fmt"
	"maps"
	"slices"
)

// Image is a shadow vDSO, made for the addresses of one process.
type Image struct {
	// Code is what to map, read-only and executable, at the address it was made for. Its
	// length is CodeSize.
	Code []byte
	// Entry is the value for AT_SYSINFO_EHDR: the address of the copied ELF header.
	Entry uint64
}

const (
	// stubRoom is what the stubs, the jumps and the addresses may take.
	stubRoom = 4096
	// maxVDSO keeps every distance within reach of a jump. Real ones have 2 to 4 pages.
	maxVDSO = 1 << 20
)

// CodeSize is how many bytes to map for the image of a vDSO of so many bytes, before it
// is known where.
func CodeSize(vdsoLen int) int { return alignUp(vdsoLen) + stubRoom }

// alignUp keeps the first stub on a line of the processor's cache of its own.
func alignUp(n int) int { return (n + 63) &^ 63 }

// Build makes the image for a process whose vDSO of the given bytes lies at vdsoAddr
// (the value of its AT_SYSINFO_EHDR). The code will be mapped at codeAddr, and Size
// bytes of the parameter page at pageAddr. arch is the architecture's name in Go.
//
// The copy is the process's own vDSO to the byte, except for the beginning of its
// functions, so that headers, versions and hash tables are what loaders accept. It fails
// for another architecture, and for a vDSO whose layout is unlike any that we know.
func Build(arch string, vdso []byte, vdsoAddr, codeAddr, pageAddr uint64) (Image, error) {
	m, err := machineOf(arch)
	if err != nil {
		return Image{}, err
	}
	code, err := m.build(vdso, vdsoAddr, pageAddr)
	if err != nil {
		return Image{}, fmt.Errorf("build a shadow of the vDSO: %w; run the server without a shadow clock", err)
	}
	return Image{Code: code, Entry: codeAddr}, nil
}

// build lays out the copy, the stubs, jumps to the kernel's other functions, and the
// addresses that all of these use. Everything but those addresses is relative, so it
// does not matter where the image will lie.
func (m machine) build(vdso []byte, vdsoAddr, pageAddr uint64) ([]byte, error) {
	if len(vdso) > maxVDSO {
		return nil, fmt.Errorf("it is longer than %d bytes", maxVDSO)
	}
	found, err := functions(vdso, m.elf)
	if err != nil {
		return nil, err
	}
	if err := m.room(found); err != nil {
		return nil, err
	}
	p := program{code: make([]byte, alignUp(len(vdso))), labels: map[string]int{}}
	copy(p.code, vdso)
	if err := m.assemble(&p, m.stubs); err != nil {
		return nil, err
	}

	// Where the beginning of each function leads: to the stub of its name or, by a jump
	// of its own, to the original.
	leads := map[uint64]string{}
	originals := map[string]uint64{}
	for i, f := range found {
		if tellsTime(f.name) {
			leads[f.offset] = f.name
			originals["original_"+f.name] = vdsoAddr + f.offset
			continue
		}
		if leads[f.offset] != "" { // another name of the same function
			continue
		}
		// The names are the kernel's, and not ours to trust.
		label, original := fmt.Sprintf("forward_%d", i), fmt.Sprintf("original_%d", i)
		leads[f.offset] = label
		originals[original] = vdsoAddr + f.offset
		if err := m.assemble(&p, label+":\n"+fmt.Sprintf(m.forward, original)); err != nil {
			return nil, err
		}
	}
	for offset, label := range leads {
		end := int(offset) + copy(p.code[offset:], m.jump)
		p.refs = append(p.refs, reference{end: end, to: label})
	}
	p.place("page", pageAddr)
	for _, label := range slices.Sorted(maps.Keys(originals)) {
		p.place(label, originals[label])
	}

	if err := m.link(p); err != nil {
		return nil, err
	}
	size := CodeSize(len(vdso))
	if len(p.code) > size {
		return nil, fmt.Errorf("its %d functions need more than the %d bytes set aside for them", len(found), stubRoom)
	}
	return append(p.code, make([]byte, size-len(p.code))...), nil
}

// tellsTime reports whether a function has a stub of its name.
func tellsTime(name string) bool {
	return name == "clock_gettime" || name == "gettimeofday" || name == "time"
}

// room fails if a jump would not fit into a function: it would run into the next.
func (m machine) room(found []function) error {
	jump := uint64(len(m.jump))
	for i, f := range found {
		next := f.offset + f.size
		if i+1 < len(found) && found[i+1].offset != f.offset {
			next = min(next, found[i+1].offset)
		}
		if next-f.offset < jump {
			return fmt.Errorf("its function %q has %d bytes, too few for a jump of %d", f.name, next-f.offset, jump)
		}
	}
	return nil
}
