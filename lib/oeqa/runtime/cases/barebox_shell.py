# SPDX-License-Identifier: MIT
"""barebox's shell computes, decides, repeats, quotes, and keeps files."""

import hashlib
import zlib

from oeqa.barebox import case, errors

DIGESTS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")


class ShellTest(case.BootloaderTestCase):
    def test_status(self):
        """Every command leaves its exit status."""
        self.shell("true")
        self.shell("false", status=1)
        self.shell("test 1 = 2", status=1)
        self.shell("no_such_command", status=127)

    def test_status_of_list(self):
        """The last command that ran decides the status of a list."""
        self.assertEqual(self.shell("false || echo other"), ["other"])
        self.assertEqual(self.shell("false && echo never", status=1), [])
        self.assertEqual(self.shell("true && echo then; true"), ["then"])

    def test_status_of_condition(self):
        """A condition that is not met is no failure."""
        for line in ("if false; then true; fi", "false; if false; then true; elif false; then true; fi"):
            self.shell(line)
        self.shell("while false; do true; done")

    def test_variables(self):
        """Variables hold what was assigned, and vanish in an empty assignment."""
        self.shell("animal=otter")
        self.assertEqual(self.answer("echo $animal ${animal}s"), "otter otters")
        self.shell("animal=")
        self.assertEqual(self.answer("echo [$animal]"), "[]")

    def test_global_variables(self):
        """Global variables outlive the line and appear in the list."""
        self.shell("global otters=7")
        self.assertEqual(self.answer("echo $global.otters"), "7")
        self.assertTrue([x for x in self.shell("global") if "otters: 7" in x])

    def test_several_variables(self):
        """global and nv assign several variables at once, and remove them by a pattern."""
        self.need("CMD_NV", "nv")
        for command in ("global", "nv"):
            self.shell(f"{command} river=wide pond.a=deep pond.b=")
            found = self.answer(f"echo [${command}.river] [${command}.pond.a] [${command}.pond.b]")
            self.assertEqual(found, "[wide] [deep] []", command)
            self.shell(f"{command} -r 'pond.*'")
            listed = "\n".join(self.shell(command))
            self.assertEqual(("river: wide" in listed, "pond" in listed), (True, False), listed)
            self.shell(f"{command} -r river")

    def test_choice(self):
        """A variable of a few values takes none but these, also not an empty one."""
        name = "global.bootm.verify"
        self.need("CMD_BOOTM", "bootm")
        before = self.answer(f"echo ${name}")
        for value in ("", "otter"):
            result = self.attempt(f"{name}={value}")
            self.assertNotEqual(result.status, 0, str(result))
            self.assertEqual(self.answer(f"echo ${name}"), before)

    def test_if(self):
        """if, elif and else take the right branch."""
        script = "if [ $n = 1 ]; then echo one; elif [ $n = 2 ]; then echo two; else echo many; fi"
        for n, word in ((1, "one"), (2, "two"), (3, "many")):
            self.assertEqual(self.answer(f"n={n}; {script}"), word)

    def test_loops(self):
        """for and while repeat as often as they should."""
        self.assertEqual(self.shell("for i in a b c; do echo $i; done"), ["a", "b", "c"])
        self.assertEqual(self.shell('n=; while [ "$n" != xxx ]; do n="${n}x"; echo $n; done'), ["x", "xx", "xxx"])

    def test_quoting(self):
        """Quotes keep blanks and separators, and single ones dollars too."""
        self.assertEqual(self.answer('echo "a  b;c"'), "a  b;c")
        self.assertEqual(self.answer("v=x; echo \"$v\" '$v'"), "x $v")

    def test_escaped(self):
        """A blank behind a backslash parts no words."""
        self.assertEqual(self.answer("echo a\\ \\ b  c"), "a  b c")
        self.shell("mkdir -p /blanks; echo -o /blanks/one\\ two otter")
        self.assertEqual(self.answer("cat '/blanks/one two'; rm /blanks/one\\ two"), "otter")

    def test_quotes_in_values(self):
        """Quotes in a variable's value are a part of it."""
        self.assertEqual(self.answer('v=\'a"b\'; echo "$v"'), 'a"b')

    def test_echo(self):
        """echo leaves out the line's end with -n, and takes escapes with -e alone."""
        self.assertEqual(self.shell("echo -n otter; echo s"), ["otters"])
        self.assertEqual(self.answer("echo 'a\\nb'"), "a\\nb")
        self.need("CMD_ECHO_E", "echo")
        self.assertEqual(self.shell("echo -e 'a\\nb'"), ["a", "b"])

    def test_line_editing(self):
        """Backspace takes back what was typed."""
        self.assertEqual(self.shell("echo oxx\b\btterr\x7fs")[-1], "otters")

    def test_long_command(self):
        """A command of 1000 characters arrives whole."""
        text = "".join(chr(ord("a") + i % 26) for i in range(995))
        self.assertEqual(self.answer(f"echo {text}"), text)

    def test_refused_line(self):
        """An open quote and a syntax error are refused, and the shell goes on."""
        for line in ('echo "open', "if true", "echo a | cat"):
            with self.assertRaises(errors.ShellError, msg=line):
                self.attempt(line)
        self.assertEqual(self.answer("echo alive"), "alive")


