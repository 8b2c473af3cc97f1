# SPDX-License-Identifier: MIT
"""barebox's console: a line is edited as it is typed, and Ctrl-C ends what runs and nothing more."""

import random
import re
import string
import time

from oeqa.barebox import station
from oeqa.barebox.keyboard import KeyboardCase
from oeqa.barebox.ram import RamCase
from oeqa.barebox.variant import Variant

LEFT, RIGHT, UP, DOWN, HOME, END = (chr(ord(letter) - 64) for letter in "BFPNAE")
BACKSPACE, TAB = "\x08", "\t"
CTRL = {letter: chr(ord(letter) - 64) for letter in "DKLOUWX"}
CTRL_C = "\x03"
MORE = "^> "
"""The prompt where a command goes on."""


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

    def test_complete_variables(self):
        """Tab completes variables behind a dollar and before an assignment: plain, global and stored ones, and those of
        devices."""
        self.need("AUTO_COMPLETE")
        self.addCleanup(self.attempt, "global -r otter_river; nv -r otter_river; otter_variable=")
        self.typed("otter_variable=swims; global otter_river=")
        self.check(f"echo $otter_v{TAB}", "swims")
        self.typed(f"global.otter_r{TAB}deep")
        self.check(f"echo $global.otter_r{TAB}", "deep")
        self.typed(f"global otter_r{TAB}clear")
        self.check("echo $global.otter_river", "clear")
        if "CMD_NV" in (self.board.symbols or ()):
            self.typed(f"nv otter_r{TAB}wide")
            self.check(f"echo $nv.otter_r{TAB}", "wide")
        self.typed(f"cs0.acti{TAB}ioe")
        self.check(f"echo $cs0.acti{TAB}", "ioe")

    def test_complete_commands(self):
        """Tab completes scripts of the path as commands, commands as arguments of help, and files and folders among
        each other, folders with their slash."""
        self.need("AUTO_COMPLETE")
        self.addCleanup(self.attempt, "rm /env/bin/otterscript; rm -r /tab2")
        self.shell("mkdir -p /env/bin /tab2/folder/deeper; echo -o /env/bin/otterscript '#!/bin/sh'")
        self.shell("echo -a /env/bin/otterscript 'echo script $1'; echo -o /tab2/folder/deeper/one otter")
        self.check(f"otterscr{TAB}runs", "script runs")
        self.check(f"cat /tab2/fo{TAB}dee{TAB}o{TAB}", "otter")
        self.check(f"true; cat /tab2/fo{TAB}deeper/one", "otter")
        self.assertIn("basename - ", "".join(self.typed(f"help basena{TAB}")))

    def test_complete_tree(self):
        """Tab completes the nodes of the device tree, and the names of devices."""
        self.need("AUTO_COMPLETE")
        self.need("CMD_DEVINFO", "devinfo")
        self.assertIn("Parameters:", self.typed(f"devinfo cs{TAB}0"))
        self.need("CMD_OF_DUMP", "of_dump")
        if not [x for x in self.attempt("of_dump -p /").lines if "compatible" in x]:
            self.skipTest("there is no device tree")
        lines = self.shell("of_node -c /otter-river/deep; of_property -s /otter-river/deep otters swim")
        self.addCleanup(self.attempt, "of_node -d /otter-river")
        self.assertEqual(lines, [])
        self.assertIn('otters = "swim";', "".join(self.typed(f"of_dump /otter-r{TAB}de{TAB}")))

    def test_redrawn(self):
        """Ctrl-L clears the screen and shows the line again, which is as it was, with the cursor where it was."""
        self.press(f"echo otXers{3 * LEFT}")
        self.see("otXers\x08{3}")
        self.press(CTRL["L"])
        self.see("echo otXers\x08{3}")
        self.check(f"{BACKSPACE}t", "otters")

    def test_over(self):
        """Ctrl-O has characters typed over those that are there, and again put in between them."""
        self.check(f"echo abcdef{5 * LEFT}{CTRL['O']}XY{CTRL['O']}Z", "aXYZdef")

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


