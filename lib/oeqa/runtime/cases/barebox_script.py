# SPDX-License-Identifier: MIT
"""barebox's shell runs scripts: arguments, nested loops, arithmetic, tests, wildcards, options and files."""

import random
import re
import time

from oeqa.barebox import case

FOLDER = "/script"


class ScriptTest(case.BootloaderTestCase):
    def setUp(self):
        super().setUp()
        self.need("CMD_MKDIR", "mkdir")
        self.shell(f"rm -r {FOLDER}; mkdir {FOLDER}")

    def script(self, name, *lines):
        """A file with a script, one line of which has no single quote."""
        path = f"{FOLDER}/{name}"
        for number, line in enumerate(lines):
            self.shell(f"echo {'-a' if number else '-o'} {path} '{line}'")
        return path

    def test_arguments(self):
        """A script gets its name, its arguments and their number, and gives its exit status."""
        path = self.script("args", "echo $0: $1, $2 of $#", "exit 3")
        self.assertEqual(self.shell(f'sh {path} one "two words" three', status=3), [f"{path}: one, two words of 3"])

    def test_exit_status(self):
        """Without a number, exit hands on the status of the command before it, as the end of a script does."""
        for line, status in (("false; exit", 1), ("true; exit", 0), ("exit 4", 4), ("false", 1), ("false; true", 0)):
            self.shell(f"sh {self.script('ends', line)}", status=status)

    def test_empty_arguments(self):
        """An empty argument in quotes is one, and a variable without a value is none but in quotes."""
        path = self.script("empty", "echo $#: $1, $2")
        expected = {'"" x': "2: , x", "'' ''": "2: ,", "$v x": "1: x,", '"$v" x': "2: , x", '"$v"x': "1: x,"}
        for arguments, line in expected.items():
            self.assertEqual(self.answer(f"v=; sh {path} {arguments}").rstrip(), line, arguments)
        self.assertEqual(self.shell('for i in "" x ""; do echo ${i}.; done'), [".", "x.", "."])

    def test_called(self):
        """A script is called by its path, by one from its folder on, and by its name where PATH leads to it; it is
        sourced with arguments of its own; one that there is not has an error's status."""
        path = self.script("called", "#!/bin/sh", "echo called $0 $1", "exit 5")
        self.assertEqual(self.shell(f"{path} a", status=5), [f"called {path} a"])
        self.assertEqual(self.shell(f"cd {FOLDER}; ./called b; v=$?; cd /; [ $v = 5 ]"), ["called ./called b"])
        line = self.answer(f"v=$PATH; PATH=/nowhere:{FOLDER}; called c; PATH=$v")
        self.assertRegex(line, r"^called (\S*/)?called c$")
        path = self.script("sourced", "echo sourced $#: $1")
        self.assertEqual(self.shell(f". {path} q r; source {path} s"), ["sourced 2: q", "sourced 1: s"])
        for command in ("source", ". /nothing", "sh /nothing", f"{FOLDER}/nothing", "/env"):
            self.assertNotEqual(self.attempt(command).status, 0, command)

    def test_dollars(self):
        """A dollar before nothing that is a name is one, also in quotes."""
        self.assertEqual(self.answer("a=3; echo $a$ a$ b '$' \"$\" ${a}x$a $"), "3$ a$ b $ $ 3x3 $")

    def test_all_arguments(self):
        """$* stands for all arguments, in their order."""
        lines = self.shell(f"sh {self.script('all', 'echo all: $*')} one two three")
        self.assertEqual([x.rstrip() for x in lines], ["all: one two three"])

    def test_own_variables(self):
        """What a script assigns is its own, what a sourced one assigns stays."""
        path = self.script("assign", "v=inside", "echo $v")
        self.assertEqual(self.shell(f"v=outside; sh {path}; echo $v"), ["inside", "outside"])
        self.assertEqual(self.shell(f"v=outside; . {path}; echo $v"), ["inside", "inside"])

    def test_calls(self):
        """Scripts call each other, eight deep, and come back."""
        for depth in range(8):
            self.script(f"call{depth}", f"echo in {depth}", f"sh {FOLDER}/call{depth + 1}", f"echo out {depth}")
        self.script("call8", "echo bottom")
        ways = [f"in {n}" for n in range(8)], [f"out {n}" for n in reversed(range(8))]
        self.assertEqual(self.shell(f"sh {FOLDER}/call0"), [*ways[0], "bottom", *ways[1]])

    def test_exported(self):
        """Scripts see exported variables, as they are at the time, over several calls, and export none upwards."""
        self.shell("export otter=1; otter=2; echo -o /inner 'echo [$otter] [$beaver]'; echo -o /middle 'sh /inner'")
        self.shell("echo -o /outer 'export beaver=3; sh /middle'")
        self.assertEqual(self.shell("sh /inner; sh /outer; sh /middle"), ["[2] []", "[2] [3]", "[2] []"])

    def test_many_lines(self):
        """A script of some hundred lines runs to its end, in order."""
        lines = [f'n="{number}"; echo line $n' for number in range(120)]
        self.assertEqual(self.shell(f"sh {self.script('long', *lines)}", seconds=60), [f"line {n}" for n in range(120)])

    def test_block_over_lines(self):
        """Loops and branches may be written over several lines, within each other."""
        path = self.script(
            *("blocks", "for i in 1 2 3; do", "for j in a b; do", "if [ $i$j = 2a ]; then", "echo here"),
            *("else", "echo $i$j", "fi", "done", "done"),
        )
        self.assertEqual(self.shell(f"sh {path}"), ["1a", "1b", "here", "2b", "3a", "3b"])

    def test_count(self):
        """A loop counts to a hundred with let, and until it is told."""
        self.need("CMD_LET", "let")
        self.assertEqual(self.answer("n=0; while [ $n -lt 100 ]; do let n++; done; echo $n"), "100")
        self.assertEqual(self.answer("n=9; until [ $n -eq 0 ]; do let n=n-3; done; echo $n"), "0")

    def test_options(self):
        """getopt finds options and their arguments, with a blank between them or not."""
        self.need("CMD_GETOPT", "getopt")
        path = self.script("options", 'while getopt "ab:c" o; do echo $o[$OPTARG]; done')
        lines = self.attempt(f"OPTARG=; sh {path} -a -b word rest").lines
        self.assertEqual([x for x in lines if "[" in x], ["a[]", "b[word]"])
        lines = self.attempt(f"OPTARG=; sh {path} -cbword rest").lines
        self.assertEqual([x for x in lines if "[" in x], ["c[]", "b[word]"])
        for words in ("-cb word -a rest", "-cbword -a rest"):
            lines = self.attempt(f"OPTARG=; sh {path} {words}").lines
            self.assertEqual([x[0] for x in lines if "[" in x], ["c", "b", "a"], words)
        path = self.script("rest", 'while getopt "ab:" o; do true; done', "echo $# $1 $2 [$*]")
        self.assertEqual(self.attempt(f"sh {path} -a -b word one two").lines, ("2 one two [one two ]",))

    def test_read_line(self):
        """readf reads a file's first line into a variable, without the blanks around it."""
        self.need("CMD_READF", "readf")
        self.shell(f"echo -o {FOLDER}/line '  some words '; echo -a {FOLDER}/line more; readf {FOLDER}/line v")
        self.assertEqual(self.answer("echo [$v]"), "[some words]")

    def test_wildcards(self):
        """*, ? and [] stand for the files that are there, and for themselves where there are none."""
        for name in ("a1", "a2", "b1", "c"):
            self.shell(f"echo -o {FOLDER}/{name} {name}")
        patterns = {
            "a*": "a1 a2",
            "?1": "a1 b1",
            "[bc]*": "b1 c",
            "*": "a1 a2 b1 c",
            "[a-b]1": "a1 b1",
            "[!a]*": "b1 c",
        }
        for pattern, names in patterns.items():
            expected = " ".join(f"{FOLDER}/{name}" for name in names.split())
            self.assertEqual(self.answer(f"echo {FOLDER}/{pattern}"), expected)
        self.assertEqual(self.answer(f"echo {FOLDER}/x*"), f"{FOLDER}/x*")

    def test_wildcards_for_folders(self):
        """A pattern for folders finds the files of each, also behind a folder that has none."""
        for folder, name in (("a", "n0"), ("b", "y1"), ("c", "n2"), ("d", "y3")):
            self.shell(f"mkdir {FOLDER}/{folder}; echo -o {FOLDER}/{folder}/{name} x")
        self.assertEqual(self.answer(f"echo {FOLDER}/*/y*"), f"{FOLDER}/b/y1 {FOLDER}/d/y3")

    def test_comments(self):
        """A comment ends its line and nothing more."""
        path = self.script("comments", "# echo first", "echo second # third", 'echo "# fourth"')
        self.assertEqual([x.rstrip() for x in self.shell(f"sh {path}")], ["second", "# fourth"])


