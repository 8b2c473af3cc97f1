# SPDX-License-Identifier: MIT
"""x86_64: which instructions KVM's emulator knows.

An access to a device ends in x86_emulate_instruction(), which decodes the guest's instruction by the tables in
arch/x86/kvm/emulate.c of Linux: opcode_table, twobyte_table, opcode_map_0f_38. What they do not have ends with
KVM_EXIT_INTERNAL_ERROR, "KVM internal error. Suberror: 1" in QEMU's words, and so does what the emulator moves by
functions that know no devices (descriptor tables, FXSAVE). The tables were read as they were before the series "KVM:
emulate: enable AVX moves" (November 2025, for Linux 6.19): what it added is reported as long as older kernels are in
use.

Opcodes: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2. Real, protected and long mode are not
told apart, the tables hardly do: what is a REX prefix in long mode accesses no memory elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from .decode import Kind

X87 = Kind("x87", "x87 instruction: KVM's emulator has none but FNSTCW and FNSTSW")
SSE = Kind("sse", "SSE instruction that KVM's emulator does not have; it has moves of whole registers only")
AVX = Kind("avx", "VEX or EVEX instruction: KVM's emulator has none before Linux 6.19, then moves only")
STATE = Kind("state", "loads or stores a descriptor table or the FPU's state: KVM's emulator has no devices there")
BITS = Kind("bit-count", "TZCNT or LZCNT: KVM's emulator takes it for BSF or BSR, whose results differ")
OTHER = Kind("other", "not in KVM's emulator")

PREFIXES = frozenset((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3, *range(0x40, 0x50)))
NONE, P66, PF2, PF3 = 0, 0x66, 0xF2, 0xF3

# One byte: everything that accesses memory, but for these. A register number stands for bits 5 to 3 of ModRM.
ONE_BYTE = {
    **{opcode: (X87, ()) for opcode in (0xD8, 0xDA, 0xDB, 0xDC, 0xDE, 0xDF)},
    0xD9: (X87, (7,)),  # FNSTCW
    0xDD: (X87, (7,)),  # FNSTSW
    0x62: (AVX, ()),
    0xC4: (AVX, ()),
    0xC5: (AVX, ()),
    0x8F: (OTHER, (0,)),  # POP; the others are XOP
}

# Two bytes, 0F and these: what does not depend on a prefix.
TWO_BYTE = frozenset(
    (
        *(0x0D, *range(0x18, 0x20)),  # prefetches
        *range(0x40, 0x50),  # CMOVcc
        *range(0x90, 0xA0),  # SETcc
        *(0xA0, 0xA1, 0xA8, 0xA9),  # PUSH and POP of FS and GS
        *(0xA3, 0xA4, 0xA5, 0xAB, 0xAC, 0xAD, 0xAF),  # BT, SHLD, BTS, SHRD, IMUL
        *range(0xB0, 0xB8),  # CMPXCHG, LSS, BTR, LFS, LGS, MOVZX
        *(0xBB, 0xBC, 0xBD, 0xBE, 0xBF),  # BTC, BSF, BSR, MOVSX
        *(0xC0, 0xC1),  # XADD
    )
)

# The same with a register number: what is in a group.
TWO_BYTE_GROUP = {
    0x00: (0, 1),  # SLDT, STR
    0x01: (4, 6, 7),  # SMSW, LMSW, INVLPG
    0xAE: (7,),  # CLFLUSH
    0xBA: (4, 5, 6, 7),  # BT, BTS, BTR, BTC
    0xC7: (1,),  # CMPXCHG8B
}

# The same with the prefixes that it is there with.
TWO_BYTE_PREFIX = {
    0x10: (NONE, P66),  # MOVUPS, MOVUPD
    0x11: (NONE, P66),
    0x28: (NONE, P66),  # MOVAPS, MOVAPD
    0x29: (NONE, P66),
    0x2B: (NONE, P66),  # MOVNTPS, MOVNTPD
    0x6F: (NONE, P66, PF3),  # MOVQ (MMX), MOVDQA, MOVDQU
    0x7F: (NONE, P66, PF3),
    0xC3: (NONE, P66, PF2, PF3),  # MOVNTI
    0xE7: (P66,),  # MOVNTDQ
}

SSE_OPCODES = frozenset(
    (*range(0x10, 0x18), *range(0x28, 0x30), *range(0x50, 0x80), *range(0xC2, 0xC7), *range(0xD0, 0x100))
)
MOVBE = (0xF0, 0xF1)

# Opcodes, as mask and value: arithmetic, PUSH and POP, arithmetic with constants, TEST and XCHG, MOV, shifts, MOV of
# constants, NOT to IDIV, INC to PUSH.
ONE_BYTE_PLAIN = (
    *((0xC4, 0x00), (0xF0, 0x50), (0xF8, 0x80), (0xFC, 0x88)),
    *((0xFE, opcode) for opcode in (0xC0, 0xC6, 0xD0, 0xD2, 0xF6, 0xFE)),
)
PLAIN = (
    *ONE_BYTE_PLAIN,
    *((mask << 8 | 0xF0, value << 8 | 0x40) for mask, value in ONE_BYTE_PLAIN),  # the same with REX
    *((0xFF, opcode) for opcode in (0xC3, 0xE8)),  # RET, CALL
    *((0xFEFF, opcode << 8 | 0x0F) for opcode in (0xB6, 0xBE)),  # MOVZX, MOVSX
    *((0xFEFFF0, opcode << 16 | 0x0F40) for opcode in (0xB6, 0xBE)),
)
"""Masks and values of instructions that KVM emulates wherever they point to; the most frequent ones."""


@dataclass(frozen=True)
class Opcode:
    """An instruction's opcode without what stands before and behind it; ``register`` is bits 5 to 3 of ModRM, ``wide``
    tells of REX.W."""

    prefix: int
    wide: bool
    table: str
    code: int
    register: int


def split(code: bytes) -> Opcode:
    """An instruction's opcode: its mandatory prefix, the table and the byte in it, and the register field."""
    seen = {NONE}
    position = 0
    while position < len(code) - 1 and code[position] in PREFIXES:
        seen.add(code[position])
        position += 1
    prefix = next(p for p in (PF3, PF2, P66, NONE) if p in seen)
    table = ""
    for escape in (b"\x0f\x38", b"\x0f\x3a", b"\x0f"):
        if code.startswith(escape, position):
            table, position = escape.hex(), position + len(escape)
            break
    rest = code[position : position + 2] + b"\0\0"
    wide = any(0x48 <= byte <= 0x4F for byte in seen)
    return Opcode(prefix, wide, table, rest[0], rest[1] >> 3 & 7)