class FileTest(case.BootloaderTestCase):
    folder = "/filetest"

    def setUp(self):
        super().setUp()
        self.need("CMD_MKDIR", "mkdir")
        self.shell(f"rm -r {self.folder}; mkdir {self.folder}")

    def test_write_read(self):
        """What is written and appended is read back."""
        self.shell(f"echo -o {self.folder}/a first; echo -a {self.folder}/a second")
        self.assertEqual(self.shell(f"cat {self.folder}/a"), ["first", "second"])

    def test_copy_compare_remove(self):
        """A copy equals its source until one of them is changed, and is gone once removed."""
        self.need("CMD_MEMCMP", "memcmp")
        a, b = f"{self.folder}/a", f"{self.folder}/b"
        self.shell(f"echo -o {a} some text; cp {a} {b}")
        self.shell(f"memcmp -s {a} -d {b} 0 0 10")
        self.shell(f"echo -o {b} more text")
        self.assertNotEqual(self.attempt(f"memcmp -s {a} -d {b} 0 0 10").status, 0)
        self.shell(f"rm {b}")
        self.shell(f"test -e {b}", status=1)

    def test_parts(self):
        """Files are copied and compared from a place on, up to their end where no amount is named, and no further."""
        self.need("CMD_MEMCPY", "memcpy")
        self.need("CMD_MEMCMP", "memcmp")
        self.shell("echo -n -o /digits 0123456789; memcpy -s /digits -d /part 4 2; memcmp -s /digits -d /part 4 2")
        self.assertEqual(self.answer("ls -l /part").split()[1], "8")
        self.assertEqual(self.dump("/part", 8), b"\0\x00456789")
        for command in ("memcpy -s /digits -d /more 0 0 100", "memcmp -s /digits -d /part 3 2"):
            self.assertNotEqual(self.attempt(command).status, 0, command)
        self.shell("rm /digits /part /more")

    def test_folders(self):
        """Folders nest, are listed, and are removed when they are empty only."""
        self.shell(f"mkdir -p {self.folder}/x/y; echo -o {self.folder}/x/file text")
        self.assertEqual(sorted(" ".join(self.shell(f"ls {self.folder}/x")).split()), ["file", "y"])
        self.assertNotEqual(self.attempt(f"rmdir {self.folder}/x").status, 0)
        self.shell(f"rm {self.folder}/x/file; rmdir {self.folder}/x/y; rmdir {self.folder}/x")
        self.shell(f"test -d {self.folder}/x", status=1)

    def test_digests(self):
        """Digests are those that the test computes itself."""
        text = "the quick brown fox"
        self.shell(f"echo -o {self.folder}/text {text}")
        for name in self.available():
            expected = hashlib.new(name, f"{text}\n".encode()).hexdigest()
            self.assertEqual(self.answer(f"{name}sum {self.folder}/text").split()[0], expected)

    def available(self):
        """The digests that there are commands for."""
        symbols = self.board.symbols
        found = [name for name in DIGESTS if symbols is None or f"CMD_{name.upper()}SUM" in symbols]
        self.assertTrue(found, "the configuration has no digest command at all")
        return found

    def test_digest_lengths(self):
        """Digests are right where the data end at, before and behind the end of a digest's own block."""
        self.need("CMD_MEMSET", "memset")
        for length in (0, 55, 56, 57, 63, 64, 65, 111, 112, 119, 120, 127, 128):
            self.shell(f"rm -f {self.folder}/text; echo -n -o {self.folder}/text")
            self.shell(f"memset -d {self.folder}/text 0 0x61 {length}")
            for name in self.available():
                digest = self.answer(f"{name}sum {self.folder}/text").split()[0]
                self.assertEqual(digest, self.hash(b"a" * length, name), f"{name} of {length} bytes")

    def test_grown(self):
        """A file that grew piece by piece is whole, and can be written over the borders of its pieces."""
        pieces = [f"{n}" * (1 + n * 7 % 90) for n in range(16)]
        for n, piece in enumerate(pieces):
            self.shell(f"echo {'-a' if n else '-o'} {self.folder}/grown {piece}")
        content = "".join(f"{piece}\n" for piece in pieces).encode()
        name = self.available()[0]
        self.assertEqual(self.answer(f"{name}sum {self.folder}/grown").split()[0], self.hash(content, name))
        part = "otters swim " * 30
        self.shell(
            f"echo -n -o {self.folder}/part '{part}'; memcpy -s {self.folder}/part -d {self.folder}/grown 0 33 300"
        )
        content = content[:33] + part[:300].encode() + content[333:]
        self.assertEqual(self.answer(f"{name}sum {self.folder}/grown").split()[0], self.hash(content, name), "over all")

    def test_crc32(self):
        """crc32 over a file is the CRC of IEEE 802.3."""
        self.need("CMD_CRC", "crc32")
        for text in ("otter", "otters", "otters swim in the river"):
            self.shell(f"echo -o {self.folder}/text {text}")
            crc = int(self.answer(f"crc32 -f {self.folder}/text").split()[-1], 16)
            self.assertEqual(crc, zlib.crc32(f"{text}\n".encode()), text)

    def test_crc32_compared(self):
        """crc32 compares with a sum and with another file, and keeps what it computed in a variable."""
        self.need("CMD_CRC_CMP", "crc32")
        crc = zlib.crc32(b"otters swim\n")
        self.shell(f"echo -o {self.folder}/text otters swim; echo -o {self.folder}/other otters Swim")
        command = f"crc32 -f {self.folder}/text"
        self.shell(f"{command} -v {crc:#x}")
        self.shell(f"{command} -v {crc ^ 1 << 31:#x}", status=1)
        self.shell(f"cp {self.folder}/text {self.folder}/same; {command} -F {self.folder}/same")
        self.shell(f"{command} -F {self.folder}/other", status=1)
        self.shell(f"{command} -r sum -s size")
        self.assertEqual([int(x, 0) for x in self.answer("echo $sum $size").split()], [crc, 12])
