# SPDX-License-Identifier: MIT
"""barebox keeps its state on a partition of a disk, which a device tree of the test's describes."""

import random
import re

from oeqa.barebox import bootchooser, case, devicetree, images, tools
from oeqa.barebox.cuts import CutCase
from oeqa.barebox.state import HEADER, copies
from oeqa.barebox.variant import Drive, Variant

MAGIC = 0x5EA07732
STRIDE = 1024
COPIES = 3
DEFAULT = 20
PARTITION = "5e3f6c38-0d5a-4a3c-9c53-0a6c1e1d7b1f"
START, NAME = 2048 * images.SECTOR, "otters"
PARTITIONS = [f"start=2048, size=2048, type=4778ed65-bf42-45fa-9c5b-287a1dc4aab1, uuid={PARTITION}, name={NAME}"]
CELLS = "#address-cells = <1>; #size-cells = <1>;"
NAMES = ["bootstate.system0.attempts", "bootstate.system0.priority", "bootstate.last_chosen"]
FIRST = f"otter.{NAMES[0]}"


def variable(name, offset, default=0):
    return f'{name}@{offset:x} {{ reg = <{offset} 4>; type = "uint32"; default = <{default}>; }};'


def nodes(more="", options="", beside=None):
    """A state of storage type "direct", found by the UUID of its partition; ``more`` are further variables, and
    ``beside`` further nodes by their names and aliases."""
    others = beside or {}
    aliases = "".join(f'{name} = "/{name}";' for name in others)
    return f"""
partitions {{ compatible = "fixed-partitions"; {CELLS} place: state {{ partuuid = "{PARTITION}"; }}; }};
otterstate {{
    {CELLS} compatible = "barebox,state"; magic = <{MAGIC}>; {options} backend = <&place>; backend-type = "raw";
    backend-storage-type = "direct"; backend-stridesize = <{STRIDE}>;
    bootstate {{
        {CELLS} system0 {{ {CELLS} {variable("attempts", 0, DEFAULT)} {variable("priority", 4)} }};
        {variable("last_chosen", 8)} mode@c {{ reg = <12 1>; type = "uint8"; default = <3>; }};
    }};
    system0 {{ {CELLS} {variable("remaining_attempts", 16)} {variable("priority", 20)} }};
    {variable("last_chosen", 24)}
    ethernet@1c {{ reg = <28 6>; type = "mac"; default = [02 00 00 00 00 05]; }};
    name@24 {{ reg = <36 16>; type = "string"; default = "otter"; }};
    colour@34 {{ reg = <52 4>; type = "enum32"; names = "red", "green", "blue"; default = <1>; }};
    {more}
}};
{"".join(others.values())}
aliases {{ otter = "/otterstate"; {aliases} }};
"""


def trees(*args):
    """The state as a device tree by itself, and as an overlay."""
    return {
        "tree": f"/dts-v1/; / {{ {nodes(*args)} }};",
        "overlay": f"/dts-v1/; /plugin/; &{{/}} {{ {nodes(*args)} }};",
    }


