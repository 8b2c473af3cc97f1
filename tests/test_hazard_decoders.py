# SPDX-License-Identifier: MIT
"""The decoders of instructions that KVM cannot emulate, against the GNU assembler: what it assembles is judged as the
table says, and what it disassembles random words to is judged as its words say."""

import random
import re

import pytest

import assembler
from oeqa.barebox.hazards import arm64, riscv64, x86_64

ARM64 = {
    None: """
        ldr w0, [x1]; ldr x0, [x1, #8]; ldrb w0, [x1, x2]; ldrh w0, [x1, w2, uxtw]; ldrsw x0, [x1]; ldrsb w0, [x1]
        ldr x0, [x1, x2, lsl #3]; ldur x0, [x1, #-8]; ldtr w0, [x1]; sttrh w0, [x1]; ldr w0, .; ldrsw x0, .
        str w0, [x1]; str xzr, [x1, #16]; strb w0, [x1, x2]; sturh w0, [x1, #1]; str w0, [sp, #4]
        ldar w0, [x1]; ldarb w0, [x1]; stlr x0, [x1]; stlrh w0, [x1]; ldlar w0, [x1]; stllr w0, [x1]
        ldapr w0, [x1]; ldapur w0, [x1, #4]; stlur x0, [x1, #8]; ldapursw x0, [x1]; ldraa x0, [x1]; ldrab x0, [x1, #8]
    """,
    "pair": """
        ldp x0, x1, [x2]; ldp w0, w1, [x2, #8]; stp x0, x1, [sp, #-16]!; stp w0, w1, [x2], #8; ldpsw x0, x1, [x2]
        ldnp x0, x1, [x2]; stnp w0, w1, [x2]; stgp x0, x1, [x2]
    """,
    "writeback": """
        ldr w0, [x1], #4; ldr x0, [x1, #8]!; strb w0, [x1], #1; strh w0, [x1, #-2]!; ldrsw x0, [x1], #4
        ldraa x0, [x1, #8]!
    """,
    "simd": """
        ldr q0, [x1]; str d0, [x1], #8; ldur s0, [x1]; ldr b0, [x1, x2]; ldp q0, q1, [x2]; stp d0, d1, [x2], #16
        ldnp q0, q1, [x2]; ldr s0, .; ld1 {v0.16b}, [x1]; st4 {v0.4s-v3.4s}, [x1], #64; ld1 {v0.s}[1], [x1]
        ld1r {v0.2d}, [x1], #8; ld1b {z0.b}, p0/z, [x1]; str z0, [x1]; st1w {z0.s}, p0, [x1]; ldr p0, [x1]
    """,
    "exclusive": """
        ldxr w0, [x1]; stxr w0, w1, [x2]; ldaxrb w0, [x1]; stlxrh w0, w1, [x2]; ldxp x0, x1, [x2]
        stlxp w0, x1, x2, [x3]
    """,
    "atomic": """
        ldadd w0, w1, [x2]; ldaddal x0, x1, [x2]; stclr w0, [x1]; swpb w0, w1, [x2]; ldsmaxlh w0, w1, [x2]
        cas w0, w1, [x2]; casalb w0, w1, [x2]; casp x0, x1, x2, x3, [x4]; caspal w0, w1, w2, w3, [x4]; ld64b x0, [x8]
        st64b x0, [x8]
    """,
    "memory-copy": "cpyfp [x0]!, [x1]!, x2!; cpym [x0]!, [x1]!, x2!; setp [x0]!, x1!, x2; sete [x0]!, x1!, x2",
    "other": "stg x0, [x1]; ldg x0, [x1]; stzg x0, [x1], #16",
}
ARM64_OFFSETS = {
    0: """
        ldr x0, [sp]; ldr x0, [sp], #8; stp x0, x1, [sp], #16; ldxr x0, [sp]; stlr x0, [sp]; ldadd x0, x1, [sp]
        ld1 {v0.16b}, [sp]
    """,
    8: """
        ldr x0, [sp, #8]; ldr x0, [sp, #8]!; ldur x0, [sp, #8]; stp w0, w1, [sp, #8]; ldpsw x0, x1, [sp, #8]
        str d0, [sp, #8]
    """,
    -16: """
        stp x0, x1, [sp, #-16]!; str q0, [sp, #-16]!; ldapur w0, [sp, #-16]; ldraa x0, [sp, #-16]
        ldp d0, d1, [sp, #-16]
    """,
    32: """
        ldp q0, q1, [sp, #32]; str q0, [sp, #32]; ldrb w0, [sp, #32]; ldrh w0, [sp, #32]; ldnp x0, x1, [sp, #32]
        ldr b0, [sp, #32]
    """,
    None: "ldr x0, [sp, x1]; str w0, [sp, w1, sxtw #2]; ldr q0, [sp, x1, lsl #4]; str z0, [sp, #1, mul vl]",
}
RISCV64 = {
    None: """
        lb a0, 1(a1); lbu a0, 1(a1); lh s2, 2(a1); lhu s2, 2(a1); lw s2, 4(a1); lwu a0, 4(a1); ld s2, 8(a1)
        sb a0, 1(a1); sh a0, 2(a1); sw s2, 4(a1); sd s2, 8(a1)
        c.lw a0, 4(a1); c.ld a0, 8(a1); c.sw a0, 4(a1); c.sd a0, 8(a1)
        c.lwsp a0, 4(sp); c.ldsp a0, 8(sp); c.swsp a0, 4(sp); c.sdsp a0, 8(sp)
    """,
    "floating-point": """
        flw fa0, 0(a0); fld fs2, 8(a0); fsw fa0, 0(a0); fsd fs2, 8(a0); c.fld fa0, 8(a0); c.fsd fa0, 8(a0)
        c.fldsp fa0, 8(sp); c.fsdsp fa0, 8(sp)
    """,
    "vector": "vle8.v v0, (a0); vse32.v v0, (a0); vlse64.v v0, (a0), a1; vsuxei16.v v0, (a0), v4; vl1r.v v0, (a0)",
    "atomic": """
        lr.w a0, (a1); sc.d a0, a1, (a2); amoadd.w a0, a1, (a2); amoswap.d.aqrl a0, a1, (a2)
        amomaxu.w a0, a1, (a2)
    """,
    # The first has zeros where KVM expects a register; C.LBU is Zcb's, which older assemblers lack.
    "compressed": "c.swsp a0, 32(sp); .2byte 0x8008",
}
X86_64 = {
    None: """
        mov (%rax), %al; mov (%rax), %eax; mov (%r8), %r9; mov %cx, (%rax); movl $1, (%rax)
        movq $1, (%rax); mov 0x1000, %eax
        movabs 0x1122334455667788, %eax; movzbl (%rax), %ecx; movswq (%rax), %rcx; movslq (%rax), %rcx; add (%rax), %eax
        lock addl $1, (%rax); lock xadd %eax, (%rdx); xchg %eax, (%rdx); lock cmpxchg %ecx, (%rdx); cmpxchg8b (%rax)
        testb $1, (%rax); cmpl $1, (%rax); notl (%rax); incl (%rax); mull (%rax); imul (%rax), %eax; shll $3, (%rax)
        btl $1, (%rax); bts %eax, (%rdx); bsf (%rax), %eax; shld $1, %eax, (%rdx); cmovz (%rax), %eax; setz (%rax)
        rep movsb; rep stosl; lodsb; scasb; cmpsb; xlat; push (%rax); pop (%rax); call *(%rax); jmp *(%rax); push %rax
        movnti %eax, (%rdx); movbe (%rax), %eax; movbe %rax, (%rdx); prefetcht0 (%rax); clflush (%rax)
        movups (%rax), %xmm0; movupd %xmm0, (%rax); movaps %xmm8, (%rax); movapd (%rax), %xmm0; movdqa (%rax), %xmm0
        movdqu %xmm0, (%rax); movq (%rax), %mm0; movq %mm0, (%rax); movntps %xmm0, (%rax); movntdq %xmm0, (%rax)
        fnstcw (%rax); fnstsw (%rax); fs movl (%rax), %ecx
    """,
    "x87": """
        fldl (%rax); fstps (%rax); fildll (%rax); fldcw (%rax); fnstenv (%rax); fadds (%rax); fistps (%rax)
        fbld (%rax)
    """,
    "sse": """
        movss (%rax), %xmm0; movsd %xmm0, (%rax); movq %xmm0, (%rax); movd (%rax), %xmm0; movlps (%rax), %xmm0
        movhpd %xmm0, (%rax); addps (%rax), %xmm0; pxor (%rax), %xmm0; pshufb (%rax), %xmm0; pextrb $1, %xmm0, (%rax)
        lddqu (%rax), %xmm0; movntdqa (%rax), %xmm0; movntq %mm0, (%rax); cvtsi2sd (%rax), %xmm0
        pcmpestri $1, (%rax), %xmm0
    """,
    "avx": "vmovdqu (%rax), %ymm0; vmovaps %xmm0, (%rax); vmovdqu64 (%rax), %zmm0; vpxor (%rax), %xmm0, %xmm1",
    "state": "fxsave (%rax); fxrstor64 (%rax); xsave (%rax); xrstor (%rax); ldmxcsr (%rax); lgdt (%rax); sidt (%rax)",
    "bit-count": "tzcnt (%rax), %eax; lzcnt (%rax), %rcx",
    "other": "popcnt (%rax), %eax; crc32b (%rax), %eax; movbe (%rax), %ax; cmpxchg16b (%rax)",
}
TABLES = {"aarch64": (arm64, ARM64), "riscv64": (riscv64, RISCV64), "x86_64": (x86_64, X86_64)}
ARCHITECTURES = list(TABLES)
WORDS = 20000


