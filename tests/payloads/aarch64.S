/* SPDX-License-Identifier: MIT */
/*
 * Accesses of every class to a device (QEMU's arm64 virt board, the RTC pl031), then the end by PSCI. A label's first
 * word is the class that its instruction has to be reported as; "none": it must not be reported.
 */
    .arch armv8.8-a
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
    mov x1, #(3 << 20)              /* SIMD and FP: no traps */
    msr cpacr_el1, x1
    isb
    ldr x1, =0x09010000             /* RTC */
    adr x2, memory
    mov x3, #1
    .size _start, . - _start

    at none_load, ldr w0, [x1]
    at none_store, str w0, [x1, #0x14]
    at none_register_offset, ldr w0, [x1, x3, lsl #2]
    at none_unscaled, ldur w0, [x1, #4]
    at none_acquire, ldar w0, [x1]
    at none_release, stlr w0, [x1]
    mov x4, x1
    at writeback_load, ldr w0, [x4], #4
    mov x4, x1
    at writeback_store, str w0, [x4, #0x14]!
    at pair_load, ldp w5, w6, [x1]
    at pair_store, stp w5, w6, [x1]
    at simd_load, ldr q0, [x1]
    at simd_store, str s0, [x1, #0x14]
    at exclusive_load, ldxr w0, [x1]
    at exclusive_store, stxr w0, w5, [x1]
    at atomic_add, ldadd w3, w0, [x1]
    at atomic_swap, swp w3, w0, [x1]

    /* The same in RAM is nobody's business. */
    at none_ram_pair, ldp x5, x6, [x2]
    at none_ram_simd, str q0, [x2]
    at none_ram_writeback, ldr w0, [x2], #4
    at none_ram_atomic, ldadd w3, w0, [x2]

    /* Told by QEMU 9 and newer; the second is in RAM. */
    at cache_device, dc ivac, x1
    adr x2, memory
    at none_ram_cache, dc ivac, x2

    /* The stack: aligned, then not, which the pop does on its second turn; the first wrong use counts. */
    adr x7, top
    sub sp, x7, #128
    at none_push, stp x5, x6, [sp, #-32]!
    at none_local, ldr x0, [sp, #8]
    at none_quad, ldr q0, [sp, #16]
    at none_quads, ldp q0, q1, [sp]
    at none_structure, ld1 {v0.16b-v3.16b}, [sp], #64
    at none_words, stp w5, w6, [sp, #8]
    at none_exclusive, ldxp x5, x6, [sp]
    mov x7, #2
again:
    at stack_pop, ldr x0, [sp], #8
    sub x7, x7, #1
    cbnz x7, again
    sub sp, sp, #8
    at none_second_use, ldr x0, [sp, #-16]

    .global finish
    .type finish, %function
finish:
    ldr x0, =0x84000008             /* PSCI SYSTEM_OFF */
    hvc #0
    b finish
    .size finish, . - finish
    .ltorg

    .balign 64
memory:
    .skip 256
top:
