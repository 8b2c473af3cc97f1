# SPDX-License-Identifier: MIT
"""barebox chooses between the systems of a device by priorities and attempts, and never forgets an attempt."""

import re

from oeqa.barebox import bootchooser, case
from oeqa.barebox.variant import Variant

A, B = "system0", "system1"
LINE = re.compile(r"(?m)^runs (\S+) in ?(\S*)\r?$")


class ChooserCase(case.BootloaderTestCase):
    """Two systems, which are scripts that tell of themselves and then fail, reset the machine or go on for ever."""

    needs = ("BOOTCHOOSER", "CMD_BOOTCHOOSER", "CMD_SAVEENV")
    variant = Variant(flash=True)
    prefix = ""

    def setUp(self):
        super().setUp()
        if self.attempt(f"test -e /env/boot/{A}").status:
            self.shell(f"mkdir -p /env/boot; echo -o /env/boot/{A} new; saveenv")
            self.board.cut()  # known issue environment-lost-with-variables is another case's
        for name in (A, B):
            self.system(name, "exit 1")
            for variable in ("boot", "default_attempts", "default_priority"):
                self.attempt(f"nv -r bootchooser.{name}.{variable}; global -r bootchooser.{name}.{variable}")
        self.configure(state_prefix=self.prefix, targets=f"{A} {B}", retry=0, default_attempts=3, default_priority=1)
        self.configure(disable_on_zero_attempts=0, reset_attempts="", reset_priorities="")
        if self.answer("echo $global.bootchooser.reset_attempts $global.bootchooser.reset_priorities").strip():
            self.board.reset()  # barebox cannot empty a list without it: known issue param-bitmask-only-grows
        self.shell("global.system.reset=unknown; bootchooser -L")
        if self.prefix:
            self.shell(f"{self.prefix}.attempts_locked=0")  # cases of the state put anything there
        self.fresh(**{A: (20, 3), B: (10, 3)})

    def system(self, name, end):
        """Make a system that ends so."""
        path, marker = f"/env/boot/{name}", f"echo runs {name} in $global.linux.bootargs.bootchooser"
        self.shell(f"echo -o {path} '#!/bin/sh'; echo -a {path} '{marker}; {end}'")

    def configure(self, **settings):
        """Set variables of the boot chooser, and save them."""
        self.shell("; ".join([*(f"nv bootchooser.{name}='{value}'" for name, value in settings.items()), "saveenv"]))

    def fresh(self, **systems):
        """Give systems their priority and attempts, and forget which one was booted last."""
        variables = self.prefix or "nv.bootchooser"
        for name, (priority, attempts) in systems.items():
            self.shell(f"{variables}.{name}.priority={priority}; {variables}.{name}.remaining_attempts={attempts}")
        self.shell(f"{variables}.last_chosen=0; bootchooser -i")

    def chooser(self):
        return bootchooser.parse(self.shell("bootchooser -i"))

    def runs(self, text):
        """The systems that ran, in their order; each was told which one it is."""
        found = LINE.findall(text)
        for name, argument in found:
            self.assertEqual(argument, f"bootchooser.active={name}", text)
        return [name for name, _ in found]

    def boot(self):
        """The systems that a boot which fails in the end has run, and what it prints."""
        result = self.attempt("boot bootchooser")
        self.assertNotEqual(result.status, 0, f"no system can be booted here, but boot says so:\n{result}")
        return self.runs("\n".join(result.lines)), "\n".join(result.lines)

    def boot_over_reset(self):
        """The system that a boot has run, which then reset the machine."""
        return self.runs(self.board.reset("boot bootchooser").text)