class ContinuedTest(KeyboardCase):
    def go_on(self, *lines):
        """Type lines, each but the first at the prompt for more: what is printed behind the last."""
        for line in lines[:-1]:
            self.press(f"{line}\r")
            self.see(MORE)
        return self.typed(lines[-1])

    def test_block(self):
        """Loops and branches are typed over several lines, after a prompt of their own."""
        self.assertEqual(self.go_on("for i in 1 2; do", "echo turn $i;", "done"), ["turn 1", "turn 2"])
        self.assertEqual(self.go_on("if false; then", "echo never; else", "", "echo else; fi"), ["else"])
        self.assertEqual(self.go_on("while false; do true; done; if", "true; then echo two; fi"), ["two"])

    def test_quote(self):
        """A quote that is left open goes on in the next line."""
        self.assertEqual(" ".join(self.go_on('echo "open', 'closed"')).split(), ["open", "closed"])

    def test_interrupted(self):
        """Ctrl-C drops all of the lines, and the next command is none of theirs."""
        self.press("for i in 1 2; do\r")
        self.see(MORE)
        self.press(f"echo turn $i;{CTRL_C}")
        self.prompt()
        self.assertEqual(self.typed("echo done"), ["done"])

    def test_refused(self):
        """A word in a place where it has none is an error of syntax, which names it and leaves nothing open."""
        for word, line in (("fi", "if true; echo never; fi"), ("done", "for i in 1; echo never; done")):
            self.press(f"{line}\r")
            text = self.see(f"syntax error: unexpected token `{word}'")
            self.assertNotRegex(text + self.prompt(), r"(?m)^never")
        for line in ("fi", "then", "done", "true; done", "echo a | cat"):
            self.press(f"{line}\r")
            self.see(r"syntax error")
            self.prompt()
        self.assertEqual(self.typed("echo alive"), ["alive"])


class PromptTest(KeyboardCase):
    needs = ("HUSH_FANCY_PROMPT",)

    def setUp(self):
        super().setUp()
        self.before = self.answer('echo "$PS1"')
        self.addCleanup(self.attempt, f"PS1='{self.before}'; PROMPT_COMMAND=; cd /")

    def test_folder(self):
        """The prompt is what PS1 says, with the board's name and the folder."""
        model = re.escape(self.answer("echo $global.model"))
        self.shell("cd /env")
        self.press(r"PS1='barebox@\h:\w ! '" + "\r")
        self.see(f"^barebox@{model}:/env ! ")
        self.press("cd data\r")
        self.see(f"^barebox@{model}:/env/data ! ")

    def test_command(self):
        """PROMPT_COMMAND runs before each prompt, and leaves the status of the command before it alone."""
        self.press("PROMPT_COMMAND='echo before; false'\r")
        self.see("^before\r?\nbarebox@")
        self.press("true\r")
        self.see("^before\r?\nbarebox@")
        self.press("echo status $?\r")
        self.see(r"^status 0\r?\nbefore\r?\nbarebox@")
        self.press("\r")
        self.prompt()


