/* SPDX-License-Identifier: MIT */
/*
 * Accesses of every class to a device (QEMU's riscv64 virt board, the timer's time register), then the end by the test
 * device. A label's first word is the class that its instruction has to be reported as; "none": it must not be.
 */
    .option arch, rv64gcv
    .macro at name, instruction:vararg
    .global \name
    .type \name, %function
\name:
    \instruction
    .size \name, . - \name
    .endm

    .global _start
    .type _start, %function
_start:
    li t0, 0x6600                   /* mstatus: FS and VS on */
    csrs mstatus, t0
    li a1, 0x0200bff8               /* mtime */
    la a2, memory
    .size _start, . - _start

    at none_lw, lw a0, 0(a1)
    at none_lwu, lwu s2, 4(a1)
    at none_ld, ld s2, 0(a1)
    at none_c_lw, c.lw a0, 0(a1)
    at none_c_ld, c.ld a0, 0(a1)
    at none_sw, sw s2, 0(a1)
    at none_sd, sd s2, 0(a1)
    at none_c_sw, c.sw a0, 0(a1)
    at none_c_sd, c.sd a0, 0(a1)
    at float_load, flw ft8, 0(a1)
    at float_store, fsd ft8, 0(a1)
    at float_c_fld, c.fld fa0, 0(a1)
    at atomic_add, amoadd.w a0, a0, (a1)
    at atomic_lr, lr.w a0, (a1)
    at atomic_sc, sc.w a0, a0, (a1)
    vsetivli zero, 2, e32, m1, ta, ma
    at vector_load, vle32.v v8, (a1)
    addi sp, a1, -32
    at compressed_c_swsp, c.swsp a0, 32(sp)
    addi sp, a1, -4
    at none_c_swsp, c.swsp a0, 4(sp)

    at none_ram_float, fsd ft8, 0(a2)
    at none_ram_atomic, amoadd.w a0, a0, (a2)
    at none_ram_vector, vle32.v v8, (a2)

    .global finish
    .type finish, %function
finish:
    li a1, 0x100000                 /* the test device */
    li a0, 0x5555
    at none_finish, sw a0, 0(a1)
    j finish

    .balign 64
memory:
    .skip 64
