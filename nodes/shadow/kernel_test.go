package shadow

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"maps"
	"slices"
	"testing"
)

// kernel describes a vDSO of our own making, whose clock_gettime tells what a test wants
// to be told.
type kernel struct {
	machine   elf.Machine
	functions map[string][]byte // code by exported name
	aliases   map[string]string // further names
	sizes     map[string]uint64 // sizes other than the truth
	address   uint64            // that it claims to be loaded at
	sysvHash  bool              // the older hash table
}

// textAt is where the first function begins: behind all tables.
const textAt = 0x400

// bytes lays it out as the kernels do.
func (k kernel) bytes(t testing.TB) []byte {
	t.Helper()
	var text []byte
	at := map[string]uint64{}
	names := slices.Sorted(maps.Keys(k.functions))
	for _, name := range names {
		for len(text)%16 != 0 {
			text = append(text, 0)
		}
		at[name] = textAt + uint64(len(text))
		text = append(text, k.functions[name]...)
	}
	strtab := []byte{0}
	symbols := []elf.Sym64{{}}
	symbol := func(name string, info byte, section elf.SectionIndex, value, size uint64) {
		symbols = append(symbols, elf.Sym64{Name: uint32(len(strtab)), Info: info, Shndx: uint16(section), Value: value, Size: size})
		strtab = append(append(strtab, name...), 0)
	}
	function := elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC)
	add := func(name, of string) {
		size := uint64(len(k.functions[of]))
		if s, ok := k.sizes[of]; ok {
			size = s
		}
		symbol(name, function, 1, k.address+at[of], size)
	}
	for _, name := range names {
		add(name, name)
	}
	for _, name := range slices.Sorted(maps.Keys(k.aliases)) {
		add(name, k.aliases[name])
	}
	symbol("LINUX_2.6", elf.ST_INFO(elf.STB_GLOBAL, elf.STT_OBJECT), elf.SHN_ABS, 0, 0)
	symbol("elsewhere", function, elf.SHN_UNDEF, 0, 0)

	// One bucket; a chain through all symbols, whose last hash is odd.
	n := uint32(len(symbols))
	var hash []uint32
	tag := elf.DT_GNU_HASH
	if k.sysvHash {
		tag = elf.DT_HASH
		hash = []uint32{1, n, 1}
		hash = append(hash, make([]uint32, n)...)
	} else {
		hash = []uint32{1, 1, 1, 0 /* bloom */, 0, 0 /* bucket */, 1}
		for range n - 2 {
			hash = append(hash, 2)
		}
		hash = append(hash, 3)
	}

	image := make([]byte, textAt)
	put := func(offset int, v any) int {
		var b bytes.Buffer
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
		if offset+b.Len() > textAt {
			t.Fatalf("the tables reach %#x, the code begins at %#x", offset+b.Len(), textAt)
		}
		copy(image[offset:], b.Bytes())
		return (offset + b.Len() + 7) &^ 7
	}
	const dynamicAt = 64 + 2*56
	dynamicEnd := dynamicAt + 5*16
	strAt := put(dynamicEnd, hash)
	symAt := put(strAt, strtab)
	put(symAt, symbols)
	size := uint64(textAt + len(text))
	h := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(k.machine), Version: 1,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2,
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS] = byte(elf.ELFCLASS64)
	h.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	put(0, h)
	put(64, []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Vaddr: k.address, Filesz: size, Memsz: size},
		{Type: uint32(elf.PT_DYNAMIC), Off: dynamicAt, Vaddr: k.address + dynamicAt, Filesz: 80, Memsz: 80},
	})
	put(dynamicAt, []elf.Dyn64{
		{Tag: int64(tag), Val: k.address + uint64(dynamicEnd)},
		{Tag: int64(elf.DT_STRTAB), Val: k.address + uint64(strAt)},
		{Tag: int64(elf.DT_STRSZ), Val: uint64(len(strtab))},
		{Tag: int64(elf.DT_SYMTAB), Val: k.address + uint64(symAt)},
		{Tag: int64(elf.DT_NULL)},
	})
	return append(image, text...)
}