class DiskCase(case.BootloaderTestCase):
    needs = ("STATE", "CMD_STATE", "PARTITION_DISK_EFI", "CMD_OFTREE")
    variant = Variant(drives=(Drive("state", images.table("gpt", 4 << 20, PARTITIONS), state=True),))
    said = ""

    def setUp(self):
        super().setUp()
        share = self.devices("9p")[0]
        self.folder = self.board.node(share)
        self.share = self.board.files.share(share)
        self.describe(trees())
        self.value = random.randrange(1000, 1 << 31)

    def describe(self, sources):
        """Have this description of the state from the next start on."""
        for name, source in sources.items():
            tools.run("dtc", ["-q", "-@", "-o", self.share / name, "-"], source.encode())

    def load(self):
        """Have the state, after a start, by an overlay of barebox' device tree; where it has none (EFI), by a tree."""
        if any(line.startswith("otter ") for line in self.shell("state")):
            return
        if self.attempt("of_dump -n /").status:
            lines = self.shell(f"oftree -l {self.folder}/tree; oftree -p", seconds=60)
        else:
            self.need("OF_OVERLAY_LIVE")
            lines = self.shell(f"of_overlay -l {self.folder}/overlay", seconds=60)
        self.said = "\n".join(lines)

    def set(self, value):
        self.load()
        self.shell(f"{FIRST}={value}; state -s otter")

    def get(self):
        self.load()
        return int(self.answer(f"echo ${FIRST}"))

    def path(self):
        return self.board.files.disk(self.variant.drives[0])

    def copies(self):
        """The value in each copy on the disk, by the copy's place."""
        return {place: int.from_bytes(data[:4], "little") for place, data in self.data().items()}

    def data(self):
        """What is in each copy on the disk, by the copy's place."""
        return copies(self.path().read_bytes(), MAGIC.to_bytes(4, "little"))

    def overwrite(self, *places):
        """Have barebox overwrite four bytes at each of these places on the disk."""
        node = self.answer(f"echo /dev/*.{NAME}")
        self.shell("; ".join(f"memset -d {node} {place - START} 0xff 4" for place in places))

    def damage(self, places):
        """Change one bit of the value in each copy at ``places``."""
        content = bytearray(self.path().read_bytes())
        for place in places:
            content[place + HEADER + random.randrange(4)] ^= 1 << random.randrange(8)
        self.path().write_bytes(content)


