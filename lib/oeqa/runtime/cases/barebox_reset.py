# SPDX-License-Identifier: MIT
"""barebox restarts and switches off the machine."""

from oeqa.barebox import case


class ResetTest(case.BootloaderTestCase):
    def test_reset(self):
        """reset brings back the same barebox, with nothing left of what was set before."""
        self.need("CMD_RESET", "reset")
        self.shell("global before=1")
        first = self.board.boots[-1]
        again = self.board.reset()
        self.assertEqual((again.version, again.build), (first.version, first.build))
        self.assertEqual(self.answer("echo [$global.before]"), "[]")

    def test_poweroff(self):
        """poweroff ends QEMU without an error."""
        self.need("CMD_POWEROFF", "poweroff")
        self.shell("true")
        self.assertEqual(self.board.poweroff(), 0, "QEMU's exit status")
