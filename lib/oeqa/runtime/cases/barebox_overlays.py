# SPDX-License-Identifier: MIT
"""barebox applies device tree overlays to what the kernel gets, and to its own tree."""

from oeqa.barebox import devicetree
from oeqa.barebox.handover import HandoverCase, kernel


def files(arch):
    return {"image": kernel(arch)}


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

    def test_folder(self):
        """The overlays of a folder are applied; where boards are named, those that are for another one are not."""
        self.need("OF_OVERLAY")
        for name, board in (
            ("river", 'compatible = "otter,river";'),
            ("lake", 'compatible = "otter,lake";'),
            ("all", ""),
        ):
            self.own(f"/dts-v1/; /plugin/; / {{ {board} }}; &{{/}} {{ {name} {{ }}; }};", f"/{name}.dtbo")
        self.shell("mkdir -p /overlays; cp /river.dtbo /lake.dtbo /all.dtbo /overlays")
        self.shell("global.of.overlay.path=/overlays; global.of.overlay.compatible='otter,pond otter,lake'")
        with self.started("bootm DISK/image") as handed:
            found = {name for name in ("river", "lake", "all") if f"/{name}" in handed.tree}
            self.assertEqual(found, {"lake", "all"})

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
