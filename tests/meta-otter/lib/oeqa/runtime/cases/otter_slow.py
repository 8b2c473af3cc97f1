# SPDX-License-Identifier: MIT
"""Otters have time."""

from oeqa.barebox import case


class SlowTest(case.BootloaderTestCase):
    def test_sleep(self):
        """A test that runs until somebody ends it."""
        for _ in range(600):
            self.shell("sleep 1")
