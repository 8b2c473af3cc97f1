# SPDX-License-Identifier: MIT
"""Otters want water."""

from oeqa.barebox import case


class PondTest(case.BootloaderTestCase):
    def test_deep(self):
        """The pond is as deep as it was dug."""
        self.assertEqual(self.answer("depth=7; echo $depth"), "7")

    def test_frozen(self):
        """The pond is frozen: a known issue of the otter's layer, since it is not."""
        self.assertEqual(self.answer("echo water"), "ice")
