# SPDX-License-Identifier: MIT
"""barebox keeps a log of its messages: which of them, with what in front, and how many."""

import re

from oeqa.barebox import case

LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")


class LogTest(case.BootloaderTestCase):
    needs = ("CMD_DMESG",)

    def messages(self, options=""):
        """The log, without the warnings that come on a busy host whenever they like."""
        return [line for line in self.shell(f"dmesg {options}") if "takes unexpectedly long" not in line]

    def test_emitted(self):
        """A message of one's own is printed, and stands last in the log, as an information and nothing graver."""
        self.assertEqual([x.strip() for x in self.shell("dmesg -e otters swim 1")], ["otters swim 1"])
        for options in ("", "-l info", "-l 6", "-l err,info", "-p info", "-p 6"):
            self.assertEqual(self.messages(options)[-1].strip(), "otters swim 1", options)
        for options in ("-l err", "-l emerg,notice", "-p notice", "-l debug", "-l 5"):
            self.assertNotIn("otters swim 1", "\n".join(self.messages(options)), options)

    def test_levels(self):
        """Each message of the log is of one level, and the levels up to one are those of it and of each graver one."""
        whole = self.messages()
        self.assertEqual(sum(len(self.messages(f"-l {level}")) for level in LEVELS), len(whole))
        for number, level in enumerate(LEVELS):
            names = ",".join(LEVELS[: number + 1])
            self.assertEqual(self.messages(f"-p {level}"), self.messages(f"-l {names}"), level)

    def test_raw(self):
        """With -r, the level and the time since the start stand in front, with -t the time alone, and it grows."""
        self.shell("dmesg -e otters swim 2")
        raw = [re.fullmatch(r"<(\d)>\[ *(\d+)us\] (.*)", line) for line in self.messages("-r")]
        self.assertNotIn(None, raw)
        self.assertEqual((raw[-1][1], raw[-1][3].strip()), ("6", "otters swim 2"))
        times = [int(found[2]) for found in raw]
        self.assertEqual(times, sorted(times))
        timed = self.messages("-t")
        self.assertEqual([re.fullmatch(r"\[ *(\d+)us\] .*", line)[1] for line in timed], [str(x) for x in times])
        plain = [re.sub("^[A-Z]+: ", "", line) for line in self.messages()]  # of the graver ones, the level comes first
        self.assertEqual([found[3] for found in raw], plain)

    def test_differences(self):
        """With -d, the time since the message before stands in front."""
        times = [int(re.match(r"\[ *(\d+)us\]", line)[1]) for line in self.messages("-t")]
        found = [int(re.match(r"\[ < *(\d+)us\]", line)[1]) for line in self.messages("-d")]
        self.assertEqual(found, [times[0], *(later - earlier for earlier, later in zip(times, times[1:]))])

    def test_quiet(self):
        """A message that is less grave than the console's level is not printed, and logged all the same."""
        self.addCleanup(self.attempt, "global.loglevel=7")
        for command in ("dmesg -n err", "dmesg -n 3", "global.loglevel=3", "dmesg -n 5"):
            self.shell("global.loglevel=7")
            self.assertEqual(self.shell(f"{command}; dmesg -e otters hide"), [], command)
            self.assertEqual(self.answer("echo $global.loglevel"), command[-1].replace("r", "3"))
            self.assertEqual(self.messages()[-1].strip(), "otters hide")
        for number, level in enumerate(LEVELS):
            self.assertEqual(self.answer(f"dmesg -n {level}; echo $global.loglevel"), str(number))

    def test_refused(self):
        """Levels that there are not are refused, and change nothing."""
        before = self.answer("echo $global.loglevel")
        for options in ("-l otter", "-l 9", "-l err,otter", "-p err,info", "-n otter", "-n 9", "-n", "-cx", "-x"):
            self.assertNotEqual(self.attempt(f"dmesg {options}").status, 0, options)
        self.assertEqual(self.answer("echo $global.loglevel"), before)

    def test_cleared(self):
        """-c empties the log once it is printed, or leaves its last messages; of more than are to be kept, the oldest
        go."""
        self.addCleanup(self.board.discard)  # other cases read the log
        for number in range(5):
            self.shell(f"dmesg -e number {number}")
        whole = self.messages("-c3")
        self.assertEqual([x.strip() for x in whole[-3:]], [f"number {n}" for n in (2, 3, 4)])
        self.assertEqual(self.messages("-c 2"), whole[-3:])
        self.assertEqual(self.messages("-c"), whole[-2:])
        self.assertEqual(self.messages(), [])
        self.shell("global.log_max_messages=4")
        for number in range(9):
            self.shell(f"dmesg -e number {number}")
        self.assertEqual([x.strip() for x in self.messages()], [f"number {n}" for n in range(5, 9)])