class ListTest(case.BootloaderTestCase):
    def test_and_or(self):
        """Each command of a list of && and || is decided by the status before it."""
        expected = {
            "false && echo a || echo b": ["b"],
            "true || echo a && echo b": ["b"],
            "false || false && echo a || echo b": ["b"],
            "true && false || echo c": ["c"],
            "true || echo a; echo b": ["b"],
        }
        self.assertEqual({line: list(self.attempt(line).lines) for line in expected}, expected)


class TestCommandTest(case.BootloaderTestCase):
    def check(self, expected):
        """Each expression of test with its exit status."""
        wrong = {x: s for x, s in expected.items() if self.attempt(f"test {x}").status != s}
        self.assertEqual(wrong, {}, "expressions with the status that they should have")

    def test_numbers(self):
        """Numbers compare as numbers."""
        a, b = sorted(random.sample(range(2, 1000000), 2))
        self.check({f"{a} -lt {b}": 0, f"{b} -lt {a}": 1, f"{a} -le {a}": 0, f"{b} -gt {a}": 0, f"{a} -gt {a}": 1})
        self.check({f"{a} -ge {b}": 1, f"{a} -ge {a}": 0, f"{a} -eq {a}": 0, f"{a} -eq {b}": 1, f"{a} -ne {b}": 0})
        self.check({f"{a} -lt {a}": 1, f"{b} -le {a}": 1, f"{a} -le {b}": 0, f"{a} -ne {a}": 1, f"{a} -gt {b}": 1})
        self.check({"9 -lt 10": 0, "10 -lt 9": 1, "-1 -lt 1": 0, "0x10 -eq 16": 0, "-2 -gt -1": 1})
        self.check({f"{a} -gt -{b}": 0, f"{a} -lt -{b}": 1, f"-{b} -lt {a}": 0, f"{a} -eq -{a}": 1})

    def test_strings(self):
        """Strings compare as strings, and an empty one is one."""
        self.check({"otter = otter": 0, "otter = otte": 1, "otter != beaver": 0, "otter != otter": 1})
        self.check({'-z ""': 0, "-z x": 1, '-n ""': 1, "-n x": 0})

    def test_files(self):
        """Files, folders, links, devices, empty files and what is not there are told apart."""
        self.need("CMD_LN", "ln")
        self.shell("rm -f /tested-link; echo -o /tested x; echo -n -o /tested-empty; ln /tested /tested-link")
        self.check(
            {"-s /tested": 0, "-s /tested-empty": 1, "-L /tested-link": 0, "-L /tested": 1, "-f /tested-link": 0}
        )
        self.check({"-c /dev/zero": 0, "-c /tested": 1, "-b /tested": 1, "-f /tested-link": 0})
        self.check({"-e /tested": 0, "-f /tested": 0, "-d /tested": 1, "-d /dev": 0, "-f /dev": 1, "-e /nowhere": 1})

    def test_joined(self):
        """!, -a and -o join expressions."""
        self.check({"1 = 1 -a 2 = 2": 0, "1 = 1 -a 2 = 3": 1, "1 = 0 -o 2 = 2": 0, "1 = 0 -o 2 = 3": 1, "! 1 = 2": 0})

    def test_brackets(self):
        """[ and [[ are test, with their other half; without it, they fail and say so."""
        for line in ("[ otter = otter ]", "[[ otter = otter ]]", "[ ! otter = heron ]", "[[ 2 -gt 1 ]]"):
            self.shell(line)
        for line in ("[ otter = heron ]", "[[ otter = heron ]]", "[ ]", '[ -n "" ]'):
            self.shell(line, status=1)
        for line, half in (("[ 1 = 1", "]"), ("[[ 1 = 1", "]]"), ("[[ 1 = 1 ]", "]]")):
            self.assertIn(f"missing `{half}'", self.shell(line, status=1)[0], line)

    def test_patterns(self):
        """[[ takes what is right of == for a pattern, [ does not."""
        self.addCleanup(self.attempt, "cd /; rmdir /empty")
        self.shell("mkdir /empty; cd /empty")  # where no file's name is like a pattern
        yes = "ot*", "?tter", "o[a-z]*", "o[!a-c]*r", "*er", "o*t*e*", "*[rs]", "otter", "otte[a-z]", "*?r", "o*?t*"
        no = (
            "be*",
            "??tter",
            "o[!t]*",
            "*x*",
            "o[t",
            "otte[a-q]",
            "OTTER",
            "otte",
            "tter",
            "?",
            "otter?",
            "otter*?",
            "*??????",
        )
        for pattern, status in ((p, s) for s, patterns in enumerate((yes, no)) for p in patterns):
            self.shell(f"[[ otter == {pattern} ]]", status=status)
            self.shell(f"[[ otter != {pattern} ]]", status=1 - status)
        self.shell("[ otter == ot* ]", status=1)
        self.shell("[[ 'o*r' == 'o\\*r' ]]")
        self.shell("[[ otter == 'o\\*r' ]]", status=1)

    def test_refused(self):
        """What is no expression fails, and what is no number is named."""
        self.assertIn("otter: integer expression expected", self.shell("test otter -eq 1", status=1)[0])
        self.assertIn("7x: integer expression expected", self.shell("test 1 -lt 7x", status=1)[0])
        for expression in ("", "otter", "-z", "-e", "1 ="):
            self.shell(f"test {expression}", status=1)


