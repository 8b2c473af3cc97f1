# SPDX-License-Identifier: MIT
"""barebox keeps its environment over resets and power failures, refuses a damaged one, and takes what QEMU hands it."""

import random
import re
import zlib

from oeqa.barebox import case
from oeqa.barebox.keyboard import KeyboardCase
from oeqa.barebox.variant import Variant

# struct envfs_super in barebox' include/envfs.h: magic, priority, CRC32 and size of the data, flags, own CRC32.
MAGIC = 0x798FBA79.to_bytes(4, "little")
HEADER = 28


def number(content, place):
    return int.from_bytes(content[place : place + 4], "little")


def stored(content):
    """Place and size of each environment's data in a flash; the magic alone stands in barebox' own code, too."""
    place = content.find(MAGIC)
    while place >= 0:
        if zlib.crc32(content[place : place + HEADER - 4]) == number(content, place + HEADER - 4):
            yield place + HEADER, number(content, place + 12)
        place = content.find(MAGIC, place + 1)


class StoredCase(case.BootloaderTestCase):
    variant = Variant(flash=True)
    needs = ("CMD_SAVEENV", "CMD_NV")

    def setUp(self):
        super().setUp()
        self.word = f"w{random.getrandbits(64):x}"


class KeptTest(StoredCase):
    def test_over_reset(self):
        """Over a reset, a saved variable is kept, also as a global one; a changed one is saved by the reset itself."""
        self.shell(f"nv kept={self.word}; saveenv; nv late={self.word}")
        self.board.reset()
        self.assertEqual(self.answer("echo $nv.kept $global.kept $nv.late"), " ".join(3 * [self.word]))
        self.shell("nv.late=again; saveenv /backup")  # by assignment, and saved elsewhere
        self.board.reset()
        self.assertEqual(self.answer("echo $nv.late $global.late"), "again again")


