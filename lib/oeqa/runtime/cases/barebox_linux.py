# SPDX-License-Identifier: MIT
"""barebox boots a real Linux, which sees the processors, memory, command line, initrd and device tree that it has."""

import functools
import random

from oeqa.barebox import case, images, linux
from oeqa.barebox.variant import Drive, Variant

NOISE = random.randbytes(300_000)
ARGUMENTS = f'otter="swims well" beaver={random.getrandbits(64):x}'
ENTRY = f"title Linux\nlinux /sub/image\ninitrd /sub/initrd\noptions {ARGUMENTS}\n"
DISK_SIZE = 80 << 20
SECONDS = 300


@functools.cache
def disk(found):
    """A disk with kernel, initrd, and an entry for them."""

    def tree():
        files = {"sub/image": found.kernel.read_bytes(), "sub/initrd": found.initrd(NOISE)}
        return {**files, "loader/entries/linux.conf": ENTRY.encode()}

    return Drive("boot", images.ext4(tree, DISK_SIZE))


class LinuxCase(case.BootloaderTestCase):
    needs = ("CMD_BOOTM", "FS_EXT4")
    without = ()

    @property
    def variant(self):
        if self.board.linux is None:
            self.skipTest(f"no Linux at hand; this prepares one: barebox-virt kvm-host build {self.board.machine.arch}")
        return Variant(drives=(disk(self.board.linux),), without=self.without)

    def setUp(self):
        super().setUp()
        self.disk = self.board.node(self.variant.drives[0])
        self.shell(f"global linux.bootargs.console=console={self.board.machine.linux_console}")

    def boot(self, command):
        """What Linux tells once it runs."""
        with self.board.handed_over(command, linux.END, SECONDS) as text:
            return linux.answers(text)

    def check(self, told):
        """Linux sees the machine and the command line, and has its initrd whole."""
        self.assertEqual(told["machine"], self.board.machine.arch)
        self.assertEqual(told["cmdline"], f"console={self.board.machine.linux_console} {ARGUMENTS}")
        self.assertEqual(told["noise"].split()[0], self.hash(NOISE), "the file in the initrd")
        seen, memory = int(told["memory"].split()[1]), self.board.machine.qemu.memory << 10
        self.assertTrue(0.6 * memory < seen < memory, f"{told['memory']}, QEMU has {memory} kB")


class EntryTest(LinuxCase):
    needs = (*LinuxCase.needs, "BLSPEC", "CMD_BOOT")
    without = ("rng",)  # with one, Linux does not come up on x86_64: known issue efi-firmware-rng-hangs

    def test_entry(self):
        """An entry on a disk is booted."""
        self.check(self.boot(f"boot {self.disk}"))


class BootmTest(LinuxCase):
    slow = True

    def test_bootm(self):
        """bootm boots kernel and initrd, on each processor, and a change of the device tree is seen."""
        tree = not self.attempt("of_node -c /otter; of_property -s /otter swims '<0x11223344>'").status
        self.shell(f"mkdir /boot-disk; mount /dev/{self.disk} /boot-disk; global linux.bootargs.mine='{ARGUMENTS}'")
        told = self.boot("bootm -r /boot-disk/sub/initrd /boot-disk/sub/image")
        self.check(told)
        self.assertEqual(int(told["processors"]), self.board.machine.qemu.smp)
        if tree:
            self.assertEqual(told["tree"], "11223344")
