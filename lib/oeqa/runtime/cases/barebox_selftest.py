# SPDX-License-Identifier: MIT
"""barebox' own tests pass, one result each."""

import re

from oeqa.barebox import case

TESTS = {
    "base64": "BASE64",
    "blspec": "BLSPEC",
    "digest": "DIGEST",
    "dirfd": "DIRFD",
    "dm": "DM",
    "envvar": "ENVIRONMENT_VARIABLES",
    "idr": "IDR",
    "json": "JSON",
    "jwt": "JWT",
    "malloc": "MALLOC",
    "mmu": "MMU",
    "of_manipulation": "OF_MANIPULATION",
    "printf": "PRINTF",
    "progress_notifier": "PROGRESS_NOTIFIER",
    "ramfs": "FS_RAMFS",
    "range": "RANGE",
    "regulator": "REGULATOR",
    "resource": "RESOURCE",
    "setjmp": "SETJMP",
    "string": "STRING",
    "talloc": "TALLOC",
    "test_command": "TEST_COMMAND",
    "tlv": "TLV",
}
"""Each test of barebox' test/self, and what it is called in CONFIG_SELFTEST_*."""
LEAVES_TRACES = ("tlv",)
"""What changes the addresses of network devices, so that the machine is not used any further."""


class SelfTest(case.BootloaderTestCase):
    needs = ("CMD_SELFTEST",)

    def check(self, name, symbol):
        """One of barebox' own tests passes; where it skips all that it has, it says why."""
        self.need(f"SELFTEST_{symbol}")
        if name in LEAVES_TRACES:
            self.addCleanup(self.board.off)
        lines = self.shell(f"selftest {name}", seconds=120)
        passed = re.findall(r"(?:all|remaining) (\d+) tests? passed", "\n".join(lines))
        self.assertEqual(len(passed), 1, "\n".join(lines))
        if passed == ["0"]:
            self.skipTest(lines[0])

    def test_every_one_has_a_case(self):
        """Every test that barebox lists has a case here."""
        self.assertEqual(sorted(set(self.shell("selftest -l")) - set(TESTS)), [])


def _case(name, symbol):
    def test(self):
        self.check(name, symbol)

    test.__doc__ = f"barebox' own test {name} passes."
    return test


for _name, _symbol in TESTS.items():
    setattr(SelfTest, f"test_{_name}", _case(_name, _symbol))
