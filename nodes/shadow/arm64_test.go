package shadow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"golang.org/x/arch/arm64/arm64asm"
)

// arm64 runs the instructions that the stubs of arm64 are made of, for want of the real
// one: in a memory that begins at base, as a disassembler reads them.
type arm64 struct {
	base uint64
	mem  []byte
	x    [31]uint64
	sp   uint64
	pc   uint64
	// The flags, as of the last comparison of a with b: their difference tells all.
	a, b uint64
}

// landing is where the caller of the first function waits.
const landing = 0xfff0

// call runs the function at pc until it returns.
func (m *arm64) call(pc, a, b uint64) (uint64, error) {
	for i := range m.x {
		m.x[i] = 0xdead_0000_0000_0000 + uint64(i)
	}
	before := *m
	m.x[0], m.x[1], m.x[30], m.pc = a, b, landing, pc
	for steps := 0; m.pc != landing; steps++ {
		if steps > 10_000 {
			return 0, fmt.Errorf("it does not return")
		}
		if err := m.step(); err != nil {
			return 0, fmt.Errorf("at %#x: %w", m.pc-m.base, err)
		}
	}
	for i := 19; i < 30; i++ {
		if m.x[i] != before.x[i] {
			return 0, fmt.Errorf("it changed x%d, which belongs to its caller", i)
		}
	}
	if m.sp != before.sp {
		return 0, fmt.Errorf("it returned with another stack pointer")
	}
	return m.x[0], nil
}

func (m *arm64) step() error {
	code, err := m.at(m.pc, 4)
	if err != nil {
		return err
	}
	inst, err := arm64asm.Decode(code)
	if err != nil {
		return err
	}
	op, rest, _ := strings.Cut(arm64asm.GNUSyntax(inst), " ")
	args := strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == ' ' || r == '[' || r == ']' })
	here := m.pc
	m.pc += 4
	arg := func(i int) uint64 { return m.value(args[i], here) }
	// What is shifted is the last operand.
	last := func(i int) uint64 {
		v := arg(i)
		if len(args) > i+2 && args[i+1] == "lsl" {
			v <<= m.value(args[i+2], here)
		}
		return v
	}
	jump := func(taken bool, i int) {
		if taken {
			m.pc = arg(i)
		}
	}
	switch op {
	case "mov":
		m.set(args[0], arg(1))
	case "movk":
		m.set(args[0], arg(0)&^(0xffff<<arg(3))|last(1))
	case "add":
		m.set(args[0], arg(1)+last(2))
	case "sub":
		m.set(args[0], arg(1)-last(2))
	case "subs":
		m.a, m.b = arg(1), arg(2)
		m.set(args[0], m.a-m.b)
	case "cmp":
		m.a, m.b = arg(0), arg(1)
	case "and":
		m.set(args[0], arg(1)&arg(2))
	case "eor":
		m.set(args[0], arg(1)^arg(2))
	case "lsr":
		m.set(args[0], arg(1)>>arg(2))
	case "orr":
		m.set(args[0], arg(1)|arg(2))
	case "mul":
		m.set(args[0], arg(1)*arg(2))
	case "madd":
		m.set(args[0], arg(3)+arg(1)*arg(2))
	case "msub":
		m.set(args[0], arg(3)-arg(1)*arg(2))
	case "smulh":
		a, b := int64(arg(1)), int64(arg(2))
		hi, _ := bits.Mul64(uint64(a), uint64(b))
		m.set(args[0], hi-uint64(a>>63&b)-uint64(b>>63&a))
	case "extr":
		m.set(args[0], arg(1)<<(64-arg(3))|arg(2)>>arg(3))
	case "sdiv":
		m.set(args[0], uint64(int64(arg(1))/int64(arg(2))))
	case "udiv":
		m.set(args[0], arg(1)/arg(2))
	case "csel":
		if args[3] != "pl" {
			return fmt.Errorf("condition %q is not known here", args[3])
		}
		if int64(m.a-m.b) >= 0 {
			m.set(args[0], arg(1))
		} else {
			m.set(args[0], arg(2))
		}
	case "cbz":
		jump(arg(0) == 0, 1)
	case "cbnz":
		jump(arg(0) != 0, 1)
	case "b":
		jump(true, 0)
	case "b.ne":
		jump(m.a != m.b, 0)
	case "b.hi":
		jump(m.a > m.b, 0)
	case "b.ge":
		jump(int64(m.a) >= int64(m.b), 0)
	case "bl":
		m.x[30] = m.pc
		jump(true, 0)
	case "blr":
		m.x[30] = m.pc
		jump(true, 0)
	case "br":
		jump(true, 0)
	case "ret":
		m.pc = m.x[30]
	case "dmb":
	case "ldr", "ldar", "str", "ldp", "stp":
		return m.transfer(op, rest, args, here)
	default:
		return fmt.Errorf("instruction %q is not known here", op+" "+rest)
	}
	return nil
}

// transfer loads or stores one register or two.
func (m *arm64) transfer(op, rest string, args []string, here uint64) error {
	n := 1
	if op == "ldp" || op == "stp" {
		n = 2
	}
	address := m.value(args[n], here) // a register, or the place of a literal
	if len(args) > n+1 {
		offset := m.value(strings.TrimSuffix(args[n+1], "]!"), here)
		indexed := strings.HasSuffix(rest, "]!")
		if indexed || !strings.HasSuffix(rest, "]") {
			m.set(args[n], address+offset)
		}
		if indexed || strings.HasSuffix(rest, "]") {
			address += offset
		}
	}
	for i, reg := range args[:n] {
		word, err := m.at(address+8*uint64(i), 8)
		if err != nil {
			return err
		}
		if op[0] == 'l' {
			m.set(reg, binary.LittleEndian.Uint64(word))
		} else {
			binary.LittleEndian.PutUint64(word, m.value(reg, here))
		}
	}
	return nil
}

func (m *arm64) at(address, size uint64) ([]byte, error) {
	offset := address - m.base
	if offset+size > uint64(len(m.mem)) || offset > uint64(len(m.mem)) {
		return nil, fmt.Errorf("address %#x is nowhere", address)
	}
	return m.mem[offset : offset+size], nil
}

// value is what an operand means: a register, a number, or a distance from here.
func (m *arm64) value(arg string, here uint64) uint64 {
	switch arg = strings.TrimSuffix(arg, "!"); {
	case arg == "sp":
		return m.sp
	case arg == "xzr" || arg == "wzr":
		return 0
	case strings.HasPrefix(arg, "."):
		n, err := strconv.ParseUint(strings.TrimPrefix(arg[1:], "+"), 0, 64)
		if err != nil {
			panic(err)
		}
		return here + n
	case strings.HasPrefix(arg, "#"):
		n, err := strconv.ParseInt(arg[1:], 0, 64)
		if errors.Is(err, strconv.ErrRange) { // a pattern of bits
			var u uint64
			u, err = strconv.ParseUint(arg[1:], 0, 64)
			n = int64(u)
		}
		if err != nil {
			panic(err)
		}
		return uint64(n)
	}
	n, err := strconv.Atoi(arg[1:])
	if err != nil {
		panic(err)
	}
	if arg[0] == 'w' {
		return uint64(uint32(m.x[n]))
	}
	return m.x[n]
}

func (m *arm64) set(reg string, v uint64) {
	if reg == "sp" {
		m.sp = v
		return
	}
	n, err := strconv.Atoi(reg[1:])
	if err != nil {
		panic(err)
	}
	if reg[0] == 'w' {
		v = uint64(uint32(v))
	}
	m.x[n] = v
}