class LetTest(case.BootloaderTestCase):
    def setUp(self):
        super().setUp()
        self.need("CMD_LET", "let")

    def value(self, expression):
        return int(self.answer(f'let "x={expression}"; echo $x'))

    def test_operators(self):
        """let computes what Python computes, with C's precedence."""
        a, b, c = random.sample(range(2, 5000), 3)
        for expression in (f"{a}+{b}*{c}", f"({a}+{b})*{c}", f"{a}-{b}-{c}", f"{a}%{b}", f"{a}&{b}|{c}", f"{a}^{b}"):
            self.assertEqual(self.value(expression), eval(expression), expression)
        for expression in (f"{a}<<3", f"{a}>>2", "3**5", f"~{a}&0xffff", f"{a}*{b}*{c}", "0x7fffffffffffffff"):
            self.assertEqual(self.value(expression), eval(expression), expression)

    def test_like_c(self):
        """Division rounds to zero, comparisons give 1 or 0, and ?: chooses."""
        for expression, value in (("7/2", 3), ("-7/2", -3), ("5>3", 1), ("5<=3", 0), ("2==2", 1), ("!7", 0)):
            self.assertEqual(self.value(expression), value, expression)
        for expression, value in (("1?10:20", 10), ("0?10:20", 20), ("1&&0", 0), ("1||0", 1)):
            self.assertEqual(self.value(expression), value, expression)

    def test_assignments(self):
        """Assignments with an operator, and steps before and behind."""
        self.assertEqual(self.answer("x=10; let x+=5; let x*=2; let x-=1; let x/=3; echo $x"), "9")
        self.assertEqual(self.answer("x=6; let y=x++; let z=++x; echo $x $y $z"), "8 6 8")

    def test_refused(self):
        """A division by zero fails, and a result of 0 has status 1."""
        self.assertNotEqual(self.attempt("let x=1/0").status, 0)
        self.shell("let 5-5", status=1)
        self.shell("let 5")
        for expression in ("", "')'", "x="):
            self.shell(f"let {expression}", status=1)

    def test_several(self):
        """Several expressions are computed one after another, in any base; the last one decides the status."""
        self.assertEqual(self.answer('let a=0x10+010 b=a*2 "c = (a + 1) * 2"; echo $a $b $c'), "24 48 50")
        self.shell("let 0 1")
        self.shell("let 1 0", status=1)


