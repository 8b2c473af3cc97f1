# SPDX-License-Identifier: MIT
"""What a guest does that KVM could not emulate, found under TCG.

A plugin for QEMU (hazards.c) writes down each instruction that touched memory-mapped I/O; a decoder for each
architecture tells what KVM makes of it. hazards.md tells what is covered and from which source.

1. ``arm64``, ``riscv64``, ``x86_64``: decoders; ``decode``: what they have in common
2. ``trace``: the plugin's file; ``memory``: the guest's memory; ``elf``, ``binutils``, ``names``: what code it was
3. ``report``: hazards as data
4. ``plugin``: the plugin's building and loading
"""
