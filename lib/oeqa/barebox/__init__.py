# SPDX-License-Identifier: MIT
"""Boot a bootloader in QEMU and test it; knows nothing of BitBake.

Each module imports only from floors below its own:

1. errors, machine, firmware, dialect, known_issues: data
2. accelerator, qemu, process, console: one QEMU and what it says; nested: a QEMU in a host with KVM; starter: which
   of the two
3. target: the machine with its states off, shell
4. case, results: the tests' base and what they leave behind
"""