class Choice:
    """The cases, for each place where the counters are kept."""

    def test_priority(self):
        """The higher priority is booted, whichever system has it; one without priority never is."""
        self.assertEqual(self.boot()[0], [A])
        self.fresh(**{A: (10, 3), B: (11, 3)})
        self.assertEqual(self.boot()[0], [B])
        self.fresh(**{A: (7, 3), B: (7, 3)})
        self.assertEqual(self.boot()[0], [A], "of equal ones, the one that is named first")
        self.fresh(**{A: (1, 1), B: (0, 3)})
        self.assertEqual(self.boot()[0], [A])
        self.assertIn("No valid targets found", self.boot()[1])

    def test_attempts(self):
        """Each boot takes one attempt from its own system; when none is left, it is the other's turn."""
        self.fresh(**{A: (20, 3), B: (10, 2)})
        left = {A: 3, B: 2}
        for name in (A, A, A, B, B):
            self.assertEqual(self.boot()[0], [name])
            left[name] -= 1
            self.assertEqual((self.chooser().attempts, self.chooser().last), (left, name))
        runs, text = self.boot()
        self.assertEqual((runs, self.chooser().order), ([], []))
        self.assertIn("No valid targets found", text)

    def test_retry(self):
        """Asked to try again, it takes one system after the other until no attempt is left."""
        self.configure(retry=1)
        self.assertEqual(self.boot()[0], [A, A, A, B, B, B])
        self.assertEqual(self.chooser().attempts, {A: 0, B: 0})

    def test_nothing_to_boot(self):
        """A system that is not there uses up its attempts, and the other one is booted."""
        self.shell(f"rm /env/boot/{A}")
        self.configure(retry=1)
        runs, text = self.boot()
        self.assertEqual((runs, text.count("Nothing bootable found on")), ([B, B, B], 3), text)

    def test_over_reset(self):
        """A system that starts and comes back by a reset has used an attempt; after its last one the other starts."""
        for name in (A, B):
            self.system(name, "reset")
        self.fresh(**{A: (20, 1), B: (10, 3)})
        self.configure()
        self.assertEqual([self.boot_over_reset(), self.boot_over_reset()], [[A], [B]])
        self.assertEqual(self.chooser().attempts, {A: 0, B: 2})

    def test_power_loss(self):
        """The attempt is used up before the system starts, so that a power failure in it counts."""
        self.system(A, "while true; do msleep 10; done")
        self.fresh(**{A: (20, 1), B: (10, 3)})
        self.configure()
        self.assertEqual(self.runs(self.board.cut("boot bootchooser", 30, until=rf"^runs {A} .*\n")), [A])
        found = self.chooser()
        self.assertEqual((found.attempts, found.order, found.last), ({A: 0, B: 3}, [B], A))

    def test_mark_good(self):
        """The system that was booted last, once it is marked good, has all its attempts; the other one does not."""
        self.system(A, "reset")
        self.fresh(**{A: (20, 1), B: (10, 2)})
        self.configure(**{f"{A}.default_attempts": 5})
        self.assertEqual(self.boot_over_reset(), [A])
        self.assertEqual(self.chooser().attempts, {A: 0, B: 2})
        self.shell("bootchooser -s")
        self.assertEqual(self.chooser().attempts, {A: 5, B: 2})
        self.system(A, "exit 1")
        self.assertEqual(self.boot()[0], [A])
        self.assertEqual(self.chooser().attempts, {A: 4, B: 2})

    def test_mark_good_at_once(self):
        """The command itself marks a system good, also where the power fails after it."""
        self.assertEqual(self.boot()[0], [A])
        self.shell("bootchooser -s")
        self.board.cut()
        self.assertEqual(self.chooser().attempts, {A: 3, B: 3})

    def test_mark_good_once(self):
        """What is set after a system was marked good stays."""
        self.assertEqual(self.boot()[0], [A])
        self.shell(f"bootchooser -s; bootchooser -a 1 {A}")
        self.assertEqual(self.chooser().attempts, {A: 1, B: 3})

    def test_command(self):
        """bootchooser sets attempts and priorities, of one system and of all, and they outlast a power failure."""
        self.shell(f"bootchooser -a 7 -p 5 {A}; bootchooser -p 6 {B}")
        self.board.cut()
        self.assertEqual((self.chooser().attempts, self.chooser().priorities), ({A: 7, B: 3}, {A: 5, B: 6}))
        self.shell("bootchooser -a 4")
        self.assertEqual((self.chooser().attempts, self.chooser().priorities), ({A: 4, B: 4}, {A: 5, B: 6}))
        self.assertEqual(self.chooser().order, [B, A])
        result = self.attempt("bootchooser -a 9 nothing")
        self.assertNotEqual(result.status, 0, str(result))
        self.assertEqual(self.chooser().attempts, {A: 4, B: 4})
        self.shell(f"bootchooser -a 0 {B}")
        self.assertEqual(self.chooser().attempts, {A: 4, B: 0})
        self.shell(f"bootchooser -a 4 {B}; bootchooser -p 0 {B}")
        self.assertEqual((self.chooser().priorities, self.chooser().order), ({A: 5, B: 0}, [A]))

    def test_defaults(self):
        """A system's own defaults go before those for all."""
        self.configure(default_attempts=8, default_priority=9)
        self.configure(**{f"{B}.default_attempts": 2, f"{B}.default_priority": 4})
        self.shell("bootchooser -a default -p default")
        self.assertEqual((self.chooser().attempts, self.chooser().priorities), ({A: 8, B: 2}, {A: 9, B: 4}))

    def test_locked(self):
        """Locked attempts are not used up, over any number of boots, until they are unlocked."""
        self.shell("bootchooser -l")
        self.assertTrue(self.chooser().locked)
        self.assertEqual([self.boot()[0] for _ in range(4)], 4 * [[A]])
        self.assertEqual(self.chooser().attempts, {A: 3, B: 3})
        self.shell("bootchooser -L")
        self.assertEqual(self.boot()[0], [A])
        self.assertEqual((self.chooser().attempts, self.chooser().locked), ({A: 2, B: 3}, False))

    def test_disabled_when_used_up(self):
        """Where that is asked for, a system whose attempts are used up is disabled for good."""
        self.configure(disable_on_zero_attempts=1)
        self.fresh(**{A: (20, 1), B: (10, 3)})
        self.assertEqual([self.boot()[0], self.boot()[0]], [[A], [B]])
        self.shell(f"bootchooser -a 3 {A}")
        self.assertEqual((self.chooser().priorities, self.chooser().order), ({A: 0, B: 10}, [B]))

    def test_good_with_the_last_attempt(self):
        """A system that is marked good after its last attempt is not disabled as one whose attempts are used up."""
        self.configure(disable_on_zero_attempts=1)
        self.fresh(**{A: (20, 1), B: (10, 3)})
        self.assertEqual(self.boot()[0], [A])
        self.shell("bootchooser -s")
        found = self.chooser()
        self.assertEqual((found.attempts, found.priorities, found.order), ({A: 3, B: 3}, {A: 20, B: 10}, [A, B]))

    def test_power_on(self):
        """Where that is asked for, attempts start anew with the power on, and with no other reset."""
        self.configure(reset_attempts="power-on")
        self.board.reset()
        self.fresh(**{A: (20, 1), B: (0, 0)})
        self.shell("global.system.reset=WDG")
        self.assertEqual(self.chooser().attempts, {A: 1, B: 0})
        self.shell("global.system.reset=POR")
        self.assertEqual(self.chooser().attempts, {A: 3, B: 0})
        self.assertEqual(self.boot()[0], [A])
        self.assertEqual(self.chooser().attempts, {A: 2, B: 0}, "the counters start anew once only")

    def test_all_used_up(self):
        """Where that is asked for, attempts and priorities start anew once all are zero, and not before."""
        self.configure(reset_attempts="all-zero", reset_priorities="all-zero")
        self.fresh(**{A: (20, 0), B: (0, 2)})
        self.assertEqual(self.chooser().attempts[A], 3, "a disabled system's attempts count")
        for left in ({A: 2, B: 0}, {A: 0, B: 2}):
            self.fresh(**{A: (20, left[A]), B: (10, left[B])})
            self.assertEqual(self.chooser().attempts, left)
        self.fresh(**{A: (20, 1), B: (10, 1)})
        self.assertEqual(self.boot()[0], [A])
        self.assertEqual(self.chooser().attempts, {A: 0, B: 1})
        self.assertEqual(self.boot()[0], [B])
        self.assertEqual((self.chooser().attempts, self.chooser().priorities), ({A: 3, B: 3}, {A: 20, B: 10}))
        self.fresh(**{A: (0, 0), B: (0, 0)})
        self.assertEqual((self.chooser().attempts, self.chooser().priorities), ({A: 3, B: 3}, {A: 1, B: 1}))

    def test_next_default(self):
        """After the boot chooser's systems, boot goes on with what is named behind it."""
        self.system("recovery", "exit 1")
        self.configure(retry=1)
        text = "\n".join(self.attempt("global boot.default='bootchooser recovery'; boot").lines)
        self.assertEqual([name for name, _ in LINE.findall(text)], [A, A, A, B, B, B, "recovery"], text)


