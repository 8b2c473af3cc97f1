# SPDX-License-Identifier: MIT
"""barebox maps what QEMU touches by DMA as cached memory. KVM's side stays in the cache: anything else is slow there,
and the two sides need not even see the same."""

import re
import struct

from oeqa.barebox import case, errors

CACHED = re.compile(r"\b(Write-Back|WB)\b")
PAGE = 4096
NEWEST = 8
DESCRIPTOR = struct.Struct("<QIHH")  # virtio 1.2, 2.7.5: address, length, flags, next
INDIRECT = 4
USE = {
    "block": "memcpy -s /dev/{0} -d /used 0 0 8192; memcpy -s /used -d /dev/{0} 0 0 8192",
    "net": "ifdown -a; dhcp {0}",
    "rng": "memcpy -s /dev/{0} -d /used 0 0 64",
    "9p": "ls {0}",
}


class MappingCase(case.BootloaderTestCase):
    """How memory is mapped, as mmuinfo tells."""

    def setUp(self):
        super().setUp()
        self.need("CMD_ARM_MMUINFO", "mmuinfo")
        self.seen = {}

    def mapping(self, page):
        """How barebox maps a page, in mmuinfo's words; empty where it is cached."""
        if page not in self.seen:
            lines = [line.strip() for line in self.shell(f"mmuinfo {page:#x}")]
            cached = CACHED.search("\n".join(lines))
            self.seen[page] = "" if cached else next((x for x in lines if "mem" in x.lower()), "\n".join(lines))
        return self.seen[page]

    def all_cached(self, places):
        """Every page of each place, its name, address and length, is mapped cached."""
        self.assertTrue(places, "there is nothing to look at")
        wrong = {
            f"{name} at {page:#x}: {text}": page
            for name, address, length in places
            for page in range(address // PAGE * PAGE, address + max(length, 1), PAGE)
            if (text := self.mapping(page))
        }
        if wrong:
            self.fail("\n".join([f"{len(wrong)} pages are not cached, by mmuinfo:", *wrong]))


class MappingTest(MappingCase):
    def queues(self):
        """Each virtqueue in use: the device's path in QEMU, the queue's number and what QEMU knows of it."""
        for device in self.board.query("x-query-virtio"):
            for number in range(64):
                try:
                    queue = self.board.query("x-query-virtio-queue-status", path=device["path"], queue=number)
                except errors.RequestRefused:
                    break
                if queue["vring-desc"]:
                    yield device["path"], number, queue

    def test_queues_cached(self):
        """Every part of every virtqueue is mapped cached, over MMIO and PCI alike."""
        parts = ("desc", "avail", "used")
        self.all_cached(
            [
                (f"{queue['name']} {path} queue {number} {part}", queue[f"vring-{part}"], 1)
                for path, number, queue in self.queues()
                for part in parts
            ]
        )

    def use(self):
        """Have every device move something, and tell how many there are."""
        used = [d for kind in USE for d in self.board.devices(kind) if self.has(d)]
        for device in used:
            self.shell(USE[device.kind].format(self.board.node(device)), seconds=60)
        return len(used)

    def buffers(self, path, number, queue):
        """Address and length of the buffers of a queue's newest elements, as QEMU follows their descriptors."""
        last = queue["last-avail-idx"]
        for index in range(max(0, last - NEWEST), last):
            wanted = {"path": path, "queue": number, "index": index % queue["vring-num"]}
            for descriptor in self.board.query("x-query-virtio-queue-element", **wanted)["descs"]:
                yield descriptor["addr"], descriptor["len"]

    def tables(self, queue):
        """Address and length of the tables of indirect descriptors, which QEMU follows without telling where."""
        table = self.board.memory(queue["vring-desc"], DESCRIPTOR.size * queue["vring-num"])
        for address, length, flags, _ in DESCRIPTOR.iter_unpack(table):
            if flags & INDIRECT:
                yield address, length

    def test_buffers_cached(self):
        """The buffers that the descriptors of every device point to are mapped cached."""
        used = self.use()
        found = {
            (path, number): [
                (f"{queue['name']} {path} queue {number} buffer", *place)
                for place in (*self.buffers(path, number, queue), *self.tables(queue))
            ]
            for path, number, queue in self.queues()
        }
        moved = {path for (path, _), places in found.items() if places}
        self.assertGreaterEqual(len(moved), used, f"{used} devices were used, these have buffers: {sorted(moved)}")
        self.all_cached([place for places in found.values() for place in places])


class FirmwareConfigTest(MappingCase):
    def test_control_block_cached(self):
        """The control block that was handed to fw_cfg for DMA is mapped cached afterwards."""
        self.need("QEMU_FW_CFG")
        if self.answer("echo [${fw_cfg.pio}]") != "[0]":
            self.skipTest("the firmware reads fw_cfg without DMA")
        self.shell("fw_cfg.selector=0")
        with self.board.mmio_writes("fwcfg.dma") as writes:
            self.shell("memcpy -s /dev/fw_cfg -d /signature 0 0 4")
        self.assertEqual(self.answer("cat /signature"), "QEMU")
        half = {address % 8: value for address, value in writes}
        self.assertEqual(sorted(half), [0, 4], f"not the two halves of an address: {writes}")
        self.all_cached([("control block", half[0] << 32 | half[4], 16)])


class DisplayTest(MappingCase):
    def test_framebuffer_cached(self):
        """The framebuffer that QEMU shows is mapped cached."""
        for _, node in self.each("display"):
            text = "\n".join(self.shell(f"{node}.enable=1; devinfo {node}"))
            start, size = (int(x, 16) for x in re.findall(r"(?m)^ +(?:start|size): (0x\w+)", text)[:2])
            self.all_cached([("start", start, 1), ("middle", start + size // 2, 1), ("end", start + size - 1, 1)])
