# SPDX-License-Identifier: MIT
"""barebox runs on boards that are set up otherwise than described: devices behind bridges,
another processor, another exception level, PCI below 4 GiB. All devices work there, and the reset does."""

from oeqa.barebox import case, images, payload
from oeqa.barebox.handover import HandoverCase, disk, kernel
from oeqa.barebox.variant import Drive, Variant

AWAY = 0x10000


def files(arch):
    return {"image": kernel(arch)}


class Works:
    """What works on each board."""

    def test_disks(self):
        """Each disk reads as the host has it, whatever its number, and what is written to it is there."""
        self.need("CMD_SHA256SUM", "sha256sum")
        self.need("CMD_MEMCPY", "memcpy")
        disks = [*self.devices("block"), *self.variant.drives]
        paths = {self.digest(self.board.files.disk(disk)): self.board.files.disk(disk) for disk in disks}
        name = self.board.node(disks[0]).rstrip("0123456789")
        for node in (f"{name}{number}" for number in range(len(disks))):
            found = self.answer(f"sha256sum /dev/{node}", seconds=60).split()[0]
            self.assertIn(found, paths, f"{node} has what no disk of the host's has")
            path = paths.pop(found)
            content = bytearray(path.read_bytes())
            content[AWAY : 2 * AWAY] = content[:AWAY]
            self.shell(f"memcpy -s /dev/{node} -d /dev/{node} 0 {AWAY} {AWAY}")
            self.assertEqual(self.digest(path), self.hash(content), f"what was written to {node}")

    def test_networks(self):
        """Each network device gets an address, and a file of some MiB by TFTP."""
        self.need("CMD_TFTP", "tftp")
        self.need("CMD_SHA256SUM", "sha256sum")
        for number, (_, node) in enumerate(self.each("net")):
            self.shell(f"ifdown -a; dhcp {node}; global.net.server=10.0.{2 + number}.2", seconds=60)
            self.shell("tftp download.bin /download.bin", seconds=120)
            found = self.answer("sha256sum /download.bin; rm /download.bin").split()[0]
            self.assertEqual(found, self.digest(self.board.files.tftp() / "download.bin"), node)

    def test_random(self):
        """Each source of random data gives other ones each time."""
        for _, node in self.each("rng"):
            found = []
            for _ in range(2):
                self.shell(f"memcpy -s /dev/{node} -d /random 0 0 64")
                found.append(self.dump("/random", 64))
            self.assertGreater(len(set(found[0])), 30, found[0].hex())
            self.assertNotEqual(*found)


class Restarts(Works):
    def test_reset(self):
        """The board starts again at the command."""
        self.board.reset()
        self.shell("true")


class BridgeTest(Works, case.BootloaderTestCase):
    """Disks behind a root port, as libvirt has all devices, and behind a switch."""

    needs = ("PCI", "VIRTIO_PCI", "VIRTIO_BLK")
    variant = Variant(
        devices=(
            "pcie-root-port,id=port0,chassis=1",
            "pcie-root-port,id=port1,chassis=2",
            "x3130-upstream,id=up0,bus=port1",
            "xio3130-downstream,id=down0,bus=up0,chassis=3",
            "xio3130-downstream,id=down1,bus=up0,chassis=4,slot=1",
        ),
        drives=(
            Drive("port", images.noise(1 << 20), model="virtio-blk-pci,bus=port0"),
            Drive("far", images.noise(1 << 20), model="virtio-blk-pci,bus=down1"),
        ),
    )


class ProcessorTest(Works, case.BootloaderTestCase):
    """The processor with all that QEMU has, which is nearer to a KVM host's than the described one."""

    variant = Variant(cpu="max")

    def setUp(self):
        if self.board.machine.arch == "riscv64":
            self.skipTest("QEMU 7.2 has no processor of all features for riscv64")
        super().setUp()


class LowTest(Restarts, case.BootloaderTestCase):
    """All of PCI below 4 GiB, as for processors with addresses of 32 bits."""

    needs = ("CPU_V8", "PCI_ECAM_GENERIC")
    variant = Variant(board=("highmem=off",))


class HypervisorTest(Restarts, HandoverCase):
    """A processor that starts at EL2, as on hardware."""

    needs = (*HandoverCase.needs, "CPU_V8")
    files = files

    @property
    def variant(self):
        return Variant(board=("virtualization=on",), drives=(disk(files, payload.check(self.board.machine.arch)),))

    def test_level(self):
        """barebox runs at EL2, and starts the kernel there."""
        self.need("CMD_ARM_CPUINFO", "cpuinfo")
        self.assertIn("Exception level: 2", self.shell("cpuinfo"))
        with self.started("bootm DISK/image") as handed:
            self.assertEqual(handed.registers["CurrentEL"] >> 2, 2)
            self.check_kernel(handed)

    def test_poweroff(self):
        """The board switches itself off."""
        self.need("CMD_POWEROFF", "poweroff")
        self.assertEqual(self.board.poweroff(), 0, "QEMU's exit status")
