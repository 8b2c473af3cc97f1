# SPDX-License-Identifier: MIT
"""arm64: which loads and stores give KVM no valid instruction syndrome.

KVM does not read the guest's instructions. It has what the processor tells in ESR_EL2.ISS of a data abort, and that is
valid (ISV) for "loads and stores of a single general-purpose register [...], including those with Acquire/Release
semantics, but excluding Load Exclusive or Store Exclusive and excluding those with writeback" (Arm Architecture
Reference Manual for A-profile, DDI 0487, "ISS encoding for an exception from a Data Abort"). Without it,
arch/arm64/kvm/mmio.c of Linux gives up: io_mem_abort(), "Data abort outside memslots with no valid syndrome info".

Encodings are from the same manual, "A64 instruction set encoding", tables of loads and stores.
"""

from __future__ import annotations

from .decode import Kind, Rule, first

PAIR = Kind("pair", "loads or stores two registers: no valid syndrome")
WRITEBACK = Kind("writeback", "changes its base register (writeback): no valid syndrome")
SIMD = Kind("simd", "loads or stores a SIMD, FP or SVE register: no valid syndrome")
EXCLUSIVE = Kind("exclusive", "load or store exclusive: no valid syndrome")
ATOMIC = Kind("atomic", "atomic memory operation: no valid syndrome")
COPY = Kind("memory-copy", "memory copy or set instruction: no valid syndrome")
OTHER = Kind("other", "no load or store of a single register: no valid syndrome")
UNALIGNED = Kind("unaligned", "not aligned to its size: Device memory takes an alignment fault on hardware")
MAINTENANCE = Kind("cache-maintenance", "cache maintenance or zeroing by address on a device: data abort")
STACK = Kind("stack", "the stack pointer is not aligned to 16 bytes at its use: SP alignment fault (SCTLR_ELx.SA)")

RULES = (
    # Advanced SIMD structures
    Rule(0xBE000000, 0x0C000000, SIMD),
    # Exclusives, ordered accesses, compare and swap, by o2 (bit 23) and o1 (bit 21)
    Rule(0x3FA00000, 0x08800000, None),  # LDAR, STLR, LDLAR, STLLR
    Rule(0x3FA00000, 0x08A00000, ATOMIC),  # CAS
    Rule(0xBFA00000, 0x08200000, ATOMIC),  # CASP
    Rule(0x3F000000, 0x08000000, EXCLUSIVE),  # LDXR, STXR, LDXP, STXP and with acquire or release
    # Literals
    Rule(0x3F000000, 0x1C000000, SIMD),
    Rule(0x3F000000, 0x18000000, None),
    # LDAPUR and STLUR, copies, tags
    Rule(0x3F200C00, 0x19000000, None),
    Rule(0x3F200C00, 0x19000400, COPY),
    Rule(0x3F200C00, 0x1D000400, COPY),
    Rule(0x3F200C00, 0x1D000800, SIMD),
    Rule(0xFFA00C00, 0x99800800, WRITEBACK),  # LDAPR and STLR with writeback
    Rule(0xBFA00C00, 0x99000800, PAIR),  # LDIAPP, STILP
    Rule(0xFF200000, 0x19200000, ATOMIC),  # LDCLRP, LDSETP, SWPP
    # Pairs
    Rule(0x3E000000, 0x2C000000, SIMD),
    Rule(0x3A000000, 0x28000000, PAIR),
    # Single registers
    Rule(0x3E000000, 0x3C000000, SIMD),
    Rule(0x3F000000, 0x39000000, None),  # unsigned offset
    Rule(0x3F200C00, 0x38000000, None),  # unscaled offset
    Rule(0x3F200C00, 0x38000800, None),  # unprivileged
    Rule(0x3F200400, 0x38000400, WRITEBACK),  # post-index and pre-index
    Rule(0x3F200C00, 0x38200800, None),  # register offset
    Rule(0x3FFFFC00, 0x38BFC000, None),  # LDAPR
    Rule(0x3F200C00, 0x38200000, ATOMIC),  # LDADD and its like, SWP, LD64B, ST64B
    Rule(0xFF200C00, 0xF8200400, None),  # LDRAA, LDRAB
    Rule(0xFF200C00, 0xF8200C00, WRITEBACK),  # the same, pre-index
    # SVE
    Rule(0x1E000000, 0x04000000, SIMD),
)

PLAIN = ((0x3F000000, 0x39000000), (0x3F200C00, 0x38000000), (0x3F200C00, 0x38200800))
"""Masks and values of instructions that KVM emulates wherever they point to, when aligned; the most frequent ones."""


def judge(code: bytes) -> Kind | None:
    """Why KVM could not emulate an instruction that accessed a device; None where it could."""
    return first(RULES, int.from_bytes(code, "little"), OTHER)


def unaligned() -> Kind | None:
    """What an access that is not a multiple of its size is."""
    return UNALIGNED


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _pair_offset(word: int) -> int:
    index = word >> 23 & 3
    if index == 1:  # post-index
        return 0
    size = word >> 30
    scale = size + 2 if word >> 26 & 1 else (3 if size == 2 else 2)
    return _signed(word >> 15 & 0x7F, 7) << scale


def _single_offset(word: int) -> int | None:
    if word >> 24 & 1:
        scale = word >> 30
        if word >> 26 & 1 and word >> 23 & 1:
            scale += 4  # a 128-bit register: size 00, opc 1x
        return int(word >> 10 & 0xFFF) << scale
    if word >> 21 & 1:
        kind = word >> 10 & 3
        if kind == 2:  # register offset
            return None
        return 0 if kind == 0 else _signed((word >> 22 & 1) << 9 | word >> 12 & 0x1FF, 10) << 3
    return 0 if word >> 10 & 3 == 1 else _signed(word >> 12 & 0x1FF, 9)


def base_offset(code: bytes) -> int | None:
    """How far from its base register a load or store accesses first, in bytes; None where its words do not tell."""
    word = int.from_bytes(code, "little")
    group = word >> 27 & 7, word >> 24 & 3
    if group[0] == 5:
        return _pair_offset(word)
    if group[0] == 7:
        return _single_offset(word)
    if group == (3, 1) and word >> 21 & 1 == 0 and word >> 10 & 3 == 0:  # LDAPUR, STLUR
        return _signed(word >> 12 & 0x1FF, 9)
    return 0 if group[0] == 1 else None  # exclusives, ordered, structures


def misaligned_stack(code: bytes, offsets: int) -> bool:
    """Whether the stack pointer, the base register, was no multiple of 16.

    :param offsets: mask of the remainders by 16 of the addresses where accesses began
    """
    offset = base_offset(code)
    if offset is None:
        return False
    return any(offsets >> address & 1 and (address - offset) % 16 for address in range(16))
