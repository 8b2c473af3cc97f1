# SPDX-License-Identifier: MIT
"""Commands that read, change and compare device trees in files."""

from oeqa.barebox import case, devicetree, tools
from oeqa.barebox.devicetree import cells

SOURCE = """/dts-v1/; / { compatible = "otter,river", "otter"; aliases { stream = "/river"; };
    lake@10 { reg = <0x10>; };
    river: river { depth = <3 0x11223344>; banks = "left", "right"; fish { kinds = [01 02 ff]; wild; }; }; };"""


class TreeCase(case.BootloaderTestCase):
    needs = ("CMD_OF_PROPERTY", "CMD_OF_DUMP")

    def setUp(self):
        super().setUp()
        self.addCleanup(self.attempt, "rm -f /tree /other")
        self.shell(f"cp {self.shared(self.blob(SOURCE))} /tree")

    def blob(self, source):
        return tools.data("dtc", ["-q", "-"], source.encode())

    def tree(self):
        """The tree as it is in the file."""
        share = self.devices("9p")[0]
        self.shell(f"cp /tree {self.board.node(share)}/tree-{self._testMethodName}")
        return devicetree.from_blob((self.board.files.share(share) / f"tree-{self._testMethodName}").read_bytes())

    def check(self, changes):
        """The tree differs from what it was in some nodes alone."""
        expected = devicetree.from_blob(self.blob(SOURCE))
        for node, properties in changes.items():
            expected[node] = {k: v for k, v in {**expected[node], **properties}.items() if v is not None}
        self.assertEqual(self.tree(), expected)


class PropertyTest(TreeCase):
    def test_set(self):
        """Properties are put into a file as cells, bytes, texts, and empty, in place of what they were."""
        self.shell(
            "of_property -s -e /tree /river depth '<0x10 32' '010>'; of_property -s -e /tree /river fish '[aa 0' '7f]'"
        )
        self.shell("of_property -s -e /tree /river banks 'far side' near; of_property -s -e /tree /river/fish tame")
        self.shell("of_property -s -e /tree stream shallow 'at times'")
        changed = {"depth": cells(0x10, 32, 8), "fish": b"\xaa\x00\x7f", "banks": b"far side\0near\0"}
        self.check({"/river": {**changed, "shallow": b"at times\0"}, "/river/fish": {"tame": b""}})

    def test_handle(self):
        """A node that is named among cells stands for its handle, which it is given."""
        self.shell("of_property -s -e /tree /river flows '</lake@10 7 stream>'")
        found = self.tree()
        lake, river = (int.from_bytes(found[node]["phandle"], "big") for node in ("/lake@10", "/river"))
        self.assertNotEqual(lake, river)
        self.assertEqual(found["/river"]["flows"], cells(lake, 7, river))

    def test_deleted(self):
        """A property is taken away, and no other."""
        self.shell("of_property -d -e /tree /river banks; of_property -d -e /tree /river/fish wild")
        self.check({"/river": {"banks": None}, "/river/fish": {"wild": None}})

    def test_refused(self):
        """What has no end or no meaning, and what there is not, is refused, and the file stays as it is."""
        for value in ("'<1 2'", "'[01 02'", "'<otter>'", "'</nothing>'", "'[xy]'"):
            result = self.attempt(f"of_property -s -e /tree /river depth {value}")
            self.assertNotEqual(result.status, 0, str(result))
        for options in ("-d -e /tree /river otter", "-d -e /tree /nothing depth", "-s -e /tree /nothing depth '<1>'"):
            self.assertNotEqual(self.attempt(f"of_property {options}").status, 0, options)
        for options in ("-s -e /nothing /river x y", "-e /tree /river depth", "-s -e /tree /river"):
            self.assertNotEqual(self.attempt(f"of_property {options}").status, 0, options)
        self.check({})


class DumpTest(TreeCase):
    def test_file(self):
        """of_dump shows the tree of a file, whole, from a node on, or from an alias on."""
        expected = devicetree.from_blob(self.blob(SOURCE))
        self.assertEqual(devicetree.from_source(self.shell("of_dump -f /tree")), expected)
        for name in ("/river", "stream"):
            found = devicetree.from_source(self.shell(f"of_dump -f /tree {name}"))
            self.assertEqual(found["river"], expected["/river"], name)
            self.assertEqual(found["river/fish"], expected["/river/fish"], name)

    def test_parts(self):
        """With -n, names of nodes alone are shown, with -p the properties of one node, with -P no long values."""
        names = "".join(self.shell("of_dump -n -f /tree"))
        self.assertEqual(("river" in names, "lake@10" in names, "depth" in names), (True, True, False), names)
        lines = [line.strip() for line in self.shell("of_dump -p -f /tree /river")]
        self.assertEqual(lines, ["depth = <0x3 0x11223344>;", 'banks = "left", "right";'])
        lines = [line.strip() for line in self.shell("of_dump -P 8 -f /tree /river")]
        self.assertIn("depth = <0x3 0x11223344>;", lines)
        self.assertNotIn('banks = "left", "right";', lines)

    def test_refused(self):
        """A node that there is not, a file that there is not, and one that is no tree are refused."""
        self.shell("echo -o /other otters swim in the river")
        for arguments in ("-f /tree /nothing", "-f /nothing", "-f /other", "-P otter -f /tree"):
            self.assertNotEqual(self.attempt(f"of_dump {arguments}").status, 0, arguments)
        for size in (3, 30, 60, 200):
            path = self.shared(self.blob(SOURCE)[:size])
            self.assertNotEqual(self.attempt(f"of_dump -f {path}").status, 0, f"the first {size} bytes")


class DiffTest(TreeCase):
    needs = (*TreeCase.needs, "CMD_OF_DIFF")

    def test_compared(self):
        """of_diff is silent on equal trees, and else shows what one lacks and the other has."""
        self.assertEqual(self.shell("cp /tree /other; of_diff /tree /other"), [])
        source = SOURCE.replace("depth = <3", "depth = <4").replace("wild; ", "").replace("lake@10 {", "sea {")
        self.shell(f"cp {self.shared(self.blob(source))} /other")
        lines = [line for line in self.attempt("of_diff /tree /other").lines if line[:1] in "+-"]
        self.assertNotEqual(self.attempt("of_diff /tree /other").status, 0)
        for sign, text in (("-", "depth = <0x3 0x11223344>;"), ("+", "depth = <0x4 0x11223344>;"), ("-", "wild;")):
            self.assertTrue([x for x in lines if x[0] == sign and x[1:].strip() == text], f"{sign} {text} in {lines}")
        for sign, text in (("-", "lake@10 {"), ("+", "sea {")):
            self.assertTrue([x for x in lines if x[0] == sign and x[1:].strip() == text], f"{sign} {text} in {lines}")
        self.assertFalse([x for x in lines if "banks" in x or "compatible" in x])
        for arguments in ("/tree /nothing", "/tree", "+ +"):
            self.assertNotEqual(self.attempt(f"of_diff {arguments}").status, 0, arguments)