class TimeoutTest(KeyboardCase):
    needs = ("CMD_TIMEOUT",)

    def wait(self, options, keys):
        """The status of a countdown with its variable, after keys at its start."""
        self.press(f'key=none; echo be""gun; timeout {options} -v key 2; echo status $? [$key]\r')
        self.see(r"^begun\r?$")
        self.press(keys)
        return re.search(r"(?m)^\s*status (\d) \[(.*)\]", self.see(r"status \d \[.*\]"))

    def check(self, options, keys, status, key):
        found = self.wait(options, keys)
        self.prompt()
        self.assertEqual((found[1], found[2]), (str(status), key), f"timeout {options}, {keys!r}")

    def test_ended(self):
        """A countdown ends by the key that it is told to look for, which its variable keeps."""
        self.check("-a -s", "x", 1, "x")
        self.check("-a", "7", 1, "7")

    def test_keys(self):
        """With -r, return alone ends it, with -c, Ctrl-C alone."""
        for options, keys, status in (
            ("-r -s", "xy\r", 1),
            ("-c -s", "xy\x03", 1),
            ("-r -s", "xy", 0),
            ("-c -s", "xy\r", 0),
        ):
            self.press(f'echo be""gun; timeout {options} {1 + status}; echo status $?\r')
            self.see(r"^begun\r?$")
            self.press(keys)
            self.assertIn(f"status {status}", self.see(r"status \d"), f"{options} {keys!r}")
            self.prompt()

    def test_shown(self):
        """The seconds that are left are shown, or not, where it is to be silent; its end has the status 0."""
        self.assertEqual("".join(self.shell("timeout 1")).replace("\b", "").split()[:1], ["1"])
        self.assertEqual(self.shell("timeout -s 1"), [])
        self.assertNotEqual(self.attempt("timeout").status, 0)


class ConsoleDeviceTest(KeyboardCase):
    """The console that the cases speak over is the device cs0."""

    def setUp(self):
        super().setUp()
        if self.answer("echo [$cs0.active]") != "[ioe]":
            self.skipTest("cs0 is not this console")

    def test_written(self):
        """What is written to the console's device file is printed."""
        self.assertEqual(self.shell("echo -a /dev/cs0 otters swim"), ["otters swim"])
        self.shell("echo -o /text one; echo -a /text two")
        self.assertEqual(self.shell("cat -a /dev/cs0 /text; rm /text"), ["one", "two"])

    def test_silent(self):
        """A console without output prints nothing, one without output of errors none of these; both go on as before."""
        lines = self.shell("echo one; cs0.active=ie; echo two; cs0.active=eoi; echo three; echo $cs0.active")
        self.assertEqual([x for x in lines if x in ("one", "two", "three", "ioe")], ["one", "three", "ioe"])
        self.need("CMD_DIGEST", "digest")
        error = "digest -a sha256 -K /otter /text"
        lines = self.attempt(f"cs0.active=io; {error}; echo $cs0.active; cs0.active=ioe; {error}").lines
        found = [x for x in lines if x == "io" or "otter" in x]
        self.assertEqual((found[0], len(found), "not found" in found[1]), ("io", 2, True), lines)

    def test_rate(self):
        """A rate is changed once return is pressed, and is told."""
        before = self.answer("echo [$cs0.baudrate]").strip("[]")
        if not before:
            self.skipTest("the console has no rate")
        for rate in ("57600", before):
            self.press(f"cs0.baudrate={rate}\r")
            self.see(f"to {rate} bps and press ENTER")
            for _ in range(100):  # what comes before the change itself is lost
                self.press("\r")
                if self.board.dialect.prompt.search(self.board.shell().watch(0.2)):
                    break
            self.press('echo do""ne\r')
            self.see("^done")
            self.prompt()
            self.assertEqual(self.answer("echo $cs0.baudrate"), rate)
        self.assertEqual(self.shell(f"cs0.baudrate={before}"), [])


class InterruptCase(KeyboardCase):
    def check(self, command, sign=""):
        """The command ends, says by its status that it is not done, and the shell goes on as ever."""
        text = self.interrupt(f'{command}; echo st""atus $?', sign)
        self.assertRegex(text, r"(?m)^status [1-9]", command)
        self.assertEqual(self.answer("echo alive"), "alive", command)


class InterruptTest(InterruptCase):
    def test_waiting(self):
        """Waiting commands end: sleep, also where nothing else runs meanwhile, msleep, and the countdown of timeout."""
        self.check("sleep 100")
        self.check("sleep -b 100")
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
