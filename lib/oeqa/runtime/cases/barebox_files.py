# SPDX-License-Identifier: MIT
"""Commands on files and folders, with each of their options: where they write to, what they follow, what they leave."""

import random
import re

from oeqa.barebox import case

FOLDER = "/files"


class FilesCase(case.BootloaderTestCase):
    def setUp(self):
        super().setUp()
        self.need("CMD_MKDIR", "mkdir")
        self.shell(f"cd /; rm -r {FOLDER}; mkdir {FOLDER}; cd {FOLDER}; echo -o one otter; echo -o two heron")
        self.addCleanup(self.attempt, f"cd /; rm -r {FOLDER}")

    def refused(self, *commands):
        """Each command says by its status that it failed."""
        for command in commands:
            result = self.attempt(command)
            self.assertNotEqual(result.status, 0, f"{command}:\n{result}")

    def names(self, path="."):
        return " ".join(self.shell(f"ls {path}")).split()

    def size(self, path):
        return int(self.answer(f"ls -l {path}").split()[1])


class CatTest(FilesCase):
    def test_over(self):
        """cat -o puts files one after another into a file, in place of what was there."""
        self.shell("echo -o all something that is much longer; cat -o all two one")
        self.assertEqual(self.shell("cat all"), ["heron", "otter"])
        self.assertEqual(self.size("all"), 12)

    def test_behind(self):
        """cat -a puts files behind what is in a file, which is made where there is none."""
        self.shell("cat -a all one; cat -a all two one")
        self.assertEqual(self.shell("cat all"), ["otter", "heron", "otter"])

    def test_large(self):
        """cat -o copies each byte, those too that cannot be shown, and over the length of its buffer."""
        self.need("CMD_SHA256SUM", "sha256sum")
        content = random.randbytes(9000)
        self.shell(f"cat -o all {self.shared(content)}")
        self.assertEqual(self.answer("sha256sum all").split()[0], self.hash(content))

    def test_shown(self):
        """A dot is shown for what is no text; lines and tabs are kept."""
        path = self.shared(b"a\tb\nc" + bytes(range(1, 9)) + b"\x80\x7fd\n")
        self.assertEqual([line.split() for line in self.shell(f"cat {path}")], [["a", "b"], [f"c{10 * '.'}d"]])
        path = self.shared(b"ab" * 700 + b"\1" + b"cd" * 700)
        self.assertEqual(self.shell(f"cat {path}"), [f"{'ab' * 700}.{'cd' * 700}"])

    def test_missing(self):
        """A file that is not there is an error, and a folder to write to is."""
        self.refused("cat nothing", "cat -o all nothing", "cat one nothing", f"cat -o {FOLDER} one", "cat")


class CopyTest(FilesCase):
    def test_folders_kept(self):
        """cp -r -n leaves files that are there as they are, in folders, too; cp -r replaces them."""
        self.shell("mkdir old; echo -o old/both old; mkdir new; echo -o new/both new; echo -o new/more more")
        self.shell("cp -r -n new/* old")
        self.assertEqual(self.answer("cat old/both"), "old")
        self.assertEqual(self.answer("cat old/more"), "more")
        self.shell("cp -r new/* old")
        self.assertEqual(self.answer("cat old/both"), "new")

    def test_kept(self):
        """cp -n leaves a file alone that is there, and copies to where there is none."""
        self.shell("cp -n two one; cp -n two three; mkdir in; cp one in; cp -n two in/one; cp -n two in")
        self.assertEqual(self.shell("cat one three in/one in/two"), ["otter", "heron", "otter", "heron"])

    def test_told(self):
        """cp -v shows how far it is, and copies all the same; without it, nothing is shown."""
        self.assertRegex("".join(self.shell("cp -v one three")), r"\[.*#.*")
        self.assertEqual(self.shell("cp two four"), [])
        self.assertEqual(self.shell("cat three four"), ["otter", "heron"])

    def test_several(self):
        """Several files are copied to a folder, and to nothing else."""
        self.shell("mkdir in; cp one two in")
        self.assertEqual(self.names("in"), ["one", "two"])
        self.refused("cp one two three", "cp one two nothing/in", "cp one", "cp nothing in", "cp one nothing/three")
        self.assertEqual(self.names(), ["in", "one", "two"])

    def test_shorter(self):
        """A copy of a short file over a long one is short."""
        self.shell("echo -o long otters swim in the river; cp one long")
        self.assertEqual(self.size("long"), 6)

    def test_new_folder(self):
        """cp -r makes the folder that it copies to."""
        self.shell("mkdir -p in/deep; cp one in/deep; cp -r in new")
        self.assertTrue([x for x in self.shell("ls -R new") if x.split() == ["one"]])
        self.refused("cp -r in new nothing")
        self.assertNotIn("nothing", self.names())