class StateTest(DiskCase):
    def test_kept(self):
        """Every variable keeps its own value, over a power failure as it was saved, over a reset as it was changed."""
        for after in (self.board.cut, self.board.reset):
            values = {name: random.randrange(1 << 32) for name in NAMES}
            self.load()
            self.shell("; ".join(f"otter.{name}={value}" for name, value in values.items()))
            if after == self.board.cut:
                self.shell(f"state -s otter; {FIRST}=1")
            after()
            self.load()
            self.assertEqual({name: int(self.answer(f"echo $otter.{name}")) for name in NAMES}, values)

    def test_byte(self):
        """A variable of a byte keeps its largest value, and takes none that is larger."""
        self.load()
        self.shell("otter.bootstate.mode=255; state -s otter")
        self.board.cut()
        self.load()
        for value in (256, 1000, 65536):
            result = self.attempt(f"otter.bootstate.mode={value}")
            self.assertNotEqual(result.status, 0, str(result))
            self.assertEqual(self.answer("echo $otter.bootstate.mode"), "255", f"after {value}")

    def test_asked(self):
        """The state that is named is loaded, with authentication or without; another name is none of a state."""
        self.set(self.value)
        for options in ("-l", "-l -n"):
            self.shell(f"{FIRST}={self.value + 1}; state {options} otter")
            self.assertEqual(self.get(), self.value, options)
        for options in ("-l", "-s"):
            result = self.attempt(f"state {options} heron")
            self.assertNotEqual(result.status, 0, str(result))
            self.assertIn("cannot find state heron", "\n".join(result.lines))
        self.shell("state -x", status=1)

    def test_grown(self):
        """Under a description with a further variable, the others keep their values, and the new one is saved, too."""
        self.set(self.value)
        self.board.cut()
        self.addCleanup(self.board.discard)
        self.describe(trees(variable("later", 56, 7)))
        self.assertEqual(self.get(), self.value)
        self.assertEqual(self.answer("echo $otter.later; state -s otter"), "7")
        found = self.data().values()
        self.assertEqual([data[56:] for data in found], COPIES * [(7).to_bytes(4, "little")])

    def test_foreign_content(self):
        """Where that is asked for, something else that is in the place of any copy is not overwritten."""
        self.board.off()
        content = bytearray(self.path().read_bytes())
        for number in range(COPIES):
            start = START + number * STRIDE
            content[start : start + STRIDE] = random.randbytes(STRIDE) if number == 0 else bytes(STRIDE)
        self.path().write_bytes(content)
        self.addCleanup(self.board.discard)
        self.describe(trees("", "keep-previous-content;"))
        self.load()
        result = self.attempt(f"{FIRST}=1; state -s otter")
        self.assertIn("foreign content", "\n".join(result.lines))
        self.board.off()
        self.assertEqual(self.hash(self.path().read_bytes()), self.hash(content))

    def test_types(self):
        """A change of a variable of any type is saved, as its type has it, and what its type cannot have is refused."""
        self.load()
        self.shell("state -s otter")  # so that the change alone is what there is to be saved
        ethernet, name = random.randbytes(6), f"heron{random.randrange(1000)}"
        ethernet = bytes([ethernet[0] & 0xFC, *ethernet[1:]])  # a unicast one
        for variable, value, place, expected in (
            ("ethernet", ethernet.hex(":"), 28, ethernet),
            ("name", name, 36, name.encode().ljust(16, b"\0")),
            ("colour", "blue", 52, bytes([2, 0, 0, 0])),
        ):
            self.shell(f"otter.{variable}={value}; state -s otter")
            found = self.data().values()
            self.assertEqual([data[place : place + len(expected)] for data in found], COPIES * [expected], variable)
            self.assertEqual(self.answer(f"echo $otter.{variable}"), value)
        self.shell("otter.name=ab; state -s otter; state -l otter")
        self.assertEqual(self.answer("echo $otter.name"), "ab")
        for variable, value in (("ethernet", "heron"), ("name", 30 * "x"), ("colour", "loud")):
            before = self.answer(f"echo $otter.{variable}")
            result = self.attempt(f"otter.{variable}={value}")
            self.assertNotEqual(result.status, 0, str(result))
            self.assertEqual(self.answer(f"echo $otter.{variable}"), before)

    def test_described(self):
        """Linux is told of each variable, with its place, type and default."""
        self.load()
        self.need("CMD_OF_DUMP", "of_dump")
        told = devicetree.from_source(self.shell("of_dump -F"))
        for path, node in devicetree.from_blob((self.share / "tree").read_bytes()).items():
            if path.startswith("/otterstate/") and "type" in node:
                wanted = {name: value for name, value in node.items() if name != "default" or any(value)}  # 0 is one
                self.assertEqual({name: told.get(path, {}).get(name) for name in wanted}, wanted, path)

    def test_boot_chooser(self):
        """The boot chooser finds its counters in the state itself, where no part of it is named."""
        self.need("CMD_BOOTCHOOSER", "bootchooser")
        self.load()
        self.addCleanup(self.board.discard)
        self.shell("global.bootchooser.state_prefix=otter; global.bootchooser.targets=system0")
        self.shell("otter.system0.priority=20; otter.system0.remaining_attempts=3")
        found = bootchooser.parse(self.shell("bootchooser -i"))
        self.assertEqual((found.attempts, found.priorities), ({"system0": 3}, {"system0": 20}))


def described(name, variables, more="", backend="raw", stride=STRIDE, storage="direct"):
    """A state with a description of its own, beside the good one and on the same partition."""
    return f"""{name} {{
        {CELLS} compatible = "barebox,state"; backend = <&place>; backend-type = "{backend}";
        backend-storage-type = "{storage}"; backend-stridesize = <{stride}>; {more} {variables}
    }};"""


