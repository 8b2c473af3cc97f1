# SPDX-License-Identifier: MIT
"""barebox starts a kernel as its boot protocol wants it, with the memory, command line, initrd and device tree that
were asked for. The kernel is a payload of a few instructions; what it was given is read from the machine's memory."""

import functools
import gzip
import random
import re
import time

from oeqa.barebox import devicetree, payload, tools
from oeqa.barebox.handover import HandoverCase, kernel
from oeqa.barebox.ram import RamCase

MIB = 1 << 20
INITRD = random.randbytes(MIB + 1234)
VOLATILE = {"rng-seed", "kaslr-seed", "bootargs", "linux,initrd-start", "linux,initrd-end"}


@functools.cache
def files(arch):
    huge = bytearray(payload.image(arch, MIB))
    huge[payload.IMAGE_SIZE] = (1 << 40).to_bytes(8, "little")
    image = kernel(arch)
    packed = gzip.compress(image)
    broken = packed[: len(packed) // 2] + bytes(1000) + packed[len(packed) // 2 + 1000 :]
    images = {"image": image, "image.gz": packed, "broken.gz": broken, "huge": bytes(huge)}
    return {**images, "noise": random.randbytes(MIB), "initrd": INITRD}


class BootCase(HandoverCase):
    files = files

    def source(self):
        """QEMU's device tree."""
        return tools.run("dtc", ["-q", "-I", "dtb", "-O", "dts", "-"], self.board.device_tree())

    def source_of_one_cell(self):
        """The same with sizes of one cell."""
        source = self.source().replace("#size-cells = <0x02>", "#size-cells = <0x01>", 1)
        return re.sub(r"(?m)^\t\treg = <(.*)>;$", lambda found: f"\t\treg = <{shorter(found[1])}>;", source)


class BootmTest(BootCase):
    def test_kernel(self):
        """The kernel arrives whole, started as Linux' boot protocol says; without an initrd none is told of."""
        with self.started("bootm DISK/image") as handed:
            self.check_kernel(handed)
            self.assertNotIn("linux,initrd-start", handed.tree["/chosen"])

    def test_compressed(self):
        """A compressed kernel arrives unpacked."""
        self.need("BOOTM_COMPRESSED")
        with self.started("bootm DISK/image.gz") as handed:
            self.check_kernel(handed)

    def test_initrd(self):
        """The initrd arrives whole, in reserved memory, apart from device tree and what Linux takes for its image."""
        with self.started("bootm -r DISK/initrd DISK/image") as handed:
            self.check_initrd(handed, INITRD)
            start, end = handed.initrd
            image, tree = handed.registers["start"], handed.registers["dtb"]
            unit = payload.RESERVED[self.board.machine.arch]
            size = -(-len(kernel(self.board.machine.arch)) // unit) * unit
            places = sorted([(start, end), (image, image + size), (tree, tree + len(handed.blob))])
            self.assertTrue(all(a[1] <= b[0] for a, b in zip(places, places[1:])), f"they overlap: {places}")
            reserved = devicetree.reservations(handed.blob)
            self.assertTrue(any(a <= start and end <= a + n for a, n in reserved), f"{reserved}, {places}")

    def test_after_dry_runs(self):
        """What dry runs reserved for their initrds is not reserved for the kernel that is started later."""
        self.shell(f"bootm -d -r {self.folder}/initrd {self.folder}/image; " * 3, seconds=90)
        with self.started("bootm -r DISK/initrd DISK/image") as handed:
            reserved = devicetree.reservations(handed.blob)
            self.assertEqual(len([size for _, size in reserved if size >= len(INITRD)]), 1, f"{reserved}")

    def test_shared(self):
        """An initrd that comes from a 9p share, by whatever many messages, arrives whole."""
        share = self.devices("9p")[0]
        (self.board.files.share(share) / "initrd").write_bytes(INITRD)
        with self.started(f"bootm -r {self.board.node(share)}/initrd DISK/image") as handed:
            self.check_initrd(handed, INITRD)

    def test_bootargs(self):
        """The command line has every part in its order, to the letter, however long."""
        parts = {"a": "first=1", "base": 'quoted="two words"', "long": "x" * 800, "z.last": "equals=a=b,c;d"}
        for name, value in parts.items():
            self.shell(f"global linux.bootargs.{name}='{value}'")
        with self.started("bootm DISK/image") as handed:
            self.assertEqual(handed.bootargs, " ".join(parts.values()))

    def test_variables(self):
        """Kernel, initrd and device tree are those of the variables where the command names none; a device tree that
        has nothing but its root is enough."""
        self.own('/dts-v1/; / { model = "by variable"; #address-cells = <2>; #size-cells = <2>; };')
        for name, path in (("image", f"{self.folder}/image"), ("initrd", f"{self.folder}/initrd"), ("oftree", "/own")):
            self.shell(f"global.bootm.{name}={path}")
        with self.started("bootm") as handed:
            self.check_kernel(handed)
            self.check_initrd(handed, INITRD)
            self.assertEqual(handed.tree["/"]["model"], b"by variable\0")

    def test_provided(self):
        """The host name and the machine's ID are on the command line where that is asked for."""
        machine = f"{random.getrandbits(128):032x}"
        self.shell(f"global.hostname=otter-3; global.bootm.provide_hostname=1; global.machine_id={machine}")
        self.shell("global.bootm.provide_machine_id=1; global.linux.bootargs.base=own")
        with self.started("bootm DISK/image") as handed:
            found = set(handed.bootargs.split())
            self.assertLessEqual({"own", "systemd.hostname=otter-3", f"systemd.machine_id={machine}"}, found)

    def test_statuses(self):
        """of_fixup_status enables and disables a node for the kernel alone."""
        self.need("CMD_OF_FIXUP_STATUS", "of_fixup_status")
        self.need("CMD_OF_NODE", "of_node")
        self.shell("of_node -c /one; of_node -c /two; of_property -s /two status disabled")
        self.shell("of_fixup_status -d /one; of_fixup_status /two")
        with self.started("bootm DISK/image") as handed:
            self.assertEqual(handed.tree["/one"]["status"], b"disabled\0")
            self.assertEqual(handed.tree["/two"].get("status", b"okay\0"), b"okay\0")

    def test_saved_tree(self):
        """oftree saves barebox' own device tree, and the fixed one, as the kernel gets it."""
        self.need("CMD_OFTREE", "oftree")
        share = self.devices("9p")[0]
        self.need("9P_FS_WRITE", "cp")
        self.shell("of_node -c /mine; of_node -f -c /late")
        self.shell(f"oftree -S /plain; oftree -s /fixed; cp /plain /fixed {self.board.node(share)}")
        trees = [devicetree.from_blob((self.board.files.share(share) / x).read_bytes()) for x in ("plain", "fixed")]
        self.assertEqual([["/mine" in tree, "/late" in tree] for tree in trees], [[True, False], [True, True]])
        with self.started("bootm DISK/image") as handed:
            self.assertEqual(set(handed.tree), set(trees[1]))

    def test_memory(self):
        """The kernel is told of the memory that QEMU has, and of no other."""
        with self.started("bootm DISK/image") as handed:
            self.assertEqual(handed.memory, self.board.machine.qemu.memory * MIB)

    def test_tree(self):
        """The device tree that barebox shows as the fixed one is what the kernel gets."""
        self.need("CMD_OF_DUMP", "of_dump")
        shown = devicetree.from_source(self.shell("of_dump -F"))
        with self.started("bootm DISK/image") as handed:
            for path in sorted({*shown, *handed.tree}):
                want, found = shown.get(path, {}), handed.tree.get(path, {})
                names = {x for x in {*want, *found} - VOLATILE if not x.startswith("$barebox")}
                differ = {name for name in names if want.get(name) != found.get(name)}
                self.assertEqual(differ, set(), f"{path}: shown {want}, handed over {found}")

    def test_machine(self):
        """What QEMU tells of the machine reaches the kernel, but for what is the bootloader's to tell."""
        self.need("CMD_OF_DUMP", "of_dump")
        qemu, own = devicetree.from_blob(self.board.device_tree()), devicetree.from_source(self.shell("of_dump"))
        with self.started("bootm DISK/image") as handed:
            for path in own:
                if path == "/chosen" or path.startswith("/memory"):
                    continue
                # Firmware before barebox, such as OpenSBI, may have changed the rest; barebox tells PSCI's version.
                told = dict(own[path].items() & qemu.get(path, {}).items())
                if path == "/psci":
                    told.pop("compatible", None)
                found = handed.tree.get(path, {})
                self.assertEqual({name: found.get(name) for name in told}, told, path)

    def test_state(self):
        """The kernel gets barebox' description of the state, with its partition, so that Linux finds it."""
        self.need("STATE")
        self.need("CMD_OF_DUMP", "of_dump")
        own = devicetree.from_source(self.shell("of_dump"))
        with self.started("bootm DISK/image") as handed:
            self.assertEqual(handed.tree["/aliases"].get("state"), own["/aliases"]["state"])
            for path in [x for x in own if f"{x}/".startswith("/state/")]:
                want = {name: value for name, value in own[path].items() if name not in ("backend", "phandle")}
                found = {"default": bytes(4), **handed.tree.get(path, {})}  # which may be left out
                self.assertEqual({name: found.get(name) for name in want}, want, path)
            places = [[x for x in t if t[x].get("phandle") == t["/state"]["backend"]] for t in (own, handed.tree)]
            self.assertEqual(places[1], places[0])

    def test_changes(self):
        """What is changed in the device tree, at once and for the kernel only, arrives; what is removed does not."""
        self.need("CMD_OF_PROPERTY", "of_property")
        self.need("CMD_OF_NODE", "of_node")
        self.shell("of_node -c /otter; of_property -s /otter swims '<0x11223344 5>'; of_property -s /otter name2 word")
        self.shell("of_node -f -c /beaver; of_property -f -s /beaver builds '[01 02 ff]'")
        self.shell("of_property -f -s /otter late yes")
        self.shell("of_node -c /gone; of_node -f -d /gone; of_property -s /otter away 1; of_property -f -d /otter away")
        with self.started("bootm DISK/image") as handed:
            otter = {"swims": bytes.fromhex("1122334400000005"), "name2": b"word\0", "late": b"yes\0"}
            self.assertEqual(handed.tree.get("/otter"), otter)
            self.assertEqual(handed.tree.get("/beaver"), {"builds": b"\x01\x02\xff"})
            self.assertNotIn("/gone", handed.tree)

    def test_differences(self):
        """of_diff shows what differs between barebox' own device tree and the fixed one, and nothing else."""
        self.need("CMD_OF_DIFF", "of_diff")
        self.need("CMD_OF_PROPERTY", "of_property")
        for name in ("same", "shorter", "longer", "other", "gone"):
            self.shell(f"of_property -s /chosen {name} '<1 2>'")
        for name, value in {"shorter": "<1>", "longer": "<1 2 3>", "other": "<1 3>", "new": "<4>"}.items():
            self.shell(f"of_property -f -s /chosen {name} '{value}'")
        self.shell("of_property -f -d /chosen gone")
        lines = [re.sub(r"0x0*", "", x) for x in self.attempt("of_diff - +").lines]
        found = {(x[0], *x[1:].split(" = ")) for x in lines if re.search(r"same|shorter|longer|other|new|gone", x)}
        found = {(sign, name.strip(), value) for sign, name, value in found}
        before = {("-", name, "<1 2>;") for name in ("shorter", "longer", "other", "gone")}
        after = {("+", "shorter", "<1>;"), ("+", "longer", "<1 2 3>;"), ("+", "other", "<1 3>;"), ("+", "new", "<4>;")}
        self.assertEqual(found, before | after)

    def test_own_tree(self):
        """A device tree of one's own is handed over in place of barebox', with memory, command line and version."""
        source = self.source().replace("/dts-v1/;", "/dts-v1/; /memreserve/ 0x12345000 0x3000;")
        source += '/ { model = "own"; memory@dead0000 { device_type = "memory"; reg = <0 0xdead0000 0 0x1000>; }; };\n'
        self.own(source)
        self.shell("global linux.bootargs.base=mine")
        with self.started("bootm -o /own DISK/image") as handed:
            self.assertEqual((handed.tree["/"]["model"], handed.bootargs), (b"own\0", "mine"))
            self.assertIn((0x12345000, 0x3000), devicetree.reservations(handed.blob))
            self.assertTrue(handed.tree["/chosen"]["barebox-version"].startswith(b"barebox-"))
            self.assertEqual(handed.memory, self.board.machine.qemu.memory * MIB)

    def test_appended_arguments(self):
        """Where that is asked for, what the device tree has of a command line goes before barebox' own part."""
        self.own(f'{self.source()} / {{ chosen {{ bootargs = "tree=1 tree=2"; }}; }};')
        self.shell("global linux.bootargs.base=mine; global linux.bootargs_append=1")
        with self.started("bootm -o /own DISK/image") as handed:
            self.assertEqual(handed.bootargs, "tree=1 tree=2 mine")

    def test_handles(self):
        """What barebox adds to a device tree of one's own is not taken for what is in there."""
        ours = devicetree.from_source(self.shell("of_dump /"))
        highest = max(int.from_bytes(node["phandle"], "big") for node in ours.values() if "phandle" in node)
        others = "".join(f"otter{n} {{ phandle = <{highest + n}>; }};" for n in range(1, 9))
        self.own(f"{self.source()} / {{ {others} }};")
        with self.started("bootm -o /own DISK/image") as handed:
            handles = [node["phandle"] for node in handed.tree.values() if "phandle" in node]
            self.assertEqual(len(set(handles)), len(handles), "two nodes have the same handle")

    def test_sizes_of_one_cell(self):
        """A device tree that tells of sizes by one cell is told of the memory by one."""
        self.own(self.source_of_one_cell())
        with self.started("bootm -o /own DISK/image") as handed:
            reg = handed.tree[next(path for path in handed.tree if path.startswith("/memory"))]["reg"]
            self.assertEqual((len(reg), reg[8:]), (12, devicetree.cells(self.board.machine.qemu.memory * MIB)))

    def test_refused(self):
        """No kernel, initrd or device tree, or a kernel larger than the memory: that is said, and nothing is booted."""
        self.refused("bootm DISK/noise", "Unknown OS filetype")
        self.refused("bootm DISK/nothing", "No such file")
        self.refused("bootm -r DISK/nothing DISK/image", "No such file")
        self.refused("bootm -o DISK/noise DISK/image", "(?i)device ?tree|invalid")
        self.refused("bootm DISK/huge", "No space left")

    def test_broken_kernel(self):
        """A kernel that cannot be unpacked to its end takes no memory away from the next boot."""
        self.need("CMD_IOMEM", "iomem")
        before = self.shell("iomem")
        self.refused("bootm DISK/broken.gz", "(?i)error|fail|invalid")
        self.assertEqual(self.shell("iomem"), before)

    def test_dry_run(self):
        """A dry run boots nothing, and the next boot is none the worse."""
        self.shell(f"bootm -d -r {self.folder}/initrd {self.folder}/image")
        with self.started("bootm -r DISK/initrd DISK/image") as handed:
            self.check_initrd(handed, INITRD)


class SecondStageTest(BootCase, RamCase):
    """barebox starts itself, as a kernel."""

    def own_start(self, options=""):
        """Start this firmware from the prompt; the commands that follow are its."""
        image = self.shared(self.board.firmware.image.read_bytes())
        self.addCleanup(self.board.discard)
        self.board.shell().send(f"bootm {options} {image}")
        boot = self.board.shell().boot(time.monotonic(), 90)
        self.assertEqual(boot.version, self.board.boots[-1].version)

    def check_banks(self, banks):
        self.assertEqual([bank[:2] for bank in self.banks()], [bank[:2] for bank in banks])

    def test_start(self):
        """It finds its memory, its disks, and what it is told on the command line."""
        banks = self.banks()
        self.shell("global linux.bootargs.base=otter=swims")
        self.own_start()
        self.check_banks(banks)
        self.need("CMD_OF_DUMP", "of_dump")
        self.assertIn('bootargs = "otter=swims";', "\n".join(self.shell("of_dump /chosen")))
        self.shell(f"mkdir /again; mount /dev/{self.disk} /again")
        expected = self.hash(kernel(self.board.machine.arch))
        self.assertEqual(self.answer("sha256sum /again/image", seconds=60).split()[0], expected)

    def test_odd_reservations(self):
        """It starts where reserved memory and an initrd begin and end inside of a page, and keeps away from them. Of
        the free areas, of which there are several then, memtest tests the largest."""
        low, _ = self.free()
        start, size = low + 64 * MIB + 0xF98, 0x3458  # its ends are in five pages
        reserved = f"otters@{start:x} {{ reg = <{start >> 32} {start & 0xFFFFFFFF} 0 {size}>; }};"
        cells = "#address-cells = <2>; #size-cells = <2>; ranges;"
        self.own(f"{self.source()} / {{ reserved-memory {{ {cells} {reserved} }}; }};")
        self.own_start(f"-o /own -r {self.folder}/noise")
        _, _, used = self.banks()[0]
        self.assertTrue([area for area in used if area[0] <= start and area[1] >= start + size], used)
        self.need("CMD_MEMTEST", "memtest")
        tested = re.search(r"0x(\w+) -> 0x(\w+)", "\n".join(self.shell("memtest -b", seconds=60)))
        self.assertLessEqual(
            abs(int(tested[2], 16) - self.free()[1]), 4096, "memtest tests another area than the largest"
        )

    def test_sizes_of_one_cell(self):
        """It finds its memory also where the device tree tells of sizes by one cell."""
        banks = self.banks()
        self.own(self.source_of_one_cell())
        self.own_start("-o /own")
        self.check_banks(banks)


def shorter(cells):
    """Places and sizes of two cells each, in a device tree's source, with sizes of one cell."""
    words = cells.split()
    return " ".join(word for number, word in enumerate(words) if number % 4 != 2)


class LargeMemoryTest(BootCase):
    memory = 4096  # a size and an end of more than 32 bits, and nothing in the lower ones of the size

    def test_memory(self):
        """The kernel is told of all the memory of a larger machine."""
        with self.started("bootm -r DISK/initrd DISK/image") as handed:
            self.assertEqual(handed.memory, self.memory * MIB)
            self.check_initrd(handed, INITRD)
