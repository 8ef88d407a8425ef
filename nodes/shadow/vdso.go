package shadow

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// function is an entry of a vDSO.
type function struct {
	name   string // without the prefix of the architecture: "clock_gettime"
	offset uint64 // from the ELF header
	size   uint64 // bytes; two names of one function tell the same
}

// functions finds the exported functions of a vDSO through its dynamic section, as a
// loader does (section headers are not always mapped), ordered by offset and with one
// entry for each name.
func functions(image []byte, want elf.Machine) ([]function, error) {
	v := vdso{image: image}
	if err := v.header(want); err != nil {
		return nil, err
	}
	symbols, err := v.dynamic()
	if err != nil {
		return nil, err
	}
	var found []function
	for _, s := range symbols {
		// The entry of a signal return has no type on some kernels.
		typed := elf.ST_TYPE(s.Info) == elf.STT_FUNC || elf.ST_TYPE(s.Info) == elf.STT_NOTYPE
		section := elf.SectionIndex(s.Shndx)
		if elf.ST_TYPE(s.Info) == elf.STT_GNU_IFUNC {
			return nil, errors.New("it chooses a function at load time, which no known kernel's does")
		}
		if !typed || section == elf.SHN_UNDEF || section >= elf.SHN_LORESERVE {
			continue
		}
		name, err := v.text(s.Name)
		if err != nil {
			return nil, err
		}
		offset, err := v.offset(s.Value, s.Size)
		if err != nil {
			return nil, fmt.Errorf("its function %q: %w", name, err)
		}
		for _, prefix := range []string{"__vdso_", "__kernel_"} {
			name = strings.TrimPrefix(name, prefix)
		}
		found = append(found, function{name: name, offset: offset, size: s.Size})
	}
	slices.SortFunc(found, func(a, b function) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.name, b.name))
	})
	return slices.Compact(found), nil
}

// vdso is the bytes of one, and what is needed to find one's way in them. Whatever they
// are, reading them fails at worst.
type vdso struct {
	image   []byte
	first   elf.Prog64 // the loadable segment, which begins with the ELF header
	tables  elf.Prog64 // the dynamic section
	strings []byte
}

func (v *vdso) header(want elf.Machine) error {
	var h elf.Header64
	if err := v.read(0, &h); err != nil {
		return err
	}
	ident := elf.Class(h.Ident[elf.EI_CLASS])
	if !bytes.HasPrefix(h.Ident[:], []byte(elf.ELFMAG)) || ident != elf.ELFCLASS64 || elf.Data(h.Ident[elf.EI_DATA]) != elf.ELFDATA2LSB {
		return errors.New("it does not begin with the header of a little-endian 64-bit ELF file")
	}
	if got := elf.Machine(h.Machine); got != want {
		return fmt.Errorf("it is made for %v, not for %v", got, want)
	}
	if elf.Type(h.Type) != elf.ET_DYN {
		return fmt.Errorf("it is of type %v, not a shared object", elf.Type(h.Type))
	}
	var loads, dynamics int
	for i := range uint64(h.Phnum) {
		var p elf.Prog64
		if err := v.read(h.Phoff+i*uint64(h.Phentsize), &p); err != nil {
			return err
		}
		switch elf.ProgType(p.Type) {
		case elf.PT_LOAD:
			loads, v.first = loads+1, p
		case elf.PT_DYNAMIC:
			dynamics, v.tables = dynamics+1, p
		}
	}
	if loads != 1 || v.first.Off != 0 || v.first.Filesz > uint64(len(v.image)) {
		return fmt.Errorf("it has %d loadable segments, the last of %d bytes at %d, where one that begins with the header was expected", loads, v.first.Filesz, v.first.Off)
	}
	if dynamics != 1 {
		return fmt.Errorf("it has %d dynamic sections, where one was expected", dynamics)
	}
	return nil
}