class DescriptionTest(DiskCase):
    """Descriptions that are wrong."""

    MAGIC = "magic = <0x5ea07733>;"
    BAD = {
        "type": (described("type", variable("a", 0).replace("uint32", "uint64"), MAGIC), ""),
        "nomagic": (described("nomagic", variable("a", 0)), ""),
        "noreg": (described("noreg", 'a@0 { type = "uint32"; };', MAGIC), "a: reg property not found"),
        "size": (described("size", 'a@0 { reg = <0 8>; type = "uint32"; };', MAGIC), r"size mismatch: .*4.* size=8"),
        "over": (
            described("over", variable("a", 0) + 'b@3 { reg = <3 1>; type = "uint8"; };', MAGIC),
            r"Conflicting variable position between: a \(0x00..0x03\) and b \(0x03..0x03\)",
        ),
        "names": (described("names", 'a@0 { reg = <0 4>; type = "enum32"; };', MAGIC), 'without "names" property'),
        "long": (described("long", 'a@0 { reg = <0 4097>; type = "string"; };', MAGIC), "failed to create a"),
        "format": (described("format", variable("a", 0), MAGIC, backend="xml"), "Invalid backend format xml"),
        "stride": (described("stride", variable("a", 0), MAGIC, stride=0), "stridesize unspecified"),
        "backend": (
            described("backend", variable("a", 0), MAGIC).replace("backend = <&place>;", ""),
            'Cannot resolve "backend" phandle',
        ),
    }

    def setUp(self):
        super().setUp()
        self.addCleanup(self.board.discard)

    def test_refused(self):
        """What is wrong in a description is told of, and there is no such state; the good ones beside it are there."""
        nodes = {name: text for name, (text, _) in self.BAD.items()}
        self.describe(trees("", "", {**nodes, "plain": described("plain", variable("a", 0, 9), self.MAGIC)}))
        self.board.off()
        self.load()
        for name, (_, message) in self.BAD.items():
            self.assertRegex(self.said, rf"{name}: .*{message}" if message else f"state {name}.of: probe failed")
        names = {line.split()[0] for line in self.shell("state") if line.strip()}
        self.assertEqual(names & {*self.BAD, "plain", "otter"}, {"plain", "otter"})
        self.assertEqual(self.answer("echo $plain.a"), "9")


