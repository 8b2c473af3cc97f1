# SPDX-License-Identifier: MIT
"""barebox uses devices in ways that KVM can emulate. QEMU's plugin sees that under TCG, on any host."""

from oeqa.barebox import case


class HazardsTest(case.BootloaderTestCase):
    def clean(self, report):
        """Nothing that KVM could not emulate was seen, and something was seen."""
        self.assertTrue(report.accesses, "the plugin saw no access to a device at all")
        if report.hazards:
            self.fail(f"KVM could not emulate {len(report.hazards)} instructions:\n{report}")

    def move(self):
        """Data to and from each disk and over each network."""
        for _, node in self.each("block"):
            self.shell(f"memcpy -s /dev/{node} -d /dev/{node} 0 0x400000 0x10000")
        for number, (_, node) in enumerate(self.each("net")):
            self.shell(f"ifdown -a; dhcp {node}; global.net.server=10.0.{2 + number}.2", seconds=60)
            self.shell("tftp download.bin /download.bin; rm /download.bin", seconds=120)

    def test_workload(self):
        """A start, all devices, disks, networks, the saved environment, a reset and the power-off are clean."""
        self.need("CMD_SAVEENV", "saveenv")
        self.need("CMD_TFTP", "tftp")
        with self.board.watched() as watch:
            self.shell("devinfo")
            self.move()
            self.shell("saveenv")
            self.board.reset()
            self.assertEqual(self.board.poweroff(), 0, "QEMU's exit status")
        self.clean(watch.report)

    def test_cache_maintenance(self):
        """A start maintains no cache by address, and zeroes nothing by DC ZVA, where a device is."""
        self.need("CPU_V8")
        with self.board.watched() as watch:
            self.board.shell()
        for reason in watch.report.skipped:
            self.skipTest(reason)
        self.clean(watch.report)