def lines(text):
    return [line.strip() for line in re.split(r"[;\n]", text) if line.strip()]


def name(kind):
    return kind.name if kind else None


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_instructions_of_every_class(arch, tmp_path):
    decoder, table = TABLES[arch]
    expected = {line: kind for kind, text in table.items() for line in lines(text)}
    codes = assembler.assemble(arch, expected, tmp_path)
    judged = {line: name(decoder.judge(code)) for line, code in zip(expected, codes)}
    assert judged == expected


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_kind_of_a_decoder_is_in_the_table(arch):
    decoder, table = TABLES[arch]
    kinds = {value.name for value in vars(decoder).values() if type(value).__name__ == "Kind"}
    assert kinds - {"unaligned", "stack", "cache-maintenance"} == set(table) - {None} | (kinds & {"other"})


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_what_is_not_looked_at_twice_is_harmless(arch):
    """The patterns of plain instructions, which the plugin looks at a few times only, match nothing that is judged."""
    decoder, _ = TABLES[arch]
    numbers = random.Random(1)
    for mask, value in decoder.PLAIN:
        for _ in range(1000):
            word = numbers.getrandbits(32) & ~mask | value
            code = word.to_bytes(4, "little")
            assert decoder.judge(code + bytes(4)) is None, f"{word:#x} by {mask:#x}.{value:#x}"