// An oracle is how the clock_gettime of a kernel is told what to say, and tells what it
// was asked: words in memory, by their offsets.
const (
	toldSec     = 0x00 // written to the caller
	toldNsec    = 0x08
	toldResult  = 0x10
	seenSP      = 0x18 // the stack pointer
	seenCalls   = 0x20 // of any function
	seenFirst   = 0x28 // the arguments
	seenSecond  = 0x30
	toldWhere   = 0x40 // the address of the page's generation
	toldChanges = 0x48 // what call 0, 1, … 7 adds to it
)

// originals are functions that answer from an oracle: clock_gettime, which leaves
// nothing of use in the registers that it may use (an int is 32 bits of one), and one that only notes its arguments.
var originals = map[string]string{
	"amd64": `
clock_gettime:
	488b05@oracle mov oracle(%rip),%rax
	48896018 mov %rsp,0x18(%rax)
	48897828 mov %rdi,0x28(%rax)
	48897030 mov %rsi,0x30(%rax)
	48ff4020 incq 0x20(%rax)
	488b08 mov (%rax),%rcx
	48890e mov %rcx,(%rsi)
	488b4808 mov 0x8(%rax),%rcx
	48894e08 mov %rcx,0x8(%rsi)
	488b5040 mov 0x40(%rax),%rdx
	8b4820 mov 0x20(%rax),%ecx
	83e107 and $0x7,%ecx
	488b4cc848 mov 0x48(%rax,%rcx,8),%rcx
	48010a add %rcx,(%rdx)
	8b4010 mov 0x10(%rax),%eax
	48c7c1ffffffff mov $-1,%rcx
	4889ca mov %rcx,%rdx
	4889ce mov %rcx,%rsi
	4889cf mov %rcx,%rdi
	4989c8 mov %rcx,%r8
	4989c9 mov %rcx,%r9
	4989ca mov %rcx,%r10
	4989cb mov %rcx,%r11
	c3 retq
note:
	488b05@oracle mov oracle(%rip),%rax
	48897828 mov %rdi,0x28(%rax)
	48897030 mov %rsi,0x30(%rax)
	48ff4020 incq 0x20(%rax)
	8b4010 mov 0x10(%rax),%eax
	c3 retq
`,
	"arm64": `
clock_gettime:
	58000009@oracle ldr x9, oracle
	910003ea mov x10, sp
	f9000d2a str x10, [x9,#24]
	a9028520 stp x0, x1, [x9,#40]
	f940112b ldr x11, [x9,#32]
	9100056b add x11, x11, #0x1
	f900112b str x11, [x9,#32]
	a940312b ldp x11, x12, [x9]
	a900302b stp x11, x12, [x1]
	f940112b ldr x11, [x9,#32]
	9240096b and x11, x11, #0x7
	8b0b0d2c add x12, x9, x11, lsl #3
	f940258b ldr x11, [x12,#72]
	f940212c ldr x12, [x9,#64]
	f940018d ldr x13, [x12]
	8b0b01ad add x13, x13, x11
	f900018d str x13, [x12]
	f9400920 ldr x0, [x9,#16]
	b2607c00 orr x0, x0, #0xffffffff00000000
	aa0903e1 mov x1, x9
	aa0903ea mov x10, x9
	aa0903ef mov x15, x9
	aa0903f1 mov x17, x9
	d65f03c0 ret
note:
	58000009@oracle ldr x9, oracle
	a9028520 stp x0, x1, [x9,#40]
	f940112b ldr x11, [x9,#32]
	9100056b add x11, x11, #0x1
	f900112b str x11, [x9,#32]
	f9400920 ldr x0, [x9,#16]
	d65f03c0 ret
`,
}
