# SPDX-License-Identifier: MIT
"""barebox' commands read and change device trees, its own and those in files, and leave them as they are where they
fail."""

import re

from oeqa.barebox import case, devicetree, tools

SOURCE = """/dts-v1/; / {
    compatible = "otter,swims"; #address-cells = <2>; #size-cells = <2>;
    aliases { water = "/river/deep"; };
    lake { depth = <7>; };
    river { name1 = "one", "two"; deep { fish = [01 02 ff]; cold; }; };
};"""


class TreeCase(case.BootloaderTestCase):
    needs = ("CMD_OF_DUMP", "CMD_OF_PROPERTY")

    def setUp(self):
        super().setUp()
        self.have(SOURCE)

    def have(self, source, name="/own"):
        """Have a device tree as a file of the guest's."""
        self.shell(f"cp {self.shared(tools.data('dtc', ['-q', '-@', '-'], source.encode()))} {name}")

    def tree(self, name="/own"):
        """A device tree in a file, as barebox shows it, and as the host reads the same file."""
        found = devicetree.from_source(self.shell(f"of_dump -f {name}"))
        copy = self.shared(b"")
        self.shell(f"cp {name} {copy}")
        path = self.board.files.share(self.devices("9p")[0]) / copy.rpartition("/")[2]
        self.assertEqual(devicetree.from_blob(path.read_bytes()), found, "the file is not as it is shown")
        return found

    def fails(self, command, message=""):
        """A command fails and says why."""
        result = self.attempt(command)
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn(message, "\n".join(result.lines), command)