class ReadlinkTest(FilesCase):
    needs = ("CMD_READLINK", "CMD_LN")

    def setUp(self):
        super().setUp()
        self.shell(
            "mkdir -p in/deep; cp one in; ln ../one in/up; ln in/deep across; ln nowhere dangling; ln in/up twice"
        )

    def test_read(self):
        """A link reads as it was made, and what is none has nothing to read."""
        self.assertEqual(self.shell("readlink in/up; readlink dangling"), ["../one", "nowhere"])
        self.assertEqual(self.answer("v=before; readlink one v; echo $? [$v]"), "1 []")
        self.refused("readlink one", "readlink nothing", "readlink")

    def test_existing(self):
        """readlink -e tells where a path leads to, over links and folders, if that is there."""
        for path, place in (("twice", "one"), ("across/../up", "one"), ("in/./one", "in/one"), ("across", "in/deep")):
            self.assertEqual(self.answer(f"readlink -e {path}"), f"{FOLDER}/{place}", path)
        self.assertEqual(self.answer("readlink -e twice v; echo $v"), f"{FOLDER}/one")
        self.assertEqual(self.answer("readlink -e across/nothing v; echo $? [$v]"), "1 []")
        self.refused("readlink -e dangling", "readlink -e nothing")

    def test_all_but_last(self):
        """readlink -f does so, too, where the last part of the path is not there."""
        for path, place in (("twice", "one"), ("across/nothing", "in/deep/nothing"), ("./nothing", "nothing")):
            self.assertEqual(self.answer(f"readlink -f {path} v; echo $v"), f"{FOLDER}/{place}", path)
        self.assertEqual(self.answer("v=before; readlink -f nothing/nothing v; echo $? [$v]"), "1 []")

    def test_circle(self):
        """Links that lead to each other lead nowhere, which is told, and can be removed."""
        self.shell("ln second first; ln first second")
        for command in ("cat first", "ls first", "test -e first", "echo -o first x", "cd first"):
            result = self.attempt(command)
            self.assertNotEqual(result.status, 0, str(result))
        self.assertIn("Too many symbolic links", "\n".join(self.attempt("cat first").lines))
        self.assertEqual(self.answer("readlink first"), "second")
        self.shell("rm first second")


