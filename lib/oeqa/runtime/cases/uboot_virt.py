# SPDX-License-Identifier: MIT
"""A small set for U-Boot, to check hosts and the harness with a distribution's build of it."""

import re
import zlib

from oeqa.barebox import case

LENGTH = 2 << 20


class UBootTest(case.BootloaderTestCase):
    bootloader = "u-boot"

    def setUp(self):
        super().setUp()
        self.attempt("virtio scan")

    def crc(self, command):
        return int(re.search(r"==> ([0-9a-f]{8})", "\n".join(self.shell(command)))[1], 16)

    def test_banner_once(self):
        """A start prints the banner exactly once, and version agrees with it."""
        boot = self.board.boots[0]
        self.assertEqual(len(self.board.dialect.banner.findall(boot.text)), 1, boot.text)
        self.assertIn(f"U-Boot {boot.version} ({boot.build})", self.shell("version"))

    def test_shell(self):
        """Exit statuses, variables, branches and loops."""
        self.shell("true")
        self.shell("false", status=1)
        self.assertEqual(self.answer("setenv animal otter; echo ${animal}s"), "otters")
        self.assertEqual(self.answer("if test 1 = 2; then echo yes; else echo no; fi"), "no")
        self.assertEqual(self.shell("for i in a b; do echo $i; done"), ["a", "b"])

    def test_block(self):
        """What is read from each disk has the host's checksum, and what is written is on the host."""
        blocks = LENGTH // 512
        for device, node in self.each("block"):
            number = node.split()[-1]
            disk = self.board.files.disk(device)
            self.shell(f"virtio dev {number}; virtio read ${{loadaddr}} 0 {blocks:x}")
            content = disk.read_bytes()
            self.assertEqual(self.crc(f"crc32 ${{loadaddr}} {LENGTH:x}"), zlib.crc32(content[:LENGTH]))
            self.shell(f"virtio write ${{loadaddr}} 1000 {blocks:x}")
            self.assertEqual(disk.read_bytes()[0x200000 : 0x200000 + LENGTH], content[:LENGTH])

    def test_net(self):
        """DHCP and a TFTP download with the host's checksum."""
        path = self.board.files.tftp() / "download.bin"
        for _, _ in self.each("net"):
            self.shell("setenv autoload no; dhcp", seconds=60)
            self.assertEqual(self.answer("echo ${ipaddr}"), "10.0.2.15")
            self.shell("tftpboot ${loadaddr} download.bin", seconds=120)
            self.assertEqual(self.crc(f"crc32 ${{loadaddr}} {path.stat().st_size:x}"), zlib.crc32(path.read_bytes()))

    def test_reset(self):
        """reset brings back the same U-Boot, with nothing left of what was set before."""
        self.shell("setenv before 1")
        again = self.board.reset()
        self.assertEqual(again.version, self.board.boots[0].version)
        self.assertEqual(self.answer("echo [${before}]"), "[]")

    def test_poweroff(self):
        """poweroff ends QEMU without an error."""
        if "poweroff" not in self.board.commands():
            self.skipTest("the firmware has no command poweroff")
        self.assertEqual(self.board.poweroff(), 0, "QEMU's exit status")
