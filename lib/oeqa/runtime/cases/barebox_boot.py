# SPDX-License-Identifier: MIT
"""barebox starts once, says who it is, and has nothing to complain about."""

from oeqa.barebox import case


class BootTest(case.BootloaderTestCase):
    def boot(self):
        self.board.shell()
        return self.board.boots[0]

    def test_banner_once(self):
        """A start prints the banner exactly once."""
        boot = self.boot()
        banners = list(self.board.dialect.banner.finditer(boot.text))
        self.assertEqual(len(banners), 1, boot.text)

    def test_version_as_packaged(self):
        """The banner shows the version and the build that the image was made from."""
        boot, firmware = self.boot(), self.board.firmware
        if not firmware.version:
            self.skipTest("neither ELF nor build tree tells the version")
        self.assertEqual(boot.version, firmware.version, boot.text)
        if firmware.build:
            self.assertEqual(boot.build, firmware.build, boot.text)

    def test_version_command(self):
        """The version command agrees with the banner."""
        boot = self.boot()
        lines = self.shell("version")
        self.assertIn(f"barebox {boot.version} {boot.build}", "\n".join(lines))

    def test_board(self):
        """Banner and prompt carry the board's name."""
        board = self.board.machine.bootloader("barebox").board
        boot = self.boot()
        self.assertEqual(boot.board, board, boot.text)
        self.assertEqual(self.board.dialect.prompt.search(boot.text)["board"], board, boot.text)

    def test_log_levels(self):
        """The log shows the messages of the level that is asked for, and no others."""
        self.need("CMD_DMESG", "dmesg")
        self.shell("dmesg -e otters swim")
        self.assertIn("otters swim", "\n".join(self.shell("dmesg -l info")))
        for level in ("err", "warn", "notice"):
            self.assertNotIn("otters swim", "\n".join(self.shell(f"dmesg -l {level}")))

    def test_no_errors_logged(self):
        """Nothing of the level error or worse is in the log of a start."""
        self.need("CMD_DMESG", "dmesg")
        self.board.off()  # other cases provoke errors
        lines = self.shell("dmesg -l err,crit,alert,emerg")
        self.assertEqual([x for x in lines if x.strip()], [], "the log has errors")
