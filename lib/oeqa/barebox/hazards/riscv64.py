# SPDX-License-Identifier: MIT
"""riscv64: which loads and stores KVM's own decoder knows.

Hardware reports a guest's access to a device as a guest-page fault, and Linux decodes the instruction itself:
kvm_riscv_vcpu_mmio_load() and kvm_riscv_vcpu_mmio_store() in arch/riscv/kvm/vcpu_insn.c (read in Linux 6.18; the same
since KVM for RISC-V came with 5.16). Everything else ends with -EOPNOTSUPP, an address that is no multiple of the size
with -EIO, and the guest with it.

Encodings: The RISC-V Instruction Set Manual, volume I.
"""

from __future__ import annotations

from .decode import Kind, Rule, first

FLOAT = Kind("floating-point", "loads or stores a floating-point register: KVM does not decode it")
VECTOR = Kind("vector", "loads or stores a vector register: KVM does not decode it")
ATOMIC = Kind("atomic", "LR, SC or atomic memory operation: KVM does not decode it")
COMPRESSED = Kind(
    "compressed", "compressed load or store of another kind than C.LW, C.LD, C.SW, C.SD: KVM does not decode it"
)
OTHER = Kind("other", "no plain load or store: KVM does not decode it")
UNALIGNED = Kind("unaligned", "not aligned to its size: KVM refuses it")

# Bits 11 to 7 of C.SWSP and C.SDSP are part of the offset; KVM wants one of them set, as in C.LWSP, where they are rd.
BITS_11_TO_7 = [1 << bit for bit in range(7, 12)]
STACK_STORES = tuple((0xE003 | bit, value | bit) for value in (0xC002, 0xE002) for bit in BITS_11_TO_7)
STACK_LOADS = tuple((0xE003 | bit, value | bit) for value in (0x4002, 0x6002) for bit in BITS_11_TO_7)

RULES_16 = (
    *(Rule(0xE003, value, None) for value in (0x4000, 0x6000, 0xC000, 0xE000)),  # C.LW, C.LD, C.SW, C.SD
    *(Rule(mask, value, None) for mask, value in (*STACK_LOADS, *STACK_STORES)),  # C.LWSP, C.LDSP, C.SWSP, C.SDSP
    *(Rule(0xE003, value, FLOAT) for value in (0x2000, 0xA000, 0x2002, 0xA002)),  # C.FLD, C.FSD, C.FLDSP, C.FSDSP
)

RULES_32 = (
    *(Rule(0x707F, 0x0003 | width << 12, None) for width in range(7)),  # LB, LH, LW, LD, LBU, LHU, LWU
    *(Rule(0x707F, 0x0023 | width << 12, None) for width in range(4)),  # SB, SH, SW, SD
    *(Rule(0x707F, opcode | width << 12, FLOAT) for opcode in (0x07, 0x27) for width in range(1, 5)),
    *(Rule(0x007F, opcode, VECTOR) for opcode in (0x07, 0x27)),
    Rule(0x007F, 0x002F, ATOMIC),
)

PLAIN = (
    *((rule.mask, rule.value) for rule in RULES_32[:11]),
    *((rule.mask, rule.value) for rule in RULES_16[:4]),
    *STACK_STORES[:8],
    *((0xE003 | 1 << bit, 0x6002 | 1 << bit) for bit in range(7, 12)),
)
"""Masks and values of instructions that KVM decodes wherever they point to, when aligned; the most frequent ones."""


def judge(code: bytes) -> Kind | None:
    """Why KVM could not emulate an instruction that accessed a device; None where it could."""
    word = int.from_bytes(code, "little")
    return first(RULES_32, word, OTHER) if word & 3 == 3 else first(RULES_16, word, COMPRESSED)


def unaligned() -> Kind | None:
    """What an access that is not a multiple of its size is."""
    return UNALIGNED