class PathTest(case.BootloaderTestCase):
    def test_parts(self):
        """basename and dirname take a path apart."""
        self.need("CMD_BASENAME", "basename")
        self.need("CMD_DIRNAME", "dirname")
        self.assertEqual(self.answer("basename /a/b/c.d v; dirname /a/b/c.d w; echo $v $w"), "c.d /a/b")

    def test_links(self):
        """A symbolic link leads to its file, and is told from it."""
        self.need("CMD_LN", "ln")
        self.need("CMD_READLINK", "readlink")
        self.shell("rm -f /link; echo -o /linked otter; ln /linked /link")
        self.assertEqual(self.answer("cat /link"), "otter")
        self.assertEqual(self.answer("readlink /link v; echo $v"), "/linked")
        self.shell("rm /link; cat /linked")

    def test_folders(self):
        """cd and pwd agree, also on .. and on a folder that is not there."""
        self.need("CMD_PWD", "pwd")
        self.shell("mkdir -p /walk/in")
        self.assertEqual(self.shell("cd /walk/in; pwd; cd ..; pwd; cd /"), ["/walk/in", "/walk"])
        self.assertNotEqual(self.attempt("cd /nowhere").status, 0)
        self.assertEqual(self.answer("pwd"), "/")

    def test_name_of_its_folder(self):
        """A folder may have a folder and a file of its own name."""
        self.shell("rm -r /same; mkdir -p /same/same; echo -o /same/same/same otter; echo -o /same/other heron")
        self.assertEqual(self.shell("cat /same/same/same /same/other"), ["otter", "heron"])
        self.assertEqual(self.answer("ls /same/same").strip(), "same")

    def test_copy_tree(self):
        """cp -r copies folders with what is in them."""
        self.shell("rm -r /from /to; mkdir -p /from/a/b /to; echo -o /from/a/b/c deep; echo -o /from/d flat")
        self.shell("cp -r /from /to")
        self.assertEqual(self.shell("cat /to/from/a/b/c /to/from/d"), ["deep", "flat"])

    def test_copy_tree_incomplete(self):
        """cp -r fails where one of the files cannot be copied, whichever it is."""
        for name in ("a", "b", "c"):
            self.shell("rm -r /from /to; mkdir /from /to; echo -o /from/a x; echo -o /from/b x; echo -o /from/c x")
            self.shell(f"mkdir -p /to/from/{name}")
            result = self.attempt("cp -r /from /to")
            self.assertNotEqual(result.status, 0, f"{name} is in the way:\n{result}")

    def test_truncate(self):
        """truncate shortens a file and lengthens it with zeros."""
        self.need("CMD_TRUNCATE", "truncate")
        self.need("CMD_MD", "md")
        self.shell("echo -o /cut otters; truncate -s 3 /cut; truncate -s 8 /cut")
        self.assertIn("6f 74 74 00 00 00 00 00", self.answer("md -b -s /cut 0+8").replace("  ", " "))
        self.shell("memcpy -s /dev/prng -d /junk 0 0 60000; rm /junk; truncate -s 60000 /zeros")
        self.assertEqual(self.answer("sha256sum /zeros; rm /zeros").split()[0], self.hash(bytes(60_000)))

    def test_compare_files(self):
        """cmp tells equal files from others, also where one is the other's beginning."""
        self.need("CMD_CMP", "cmp")
        self.shell("echo -o /one otter; cp /one /two; cmp /one /two")
        self.shell("echo -a /two more")
        self.assertNotEqual(self.attempt("cmp /one /two").status, 0)
        self.need("CMD_LET", "let")
        self.shell("n=0; while [ $n -lt 300 ]; do cmp /one /two; let n++; done; cmp /one /one", seconds=60)


