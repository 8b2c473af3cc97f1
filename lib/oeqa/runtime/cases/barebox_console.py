# SPDX-License-Identifier: MIT
"""barebox's console: a line is edited as it is typed, and Ctrl-C ends what runs and nothing more."""

import random
import string
import time

from oeqa.barebox import station
from oeqa.barebox.keyboard import KeyboardCase
from oeqa.barebox.ram import RamCase
from oeqa.barebox.variant import Variant

LEFT, RIGHT, UP, DOWN, HOME, END = (chr(ord(letter) - 64) for letter in "BFPNAE")
BACKSPACE, TAB = "\x08", "\t"
CTRL = {letter: chr(ord(letter) - 64) for letter in "DKUWX"}


class EditTest(KeyboardCase):
    needs = ("CMDLINE_EDITING",)

    def check(self, keys, *expected):
        self.assertEqual(self.typed(keys), list(expected), repr(keys))

    def test_inside(self):
        """Characters are put in, and taken out, where the cursor is."""
        self.check(f"echo otr{LEFT}te{RIGHT}s", "otters")
        self.check(f"echo otXters{4 * LEFT}{BACKSPACE}", "otters")
        self.check(f"echo otXters{5 * LEFT}{CTRL['D']}", "otters")
        self.check(f"echo beavers{BACKSPACE}{BACKSPACE}", "beave")

    def test_ends(self):
        """The cursor goes to the beginning and to the end of a line."""
        if "CONSOLE_RATP" in (self.board.symbols or ()):
            self.skipTest("CONFIG_CONSOLE_RATP is on: to it belongs Ctrl-A")
        self.check(f"cho one{HOME}e{END} two", "one two")

    def test_arrows(self):
        """The arrow keys do so, too. Their characters have to come within 50 ms; a busy host is too slow at times."""
        for _ in range(5):
            if self.typed("echo otters\x1b[D\x1b[D\x1b[D\x1b[C+") == ["otte+rs"]:
                break
        else:
            self.fail("the arrow keys do not move the cursor")

    def test_escape(self):
        """The escape key alone does nothing, and takes nothing of what is typed later."""
        if "EFI_PAYLOAD" in (self.board.symbols or ()):
            self.skipTest("CONFIG_EFI_PAYLOAD is on: the firmware below waits for the rest of a sequence")
        for _ in range(5):  # on a busy host, it may be read late, together with the rest
            self.press("\x1b")
            time.sleep(0.5)
            if self.typed("echo otters") == ["otters"]:
                break
        else:
            self.fail("what follows an escape key is not typed whole")

    def test_parts(self):
        """Ctrl-K, Ctrl-U, Ctrl-W and Ctrl-X cut the rest, the beginning, a word and the line."""
        self.check(f"echo one two{4 * LEFT}{CTRL['K']}", "one")
        self.check(f"nonsense echo one{8 * LEFT}{CTRL['U']}", "one")
        self.check(f"echo one two{CTRL['W']}three", "one three")
        self.check(f"nonsense{CTRL['X']}echo whole", "whole")

    def test_history(self):
        """Ctrl-P and Ctrl-N bring back former lines, to be run or changed, and the empty one after the last."""
        self.typed("echo first")
        self.typed("echo second")
        self.check(UP, "second")
        self.check(UP + UP, "first")
        self.check(f"{UP}{UP}{DOWN}s", "firsts")
        self.check(f"{UP}{UP}{UP}{3 * DOWN}echo none", "none")

    def test_complete(self):
        """Tab completes a command and a file that are the only ones, and lists several."""
        self.need("AUTO_COMPLETE")
        self.shell("mkdir -p /tab; echo -o /tab/otter-river swims; echo -o /tab/beaver x; echo -o /tab/bear x")
        self.check(f"cat /tab/ot{TAB}", "swims")
        self.check(f"basena{TAB} /a/otter v; echo $v", "otter")
        self.press(f"echo /tab/be{TAB}{TAB}{TAB}")
        self.assertLessEqual({"/tab/bear", "/tab/beaver"}, set(self.prompt().split()))
        self.check("ver", "/tab/beaver")
        self.shell("echo -o '/tab/two words' both")
        self.check(f"cat /tab/tw{TAB}", "both")

    def test_interrupted_line(self):
        """Ctrl-C drops what was typed, and the next line is whole."""
        self.press("echo never")
        self.press("\x03")
        self.assertNotIn("\nnever", self.prompt())
        self.check("echo next", "next")

    def test_too_long(self):
        """Of a line that is too long the beginning is kept, nothing else is hurt, and the next one is whole."""
        text = "".join(random.choices(string.ascii_lowercase, k=1040))
        self.press(f"echo {text[:500]}")
        self.see(text[490:500])  # of more than 1024 characters at once, barebox' input queue drops the first
        lines = self.typed(text[500:])
        self.assertEqual(len(lines), 1)
        self.assertTrue(text.startswith(lines[0]) and len(lines[0]) > 900, lines[0])
        self.check("echo alive", "alive")


