/* SPDX-License-Identifier: MIT */
/*
 * What a bootloader hands over to a riscv64 kernel, told on the UART of QEMU's virt board: one line with registers as
 * hexadecimal numbers, in the order of payload.py. The image's header is that of Documentation/arch/riscv/boot-image-header.rst
 * in Linux; its image_size is filled in by payload.py.
 */
    .option norvc
    .option norelax
    .text
    .global _start
_start:
    j code
    .word 0
    .quad 0x200000                  /* text_offset */
    .quad 0                         /* image_size */
    .quad 0                         /* flags: little-endian */
    .word 2                         /* version 0.2 */
    .word 0
    .quad 0
    .ascii "RISCV\0\0\0"
    .ascii "RSC\x05"
    .word 0
code:
    mv s0, a0
    mv s1, a1
    lla s2, _start
    csrr s3, satp
    csrr s4, sie
    csrr s5, sstatus
    li s6, 0x10000000               /* NS16550 */
    lla s7, text
1:  lbu a2, 0(s7)
    beqz a2, 2f
    jal put
    addi s7, s7, 1
    j 1b
2:  mv a0, s0
    jal number
    mv a0, s1
    jal number
    mv a0, s2
    jal number
    mv a0, s3
    jal number
    mv a0, s4
    jal number
    mv a0, s5
    jal number
    li a2, '\r'
    jal put
    li a2, '\n'
    jal put
3:  wfi
    j 3b

/* A blank and a0 with 16 digits. */
number:
    mv s8, ra
    li a2, ' '
    jal put
    li s9, 60
4:  srl a3, a0, s9
    andi a3, a3, 15
    addi a2, a3, '0'
    sltiu a4, a3, 10
    bnez a4, 5f
    addi a2, a3, 'a' - 10
5:  jal put
    addi s9, s9, -4
    bgez s9, 4b
    jr s8

put:
    lbu a5, 5(s6)
    andi a5, a5, 0x20               /* LSR.THRE */
    beqz a5, put
    sb a2, 0(s6)
    ret

text:
    .asciz "\r\nhandover"
    .balign 8