class FileTest(TreeCase):
    """Device trees in files."""

    def test_values(self):
        """Cells in any base, bytes, strings and nothing are set as they are written, in one word or in several, for a
        new property and in place of longer and shorter ones."""
        for value, expected in (
            ("'<0x11223344 5 010>'", devicetree.cells(0x11223344, 5, 8)),
            ("'<1' '2' '3>'", devicetree.cells(1, 2, 3)),
            ("'[0a FF' '7]'", b"\x0a\xff\x07"),
            ("heron", b"heron\0"),
            ("'two words' three ''", b"two words\0three\0\0"),
            ("", b""),
            ("'<0xffffffff>'", devicetree.cells(0xFFFFFFFF)),
        ):
            self.shell(f"of_property -s -e /own /river/deep fish {value}; of_property -s -e /own /lake new {value}")
            tree = self.tree()
            self.assertEqual((tree["/river/deep"]["fish"], tree["/lake"]["new"]), (expected, expected), value)
        self.assertEqual((tree["/lake"]["depth"], tree["/river/deep"]["cold"]), (devicetree.cells(7), b""))

    def test_references(self):
        """A node's path or its alias among cells is the node's handle, which it gets where it has none."""
        self.shell("of_property -s -e /own /river into '</lake 1 water 2 /lake>'")
        tree = self.tree()
        lake, deep = tree["/lake"]["phandle"], tree["/river/deep"]["phandle"]
        self.assertNotEqual(lake, deep)
        self.assertEqual(tree["/river"]["into"], lake + devicetree.cells(1) + deep + devicetree.cells(2) + lake)

    def test_by_alias(self):
        """A node can be named by its alias."""
        self.shell("of_property -s -e /own water deeper '<9>'; of_property -d -e /own water cold")
        self.assertEqual(self.tree()["/river/deep"], {"fish": b"\x01\x02\xff", "deeper": devicetree.cells(9)})

    def test_deleted(self):
        """A property that is deleted is gone, and no other one is."""
        before = self.tree()
        self.shell("of_property -d -e /own /river name1")
        del before["/river"]["name1"]
        self.assertEqual(self.tree(), before)

    def test_refused(self):
        """What is no value, no node or no property is told of, and the device tree stays as it is."""
        before = self.tree()
        for command, message in (
            ("-s -e /own /lake new '<1 2'", "missing '>'"),
            ("-s -e /own /lake new '[1 2'", "missing ']'"),
            ("-s -e /own /lake new '[1 zz]'", 'cannot convert "zz]"'),
            ("-s -e /own /lake new '<1 /sea>'", "Cannot find node '/sea'"),
            ("-s -e /own /lake new '<otter>'", ""),
            ("-s -e /own /sea new 1", "Cannot find nodepath /sea"),
            ("-d -e /own /sea depth", "Cannot find nodepath /sea"),
            ("-d -e /own /lake width", "Cannot find property width"),
            ("-s -e /nothing /lake new 1", "unable to read /nothing"),
            ("-s -e /own /lake", "Usage"),
            ("-e /own /lake new 1", "Usage"),
        ):
            self.fails(f"of_property {command}", message)
        self.assertEqual(self.tree(), before)

    def test_parts(self):
        """A node by itself, its properties alone, and the names of nodes alone are shown."""
        self.assertEqual(self.shell("of_dump -n -f /own /river"), ["/river", "/river/deep"])
        self.assertEqual(self.shell("of_dump -n -f /own water"), ["/river/deep"])
        self.assertEqual(self.shell("of_dump -p -f /own /river"), ['name1 = "one", "two";'])
        deep = "deep { fish = [01 02 ff]; cold; };"
        for node, expected in (("/river", f'river {{ name1 = "one", "two"; {deep} }};'), ("water", deep)):
            self.assertEqual(" ".join(" ".join(self.shell(f"of_dump -f /own {node}")).split()), expected, node)

    def test_limited(self):
        """Of long properties no more is shown than is asked for, and how much is missing is told."""
        lines = [line.strip() for line in self.shell("of_dump -P 5 -f /own /river")]
        self.assertIn("name1 = [6f 6e 65 00 74] /* 3 more bytes omitted */;", lines)
        self.assertIn("fish = [01 02 ff];", lines)
        self.fails("of_dump -P some -f /own")

    def test_not_shown(self):
        """A node that is not there, and a file that is not there or has no device tree, are told of."""
        self.shell("echo -o /plain otters swim")
        self.fails("of_dump -f /own /sea", "Cannot find nodepath /sea")
        self.fails("of_dump -f /nothing", "unable to read /nothing")
        self.fails("of_dump -f /plain", "/plain is not a flat device tree file")

    def test_damaged(self):
        """A file with a device tree that is cut off, or whose parts are not where its head says, is refused."""
        good = tools.data("dtc", ["-q", "-"], SOURCE.encode())
        structure = int.from_bytes(good[8:12], "big")
        for name, blob in {
            **{f"the first {size} bytes": good[:size] for size in (3, 30, 60, 200)},
            "cut": good[:-40],
            "head": good[:20],
            "version": good[:20] + devicetree.cells(3, 3) + good[28:],
            "structure": good[:8] + devicetree.cells(len(good) + 64) + good[12:],
            "strings": good[:12] + devicetree.cells(len(good) + 64) + good[16:],
            "tag": good[:structure] + devicetree.cells(77) + good[structure + 4 :],
        }.items():
            result = self.attempt(f"of_dump -f {self.shared(blob)}")
            self.assertNotEqual(result.status, 0, f"{name}: {result}")

    def test_differences(self):
        """of_diff tells what is in one of two device trees alone: nodes with what is in them, properties, values."""
        self.need("CMD_OF_DIFF")
        other = (
            SOURCE.replace("lake {", "pond {")
            .replace("ff];", "fe];")
            .replace("cold;", "")
            .replace("= <7>", "= <7>; wide")
        )
        self.have(other, "/other")
        found = self.lines("of_diff /own /other")
        new = ["+ pond {", "+ depth = <0x7>;", "+ wide;", "+ };", "+ fish = [01 02 fe];"]
        old = ["- lake {", "- depth = <0x7>;", "- };", "- fish = [01 02 ff];", "- cold;"]
        self.assertEqual(sorted(x for x in found if x[0] in "+-"), sorted(new + old))
        turned = [line.translate(str.maketrans("+-", "-+")) for line in self.lines("of_diff /other /own")]
        self.assertEqual(sorted(turned), sorted(found))
        self.shell("of_diff /own /own")
        self.fails("of_diff /own /nothing", "unable to read")
        self.fails("of_diff /own", "Usage")
        self.fails("of_diff + +", "Usage")

    def lines(self, command):
        """What a comparison that finds a difference prints, without the indentation."""
        return [" ".join(line.split()) for line in self.shell(command, status=1)]


