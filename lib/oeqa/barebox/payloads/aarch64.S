/* SPDX-License-Identifier: MIT */
/*
 * What a bootloader hands over to an arm64 kernel, told on the UART of QEMU's virt board: one line with registers as
 * hexadecimal numbers, in the order of payload.py. The image's header is that of Documentation/arch/arm64/booting.rst in
 * Linux; its image_size is filled in by payload.py.
 */
    .text
    .global _start
_start:
    b code
    .long 0
    .quad 0                         /* text_offset */
    .quad 0                         /* image_size */
    .quad 0xa                       /* flags: pages of 4 KiB, anywhere in memory */
    .quad 0, 0, 0
    .ascii "ARM\x64"
    .long 0
code:
    mov x10, x0
    mov x11, x1
    mov x12, x2
    mov x13, x3
    adr x14, _start
    mrs x15, CurrentEL
    cmp x15, #8
    b.eq 1f
    mrs x16, sctlr_el1
    b 2f
1:  mrs x16, sctlr_el2
2:  mrs x17, daif
    movz x20, #0x0900, lsl #16      /* PL011 */
    adr x21, text
3:  ldrb w22, [x21], #1
    cbz w22, 4f
    bl put
    b 3b
4:  mov x0, x10
    bl number
    mov x0, x11
    bl number
    mov x0, x12
    bl number
    mov x0, x13
    bl number
    mov x0, x14
    bl number
    mov x0, x15
    bl number
    mov x0, x16
    bl number
    mov x0, x17
    bl number
    mov w22, #'\r'
    bl put
    mov w22, #'\n'
    bl put
5:  wfi
    b 5b

/* A blank and x0 with 16 digits. */
number:
    mov x25, x30
    mov w22, #' '
    bl put
    mov w23, #60
6:  lsr x24, x0, x23
    and x24, x24, #15
    add x22, x24, #'0'
    cmp x24, #10
    b.lo 7f
    add x22, x24, #'a' - 10
7:  bl put
    subs w23, w23, #4
    b.ge 6b
    ret x25

put:
    ldr w26, [x20, #0x18]
    tbnz w26, #5, put               /* FR.TXFF */
    str w22, [x20]
    ret

text:
    .asciz "\r\nhandover"
    .balign 8
