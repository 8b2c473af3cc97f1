/* SPDX-License-Identifier: MIT */
/*
 * Accesses of every class to a device (QEMU's x86_64 boards, the HPET), then the end by isa-debug-exit at port 0xf4.
 * Started by PVH in protected mode, it goes on in long mode. A label's first word is the class that its instruction
 * has to be reported as; "none": it must not be.
 */
    .macro at name, instruction:vararg
    .global \name
    .type \name, @function
\name:
    \instruction
    .size \name, . - \name
    .endm

    .section .note.pvh, "a", @note
    .long 4, 4, 18                  /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long _start

    .text
    .code32
    .global _start
    .type _start, @function
_start:
    mov $tables, %eax
    mov %eax, %cr3
    mov $0x620, %eax                /* PAE, SSE */
    mov %eax, %cr4
    mov $0xc0000080, %ecx           /* EFER: long mode */
    rdmsr
    or $0x100, %eax
    wrmsr
    mov $0x80000001, %eax
    mov %eax, %cr0
    lgdt descriptor
    ljmp $8, $long
    .code64
long:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0xfed00000, %edi           /* HPET */
    mov $memory, %esi
    .size _start, . - _start

    at none_load, mov (%rdi), %eax
    at none_store, mov %eax, 0x10(%rdi)
    at none_rex, mov (%rdi), %rax
    at none_add, addl $0, 0x10(%rdi)
    at none_exchange, xchg %eax, 0x10(%rdi)
    at none_movups, movups (%rdi), %xmm0
    at none_movdqa, movdqa (%rdi), %xmm0
    at sse_movss, movss (%rdi), %xmm0
    at sse_pxor, pxor (%rdi), %xmm0
    at sse_movd, movd (%rdi), %xmm0
    at x87_fild, fildl (%rdi)
    at other_popcnt, popcnt (%rdi), %eax
    at bit_lzcnt, lzcnt (%rdi), %eax

    at none_ram_sse, movss (%rsi), %xmm0
    at none_ram_popcnt, popcnt (%rsi), %eax

    .global finish
    .type finish, @function
finish:
    mov $0xf4, %edx
    out %eax, %dx
    jmp finish
    .size finish, . - finish

    .data
    .balign 4096
tables:
    .quad directory + 7
    .skip 4088
directory:                          /* the first 4 GiB where they are, by pages of 1 GiB */
    .quad 0x83, 0x40000083, 0x80000083, 0xc0000083
    .skip 4064
gdt:
    .quad 0, 0x00209a0000000000, 0x0000920000000000
descriptor:
    .word 23
    .long gdt
    .balign 16
memory:
    .skip 64