class StatTest(FilesCase):
    needs = ("CMD_STAT", "CMD_LN")

    def fields(self, options):
        """The file with what it leads to, size and kind."""
        text = "\n".join(self.shell(f"stat {options}"))
        return re.findall(r"(?m)^ *File: (.*)\n *Size: (\S+) +(?:Blocks: \S+ +)?(?:IO Block: \S+ +)?(.+?) *$", text)

    def test_kinds(self):
        """Name, size and kind of files, folders, links and devices are told, one after another."""
        self.shell("mkdir in; ln one link")
        found = self.fields("one in link /dev/zero")
        self.assertEqual([name for name, _, _ in found], ["one", "in", "link -> one", "/dev/zero"])
        kinds = [kind for _, _, kind in found]
        self.assertEqual(kinds, ["regular file", "directory", "symbolic link", "character special file"])
        self.assertEqual([size for _, size, _ in found], ["6", "0", "3", "stream"])

    def test_followed(self):
        """stat -L tells of what a link leads to."""
        self.shell("ln one link")
        self.assertEqual([x[1:] for x in self.fields("-L link")], [("6", "regular file")])
        self.shell("ln nothing dangling; stat dangling")
        self.refused("stat -L dangling")

    def test_relative(self):
        """stat -c looks from a folder on, stat -C takes its file system for the whole."""
        self.shell("mkdir in; echo -o in/inner otters")
        self.assertEqual(self.fields("-c in inner")[0][1], "7")
        self.assertEqual(self.fields(f"-c in {FOLDER}/one")[0][1], "6")
        self.refused("stat -c in one", "stat -c nothing one", "stat -c one one")
        share, _, name = self.shared(b"otters swim").rpartition("/")
        self.assertEqual(self.fields(f"-C {share} /{name}")[0][1], "11")
        self.refused(f"stat -C {share} {FOLDER}/one", f"stat -c {share} /{name}")

    def test_missing(self):
        """One file that is not there is an error, and the others are told of all the same."""
        result = self.attempt("stat one nothing two")
        self.assertNotEqual(result.status, 0)
        self.assertEqual([x for x in result.lines if "File: " in x], ["  File: one", "  File: two"])


class ListTest(FilesCase):
    def test_several(self):
        """ls lists files before folders, each folder by its name, and fails where one is missing."""
        self.shell("mkdir in other; cp one in; cp two other")
        result = self.attempt("ls other one nothing in two")
        self.assertNotEqual(result.status, 0)
        lines = [line.split() for line in result.lines if "nothing" not in line]
        self.assertEqual(lines, [["one", "two"], ["other:"], ["two"], ["in:"], ["one"]])
        self.refused("ls nothing")

    def test_long(self):
        """ls -l tells kind, size and a link's target, ll too, and ls -C of the names alone, sorted."""
        self.shell("mkdir in; ln two link")
        for command in ("ls -l", "ls -C -l", "ll"):
            found = [line.split() for line in self.shell(f"{command} .")]
            self.assertEqual([words[2:] for words in found], [["in"], ["link", "->", "two"], ["one"], ["two"]], command)
            self.assertEqual(([w[0][0] for w in found], found[2][1]), (["d", "l", "-", "-"], "6"), command)
        self.assertEqual(" ".join(self.shell("ls -l -C")).split(), ["in", "link", "one", "two"])

    def test_columns(self):
        """Many names stand in columns of a line that is not too long."""
        names = [f"name-{number:03}" for number in range(40)]
        self.shell("; ".join(f"echo -o {name}" for name in names))
        lines = self.shell(f"ls {FOLDER}")
        self.assertEqual(sorted(" ".join(lines).split()), sorted([*names, "one", "two"]))
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertLess(len(lines), 12)

    def test_tree(self):
        """ls -R and tree go into each folder; tree counts them."""
        self.shell("mkdir -p in/deep; cp one in/deep/last")
        self.assertEqual([x for x in self.shell("ls -R .") if x.endswith(":")], [".:", "./in:", "./in/deep:"])
        self.need("CMD_TREE", "tree")
        lines = self.shell("tree .")
        found = [len(re.match("[^a-z]*", x)[0]) for x in sorted(lines[1:6], key=lambda x: x.split()[-1])]
        self.assertEqual(found, [8, 4, 12, 4, 4], "deep, in, last, one, two")
        self.assertEqual([int(x) for x in re.findall(r"\d+", lines[-1])][1], 3)