def _two_byte(opcode: Opcode) -> Kind | None:
    if opcode.code in (0xBC, 0xBD) and opcode.prefix == PF3:
        return BITS
    if opcode.code == 0xC7 and opcode.wide:  # CMPXCHG16B
        return OTHER
    if opcode.code in TWO_BYTE or opcode.register in TWO_BYTE_GROUP.get(opcode.code, ()):
        return None
    if opcode.prefix in TWO_BYTE_PREFIX.get(opcode.code, ()):
        return None
    if opcode.code in (0x00, 0x01, 0xAE, 0xC7):
        return STATE
    return SSE if opcode.code in SSE_OPCODES else OTHER


def judge(code: bytes) -> Kind | None:
    """Why KVM could not emulate an instruction that accessed a device; None where it could."""
    opcode = split(code)
    if opcode.table == "0f":
        return _two_byte(opcode)
    if opcode.table == "0f38":
        if opcode.code in MOVBE:
            return None if opcode.prefix == NONE else OTHER
        return SSE
    if opcode.table:
        return SSE
    kind, known = ONE_BYTE.get(opcode.code, (None, ()))
    return None if opcode.register in known else kind


def unaligned() -> Kind | None:
    """What an access that is not a multiple of its size is: KVM splits it where it has to."""
    return None
