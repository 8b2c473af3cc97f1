# SPDX-License-Identifier: MIT
"""barebox boots by itself once its countdown is over, stops where it is told to, and boots what it is told to."""

import re

from oeqa.barebox.console import CTRL_C
from oeqa.barebox.keyboard import KeyboardCase
from oeqa.barebox.variant import Variant

TARGET = "otter swims"


class AutobootCase(KeyboardCase):
    """The boot target is a script of the stored environment that prints a line and fails, so that the shell comes."""

    variant = Variant(flash=True)
    needs = ("CMD_SAVEENV", "CMD_NV", "CMD_BOOT")

    def start(self, **variables):
        """Store variables and reset: what is printed from the banner on to the countdown or to the prompt."""
        self.shell(f"mkdir -p /env/boot; echo -o /env/boot/otter '#!/bin/sh'; echo -a /env/boot/otter 'echo {TARGET}'")
        names = {"autoboot": "countdown", "boot.default": "otter", "autoboot_timeout": "2", **variables}
        self.shell("; ".join(f"nv {name}={value}" for name, value in names.items()) + "; saveenv")
        self.addCleanup(self.attempt, "nv -r autoboot_abort_key; nv autoboot=countdown; saveenv")
        self.restart()
        return self.see(r"^Hit .*?:|^barebox@\S+.*?:/ ", seconds=90)


class AutobootTest(AutobootCase):
    many_starts = True

    def test_countdown(self):
        """It counts down, second by second, and boots its target. Where one key alone stops it, others do not, nor do
        they have it start anew."""
        text = self.start(autoboot_abort_key="x", autoboot_timeout=4)
        self.assertIn("Hit m for menu or x to stop autoboot:", text)
        self.assertEqual(self.see(r"\d").strip(), "4")
        self.see(" 3")
        self.press("y\r")
        counted, _, rest = self.prompt(seconds=60).partition(TARGET)
        self.assertEqual(re.findall(r"-?\d+", counted)[:2], ["2", "1"])
        self.assertNotRegex(counted, "(?s)1.*[1-9]", "it starts anew, or goes on below zero")
        self.assertTrue(rest, "it boots nothing")
        self.press(CTRL_C)  # should the host have been too busy, "y" is at the prompt now
        self.prompt()

    def test_abort(self):
        """autoboot=abort ends at the prompt, without a countdown."""
        text = self.start(autoboot="abort")
        self.assertNotIn("Hit ", text)
        self.assertNotIn(TARGET, text)

    def test_boot(self):
        """autoboot=boot boots at once, without a countdown."""
        text = self.start(autoboot="boot")
        self.assertNotIn("Hit ", text)
        self.assertIn(TARGET, text)

    def test_menu(self):
        """The key m leads to the menu, beside another key that stops; and the machine starts again from there."""
        self.need("CMD_MENU")
        for key in ("x", CTRL_C):
            self.start(autoboot_timeout=20, autoboot_abort_key="ctrl-c" if key == CTRL_C else key)
            self.press("m")
            self.assertNotIn(TARGET, self.see("[Ss]hell", seconds=60))
            self.board.query("system_reset")
            self.see("^Hit ", seconds=90)
            self.press(key)
            self.prompt()

    def test_ctrl_c(self):
        """Where Ctrl-C alone stops the countdown, no other key does, and Ctrl-C does."""
        self.start(autoboot_abort_key="ctrl-c", autoboot_timeout=20)
        self.press("y")
        self.see(" 18")
        self.press(CTRL_C)
        self.assertNotIn(TARGET, self.prompt())


class SlowAutobootTest(AutobootCase):
    slow = True

    def test_last_moment(self):
        """Any key stops the countdown, also in its last second, and the target is not booted."""
        self.assertIn("Hit m for menu or any to stop autoboot:", self.start())
        self.see(" 2.* 1")
        self.press("y")
        self.assertNotIn(TARGET, self.prompt())

    def test_one_key(self):
        """Where one key alone stops the countdown, that one does."""
        self.start(autoboot_abort_key="x")
        self.press("yx")
        self.assertNotIn(TARGET, self.prompt())