class StoredTest(StoredCase):
    many_starts = True

    def test_init_scripts(self):
        """Each init script runs, in the order of their names, also behind one that fails."""
        self.shell("mkdir -p /env/init")
        for name, end in (("otter1", "false"), ("otter2", "exit 3"), ("otter3", "true")):
            self.shell(f"echo -o /env/init/{name} '#!/bin/sh'; echo -a /env/init/{name} 'echo this is {name}; {end}'")
        self.shell("saveenv")
        text = self.board.reset().text
        self.assertEqual(re.findall(r"this is (\w+)", text), ["otter1", "otter2", "otter3"])
        self.shell("rm /env/init/otter1 /env/init/otter2 /env/init/otter3; saveenv")

    def test_over_power_loss(self):
        """Over a power failure, saved values are kept as they are; removed and unsaved ones are gone."""
        values = {"blank": "a  b", "equals": "a=b=c", "quote": 'say "otter"', "long": self.word * 30}
        for name, value in values.items():
            self.shell(f"nv v.{name}='{value}'")
        self.shell(f"nv gone=1; nv unsaved=before; nv shrunk={self.word * 2}; saveenv")
        self.shell(f"nv -r gone; nv shrunk=x; saveenv; nv unsaved={self.word}")
        self.board.cut()
        self.assertEqual(self.answer("echo $nv.shrunk $global.shrunk"), "x x")
        for name, value in values.items():
            self.assertEqual(self.answer(f"cat /env/nv/v.{name}"), value, name)
        self.assertEqual(self.answer("echo [$nv.gone] $nv.unsaved $global.unsaved"), "[] before before")

    def test_variables_alone(self):
        """nv -s saves the variables, so that a removed one stays away, and no other change of the environment."""
        self.shell("mkdir -p /env/kept; echo -o /env/kept/word before; nv gone=1; nv kept=1; saveenv")
        self.board.reset()
        self.shell(f"nv -r gone; nv kept={self.word}; echo -o /env/kept/word after; nv -s")
        self.board.cut()
        self.assertEqual(self.answer("echo [$nv.gone] [$global.gone] $nv.kept"), f"[] [] {self.word}")
        self.assertEqual(self.answer("cat /env/kept/word"), "before")
        self.shell("rm -r /env/kept; saveenv")

    def test_of_a_device(self):
        """A device's parameters are set by variables, at once and after a reset, whatever dots are in their names."""
        values = {"linux.devname": self.word, "mode": "static"}
        device = self.board.node(self.devices("net")[0])
        self.shell("; ".join(f"nv dev.{device}.{name}={value}" for name, value in values.items()) + "; saveenv")
        for _ in range(2):
            self.assertEqual({name: self.answer(f"echo ${{{device}.{name}}}") for name in values}, values)
            self.board.reset()
        self.shell("; ".join(f"nv -r dev.{device}.{name}" for name in values) + "; saveenv")

    def test_files(self):
        """Files, folders and scripts of the environment are kept, an init script runs, removed files stay away, one of
        the built-in environment, too."""
        self.need("CMD_SHA256SUM", "sha256sum")
        size = random.randrange(4200, 5000)
        self.shell(f"mkdir -p /env/kept/in; echo -o /env/kept/in/word {self.word}; echo -o /env/kept/gone x")
        self.shell("mkdir -p /env/init; echo -o /env/init/mine '#!/bin/sh'; rm /env/data/boot-template")
        self.shell("echo -o /env/boot/bnet mine; rm /env/boot/bnet")  # built in where the network is
        self.shell(f"echo -a /env/init/mine 'echo init says {self.word}'")
        self.shell(f"memcpy -s /dev/prng -d /env/kept/noise 0 0 {size}; rm /env/kept/gone; saveenv", seconds=60)
        digest = self.answer("sha256sum /env/kept/noise").split()[0]
        self.board.cut()
        self.assertEqual(self.answer("cat /env/kept/in/word"), self.word)
        self.assertIn(f"init says {self.word}", self.board.boots[-1].text)
        self.assertEqual(self.answer("sha256sum /env/kept/noise").split()[0], digest)
        self.shell("test -e /env/kept/gone", status=1)
        self.assertNotIn("boot-template", " ".join(self.shell("ls /env/data")).split())
        self.assertNotIn("bnet", " ".join(self.shell("ls /env/boot")).split())
        self.shell("rm -r /env/kept; rm /env/init/mine; saveenv")

    def test_links(self):
        """Links of the environment are kept, and lead to where they did."""
        self.need("CMD_LN", "ln")
        self.need("CMD_READLINK", "readlink")
        self.shell(f"mkdir -p /env/in; echo -o /env/in/word {self.word}; ln in/word /env/link; saveenv")
        self.board.cut()
        self.assertEqual(self.answer("readlink /env/link v; echo $v"), "in/word")
        self.assertEqual(self.answer("cat /env/link"), self.word)

    def test_other_file(self):
        """Any folder is saved to any file, and loaded from there to another folder."""
        self.need("CMD_LOADENV", "loadenv")
        self.shell(f"mkdir -p /a/b; echo -o /a/b/word {self.word}; echo -n -o /a/empty; saveenv /saved /a")
        self.shell("rm -r /loaded; mkdir /loaded; loadenv -s /saved /loaded")
        self.assertEqual(self.answer("cat /loaded/b/word"), self.word)
        self.shell("test -e /loaded/empty && test -s /loaded/b/word")
        self.shell("rm -r /a /loaded; rm /saved")

    def test_other_variables(self):
        """The variables of an environment that is loaded from another file take effect at once."""
        self.need("CMD_LOADENV", "loadenv")
        self.shell(f"nv other={self.word}; saveenv /saved; nv other=x; loadenv /saved")
        self.assertEqual(self.answer("echo $nv.other $global.other; rm /saved"), f"{self.word} {self.word}")

    def test_refused_variable(self):
        """A variable takes no value that its global one does not, and is not changed by it."""
        self.need("CMD_BOOTM", "bootm")
        self.shell("nv bootm.verify=none")
        for command in ("nv.bootm.verify=otter", "nv bootm.verify=otter"):
            result = self.attempt(command)
            self.assertNotEqual(result.status, 0, str(result))
            self.assertEqual(self.answer("echo $nv.bootm.verify $global.bootm.verify"), "none none", command)
        self.shell("global.bootm.verify=available; nv -r bootm.verify")

    def test_not_overwritten(self):
        """loadenv -n leaves the files alone that are there, and without -n none."""
        self.need("CMD_LOADENV", "loadenv")
        self.shell("mkdir -p /a /b; echo -o /a/one saved; echo -o /a/two saved; saveenv /saved /a")
        self.shell("echo -o /b/one our own one; loadenv -n /saved /b")
        self.assertEqual(self.shell("cat /b/one /b/two"), ["our own one", "saved"])
        self.shell("loadenv /saved /b")
        self.assertEqual(self.shell("cat /b/one /b/two; rm -r /a /b; rm /saved"), ["saved", "saved"])

    def test_for_this_machine(self):
        """What the environment has for machines of this one's name comes into its place at the start, over what is
        there, and what it has for others does not."""
        found = [x for x in self.attempt("of_dump -p /").lines if x.startswith("compatible = ")]
        if not found:
            self.skipTest("there is no device tree")
        name = found[0].split('"')[1]
        folder = "/env/match.of_compatible"
        self.shell(
            f"mkdir -p {folder}/{name}/in/deep {folder}/otter,river; echo -o {folder}/{name}/in/deep/word {self.word}"
        )
        self.shell(f"echo -o {folder}/otter,river/other x; echo -o {folder}/{name}/plain ours; echo -o /env/plain any")
        self.shell(f"mkdir -p {folder}/{name}/nv; echo -o {folder}/{name}/nv/matched {self.word}; saveenv")
        self.board.reset()
        self.assertEqual(self.shell("cat /env/in/deep/word /env/plain"), [self.word, "ours"])
        self.assertEqual(self.answer("echo $nv.matched $global.matched"), f"{self.word} {self.word}")
        self.shell(f"test -e /env/other -o -e {folder}", status=1)
        self.shell("rm -r /env/in; rm /env/plain; nv -r matched; saveenv")

    def test_one_script(self):
        """Where there is a script /env/bin/init, it runs in place of the others, and the prompt comes behind it."""
        self.shell(
            "mkdir -p /env/init; echo -o /env/init/otter '#!/bin/sh'; echo -a /env/init/otter 'echo this is otter'"
        )
        self.shell("echo -o /env/bin/init '#!/bin/sh'; echo -a /env/bin/init 'echo this is init; . /env/init/ps1'")
        self.shell("saveenv")
        text = self.board.reset().text
        self.assertEqual(re.findall(r"this is (\w+)", text), ["init"])
        self.assertNotIn("to stop autoboot", text)
        self.shell("rm /env/bin/init /env/init/otter; saveenv")

    def test_first_files(self):
        """What is saved first, on an empty flash, is kept when a changed variable is saved after it."""
        self.board.discard()
        self.want(self.variant)
        self.shell(f"mkdir -p /env/kept; echo -o /env/kept/word {self.word}; saveenv; nv late={self.word}")
        self.board.reset()
        self.assertEqual(self.shell("cat /env/kept/word; echo $nv.late"), [self.word, self.word])

    def test_default(self):
        """Once saveenv -z asked for it, the built-in environment is used, and nothing of the stored one."""
        self.shell(f"nv kept={self.word}; saveenv; saveenv -z")
        self.board.cut()
        self.assertEqual(self.answer("echo [$nv.kept]"), "[]")
        self.shell("test -d /env/boot")

    def test_damaged(self):
        """A stored environment with one bit changed is refused, that is said, and the built-in one is used."""
        self.shell(f"nv kept={self.word}; saveenv")
        self.board.cut()
        content = self.board.files.flash().read_bytes()
        changed = bytearray(content)
        places = list(stored(content))
        self.assertTrue(places, "no stored environment in the flash")
        for place, size in places:
            at = content.find(self.word.encode(), place, place + size)  # where nothing but the sum shows it
            changed[at if at >= 0 else place + random.randrange(size)] ^= 1
        self.board.files.flash().write_bytes(changed)
        self.board.shell()
        text = self.board.boots[-1].text
        self.assertRegex(text, r"envfs: (CRC|wrong|.*crc)", "the start says nothing of it")
        self.assertEqual(self.answer("echo [$nv.kept]"), "[]")
        self.shell("test -d /env/boot")


