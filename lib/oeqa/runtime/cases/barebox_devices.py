# SPDX-License-Identifier: MIT
"""barebox finds the machine that QEMU built."""

import json
import re
from collections import Counter

from oeqa.barebox import case, devicetree, errors

SEEDS = ("rng-seed", "kaslr-seed")


class DevicesTest(case.BootloaderTestCase):
    def expected(self):
        """The described devices that this QEMU and this firmware have."""
        kinds = sorted({device.kind for device in self.board.machine.devices})
        return [d for kind in kinds for d in self.board.devices(kind) if self.has(d)]

    def test_bound(self):
        """Each driver has as many devices as the description gives it."""
        self.need("CMD_DRVINFO", "drvinfo")
        bound, driver = Counter(), ""
        for line in self.shell("drvinfo"):
            if line[:1].isspace():
                bound[driver] += 1
            else:
                driver = line.strip()
        expected = Counter(device.driver for device in self.expected())
        self.assertTrue(expected, "no device is expected at all")
        self.assertEqual({name: bound[name] for name in expected}, dict(expected))

    def test_nodes(self):
        """Each device appears under its name, below the device that it was given as."""
        self.need("CMD_DEVINFO", "devinfo")
        tree = "\n".join(self.shell("devinfo"))
        for device in self.expected():
            node = self.board.node(device)
            if node.startswith("/"):
                self.shell(f"ls {node}")
            else:
                self.assertRegex(
                    tree, rf"(?m)-- (.*/dev/)?{re.escape(node)}$", f"{device.id} ({device.model}) is missing"
                )

    def test_all_devices_work(self):
        """No device that a driver was found for failed to start."""
        self.need("CMD_DMESG", "dmesg")
        self.board.off()  # other cases provoke errors
        failed = [x for x in self.shell("dmesg") if "probe failed" in x]
        self.assertEqual(failed, [])

    def test_ram(self):
        """RAM is as large as QEMU made it."""
        self.need("CMD_IOMEM", "iomem")
        banks = re.findall(r"(?m)^ *0x(\w+) - 0x(\w+) .*\) ram\d+$", "\n".join(self.shell("iomem")))
        if not banks:
            self.skipTest("iomem lists no RAM: an EFI payload owns none")
        size = sum(int(end, 16) - int(start, 16) + 1 for start, end in banks)
        self.assertEqual(size, self.board.query("query-memory-size-summary")["base-memory"])

    def test_regions(self):
        """iomem tells the same regions as text, as JSON, and with what is free between them; of one address, those
        that it is in."""
        self.need("CMD_IOMEM", "iomem")
        row = r"( *)(0x\w+) - (0x\w+) \(\w+ .{9,10}\) (?:\[R\] )?(.*)"
        lines = [re.fullmatch(row, line).groups() for line in self.shell("iomem")]

        def walk(region, depth=0):
            yield "  " * depth, region["start"], region["end"], region["name"]
            for child in region.get("children", ()):
                yield from walk(child, depth + 1)

        self.assertEqual(list(walk(json.loads("\n".join(self.shell("iomem -j"))))), lines)
        long = [line[58:] for line in self.shell("iomem -v")]
        self.assertEqual([line.split("(size")[0] for line in long], [f"{x[0]}{x[1]} - {x[2]} " for x in lines])
        for line, (_, start, end, _) in zip(long[1:], lines[1:]):
            self.assertIn(f"(size {int(end, 16) - int(start, 16) + 1:#018x})", line)
        gaps = [re.fullmatch(row, line).groups() for line in self.shell("iomem -g")]
        self.assertEqual([x for x in gaps if x[3]], [x for x in lines if x[3]])
        top = [(int(start, 16), int(end, 16)) for depth, start, end, _ in gaps if len(depth) == 2]
        self.assertEqual([end + 1 for _, end in top[:-1]], [start for start, _ in top[1:]], "the gaps close up")
        for _, start, end, _ in lines[1::7]:
            for address in (int(start, 16), int(end, 16)):
                there = [x for x in lines if int(x[1], 16) <= address <= int(x[2], 16)]
                found = [re.fullmatch(row, line).groups() for line in self.shell(f"iomem {address:x}")]
                self.assertEqual(found, there, f"{address:#x}")
        self.assertNotEqual(self.attempt("iomem otter").status, 0)

    def test_device_tree(self):
        """The device tree holds every node and property of QEMU's own. Random seeds are aside, and what the
        firmware below barebox alters."""
        self.need("CMD_OF_DUMP", "of_dump")
        try:
            theirs = devicetree.from_blob(self.board.device_tree())
        except errors.RequestRefused as error:
            self.skipTest(f"QEMU has no device tree for this machine: {error}")
        ours = devicetree.from_source(self.shell("of_dump /"))
        lacking = [node for node in theirs if node not in ours]
        self.assertEqual(lacking, [], "nodes are missing")
        changed = {
            f"{node}:{name}": (value, ours[node].get(name))
            for node, properties in theirs.items()
            for name, value in properties.items()
            if name not in SEEDS
            and f"{node}:{name}" not in self.board.machine.altered_properties
            and ours[node].get(name) != value
        }
        self.assertEqual(changed, {}, "properties differ (QEMU's, barebox')")
