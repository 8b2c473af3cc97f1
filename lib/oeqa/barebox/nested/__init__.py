# SPDX-License-Identifier: MIT
"""Real KVM without the hardware: QEMU emulates a machine with virtualisation extensions, a distribution's Linux runs
KVM in it, and in that host QEMU runs the bootloader with -accel kvm.

Each module imports only from those above it:

1. description: the host as data
2. apt, elf, pack: an image of the host from a distribution's packages
3. image: images, kept in a cache
4. ports, relay, mirror: what crosses the border of the host
5. command, host, guest: the host that runs, and one QEMU in it
"""
