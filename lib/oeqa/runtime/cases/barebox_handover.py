# SPDX-License-Identifier: MIT
"""barebox starts a kernel as its boot protocol wants it, with the memory, command line, initrd and device tree that
were asked for. The kernel is a payload of a few instructions; what it was given is read from the machine's memory."""

import functools
import gzip
import random
import re
import time

from oeqa.barebox import devicetree, payload, ram, tools
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

    def test_empty_initrd(self):
        """An initrd of no bytes is none, and takes no memory."""
        self.shell("echo -n -o /empty")
        self.assertIn(" 0 ", self.answer("ls -l /empty"))
        with self.started("bootm -r /empty DISK/image") as handed:
            self.assertNotIn("linux,initrd-start", handed.tree["/chosen"])
            self.check_kernel(handed)

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

    def test_large_tree(self):
        """A large device tree of one's own, with thousands of nodes and names, a property of many KiB and several
        reservations, is handed over whole."""
        places = [0x10_0000_0000 + number * 0x10000 for number in range(9)]
        noise = random.randbytes(75_000).hex()
        nodes = {f"node{n}": {f"property-{n:060}": devicetree.cells(n), "same": b"otter\0"} for n in range(1200)}
        text = "".join(
            f'{name} {{ {next(iter(node))} = <{number}>; same = "otter"; }};'
            for number, (name, node) in enumerate(nodes.items())
        )
        source = self.source().replace(
            "/dts-v1/;", "/dts-v1/; " + "".join(f"/memreserve/ {place:#x} 0x2000;" for place in places)
        )
        self.own(f'{source} / {{ large {{ noise = "{noise}"; {text} }}; }};')
        with self.started("bootm -o /own DISK/image") as handed:
            self.assertEqual(handed.tree["/large"]["noise"].decode(), f"{noise}\0")
            found = {x.rpartition("/")[2]: node for x, node in handed.tree.items() if x.startswith("/large/")}
            self.assertEqual(found, nodes)
            reserved = devicetree.reservations(handed.blob)
            self.assertEqual([area for area in reserved if area[0] in places], [(place, 0x2000) for place in places])

    def test_appended_arguments(self):
        """Where that is asked for, what the device tree has of a command line goes before barebox' own part."""
        self.own(f'{self.source()} / {{ chosen {{ bootargs = "tree=1 tree=2"; }}; }};')
        self.shell("global linux.bootargs.base=mine; global linux.bootargs_append=1")
        with self.started("bootm -o /own DISK/image") as handed:
            self.assertEqual(handed.bootargs, "tree=1 tree=2 mine")

    def test_failed_fixup(self):
        """What changes the kernel's device tree goes on behind a change that fails, which is said."""
        self.need("CMD_OF_FIXUP_STATUS", "of_fixup_status")
        self.need("CMD_OF_PROPERTY", "of_property")
        self.shell("of_fixup_status -d /nowhere; of_property -f -s /chosen otter swims")
        with self.started("bootm DISK/image") as handed:
            self.assertIn("Failed to fixup", handed.text)
            self.assertEqual(handed.tree["/chosen"]["otter"], b"swims\0")

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

    def test_told(self):
        """The kernel is told why and by which of several the machine was reset, and a further name of the board, which
        goes before the others, once."""
        self.need("CMD_OF_DUMP", "of_dump")
        own = devicetree.from_source(self.shell("of_dump /"))["/"]["compatible"]
        self.shell("global.system.reset=THERM; global.system.reset_instance=3")
        self.addCleanup(self.attempt, "global.system.reset=unknown; global.system.reset_instance=0")
        name = "global.of.kernel.add_machine_compatible"
        self.addCleanup(self.attempt, f"{name}=")
        for board, expected in (("otter,river", b"otter,river\0" + own), (own.decode().split("\0")[-2], own)):
            self.shell(f"{name}={board}")
            tree = devicetree.from_source(self.shell("of_dump -F /"))
            self.assertEqual(tree["/"]["compatible"], expected, board)
        with self.started("bootm DISK/image") as handed:
            self.assertEqual(handed.tree["/"]["compatible"], own)
            self.assertEqual(handed.tree["/chosen"]["reset-source"], b"THERM\0")
            self.assertEqual(handed.tree["/chosen"]["reset-source-instance"], devicetree.cells(3))

    def test_address(self):
        """The kernel is put where it is asked for, by the command or the variable, or at the next place that it can
        be at."""
        base = self.base() + 96 * MIB
        self.shell(f"global.bootm.image.loadaddr={base + 8 * MIB:#x}")
        with self.started(f"bootm -a {base + MIB:#x} -r DISK/initrd DISK/image") as handed:
            offset = int.from_bytes(kernel(self.board.machine.arch)[8:16], "little")  # behind a multiple of 2 MiB
            self.assertEqual(handed.registers["start"], base + 2 * MIB + offset)
            self.check_kernel(handed)
            self.check_initrd(handed, INITRD)
            self.assertGreater(handed.initrd[0], base)

    def test_address_of_variable(self):
        """The address of the variable counts where the command names none; where there is no memory, or it is taken,
        nothing is booted."""
        self.need("CMD_IOMEM", "iomem")
        base = self.base()
        used = re.search(r"0x(\w+) - 0x\w+ \(.*?\) malloc space", "\n".join(self.shell("iomem")))
        for address in (base - 64 * MIB, base + (self.board.machine.qemu.memory + 2) * MIB, int(used[1], 16) + 4 * MIB):
            self.refused(f"bootm -a {address:#x} DISK/image", "No such file")
        self.shell(f"global.bootm.image.loadaddr={base + 64 * MIB:#x}")
        with self.started("bootm DISK/image") as handed:
            self.assertEqual(handed.registers["start"], base + 64 * MIB)

    def base(self):
        """Where the memory begins."""
        tree = devicetree.from_blob(self.board.device_tree())
        reg = next(node["reg"] for path, node in tree.items() if path.startswith("/memory"))
        return int.from_bytes(reg[:8], "big")

    def test_all_memory_nodes(self):
        """Memory of any name that a device tree of one's own tells of is not told of to the kernel."""
        more = 'memory@1000 { device_type = "memory"; reg = <0 0x1000 0 0x1000>; };'
        more += 'ram { device_type = "memory"; reg = <0 0x8000 0 0x1000>; };'
        self.own(f"{self.source()} / {{ {more} }};")
        with self.started("bootm -o /own DISK/image") as handed:
            told = [path for path, node in handed.tree.items() if node.get("device_type") == b"memory\0"]
            self.assertEqual(told, [f"/memory@{self.base():x}"])
            self.assertEqual(handed.memory, self.board.machine.qemu.memory * MIB)

    def test_psci(self):
        """A device tree of one's own that knows nothing of PSCI is told of it, as is each processor in there."""
        self.need("ARM_PSCI_CLIENT")
        qemu = devicetree.from_blob(self.board.device_tree())["/psci"]
        source = re.sub(r"(?ms)^\tpsci \{.*?^\t\};", "", self.source())
        self.own(re.sub(r"(?m)^\t*enable-method = .*?;$", "", source))
        with self.started("bootm -o /own DISK/image") as handed:
            told = {name: qemu[name].split(b"\0")[0] + b"\0" for name in ("compatible", "method")}
            self.assertEqual(handed.tree.get("/psci"), told)
            processors = [node for path, node in handed.tree.items() if path.startswith("/cpus/cpu@")]
            methods = [node.get("enable-method") for node in processors]
            self.assertEqual(methods, [b"psci\0"] * self.board.machine.qemu.smp)

    def test_state_replaced(self):
        """The description of the state in a device tree of one's own gives way to barebox', which is said."""
        self.need("STATE")
        self.need("CMD_OF_DUMP", "of_dump")
        own = devicetree.from_source(self.shell("of_dump"))
        if "/state" not in own:
            self.skipTest("barebox has no state here")
        self.own(f'{self.source()} / {{ state {{ compatible = "barebox,state"; magic = <1>; otter {{ }}; }}; }};')
        with self.started("bootm -o /own DISK/image") as handed:
            self.assertIn("Kernel devicetree contains state node, replacing it", handed.text)
            self.assertEqual(handed.tree["/state"]["magic"], own["/state"]["magic"])
            found = {path for path in handed.tree if path.startswith("/state/")}
            self.assertEqual(found, {path for path in own if path.startswith("/state/")})

    def test_partitions(self):
        """The kernel is told of the flash's partitions as they are now, in place of those that it would know else, in
        the form that is asked for."""
        self.need("CMD_PARTITION")
        self.need("CMD_OF_DUMP", "of_dump")
        self.addCleanup(self.board.off)
        own = devicetree.from_source(self.shell("of_dump"))
        folders = [path for path, node in own.items() if node.get("compatible") == b"fixed-partitions\0"]
        if not folders or self.attempt("test -e /dev/nor0.initramfs").status:
            self.skipTest("there is no flash with partitions here")
        flash = folders[0].rpartition("/")[0]
        self.shell("delpart /dev/nor0.initramfs; addpart /dev/nor0 '1M@1M(otter)ro,3M@4M(beaver)'")
        expected = {
            f"partition@{x.rpartition('@')[2]}": own[x] for x in own if x.startswith(f"{folders[0]}/partition@")
        }
        del expected["partition@0"]
        expected["partition@100000"] = {"label": b"otter\0", "reg": devicetree.cells(MIB, MIB), "read-only": b""}
        expected["partition@400000"] = {"label": b"beaver\0", "reg": devicetree.cells(4 * MIB, 3 * MIB)}
        for binding, folder in (("new", folders[0]), ("legacy", flash), ("adaptive", folders[0]), ("donttouch", "")):
            self.shell(f"global.of_partition_binding={binding}")
            tree = devicetree.from_source(self.shell("of_dump -F"))
            if folder:
                self.check_partitions(tree, folder, expected)
                self.assertEqual(folders[0] in tree, binding != "legacy")
            else:
                names = [path for path in own if path.startswith(flash)]
                self.assertEqual([path for path in tree if path.startswith(flash)], names)
        alien = 'partitions { compatible = "fixed-partitions"; heron@0 { label = "heron"; reg = <0 0 0 1>; }; };'
        self.own(f"{self.source()} / {{ {flash[1:]} {{ {alien} }}; }};")
        self.shell("global.of_partition_binding=adaptive")
        with self.started("bootm -o /own DISK/image") as handed:
            self.check_partitions(handed.tree, folders[0], expected)

    def check_partitions(self, tree, folder, expected):
        """In a device tree, these partitions are in a folder, and no others."""
        nodes = {path.rpartition("/")[2]: node for path, node in tree.items() if path.rpartition("/")[0] == folder}
        nodes.pop("partitions", None)
        found = {name: {x: y for x, y in node.items() if x != "phandle"} for name, node in nodes.items()}
        wanted = {name: {x: y for x, y in node.items() if x != "phandle"} for name, node in expected.items()}
        self.assertEqual(found, wanted, folder)

    def test_script(self):
        """A script that names kernel, initrd and device tree has them booted; a dry run of it, told so twice, does not,
        and leaves none of the names."""
        self.need("CMD_BOOT")
        self.own(f'{self.source()} / {{ model = "of the script"; }};')
        names = {"image": f"{self.folder}/image", "initrd": f"{self.folder}/initrd", "oftree": "/own"}
        self.shell("mkdir -p /env/boot; echo -o /env/boot/named '#!/bin/sh'")
        for name, path in names.items():
            self.shell(f"echo -a /env/boot/named global.bootm.{name}={path}")
        self.shell("echo -a /env/boot/named global linux.bootargs.dyn.root=root=otter")
        self.assertIn("Dryrun. Aborted", "\n".join(self.shell("boot -d -d named", seconds=60)))
        self.assertEqual(self.answer("echo [$global.bootm.image$global.bootm.initrd$global.bootm.oftree]"), "[]")
        with self.started("boot named") as handed:
            self.check_kernel(handed)
            self.check_initrd(handed, INITRD)
            self.assertEqual((handed.tree["/"]["model"], handed.bootargs.strip()), (b"of the script\0", "root=otter"))

    def test_nothing_to_boot(self):
        """bootm that is told of no kernel, or of one of an unknown kind by force, says so and boots nothing."""
        self.refused("bootm", "no boot image given")
        self.refused("bootm -f DISK/noise", "no image handler found for image type")
        self.refused("bootm -x DISK/image", "(?i)usage")

    def test_dry_by_variable(self):
        """Where all boots are dry ones, none boots; and what is verbose tells who is to start the kernel."""
        self.addCleanup(self.board.off)
        self.shell("global.bootm.dryrun=1")
        text = "\n".join(self.shell(f"bootm {self.folder}/image", seconds=60))
        self.assertIn("Dryrun. Aborted", text)
        self.assertNotIn("Passing control to", text)
        for command in (f"bootm -v {self.folder}/image", f"global.bootm.verbose=1; bootm {self.folder}/image"):
            self.assertIn("Passing control to", "\n".join(self.shell(command, seconds=60)), command)

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

    def start_with(self, banks):
        """Start it with memory of several banks."""
        self.need("CMD_OF_NODE")
        self.need("CMD_OF_PROPERTY")
        for number, (first, last) in enumerate(banks):
            node = f"/ram{number}" if number else f"/memory@{first:x}"
            self.shell(f"of_node -f -c {node}; of_property -f -s {node} device_type memory")
            place = f"{first >> 32:#x} {first & 0xFFFFFFFF:#x} 0 {last - first:#x}"
            self.shell(f"of_property -f -s {node} reg '<{place}>'")
        self.own_start()

    def test_banks(self):
        """It finds memory of two banks with a hole between them, can use both, and tells the kernel of both."""
        start, end, _ = self.banks()[0]
        half = (start + end) // 2
        banks = [(start, half), (half + 64 * MIB, end)]
        self.start_with(banks)
        self.assertEqual(sorted(bank[:2] for bank in self.banks()), banks)
        for start, end in banks:
            self.assertEqual(len(ram.values(self.shell(f"md -b {end - 16 * MIB:#x}+16"), "b")), 16, f"{start:#x}")
        self.shell(f"mw -l {banks[1][1] - 4:#x} 0x11223344; memcpy {banks[1][1] - 4:#x} {banks[1][0]:#x} 4")
        self.assertEqual(ram.values(self.shell(f"md -l {banks[1][0]:#x}+4"), "l"), [0x11223344])
        tree = devicetree.from_source(self.shell("of_dump -F"))
        regs = [node["reg"] for path, node in tree.items() if path.startswith("/memory@")]
        found = [[int.from_bytes(reg[i : i + 8], "big") for i in range(0, len(reg), 8)] for reg in regs]
        self.assertEqual(sorted(found), [[start, end - start] for start, end in banks])
        self.need("CMD_MEMTEST", "memtest")
        text = "\n".join(self.shell("memtest -b -t", seconds=90))
        tested = [(int(a, 16), int(b, 16)) for a, b in re.findall(r"0x(\w+) -> 0x(\w+)", text)]
        for start, end in banks:
            self.assertTrue([area for area in tested if start <= area[0] < area[1] <= end], f"{start:#x}: {text}")
        self.assertTrue(all(any(a <= x < y <= b for a, b in banks) for x, y in tested), text)

    def test_adjacent_banks(self):
        """It has all of the memory where that is of two banks without a hole, and none of it twice."""
        start, end, _ = self.banks()[0]
        half = (start + end) // 2
        self.start_with([(start, half), (half, end)])
        found = sorted(bank[:2] for bank in self.banks())
        self.assertEqual(sum(last - first for first, last in found), end - start)
        self.assertEqual((found[0][0], found[-1][1]), (start, end))

    def test_overlapping_banks(self):
        """Memory that is told of several times, as a whole and in parts, is one bank."""
        start, end, _ = self.banks()[0]
        half = (start + end) // 2
        self.start_with([(start, end), (start + MIB, half - MIB), (start, half)])
        self.assertEqual([bank[:2] for bank in self.banks()], [(start, end)])

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