class TimeTest(case.BootloaderTestCase):
    def test_sleep(self):
        """sleep and msleep take the time that the clock of barebox itself says, and time tells it."""
        self.need("CMD_TIME", "time")
        for command, least in (("msleep 250", 250), ("sleep 5", 5000)):  # the latter is more than 2^32 ns
            taken = int(self.shell(f"time {command}")[-1].removeprefix("time: ").removesuffix("ms"))
            self.assertIn(taken, range(least, least + 200), command)

    def test_nanoseconds(self):
        """time -n tells nanoseconds, and uptime the time since the start, which both clocks agree on."""
        self.need("CMD_TIME", "time")
        taken = int(re.fullmatch(r"time: (\d+)ns", self.shell("time -n msleep 120")[-1])[1])
        self.assertIn(taken, range(120 * 10**6, 600 * 10**6))
        self.assertNotEqual(self.attempt("time").status, 0)
        self.need("CMD_UPTIME", "uptime")
        lines = self.shell("uptime -n; msleep 200; uptime -n; uptime")
        first, second = (int(re.fullmatch(r"up (\d+)ns", line)[1]) for line in lines[:2])
        self.assertIn(second - first, range(200 * 10**6, 10**9))
        self.assertRegex(lines[2], r"^up .*\d seconds?$")

    def test_host_clock(self):
        """A second of barebox' is one of the host's; of three tries the fastest counts, as the host may be busy."""
        taken = []
        for _ in range(3):
            started = time.monotonic()
            self.shell("sleep 1")
            taken.append(time.monotonic() - started)
            if min(taken) < 1.5:
                break
        self.assertTrue(0.9 < min(taken) < 1.5, f"sleep 1 took {taken} s")