class BootTargetTest(KeyboardCase):
    """The command boot."""

    needs = ("CMD_BOOT",)

    def script(self, name, *lines):
        for number, line in enumerate(("#!/bin/sh", *lines)):
            self.shell(f"echo {'-a' if number else '-o'} /env/boot/{name} '{line}'")

    def test_one_after_the_other(self):
        """boot tries its targets in order, and goes on to the next one after each that comes back."""
        self.shell("mkdir -p /env/boot")
        for name in ("one", "two", "three"):
            self.script(name, f"echo this is {name}")
        found = re.findall(r"this is (\w+)", "\n".join(self.attempt("boot one three two", 60).lines))
        self.assertEqual(found, ["one", "three", "two"])
        self.shell("global boot.default='two   one'")
        found = re.findall(r"this is (\w+)", "\n".join(self.attempt("boot", 60).lines))
        self.assertEqual(found, ["two", "one"])

    def test_failed(self):
        """Where all targets fail, each is tried once, and boot fails."""
        self.shell("mkdir -p /env/boot")
        for name in ("bad", "worse"):
            self.script(name, f"echo this is {name}", "false")
        result = self.attempt("boot bad worse", 60)
        self.assertEqual(re.findall(r"this is (\w+)", "\n".join(result.lines)), ["bad", "worse"])
        self.assertNotEqual(result.status, 0, str(result))

    def test_left_over(self):
        """What a target that failed set for its kernel is not left over for the next one, nor for the shell."""
        self.shell("mkdir -p /env/boot")
        names = ("linux.bootargs.dyn.otter", "bootm.image", "bootm.initrd", "bootm.oftree")
        shown = " ".join(f"$global.{name}" for name in names)
        self.script("fails", *(f"global {name}=/{name}" for name in names), f"echo first [{shown}]", "false")
        self.script("next", f"echo next [{shown}]")
        text = "\n".join(self.attempt("boot fails next", 60).lines)
        found = {word: values.split() for word, values in re.findall(r"(first|next) \[(.*?)\]", text)}
        self.assertEqual(found, {"first": [f"/{name}" for name in names], "next": []}, text)
        self.assertEqual(self.answer("echo [$global.bootm.image$global.bootm.oftree]"), "[]", "left in the shell")

    def test_nothing(self):
        """A target that is not there is named, and boot fails."""
        result = self.attempt("boot nowhere", 60)
        self.assertNotEqual(result.status, 0)
        self.assertIn("nowhere", "\n".join(result.lines))

    def check_menu(self, chosen, expected):
        """Of three entries, the one that boot -M is told, and no other, is booted after the menu's time."""
        self.shell("mkdir -p /env/boot/folder")
        for name in "abc":
            self.script(f"folder/{name}", f"echo runs {name}")
        self.addCleanup(self.board.discard)  # it is in the menu
        self.press(f"boot -t 1 -M {chosen} /env/boot/folder\r")
        self.assertEqual(re.findall(r"^runs (\w)", self.see("Press any key", seconds=60), re.M), [expected])

    def test_menu(self):
        """boot -M boots the entry that it is told to, once the menu's time is over."""
        self.need("CMD_MENU")
        self.check_menu("2", "b")

    def test_menu_by_path(self):
        """boot -M boots the entry of the path that it is told, in which there may be wildcards."""
        self.need("CMD_MENU")
        self.need("FNMATCH")
        self.check_menu("'*/[c-d]'", "c")

    def test_dry(self):
        """boot -l lists its targets and boots none."""
        self.shell("mkdir -p /env/boot")
        self.script("listed", "echo this runs")
        lines = "\n".join(self.shell("boot -l listed", seconds=60))
        self.assertIn("listed", lines)
        self.assertNotIn("this runs", lines)

    def test_dry_run(self):
        """boot -d tells what it would run and runs nothing; told so twice, it runs the script."""
        self.shell("mkdir -p /env/boot")
        self.script("dry", "echo this runs", "false")
        text = "\n".join(self.shell("boot -d dry", seconds=60))
        self.assertIn("Would run /env/boot/dry", text)
        self.assertNotIn("this runs", text)
        text = "\n".join(self.attempt("boot -d -d dry", seconds=60).lines)
        self.assertIn("this runs", text)
        self.assertNotIn("Would run", text)

    def test_folder(self):
        """Of a folder every script is a target, in the order of their names; other files, and hidden ones, are none."""
        self.shell("mkdir -p /env/boot/all")
        for name in ("b", "a", ".hidden"):
            self.script(f"all/{name}", f"echo this is {name}")
        self.shell("echo -o /env/boot/all/c echo this is c")
        result = self.attempt("boot /env/boot/all", 60)
        self.assertEqual(re.findall(r"this is (\w+)", "\n".join(result.lines)), ["a", "b"], str(result))
        result = self.attempt("boot /env/boot/all/c", 60)
        self.assertIn("Nothing bootable found on '/env/boot/all/c'", "\n".join(result.lines))
        self.assertNotIn("this is", "\n".join(result.lines))

    def test_watchdog(self):
        """The watchdog is started before the boot, with the time that is asked for by the command or by the variable;
        where there is none, that is said, and the boot goes on."""
        self.need("WATCHDOG")
        self.shell("mkdir -p /env/boot")
        self.addCleanup(self.attempt, "global.boot.watchdog_timeout=0; wd -x")
        nodes = [self.board.node(device) for device in self.board.devices("watchdog")]
        shown = " ".join(f"${node}.running/${node}.timeout_cur" for node in nodes)
        self.script("guarded", f"echo this runs [{shown}]", "false")
        for command, seconds in (("boot -w 60 guarded", 60), ("global.boot.watchdog_timeout=90; boot guarded", 90)):
            text = "\n".join(self.attempt(command, 60).lines)
            found = re.findall(r"this runs \[(.*?)\]", text)
            self.assertEqual(len(found), 1, text)
            self.assertEqual("Failed to enable watchdog" in text, not nodes, text)
            if nodes:
                self.assertIn(f"1/{seconds}", found[0].split(), text)
        text = "\n".join(self.attempt("boot -w 0 guarded", 60).lines)
        self.assertNotIn("Failed to enable", text)