class LiveTest(TreeCase):
    """barebox' own device tree."""

    needs = (*TreeCase.needs, "CMD_OF_NODE", "CMD_OFTREE")

    def setUp(self):
        super().setUp()
        if self.attempt("of_dump -n /").status:
            self.skipTest("barebox has no device tree of its own here")
        self.addCleanup(self.attempt, "of_node -d /otter")

    def own(self, path="/otter"):
        return devicetree.from_source(self.shell(f"of_dump {path}"))

    def test_nodes(self):
        """A node is created with those above it, and deleted with those below it."""
        self.shell("of_node -c /otter/swims/well; of_node -c /otter/dives")
        names = ["/otter", "/otter/swims", "/otter/swims/well", "/otter/dives"]
        self.assertEqual(self.shell("of_dump -n /otter"), names)
        self.shell("of_node -d /otter/swims")
        self.assertEqual(self.shell("of_dump -n /otter"), ["/otter", "/otter/dives"])
        self.fails("of_node -d /otter/swims", "Cannot find nodepath /otter/swims")
        self.fails("of_node -c", "Usage")
        self.fails("of_node /otter", "Usage")

    def test_properties(self):
        """Properties are set, replaced and deleted at once."""
        self.shell("of_node -c /otter; of_property -s /otter a '<1 2>'; of_property -s /otter b one")
        self.shell("of_property -s /otter a '[ff]'; of_property -d /otter b; of_property -s /otter c")
        self.assertEqual(list(self.own().values()), [{"a": b"\xff", "c": b""}])

    def test_saved(self):
        """The device tree is saved, and another one cannot take its place."""
        self.shell("of_node -c /otter; of_property -s /otter swims '<3>'; oftree -S /saved")
        self.assertEqual(self.tree("/saved")["/otter"], {"swims": devicetree.cells(3)})
        self.fails("oftree -l /saved", "setting root node failed")
        self.fails("oftree -l /nothing", "unable to read /nothing")
        self.fails("oftree", "Usage")

    def test_overlays_refused(self):
        """An overlay that is none, or for a node that is not there, leaves the device tree as it is."""
        self.need("OF_OVERLAY_LIVE")
        before = self.shell("of_dump -n /")
        self.shell("echo -o /plain otters swim")
        self.fails("of_overlay /plain", "is not a flat device tree file")
        self.fails("of_overlay", "Usage")
        for source in ("&{/sea} { salt { }; };", "&sea { salt { }; };", "&{/} { salt { into = <&sea>; }; };"):
            self.have(f"/dts-v1/; /plugin/; {source}", "/overlay")
            self.fails("of_overlay -l /overlay")
        self.assertEqual(self.shell("of_dump -n /"), before)

    def test_translated(self):
        """Addresses are translated through each bus on the way, by the window that they are in."""
        self.need("OF_OVERLAY_LIVE")
        self.need("CMD_DEVINFO")
        self.addCleanup(self.board.discard)
        windows = "<0x0 0x5 0x1000 0x1000>, <0x8000 0x7 0x20000 0x8000>"
        inner = "<0x0 0x8000 0x800>, <0x1000 0x40 0x100>"
        cells = "#address-cells = <1>; #size-cells = <1>;"
        devices = "".join(
            f'heron@{place:x} {{ reg = <{place:#x} 8>; compatible = "otter,heron"; }};'
            for place in (0x10, 0x700, 0x1020)
        )
        self.have(
            f"""/dts-v1/; /plugin/; &{{/}} {{ outer {{
                compatible = "simple-bus"; {cells} ranges = {windows};
                beaver@40 {{ reg = <0x40 0x20>; compatible = "otter,beaver"; }};
                inner {{ compatible = "simple-bus"; {cells} ranges = {inner}; {devices} }};
            }}; }};""",
            "/overlay",
        )
        self.shell("of_overlay -l /overlay")
        text = "\n".join(self.shell("devinfo"))
        found = {node: int(place, 16) for place, node in re.findall(r"(\w+)\.((?:heron|beaver)@\w+)\.of", text)}
        expected = {"heron@10": 0x7_0002_0010, "heron@700": 0x7_0002_0700}
        expected |= {"heron@1020": 0x5_0000_1060, "beaver@40": 0x5_0000_1040}
        self.assertEqual(found, expected)