class LoadTest(case.BootloaderTestCase):
    """An environment in a file, which the host reads and writes."""

    needs = ("CMD_SAVEENV", "CMD_LOADENV")

    def setUp(self):
        super().setUp()
        share = self.devices("9p")[0]
        self.addCleanup(self.attempt, "rm -r /a /b")
        self.shell("mkdir -p /a/in /b; echo -o /a/in/word saved; echo -o /a/two 'otters swim'; echo -o /b/kept ours")
        self.shell(f"saveenv {self.board.node(share)}/saved-environment /a")
        self.content = bytearray((self.board.files.share(share) / "saved-environment").read_bytes())

    def load(self, content, status=0):
        result = self.attempt(f"loadenv {self.shared(content)} /b")
        self.assertEqual(result.status != 0, status != 0, str(result))
        self.assertEqual(self.shell("cat /b/kept"), ["ours"])
        return "\n".join(result.lines)

    def test_format(self):
        """What is saved has a head with its size and two sums, by which it is loaded again."""
        self.assertEqual(
            [(place, size) for place, size in stored(self.content)], [(HEADER, len(self.content) - HEADER)]
        )
        self.assertEqual(number(self.content, 8), zlib.crc32(self.content[HEADER:]))
        self.load(self.content)
        self.assertEqual(self.shell("cat /b/in/word /b/two"), ["saved", "otters swim"])

    def test_damaged(self):
        """Nothing is loaded of what is damaged, in its head or its data, or is cut off."""
        for place in (0, 9, 13, 26, HEADER, len(self.content) - 1):
            damaged = bytearray(self.content)
            damaged[place] ^= 0x10
            self.load(damaged, status=1)
            self.shell("test -e /b/two -o -e /b/in", status=1)
        for size in (HEADER - 3, HEADER, HEADER + 40, len(self.content) - 1):
            self.load(self.content[:size], status=1)
            self.shell("test -e /b/two -o -e /b/in", status=1)
        self.assertNotEqual(self.attempt("loadenv /nothing /b").status, 0)

    def test_behind(self):
        """What stands behind the end of the data is left alone."""
        self.load(self.content + b"\xff" * 5000)
        self.assertEqual(self.shell("cat /b/two"), ["otters swim"])

    def test_built_in(self):
        """loadenv -d loads the built-in environment, in place of a stored one."""
        self.shell("mkdir -p /c; loadenv -d /nothing /c")
        self.addCleanup(self.attempt, "rm -r /c")
        self.shell("test -d /c/boot -a -d /c/data")

    def test_path(self):
        """Where no file is named, the one of global.env.path is saved to and loaded from."""
        before = self.answer("echo $global.env.path")
        self.addCleanup(self.attempt, f"global.env.path={before}; rm /env/otter /otter-environment")
        self.shell("global.env.path=/otter-environment; echo -o /env/otter swims; saveenv")
        self.shell("rm /env/otter; loadenv")
        self.assertEqual(self.shell("cat /env/otter"), ["swims"])
        self.assertGreater(int(self.answer("ls -l /otter-environment").split()[1]), HEADER)

    def test_limited(self):
        """defaultenv restores no more than a file that is named, and scrubs none."""
        self.need("CMD_DEFAULTENV", "defaultenv")
        self.addCleanup(self.attempt, "rm /env/added; defaultenv -r")
        self.shell("rm /env/data/ansi-colors; echo -o /env/data/boot-template changed; echo -o /env/added x")
        self.shell("defaultenv -r -p data/ansi-colors")
        self.assertEqual(self.shell("cat /env/data/boot-template /env/added"), ["changed", "x"])
        self.shell("test -s /env/data/ansi-colors")


