# SPDX-License-Identifier: MIT
"""barebox starts, feeds and stops the board's watchdogs, and what is not fed resets the machine."""

import time

from oeqa.barebox.keyboard import KeyboardCase


class WatchdogCase(KeyboardCase):
    needs = ("WATCHDOG", "CMD_WD")

    def field(self, node, name):
        return self.answer(f"echo ${node}.{name}")


class WatchdogTest(WatchdogCase):
    def test_refused(self):
        """Times that are too long and watchdogs that are not there are refused in words, and nothing is started."""
        for device, node in self.each("watchdog"):
            running, longest = self.field(node, "running"), int(self.field(node, "timeout_max"))
            if longest < (1 << 32) - 1:
                lines = self.shell(f"wd -d {node} {longest + 1}", status=1)
                self.assertEqual(lines, ["Timeout value out of range"], device.id)
            self.assertNotEqual(self.attempt(f"wd -d {node} soon").status, 0)
            self.assertEqual(self.field(node, "running"), running)
        self.assertIn("doesn't exist", "\n".join(self.shell("wd -d wdog99 10", status=1)))

    def test_start_and_stop(self):
        """A watchdog that is started says so and counts down, one that is stopped does neither."""
        for _, node in self.each("watchdog"):
            for seconds in (60, 30):
                self.shell(f"wd -d {node} {seconds}; sleep 1")
                self.assertEqual([self.field(node, x) for x in ("running", "timeout_cur")], ["1", str(seconds)])
                self.assertIn(int(self.field(node, "seconds_to_expire")), range(seconds - 20, seconds))
            self.shell(f"wd -d {node} 0; wd -d {node} 0")
            self.assertEqual(self.field(node, "running"), "0")

    def test_inhibit(self):
        """wd -x stops every watchdog that runs."""
        nodes = [node for _, node in self.each("watchdog")]
        for node in nodes:
            self.shell(f"wd -d {node} 60")
        self.shell("wd -x")
        self.assertEqual([self.field(node, "running") for node in nodes], ["0"] * len(nodes))


class ExpiryTest(WatchdogCase):
    """With a time that the watchdog takes. ich9-tco lets it pass twice before it resets."""

    seconds = {"uefi": 2}

    def test_expires(self):
        """The machine is reset when nobody feeds a watchdog, no sooner than it was told, and starts as ever."""
        for device, node in self.each("watchdog"):
            if device.model not in self.seconds:
                continue
            seconds = self.seconds[device.model]
            self.board.events()
            started = time.monotonic()  # by the host's clock: a guest that has to wait for its turn counts nothing
            self.press(f"wd -d {node} {seconds}\r")
            while not any(x["event"] == "RESET" for x in self.board.events()):
                self.assertLess(time.monotonic() - started, 120, "no reset")
                time.sleep(0.05)
            self.assertGreaterEqual(time.monotonic() - started, seconds, "the watchdog is too fast")
            self.see("^Hit ", seconds=120)
            self.press("\r")
            self.prompt()


class SlowExpiryTest(ExpiryTest):
    slow = True
    seconds = {"ich9-tco": 4}

    def test_fed(self):
        """A watchdog that is fed in time lets the machine go on, longer than it would wait."""
        for _, node in self.each("watchdog"):
            loop = f"for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1; wd -d {node} -p; done"
            self.board.events()
            self.shell(f"wd -d {node} 5; {loop}; wd -d {node} 0", seconds=60)
            self.assertFalse([x for x in self.board.events() if x["event"] == "RESET"])