class InterruptCase(KeyboardCase):
    def check(self, command, sign=""):
        """The command ends, says by its status that it is not done, and the shell goes on as ever."""
        text = self.interrupt(f'{command}; echo st""atus $?', sign)
        self.assertRegex(text, r"(?m)^status [1-9]", command)
        self.assertEqual(self.answer("echo alive"), "alive", command)


class InterruptTest(InterruptCase):
    def test_waiting(self):
        """Waiting commands end: sleep, msleep, and the countdown of timeout."""
        self.check("sleep 100")
        self.check("msleep 100000")
        self.need("CMD_TIMEOUT", "timeout")
        self.check("timeout -c 100", "100")

    def test_loops(self):
        """Loops without an end, also within each other, end."""
        self.check("while true; do true; done")
        self.check("while true; do for i in 1 2 3; do echo turn $i; done; done", "turn 3")
        self.check("while true; do echo turn; sleep 1; done", "turn")

    def test_script(self):
        """A script ends, and with it the one that called it."""
        self.shell("echo -o /inner 'while true; do msleep 10; done'; echo -a /inner 'echo never'")
        self.shell("echo -o /outer 'sh /inner'; echo -a /outer 'echo never'")
        self.assertNotIn("never", self.interrupt("sh /outer"))
        self.assertEqual(self.answer("echo alive"), "alive")

    def test_output(self):
        """A command that prints without end ends."""
        self.need("CMD_MD", "md")
        self.check("md -s /dev/zero 0+64M", "000001f0: ")

    def test_copy(self):
        """A copy of more than there is time for ends."""
        self.need("CMD_MEMCPY", "memcpy")
        self.check("memcpy -s /dev/zero -d /dev/null 0 0 0x40000000000")

    def test_forbidden(self):
        """Where Ctrl-C is forbidden, a command runs to its end."""
        self.shell("global.console.ctrlc_allowed=0")
        text = self.interrupt('sleep 1; echo af""ter')
        self.prompt()  # the Ctrl-C is there for the next line
        self.shell("global.console.ctrlc_allowed=1")
        self.assertIn("after", text)


class InterruptMemtestTest(RamCase, InterruptCase):
    def test_memtest(self):
        """A memory test ends."""
        self.need("CMD_MEMTEST", "memtest")
        self.check("memtest -i 0", "Start iteration 1")


class InterruptNetworkTest(InterruptCase):
    """On a network where nobody answers."""

    variant = Variant(peer=True)

    def setUp(self):
        super().setUp()
        self.node = self.board.node(self.devices("net")[0])

    def test_dhcp(self):
        """A request for a lease ends."""
        self.need("CMD_DHCP", "dhcp")
        self.check(f"dhcp {self.node}")

    def test_ping(self):
        """A ping ends."""
        self.need("CMD_PING", "ping")
        with self.board.peer(station.Station()):
            self.shell(f"ifdown -a; dhcp {self.node}", seconds=60)
        self.check(f"ping {station.ADDRESS}")