class InitTest(KeyboardCase):
    def test_aborted(self):
        """q during the start, confirmed, aborts it: no init script runs, and no countdown."""
        self.addCleanup(self.board.discard)
        for _ in range(8):
            self.restart()
            self.press("q")
            if "Abort" in self.see(r"Abort init sequence|^barebox@", 90):
                break
        else:
            self.skipTest("the keys came too late each time")
        self.press("y")
        text = self.see("Init sequence aborted")
        self.press('echo al""ive\r')
        self.assertNotIn("to stop autoboot", text + self.see("^alive", 60))


class NoInputTest(StoredCase, KeyboardCase):
    many_starts = True

    def test_no_input(self):
        """Where the console takes no input, there is nobody to wait for: it boots without a countdown."""
        self.addCleanup(self.board.discard)
        if self.answer("echo [$cs0.active]") != "[ioe]":
            self.skipTest("cs0 is not this console")
        self.press(
            "nv boot.default=otter; nv dev.cs0.active=oe; saveenv; reset\r"
        )  # of which the second ends all input
        self.board.shell().expect(self.board.dialect.banner, 90)
        text = self.see("Non-interactive console, booting system[^.]*?otter", 90)
        self.assertNotIn("to stop autoboot", text)


class InjectedTest(case.BootloaderTestCase):
    texts = (
        *(("nv/otter", "swims = well"), ("nv/autoboot_timeout", "7"), ("boot/mine", "#!/bin/sh\necho mine runs\n")),
        ("data/boot-template", "of the host\n"),
    )
    large = random.randbytes(33_000).hex()
    variant = Variant(
        fw_cfg=(*((f"opt/org.barebox.env/{name}", text) for name, text in texts), ("opt/org.example/large", large))
    )
    needs = ("FS_QEMU_FW_CFG", "ENV_HANDLING")

    def test_variables(self):
        """Variables that QEMU hands over by fw_cfg are there, and take effect."""
        self.assertEqual(self.answer('echo "$nv.otter"'), "swims = well")
        self.assertEqual(self.answer("echo $global.autoboot_timeout"), "7")

    def test_countdown(self):
        """The countdown begins at the number of seconds that QEMU hands over."""
        self.board.shell()
        self.assertRegex(self.board.boots[-1].text, r"to stop autoboot: +7\b")

    def test_script(self):
        """A boot script that QEMU hands over runs."""
        self.assertIn("mine runs", "\n".join(self.attempt("boot mine").lines))

    def test_replaced(self):
        """A file that QEMU hands over stands in for the built-in one of the same name."""
        self.assertEqual(self.shell("cat /env/data/boot-template"), ["of the host"])

    def test_files(self):
        """fw_cfg's files are read as QEMU has them."""
        for name, text in self.texts:
            lines = self.shell(f"cat /mnt/fw_cfg/by_name/opt/org.barebox.env/{name}")
            self.assertEqual("\n".join(lines), text.rstrip("\n"))
        digest = self.answer("sha256sum /mnt/fw_cfg/by_name/opt/org.example/large").split()[0]
        self.assertEqual(digest, self.hash(self.large.encode()), "a file of 66000 bytes")


class AbortTest(case.BootloaderTestCase):
    variant = Variant(fw_cfg=(("opt/org.barebox.env/nv/autoboot", "abort"),))

    def test_no_countdown(self):
        """Where autoboot is aborted by QEMU, the prompt comes without a countdown."""
        self.need("FS_QEMU_FW_CFG")
        self.need("ENV_HANDLING")
        self.board.shell()
        self.assertNotIn("to stop autoboot", self.board.boots[-1].text)


class DefaultTest(case.BootloaderTestCase):
    def test_restored(self):
        """defaultenv brings back what was changed and removed, and scrubs what was added."""
        self.need("CMD_DEFAULTENV", "defaultenv")
        names = self.shell("ls /env/data")
        self.shell("rm /env/data/ansi-colors; echo -o /env/data/boot-template changed; echo -o /env/added x")
        self.shell("defaultenv -r -s")
        self.assertEqual(self.shell("ls /env/data"), names)
        self.assertNotEqual(self.shell("cat /env/data/boot-template"), ["changed"])
        self.shell("test -e /env/added", status=1)