class ConditionsTest(ChooserCase):
    many_starts = True

    def test_conditions(self):
        """The conditions for a new start can be changed, and taken back."""
        self.need("CMD_GLOBAL", "global")
        for wanted in ("power-on", "all-zero reset", "reset", ""):
            self.configure(reset_attempts=wanted)
            found = self.answer("echo [$global.bootchooser.reset_attempts]")
            self.assertEqual(set(found.strip("[]").split()), set(wanted.split()))
        self.fresh(**{A: (20, 0), B: (10, 0)})
        self.assertEqual(self.chooser().attempts, {A: 0, B: 0})


class NvTest(Choice, ChooserCase):
    """The counters are variables of the environment."""

    many_starts = True

    def test_no_targets(self):
        """Where no system is named, that is said, by the command as by the boot."""
        self.addCleanup(self.configure, targets=f"{A} {B}")
        self.configure(targets="")
        for command in ("bootchooser -i", "boot bootchooser"):
            result = self.attempt(command)
            self.assertNotEqual(result.status, 0, str(result))
            self.assertIn("Target list $global.bootchooser.targets is empty", "\n".join(result.lines))

    def test_unknown_last(self):
        """Where the system that was booted last is none that is named, that is said, and the next one is booted."""
        self.shell("nv.bootchooser.last_chosen=7")
        lines = self.shell("bootchooser -i")
        self.assertIn("Last booted target with id 7 does not exist", "\n".join(lines))
        self.assertEqual(self.chooser().attempts, {A: 3, B: 3})
        self.shell("bootchooser -s")
        self.assertEqual(self.boot()[0], [A])
        self.assertEqual(self.chooser().last, A)

    def test_reset(self):
        """Where that is asked for, attempts start anew with a reset that is told as RST, once, and with no other."""
        self.configure(reset_attempts="reset")
        self.board.reset()
        self.fresh(**{A: (20, 1), B: (10, 0)})
        for reason in ("WDG", "POR"):
            self.shell(f"global.system.reset={reason}")
            self.assertEqual(self.chooser().attempts, {A: 1, B: 0}, reason)
        self.shell("global.system.reset=RST")
        self.assertEqual(self.chooser().attempts, {A: 3, B: 3})
        self.fresh(**{A: (20, 2), B: (10, 1)})
        self.assertEqual(self.chooser().attempts, {A: 2, B: 1})

    def test_other_target(self):
        """A system boots what its variable names, and what is booted is told the system's name."""
        self.configure(**{f"{A}.boot": f"/env/boot/{B}"})
        self.addCleanup(self.attempt, f"nv -r bootchooser.{A}.boot; global -r bootchooser.{A}.boot; saveenv")
        text = "\n".join(self.attempt("boot bootchooser").lines)
        self.assertEqual(LINE.findall(text), [(B, f"bootchooser.active={A}")], text)
        self.assertEqual(self.chooser().attempts, {A: 2, B: 3})

    def test_told(self):
        """boot -v tells which system is chosen, what it boots and the attempts that it has left; a dry run, too, and
        it runs nothing."""
        text = "\n".join(self.attempt("boot -v -v bootchooser").lines)
        self.assertIn(f"name={A} remaining_attempts 2", text)
        self.assertIn(f"selected target '{A}', boot '{A}'", text)
        text = "\n".join(self.attempt("boot -d bootchooser").lines)
        self.assertEqual((self.runs(text), text.count(f"Would run /env/boot/{A}")), ([], 1), text)

    def test_nothing_asked(self):
        """The command that is asked for nothing says so, and changes nothing."""
        before = self.chooser().attempts
        result = self.attempt("bootchooser")
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn("Nothing to do", "\n".join(result.lines))
        self.assertEqual(self.chooser().attempts, before)


class StateTest(Choice, ChooserCase):
    """The counters are in the state."""

    needs = (*ChooserCase.needs, "CMD_STATE", "DRIVER_CFI")
    prefix = "state.bootstate"

    def test_locked_by_state(self):
        """The state itself can lock the attempts, as a system does that is to be kept."""
        self.shell("state.bootstate.attempts_locked=1; state -s")
        self.assertTrue(self.chooser().locked)
        self.assertEqual([self.boot()[0] for _ in range(4)], 4 * [[A]])
        self.shell("state.bootstate.attempts_locked=0; state -s")
        self.assertEqual(self.chooser().attempts, {A: 3, B: 3})

    def test_no_state(self):
        """A state that is not there is told of, and nothing is booted."""
        self.configure(state_prefix="otter.bootstate")
        result = self.attempt("boot bootchooser")
        text = "\n".join(result.lines)
        self.assertEqual((self.runs(text), result.status != 0), ([], True), text)
        self.assertIn("Cannot get state 'otter'", text)