// dynamic returns the dynamic symbols and finds the strings that name them.
func (v *vdso) dynamic() ([]elf.Sym64, error) {
	at := map[elf.DynTag]uint64{}
	start, err := v.offset(v.tables.Vaddr, v.tables.Filesz)
	if err != nil {
		return nil, fmt.Errorf("its dynamic section: %w", err)
	}
	for i := range v.tables.Filesz / 16 {
		var d elf.Dyn64
		if err := v.read(start+16*i, &d); err != nil {
			return nil, err
		}
		if elf.DynTag(d.Tag) == elf.DT_NULL {
			break
		}
		at[elf.DynTag(d.Tag)] = d.Val
	}
	text, err := v.offset(at[elf.DT_STRTAB], at[elf.DT_STRSZ])
	if err != nil {
		return nil, fmt.Errorf("its string table: %w", err)
	}
	v.strings = v.image[text : text+at[elf.DT_STRSZ]]
	n, err := v.count(at)
	if err != nil {
		return nil, err
	}
	table, err := v.offset(at[elf.DT_SYMTAB], uint64(n)*elf.Sym64Size)
	if err != nil {
		return nil, fmt.Errorf("its symbol table: %w", err)
	}
	symbols := make([]elf.Sym64, n)
	return symbols, v.read(table, symbols)
}

// count is how many dynamic symbols there are. Only the hash tables tell: the old one
// has the number, the newer one ends with the last chain.
func (v *vdso) count(at map[elf.DynTag]uint64) (uint32, error) {
	if where, ok := at[elf.DT_HASH]; ok {
		var h struct{ Buckets, Chains uint32 }
		offset, err := v.offset(where, 8)
		if err != nil {
			return 0, fmt.Errorf("its hash table: %w", err)
		}
		err = v.read(offset, &h)
		return h.Chains, err
	}
	where, ok := at[elf.DT_GNU_HASH]
	if !ok {
		return 0, errors.New("it has no hash table of its symbols")
	}
	var h struct{ Buckets, First, Bloom, Shift uint32 }
	offset, err := v.offset(where, 16)
	if err != nil {
		return 0, fmt.Errorf("its hash table: %w", err)
	}
	if err := v.read(offset, &h); err != nil {
		return 0, err
	}
	buckets := offset + 16 + 8*uint64(h.Bloom)
	chains := buckets + 4*uint64(h.Buckets)
	var last uint32
	for i := range uint64(h.Buckets) {
		var first uint32
		if err := v.read(buckets+4*i, &first); err != nil {
			return 0, err
		}
		last = max(last, first)
	}
	if last < h.First { // every chain is empty
		return h.First, nil
	}
	for {
		var hash uint32
		if err := v.read(chains+4*uint64(last-h.First), &hash); err != nil {
			return 0, err
		}
		last++
		if hash&1 == 1 { // the end of a chain
			return last, nil
		}
	}
}

// offset is where the size bytes at an address lie from the header on, in the file as
// in memory.
func (v *vdso) offset(address, size uint64) (uint64, error) {
	offset := address - v.first.Vaddr
	if offset >= v.first.Filesz || size > v.first.Filesz-offset {
		return 0, fmt.Errorf("%d bytes at address %#x are outside of its only segment, %d bytes at %#x", size, address, v.first.Filesz, v.first.Vaddr)
	}
	return offset, nil
}

// text is a name from the string table.
func (v *vdso) text(at uint32) (string, error) {
	if uint64(at) < uint64(len(v.strings)) {
		if name, _, ok := bytes.Cut(v.strings[at:], []byte{0}); ok {
			return string(name), nil
		}
	}
	return "", fmt.Errorf("a name at %d runs out of its string table of %d bytes", at, len(v.strings))
}

func (v *vdso) read(offset uint64, into any) error {
	if offset > uint64(len(v.image)) {
		return fmt.Errorf("it ends at byte %d, before what should be at %d", len(v.image), offset)
	}
	if _, err := binary.Decode(v.image[offset:], binary.LittleEndian, into); err != nil {
		return fmt.Errorf("it ends at byte %d, within what should be at %d", len(v.image), offset)
	}
	return nil
}