class TypeTest(DiskCase):
    """A state whose backend is a disk: its partition is found by its type."""

    needs = (*DiskCase.needs, "VIRTIO_MMIO", "CMD_DEVINFO", "CMD_OF_PROPERTY", "OF_OVERLAY_LIVE")
    MAGIC = 0x5EA07733
    OTHER = ("start=2048, size=2048, type=L, name=herons",)
    variant = Variant(
        drives=(
            Drive("whole", images.table("gpt", 4 << 20, PARTITIONS), model="virtio-blk-device"),
            Drive("other", images.table("gpt", 4 << 20, OTHER), model="virtio-blk-device"),
        )
    )

    def backend(self, partition):
        """The node in the device tree of the disk that has a partition of this name."""
        disk = self.answer(f"echo /dev/*.{partition}").rpartition(".")[0]
        before = "\n".join(self.shell("devinfo")).partition(f": {disk}\n")[0]
        node = re.findall(r"\w+\.(virtio_mmio@\w+)\.of", before)[-1]
        return next(path for path in self.shell("of_dump -n /") if path.endswith(f"/{node}"))

    def test_by_type(self):
        """The partition of the state's type is found on the disk, and the state kept there; on a disk that has none,
        that is said, and there is no state."""
        if self.attempt("of_dump -n /").status:
            self.skipTest("barebox has no device tree of its own here")
        text = f'magic = <{self.MAGIC}>; status = "disabled";'
        nodes = {
            x: described(x, variable("a", 0, 9), text).replace("backend = <&place>;", "") for x in ("whole", "other")
        }
        self.describe(trees("", "", nodes))
        self.addCleanup(self.board.discard)
        self.board.off()
        self.shell(f"of_overlay -l {self.folder}/overlay", seconds=60)
        for name, partition in (("whole", NAME), ("other", "herons")):
            self.shell(
                f"of_property -s /{name} backend '<{self.backend(partition)}>'; of_property -s /{name} status okay"
            )
        self.said = "\n".join(self.attempt("oftree -p", seconds=60).lines)
        self.assertIn("other: cannot find backend GPT partition by PartitionTypeGUID", self.said)
        self.assertNotIn("other ", "\n".join(self.shell("state")))
        self.shell(f"whole.a={self.value}; state -s whole")
        found = copies(self.path().read_bytes(), self.MAGIC.to_bytes(4, "little"))
        self.assertEqual([place // STRIDE for place in sorted(found)], [START // STRIDE + n for n in range(COPIES)])
        self.assertEqual({data[:4] for data in found.values()}, {self.value.to_bytes(4, "little")})


class RedundancyTest(DiskCase):
    many_starts = True

    def test_copies(self):
        """There are three valid copies with the value, one in each stride."""
        self.set(self.value)
        found = self.copies()
        self.assertEqual(list(found.values()), [self.value] * COPIES)
        self.assertEqual([place // STRIDE - min(found) // STRIDE for place in sorted(found)], list(range(COPIES)))

    def test_one_is_enough(self):
        """The value is found from each copy alone, while the others are damaged; and then there are three again."""
        for kept in range(COPIES):
            self.set(self.value + kept)
            self.board.cut()
            self.damage([place for number, place in enumerate(sorted(self.copies())) if number != kept])
            self.assertEqual(self.get(), self.value + kept, f"copy {kept} alone")
            self.assertEqual(list(self.copies().values()), [self.value + kept] * COPIES, f"from copy {kept}")

    def test_save_that_was_cut_off(self):
        """Where a save reached the first copy alone, its value counts, and the other copies get it."""
        self.set(self.value)
        old = self.path().read_bytes()
        self.set(self.value + 1)
        self.board.cut()
        content = bytearray(self.path().read_bytes())
        for place in sorted(self.copies())[1:]:
            content[place : place + STRIDE] = old[place : place + STRIDE]
        self.path().write_bytes(content)
        self.assertEqual(self.get(), self.value + 1)
        self.assertEqual(list(self.copies().values()), [self.value + 1] * COPIES)

    def test_length(self):
        """A copy of whose length one bit is wrong is left for another one."""
        self.set(self.value)
        self.board.cut()
        content = bytearray(self.path().read_bytes())
        content[min(self.copies()) - 1] ^= 0x40  # before each copy stands its length, its last byte last
        self.path().write_bytes(content)
        self.assertEqual(self.get(), self.value)

    def test_damaged_while_running(self):
        """Copies that are damaged after the start, in their value or their length, are made again by state -l."""
        self.set(self.value)
        self.shell("state -l otter")
        first, second, _ = sorted(self.copies())
        self.overwrite(first + HEADER, second - 4)  # before each copy stands its length
        self.shell(f"{FIRST}=1; state -l otter", seconds=60)
        self.assertEqual(self.get(), self.value)
        self.shell("state -s otter")
        self.assertEqual(list(self.copies().values()), [self.value] * COPIES)

    def test_all_damaged_while_running(self):
        """Where all copies are damaged after the start, that is said, and the values in memory can be saved again."""
        self.set(self.value)
        self.overwrite(*(place + HEADER for place in self.copies()))
        self.assertIn("no valid state copy", "\n".join(self.attempt("state -l otter", seconds=60).lines))
        self.shell("state -s otter")
        self.assertEqual(len(self.copies()), COPIES)

    def test_none_is_left(self):
        """Where all copies are damaged, that is said, the defaults are used, and the state can be saved again."""
        self.set(self.value)
        self.board.cut()
        self.damage(self.copies())
        self.assertEqual(self.get(), DEFAULT)
        self.assertIn("no valid state copy", self.said)
        self.set(self.value)
        self.assertEqual(list(self.copies().values()), [self.value] * COPIES)


class PowerCutTest(DiskCase, CutCase):
    """The power fails while the state is written, at random moments."""

    cuts = 3
    many_starts = True

    def test_old_or_new(self):
        """After the power failed in a row of writes, the value is the last reported as saved, or a newer one."""
        self.check_cuts(self.cuts, FIRST, "state -s otter", shortest=0.1)


class ManyPowerCutsTest(PowerCutTest):
    slow = True
    cuts = 200
