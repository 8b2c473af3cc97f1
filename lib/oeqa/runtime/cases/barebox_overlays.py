# SPDX-License-Identifier: MIT
"""barebox applies device tree overlays to what the kernel gets, and to its own tree."""

import functools
import hashlib

from oeqa.barebox import devicetree, tools
from oeqa.barebox.handover import HandoverCase, kernel


def files(arch):
    return {"image": kernel(arch)}


NAMES = ("river", "lake", "all")
FILTERS = "global.of.overlay.filter="


def overlay(name):
    """An overlay that brings a node of its name; the board that it is for is called so, too."""
    board = "" if name == "all" else f'/ {{ compatible = "otter,{name}"; }};'
    return f"/dts-v1/; /plugin/; {board} &{{/}} {{ {name} {{ }}; }};"


@functools.cache
def blobs():
    return {name: tools.data("dtc", ["-q", "-"], overlay(name).encode()) for name in (*NAMES, "other")}


class OverlayTest(HandoverCase):
    files = files

    def test_overlay(self):
        """An overlay is applied to what the kernel gets."""
        self.need("CMD_OF_OVERLAY", "of_overlay")
        self.own("/dts-v1/; /plugin/; &{/} { overlaid { here = <7>; }; };")
        self.shell("of_overlay /own")
        with self.started("bootm DISK/image") as handed:
            self.assertEqual(handed.tree.get("/overlaid"), {"here": bytes([0, 0, 0, 7])})

    def test_overlay_references(self):
        """What refers to nodes within an overlay, also several times in one property, still does so for the kernel."""
        self.need("CMD_OF_OVERLAY", "of_overlay")
        self.own(
            """/dts-v1/; /plugin/; &{/} {
                pond: pond { }; lake: lake { };
                river { into = <&lake 1 &pond 2 &lake>; other = <&pond>; deep { from = <7 &lake>; }; };
            };"""
        )
        self.shell("of_overlay /own")
        with self.started("bootm DISK/image") as handed:
            pond, lake = (handed.tree[path]["phandle"] for path in ("/pond", "/lake"))
            self.assertEqual([node.get("phandle") for node in handed.tree.values()].count(lake), 1)
            self.assertEqual(
                handed.tree["/river"]["into"], lake + devicetree.cells(1) + pond + devicetree.cells(2) + lake
            )
            self.assertEqual(handed.tree["/river"]["other"], pond)
            self.assertEqual(handed.tree["/river/deep"]["from"], devicetree.cells(7) + lake)

    def base(self):
        """Have a device tree for the kernel with labels, which overlays refer to."""
        self.own(
            """/dts-v1/; / { compatible = "linux,dummy-virt", "riscv-virtio"; #address-cells = <2>; #size-cells = <2>;
            chosen { }; lake: lake { depth = <7>; cold; }; river: river { into = <&lake>; }; };""",
            "/base",
            labels=True,
        )

    def test_labels(self):
        """Overlays change nodes by their labels, and refer to them and to what an overlay before them brought."""
        self.need("CMD_OF_OVERLAY", "of_overlay")
        self.base()
        first = "&lake { depth = <9>; boat: boat { on = <&lake &river>; }; };"
        self.own(f"/dts-v1/; /plugin/; {first}", "/first", labels=True)
        self.own("/dts-v1/; /plugin/; &boat { oars = <2>; }; &{/lake} { port { for = <1 &boat>; }; };", "/second")
        self.shell("of_overlay /first; of_overlay /second")
        with self.started("bootm -o /base DISK/image") as handed:
            tree = handed.tree
            lake, river, boat = (tree[path]["phandle"] for path in ("/lake", "/river", "/lake/boat"))
            self.assertEqual((tree["/lake"]["depth"], tree["/lake"]["cold"]), (devicetree.cells(9), b""))
            self.assertEqual((tree["/river"]["into"], tree["/lake/boat"]["on"]), (lake, lake + river))
            self.assertEqual(tree["/lake/boat"]["oars"], devicetree.cells(2))
            self.assertEqual(tree["/lake/port"]["for"], devicetree.cells(1) + boat)
            self.assertEqual(len({lake, river, boat}), 3)

    def test_unknown(self):
        """An overlay for a label or a path that is not there is named, and the others are applied all the same."""
        self.need("CMD_OF_OVERLAY", "of_overlay")
        self.base()
        for number, source in enumerate(
            ("&sea { salt = <1>; };", "&{/sea} { salt = <2>; };", "&lake { salt = <3>; };")
        ):
            self.own(f"/dts-v1/; /plugin/; {source}", f"/overlay{number}")
            self.shell(f"of_overlay /overlay{number}")
        with self.started("bootm -o /base DISK/image") as handed:
            self.assertIn("cannot find node sea in base devicetree", handed.text)
            self.assertIn("path '/sea' not found", handed.text)
            salty = {path: node["salt"] for path, node in handed.tree.items() if "salt" in node}
            self.assertEqual(salty, {"/lake": devicetree.cells(3)})
            self.assertNotIn("/sea", handed.tree)

    def test_folder(self):
        """The overlays of a folder are applied; where boards are named, those that are for another one are not."""
        self.prepare()
        self.shell("global.of.overlay.path=/overlays; global.of.overlay.compatible='otter,pond otter,lake'")
        with self.started("bootm DISK/image") as handed:
            found = {name for name in NAMES if f"/{name}" in handed.tree}
            self.assertEqual(found, {"lake", "all"})

    def prepare(self):
        """Have overlays in a folder: for two boards, and for all."""
        self.need("OF_OVERLAY")
        defaults = "global.of.overlay.path=; global.of.overlay.compatible="
        self.addCleanup(self.attempt, f"{defaults}; global.of.overlay.pattern='*'; {FILTERS}'pattern compatible'")
        self.shell("mkdir -p /overlays")
        for name in NAMES:
            self.own(overlay(name), f"/overlays/{name}.dtbo")

    def applied(self, settings):
        """The overlays that are applied with these settings, as the fixed device tree is shown."""
        self.need("CMD_OF_DUMP")
        self.shell("; ".join(f"global.of.overlay.{name}='{value}'" for name, value in settings.items()))
        lines = self.shell("of_dump -F -n /")
        return {name for name in NAMES if f"/{name}" in lines}, "\n".join(lines)

    def check_filters(self, path, end):
        """Of the overlays that are at ``path``, whose names have an ``end``, those that the filters let pass are
        applied."""
        both = {"path": path, "filter": "pattern compatible"}
        for pattern, board, expected in (
            ("*", "", set(NAMES)),
            (f"ri*{end} la?e{end}", "", {"river", "lake"}),
            (f"lake{end} all{end}", "otter,river", {"all"}),
            (f"{end}", "", set()),
            ("*", "otter,sea otter,river", {"river", "all"}),
        ):
            settings = {**both, "pattern": pattern, "compatible": board}
            self.assertEqual(self.applied(settings)[0], expected, settings)
        for filters, expected in (("pattern", {"lake"}), ("compatible", {"river", "all"}), ("otter", set())):
            settings = {"filter": filters, "pattern": f"lake{end}", "compatible": "otter,river"}
            self.assertEqual(self.applied(settings)[0], expected, settings)

    def test_filters(self):
        """Overlays of a folder are chosen by their names, by their boards, by both or, where there is no such filter,
        not at all; a path that is not there is told of."""
        self.prepare()
        self.check_filters("/overlays", ".dtbo")
        found, text = self.applied({"path": "/nothing", "filter": "pattern"})
        self.assertEqual(found, set())
        self.assertIn("Cannot stat global.of.overlay.path (/nothing)", text)

    def test_fit(self):
        """Overlays of a FIT image are chosen in the same way, by the names of their configurations; such as have a
        kernel are none, and an image of which one bit is wrong is left out."""
        self.need("BOOTM_FITIMAGE")
        self.prepare()
        digests = {name: hashlib.sha256(blob).hexdigest() for name, blob in blobs().items()}
        hashes = {name: f'hash-1 {{ algo = "sha256"; value = [{digest}]; }};' for name, digest in digests.items()}
        nodes = "".join(
            f'{name} {{ type = "flat_dt"; data = [{blob.hex()}]; {hashes[name]} }};' for name, blob in blobs().items()
        )
        for path, change in (("/fit", ""), ("/bad", digests["lake"])):
            text = nodes.replace(change, change[:-1] + f"{int(change[-1], 16) ^ 1:x}") if change else nodes
            names = "".join(f'{name} {{ fdt = "{name}"; }};' for name in NAMES)
            others = 'other { fdt = "other"; kernel = "lake"; };'
            self.own(f"/dts-v1/; / {{ images {{ {text} }}; configurations {{ {names} {others} }}; }};", path)
        self.check_filters("/fit", "")
        settings = {"path": "/fit", "filter": "pattern", "pattern": "*", "compatible": ""}
        self.assertNotIn("/other", self.applied(settings)[1].split())
        found, text = self.applied({**settings, "path": "/bad"})
        self.assertNotIn("lake", found)
        self.assertIn("lake/hash-1: hash BAD", text)

    def test_live(self):
        """What two overlays add to barebox' own tree is told apart by those who refer to it."""
        self.need("OF_OVERLAY_LIVE")
        self.addCleanup(self.board.discard)
        names = ("pond", "lake")
        for name in names:
            self.own(f"/dts-v1/; /plugin/; &{{/}} {{ {name}: {name} {{ }}; to-{name} {{ into = <&{name}>; }}; }};")
            self.shell("of_overlay -l /own")
        tree = devicetree.from_source(self.shell("of_dump /"))
        handles = [node["phandle"] for node in tree.values() if "phandle" in node]
        self.assertEqual(len(set(handles)), len(handles), "two nodes have the same handle")
        for name in names:
            self.assertEqual(tree[f"/to-{name}"]["into"], tree[f"/{name}"]["phandle"])