def test_offset_from_the_stack_pointer(tmp_path):
    expected = {line: offset for offset, text in ARM64_OFFSETS.items() for line in lines(text)}
    codes = assembler.assemble("aarch64", expected, tmp_path)
    assert {line: arm64.base_offset(code) for line, code in zip(expected, codes)} == expected


@pytest.mark.parametrize(
    ("line", "addresses", "wrong"),
    [
        ("stp x29, x30, [sp, #-48]!", [0], False),
        ("stp x29, x30, [sp, #-48]!", [8], True),
        ("stp x29, x30, [sp, #-48]!", [0, 8], True),
        ("ldr x0, [sp, #8]", [8], False),
        ("ldr x0, [sp, #8]", [0], True),
        ("ldr w0, [sp, #28]", [12], False),
        ("ldr w0, [sp, #28]", [4], True),
        ("ldr x0, [sp, x1]", [8], False),
    ],
)
def test_stack_pointer_at_its_use(line, addresses, wrong, tmp_path):
    (code,) = assembler.assemble("aarch64", [line], tmp_path)
    assert arm64.misaligned_stack(code, sum(1 << address for address in addresses)) is wrong


def by_words(text):
    """The kind of an arm64 load or store, as the disassembler writes it."""
    mnemonic, _, operands = text.partition(" ")
    if mnemonic.startswith(("cpy", "set")):
        return "memory-copy"
    if (
        re.match(r"(ld|st)\d?z?2?g", mnemonic)
        and not mnemonic.startswith(("ldg", "stgp"))
        or mnemonic in ("ldg", "ldgm")
    ):
        return "other"
    if re.search(r"(^|[{, ])[bhsdqvz]\d+\b", operands) or re.match(r"p\d+, \[", operands):
        return "simd"
    if re.match(r"(ld|st)n?p|stgp", mnemonic):
        return "pair"
    if re.match(r"(ld|st)a?l?xr?p?", mnemonic) and "x" in mnemonic and not re.match(r"(ld|st)(u|s)max", mnemonic):
        return "exclusive"
    if re.match(r"cas|swp|(ld|st)(add|clr|eor|set|smax|smin|umax|umin)|(ld|st)64b", mnemonic):
        return "atomic"
    return "writeback" if "]!" in operands or "], " in operands else None


def test_random_words_are_judged_as_the_disassembler_reads_them(tmp_path):
    numbers = random.Random(2)
    words = [numbers.getrandbits(32) & ~0x0A000000 | 0x08000000 for _ in range(WORDS)]
    texts = assembler.disassemble("aarch64", words, tmp_path)
    known = [(w, t) for w, t in zip(words, texts) if not re.search(r"undefined|\.inst|prfum|prfm|rprfm", t)]
    assert len(known) > WORDS // 3
    wrong = [
        (f"{word:#010x}", text, name(arm64.judge(word.to_bytes(4, "little"))))
        for word, text in known
        if name(arm64.judge(word.to_bytes(4, "little"))) != by_words(text)
    ]
    assert wrong == []
