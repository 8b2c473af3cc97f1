# SPDX-License-Identifier: MIT
"""barebox restarts and switches off the machine, and starts from nothing each time."""

import contextlib
import re
import time

from oeqa.barebox import case, errors
from oeqa.barebox.keyboard import KeyboardCase
from oeqa.barebox.ram import malloc


class ResetTest(KeyboardCase):
    def test_reset(self):
        """reset brings back the same barebox, with nothing left of what was set before."""
        self.need("CMD_RESET", "reset")
        self.shell("global before=1; echo -o /before x; mkdir /folder")
        first = self.board.boots[-1]
        again = self.board.reset()
        self.assertEqual((again.version, again.build), (first.version, first.build))
        self.assertEqual(self.answer("echo [$global.before]"), "[]")
        self.shell("test -e /before -o -e /folder", status=1)

    def test_reason(self):
        """The reset is the guest's own, for QEMU one and no more, and its reason none that was set before."""
        self.need("RESET_SOURCE")
        self.assertIn(self.answer("echo $global.system.reset"), ("unknown", "POR", "RST"))
        self.shell("global.system.reset=WDG; global.system.reset_instance=5")
        self.board.events()
        self.board.shell().send(self.board.dialect.reset)
        self.board.shell().boot(time.monotonic(), 90)
        resets = [event["data"] for event in self.board.events() if event["event"] == "RESET"]
        self.assertEqual(resets, [{"guest": True, "reason": "guest-reset"}])
        self.assertIn(self.answer("echo $global.system.reset"), ("unknown", "RST"))
        self.assertEqual(self.answer("echo $global.system.reset_instance"), "0")

    def test_warm(self):
        """A warm reset is refused where no handler does one."""
        self.need("CMD_RESET", "reset")
        if any(re.match(r"[\w-]+ +\d+ .*W", line) for line in self.shell("reset -l")):
            self.skipTest("a handler does warm resets")
        result = self.attempt("reset -w")
        self.assertNotEqual(result.status, 0, str(result))

    def test_no_such_handler(self):
        """A handler that there is not resets nothing."""
        self.need("CMD_RESET", "reset")
        result = self.attempt("reset -r otter")
        self.assertNotEqual(result.status, 0, str(result))

    def test_clock(self):
        """The log's clock begins with each start, however long the machine has run."""
        self.need("CMD_DMESG", "dmesg")
        self.shell("msleep 1500")
        self.board.reset()
        first = re.match(r"\[ *(\d+)us\]", self.shell("dmesg -t")[0])
        self.assertLess(int(first[1]), 1_000_000, first[0])

    def test_by_qemu(self):
        """A reset from outside, in the middle of a command, ends at the prompt, too."""
        self.press('echo be""gun; sleep 60\r')
        self.see("^begun")
        self.board.query("system_reset")
        boot = self.board.shell().boot(time.monotonic(), 90)
        self.assertEqual(boot.version, self.board.boots[-1].version)


class HandlersTest(case.BootloaderTestCase):
    slow = True

    def test_handlers(self):
        """Each restart handler that reset names does reset the machine."""
        self.need("CMD_RESET", "reset")
        for line in self.shell("reset -l"):
            if found := re.match(r"([\w-]+) +(\d+)", line):
                self.board.shell().send(f"reset -r {found[1]}")
                self.board.shell().boot(time.monotonic(), 90)


class AgainTest(case.BootloaderTestCase):
    """Resets in a row, each of which has to leave the machine as the one before."""

    resets = 2
    many_starts = True

    def state(self):
        """What must not change from start to start: memory, devices, clocks, the log's errors."""
        lines = self.shell("iomem") if "CMD_IOMEM" in (self.board.symbols or ()) else []
        layout = [x for x in lines if "malloc" in x or "ram0" in x or "barebox" in x]
        devices = sorted(x.strip() for x in self.shell("drvinfo"))
        return layout, devices, self.shell("dmesg -l err,crit,alert,emerg")

    def test_same_again(self):
        """After each of several resets memory, devices and log are as after the first one."""
        for symbol in ("CMD_RESET", "CMD_DRVINFO", "CMD_DMESG", "CMD_MEMINFO"):
            self.need(symbol)
        self.board.reset()
        state, used = self.state(), malloc(self)[0]
        node = self.board.node(self.devices("block")[0])
        for number in range(self.resets):
            self.shell(f"memcpy -s /dev/{node} -d /used 0 0 100000; echo -o /fill x", seconds=60)
            boot = self.board.reset()
            self.assertEqual(boot.version, self.board.boots[0].version, f"reset {number}")
            self.assertEqual(self.state(), state, f"reset {number}")
            self.assertLess(abs(malloc(self)[0] - used), 64 * 1024, f"reset {number}: malloc")


class ManyResetsTest(AgainTest):
    slow = True
    resets = 500


class PoweroffTest(case.BootloaderTestCase):
    def setUp(self):
        super().setUp()
        self.need("CMD_POWEROFF", "poweroff")

    def test_poweroff(self):
        """poweroff ends QEMU without an error."""
        self.shell("true")
        self.assertEqual(self.board.poweroff(), 0, "QEMU's exit status")

    def test_event(self):
        """poweroff is the guest's own shutdown for QEMU, and no reset, panic or crash."""
        self.board.query("set-action", shutdown="pause")
        self.board.events()
        self.board.shell().send(self.board.dialect.poweroff)
        self.addCleanup(self.board.off)
        told = self.told(30)
        if told is None:
            self.skipTest(f"QEMU {self.board.program.version} ends here without an event, though it was told to pause")
        self.assertEqual(told, {"SHUTDOWN": {"guest": True, "reason": "guest-shutdown"}})
        self.assertEqual(self.board.query("query-status")["status"], "shutdown")

    def told(self, seconds):
        """What QEMU tells of the machine's end; None where it ended itself, as the end of riscv64's virt board did."""
        seen, deadline = {}, time.monotonic() + seconds
        with contextlib.suppress(errors.GuestError):
            while "SHUTDOWN" not in seen and time.monotonic() < deadline:
                seen |= {x["event"]: x.get("data") for x in self.board.events()}
            return {name: data for name, data in seen.items() if name in ("SHUTDOWN", "RESET", "GUEST_PANICKED")}
        return None
