#include "textflag.h"

// func call(fn, a, b uintptr) (result uintptr, kept bool)
//
// The frame is the room that the function has. Its own stack pointer is kept on the
// stack, below what an aligned callee may use, and in a register to compare it with.
TEXT ·call(SB), 0, $8192-33
	MOVQ fn+0(FP), AX
	MOVQ a+8(FP), DI
	MOVQ b+16(FP), SI
	MOVQ BP, saved-8(SP)
	MOVQ R14, saved-16(SP)
	MOVQ SP, BX
	LEAQ 7000(SP), SP
	ANDQ $~15, SP
	MOVQ SP, R13
	MOVQ $0x1212121212121212, R12
	MOVQ $0x1414141414141414, R14
	MOVQ $0x1515151515151515, R15
	MOVQ $0x0505050505050505, BP
	CALL AX
	MOVQ SP, CX
	MOVQ BX, SP
	MOVQ BP, DX
	MOVQ saved-8(SP), BP
	XORQ CX, R13
	MOVQ $0x1212121212121212, CX
	XORQ CX, R12
	MOVQ R14, DI
	MOVQ saved-16(SP), R14
	MOVQ $0x1414141414141414, CX
	XORQ CX, DI
	MOVQ $0x1515151515151515, CX
	XORQ CX, R15
	MOVQ $0x0505050505050505, CX
	XORQ CX, DX
	ORQ R12, R13
	ORQ DI, R13
	ORQ R15, R13
	ORQ DX, R13
	SETEQ kept+32(FP)
	MOVQ AX, result+24(FP)
	RET