class FolderTest(FilesCase):
    needs = ("CMD_PWD",)

    def test_back(self):
        """cd - goes back and says where; cd alone goes to the root, which can be gone back from, too."""
        self.shell("mkdir -p in/deep; cd in; cd deep")
        self.assertEqual(self.shell("cd -; pwd; cd -"), [f"{FOLDER}/in", f"{FOLDER}/in", f"{FOLDER}/in/deep"])
        self.assertEqual(self.shell("cd; pwd; cd -; pwd"), ["/", *[f"{FOLDER}/in/deep"] * 2])

    def test_refused(self):
        """Where cd cannot go to, the folder is the same as before, and so is the one to go back to."""
        self.shell("mkdir in; cd in; cd ..")
        self.refused("cd nothing", "cd one")
        self.assertEqual(self.shell("pwd; cd -"), [FOLDER, f"{FOLDER}/in"])

    def test_nowhere(self):
        """cd - is refused where there is nothing to go back to."""
        self.need("CMD_SETENV", "setenv")
        self.assertIn("not set", self.shell("setenv OLDPWD; cd -", status=1)[0])
        self.assertEqual(self.answer("pwd"), FOLDER)

    def test_made(self):
        """mkdir refuses what is there and, without -p, what has no parent; rmdir refuses what is no folder."""
        self.shell("mkdir in; mkdir -p in; mkdir -p a/b a/c")
        self.assertEqual(self.names("a"), ["b", "c"])
        self.refused(
            "mkdir in", "mkdir x/y", "mkdir one", "mkdir -p one/x", "rmdir one", "rmdir nothing", "rm in", "rm nothing"
        )
        self.assertEqual(self.names(), ["a", "in", "one", "two"])


class TruncateTest(FilesCase):
    needs = ("CMD_TRUNCATE",)

    def test_missing(self):
        """truncate -c does not make a file, and does not complain of one that is not there."""
        self.assertEqual(self.shell("truncate -c -s 5 nothing"), [])
        self.shell("test -e nothing", status=1)

    def test_longer(self):
        """truncate lengthens by an amount with a plus, each of several files by its own length."""
        self.shell("echo -o three otters swim; truncate -s +4 one three new; truncate -s +1k one")
        self.assertEqual([self.size(x) for x in ("one", "three", "new")], [6 + 4 + 1024, 12 + 4, 4])
        self.assertEqual(self.dump("one", 10), b"otter\n\0\0\0\0")

    def test_to(self):
        """truncate sets a size, with a suffix too, and makes a file that is not there, unless it is told not to."""
        self.shell("truncate -s 2k one; truncate -s 3 new; truncate -c -s 2 two")
        self.assertEqual([self.size(x) for x in ("one", "two", "new")], [2048, 2, 3])
        self.attempt("truncate -c -s 5 missing")
        self.assertNotIn("missing", self.names())

    def test_refused(self):
        """A negative size, none, and a folder are refused, and nothing is cut."""
        self.refused("truncate -s -2 one", "truncate one", "truncate -s 2", f"truncate -s 2 {FOLDER}")
        self.assertEqual(self.answer("cat one"), "otter")


class PartsTest(FilesCase):
    def test_of_a_path(self):
        """basename and dirname take apart what has no folder, ends with a slash, or is the root."""
        self.need("CMD_BASENAME", "basename")
        self.need("CMD_DIRNAME", "dirname")
        for path, name, folder in (("otter", "otter", "."), ("/otter", "otter", "/"), ("a/b", "b", "a")):
            self.assertEqual(self.answer(f"basename {path} v; dirname {path} w; echo $v $w"), f"{name} {folder}", path)

    def test_compared(self):
        """cmp finds a difference in the first, a middle and the last byte of two files, and one that is missing."""
        self.need("CMD_CMP", "cmp")
        content = bytearray(random.randbytes(70_000))
        path = self.shared(content)
        self.shell(f"cmp {path} {self.shared(content)}")
        for place in (0, 4096, 69_999):
            content[place] ^= 4
            self.refused(f"cmp {path} {self.shared(content)}")
            content[place] ^= 4
        self.refused("cmp one nothing", "cmp nothing one", "cmp one")

    def test_read(self):
        """readf reads the first line of a file into a variable, and refuses what there is not."""
        self.need("CMD_READF", "readf")
        self.shell("echo -o text otters swim; echo -a text herons fly; echo -n -o bare beaver")
        self.assertEqual(self.answer('readf text v; readf bare w; echo "$v, $w"'), "otters swim, beaver")
        self.refused("readf nothing v", "readf text", f"readf {FOLDER} v")
        self.shell("truncate -s 1025 text")
        self.refused("readf text v")
