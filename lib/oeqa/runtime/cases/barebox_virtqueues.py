# SPDX-License-Identifier: MIT
"""barebox maps what QEMU touches by DMA as cached memory: KVM's side stays in the cache, anything else is slow."""

import re

from oeqa.barebox import case, errors

CACHED = re.compile(r"\b(Write-Back|WB)\b")


class MappingTest(case.BootloaderTestCase):
    def setUp(self):
        super().setUp()
        self.need("CMD_ARM_MMUINFO", "mmuinfo")

    def queues(self):
        """Each virtqueue in use: the device's path in QEMU, its number and the addresses of its parts."""
        for device in self.board.query("x-query-virtio"):
            for number in range(4):
                try:
                    queue = self.board.query("x-query-virtio-queue-status", path=device["path"], queue=number)
                except errors.RequestRefused:
                    break
                if queue["vring-desc"]:
                    yield f"{device['name']} {device['path']} queue {number}", queue

    def mapping(self, address):
        """How barebox maps an address, in mmuinfo's words; empty where it is cached."""
        lines = self.shell(f"mmuinfo {address:#x}")
        return "" if CACHED.search("\n".join(lines)) else "\n".join(lines)

    def test_queues_cached(self):
        """Every part of every virtqueue is mapped cached, over MMIO and PCI alike."""
        queues = list(self.queues())
        self.assertTrue(queues, "QEMU knows no virtqueue in use")
        wrong = {
            f"{name} {part}": text
            for name, queue in queues
            for part in ("vring-desc", "vring-avail", "vring-used")
            if (text := self.mapping(queue[part]))
        }
        self.assertEqual(wrong, {}, "not cached, by mmuinfo")

    def test_buffers_cached(self):
        """The buffers that descriptors point to are mapped cached."""
        checked = 0
        for name, queue in self.queues():
            element = self.element(queue)
            for address in element:
                self.assertEqual(self.mapping(address), "", f"{name}: buffer at {address:#x}")
                checked += 1
        self.assertTrue(checked, "no descriptor in use")

    def element(self, queue):
        """The addresses in a queue's first descriptors that are in use."""
        count = min(queue["vring-num"], 4)
        words = []
        for line in self.shell(f"md -q {queue['vring-desc']:#x}+{16 * count}"):
            words += [int(x, 16) for x in re.findall(r"\b[0-9a-f]{16}\b", line.partition(":")[2])]
        return [address for address in words[::2] if address]
