# SPDX-License-Identifier: MIT
"""barebox is as fast as it was: starts, requests and copies take no several times as long.

The guest's clock counts instructions here, and what is measured is compared with other work in the same run, so that a
ratio is the same on an idle host and on a busy one, within a few per cent. A request that has to wait for the host's
side is repeated until it is quick enough: waiting only adds time. How many requests there were, QEMU tells.
"""

import gzip
import random

from oeqa.barebox import images
from oeqa.barebox.flash import SPARE
from oeqa.barebox.speed import MIB, SEEN, TRIES, SpeedCase
from oeqa.barebox.variant import Drive, Variant

PIECES = MIB // 65536
"""barebox reads and writes disks in pieces of 64 KiB."""


class StartTest(SpeedCase):
    def test_stages(self):
        """A start takes a few times as long as a CRC of a MiB, and its longest stage less than that."""
        self.need("CMD_DMESG", "dmesg")
        crc = self.crc()
        for _ in range(3):
            total, longest, stages = self.start()
            SEEN.extend([("start", total / crc, self.most["start"]), ("stage", longest / crc, self.most["stage"])])
            if total < self.most["start"] * crc and longest < self.most["stage"] * crc:
                return
        ratios = f"{total / crc:.2f} and {longest / crc:.2f}, at most {self.most['start']} and {self.most['stage']}"
        self.fail(f"the start, and its longest stage, to a CRC of a MiB: {ratios}; stages in us:\n{stages}")

    def start(self):
        """How long a start takes up to the first command, and its longest stage, in ns by the log's times; and the log
        with them."""
        text = self.board.reset().text
        self.shell("dmesg -e first command")
        lines = [x for x in self.shell("dmesg -t") if x.partition("] ")[2].strip() in f"{text}first command"]
        times = [1000 * int(x.partition("us]")[0].strip("[ ")) for x in lines]
        self.assertGreater(len(times), 5, lines)
        return times[-1] - times[0], max(b - a for a, b in zip(times, times[1:-1])), "\n".join(lines)


class WorkTest(SpeedCase):
    def test_copy(self):
        """A MiB is copied from RAM to RAM in less time than its CRC takes."""
        self.compare("copy", f"memcpy -s /data -d /copy 0 0 {MIB}", self.crc())

    def test_copy_at_odd_places(self):
        """The same holds where source and target begin at odd addresses."""
        self.compare("odd copy", f"memcpy -s /data -d /copy 1 2 {MIB - 3}", self.crc())

    def test_unpacked(self):
        """Data of a MiB are unpacked in a few times the time of their CRC."""
        self.need("CMD_UNCOMPRESS", "uncompress")
        self.need("ZLIB", "uncompress")
        self.shell(f"cp {self.shared(gzip.compress(bytes(range(256)) * (MIB // 256)))} /packed")
        self.compare("unpack", "uncompress /packed /plain", self.crc())

    def test_digests(self):
        """A MiB's digests take a few times as long as its CRC."""
        for name in ("sha256sum", "md5sum", "sha1sum"):
            self.need(f"CMD_{name.upper()}", name)
            self.compare(name, f"{name} /data", self.crc())

    def test_filled_and_compared(self):
        """A MiB is filled, and is compared with another one, in about the time of its CRC."""
        self.need("CMD_MEMCMP", "memcmp")
        self.need("CMD_MEMSET", "memset")
        self.compare("memcmp", f"memcmp -s /data -d /copy 0 0 {MIB}", self.crc())
        self.compare("memset", f"memset -d /copy 0 0x55 {MIB}", self.crc())

    def test_random(self):
        """A piece of pseudo random data takes a fraction of the time of a MiB's CRC."""
        self.compare("prng", "memcpy -s /dev/prng -d /copy 0 0 64K", self.crc())

    def test_files(self):
        """A file is written to RAM in less time than its CRC takes, and files are found and listed as quickly."""
        self.compare("cp", "cp /data /copied", self.crc(), 1)
        nothing = self.nothing()
        self.shell(f"digits='{' '.join('0123456789')}'")
        self.shell(
            "mkdir /many; for i in $digits; do for j in $digits; do echo -o /many/$i$j x; done; done", seconds=60
        )
        self.compare("glob", "true /many/*", nothing)
        self.compare("ls", "ls /many", nothing)
        self.shell("rm -r /many")

    def test_tree(self):
        """The device tree is printed in some dozen times the time of a command that does nothing."""
        self.need("CMD_OF_DUMP", "of_dump")
        self.compare("of_dump", "of_dump /cpus", self.nothing())

    def test_commands(self):
        """A command, a loop of them and their output take a fraction of a CRC of a MiB."""
        nothing = self.compare("command", "true", self.crc())
        self.shell("echo -o /loop 'for i in 1 2 3 4 5 6 7 8 9 10; do true; done'")
        self.compare("loop", "sh /loop", nothing)
        self.need("CMD_MD", "md")
        self.compare("output", "md -b -s /data 0+1K", nothing)


class BlockTest(SpeedCase):
    def test_requests(self):
        """Disks are read and written in pieces of 64 KiB, what is near is read ahead, and what was read is kept."""
        for device, node in self.each("block"):
            read = f"memcpy -s /dev/{node} -d /copy"
            self.assertIn(self.requests(device.id, f"{read} 4M 0 {MIB}")[0], range(1, PIECES + 3), "reads for a MiB")
            again = self.requests(device.id, f"for i in 1 2 3 4; do {read} {5 * MIB - 8192} 0 4K; done")
            self.assertLessEqual(again[0], 1, "reads for what was just read")
            ahead = self.requests(device.id, f"for i in 16 17 18 19 20 21; do {read} 90${{i}}k 0 512; done")
            self.assertLessEqual(ahead[0], 2, "reads for what is near")
            written = self.requests(device.id, f"memcpy -s /data -d /dev/{node} 0 6M {MIB}")
            self.assertLessEqual(sum(written), 2 * PIECES + 4, "requests to write a MiB")

    def test_latency(self):
        """A request to a disk adds little to the command that makes it."""
        copy = self.copy()
        for _, node in self.each("block"):
            self.shell(f"memcpy -s /dev/{node} -d /dev/null 8M 0 4M", seconds=60)  # so that nothing below is kept
            read = f"memcpy -s /dev/{node} -d /dev/null #K 0 512"
            self.compare("request", read, copy, TRIES)


def packed():
    """Small files that share one block of a squashfs."""
    return {f"small{number}": b"otters swim %d " % number * 400 for number in range(16)}


class SquashfsTest(SpeedCase):
    needs = (*SpeedCase.needs, "FS_SQUASHFS")
    variant = Variant(icount=True, drives=(Drive("packed", images.squashfs(packed)),))

    def test_again(self):
        """What was unpacked is kept: files that are read again are not unpacked again."""
        node = self.board.node(self.variant.drives[0])
        self.shell(f"mkdir -p /packed; mount /dev/{node} /packed", seconds=60)
        turns = " ".join(str(number) for number in range(10))
        self.shell(
            f"echo -o /again 'for i in {turns}; do memcpy -s /packed/small$i -d /dev/null 0 0 9; done'; sh /again"
        )
        self.compare("again", "sh /again", self.crc())


class FlashTest(SpeedCase):
    needs = (*SpeedCase.needs, "DRIVER_CFI", "CMD_FLASH")

    def test_flash(self):
        """Flash is erased, written and read in a fraction of the time of a MiB's CRC."""
        crc = self.crc()
        erase, write = f"erase {SPARE} {{}}K+256K", f"memcpy -s /data -d {SPARE} 0 {{}}K 64K"
        self.within("erase", lambda n: self.took(erase.format(1024 + 256 * n)), crc, 3)
        self.within("flash write", lambda n: self.took(write.format(1024 + 64 * n)), crc, 3)
        self.compare("flash read", f"memcpy -s {SPARE} -d /copy 1M 0 {MIB}", crc)


def large():
    """A file of a MiB."""
    return {"large": random.Random(1).randbytes(MIB)}


class FileSystemTest(SpeedCase):
    variant = Variant(
        icount=True,
        drives=(
            Drive("fat", images.fat(large, 40 * MIB)),
            Drive("ext4", images.ext4(large, 20 * MIB)),
            Drive("squashfs", images.squashfs(large)),
        ),
    )

    def folder(self, drive):
        """Where a disk is mounted."""
        self.need(f"FS_{drive.id.upper()}")
        if self.attempt(f"test -d /{drive.id}").status:
            self.shell(f"mkdir /{drive.id}; mount /dev/{self.board.node(drive)} /{drive.id}", seconds=60)
        return f"/{drive.id}"

    def test_requests(self):
        """A file is read in the disk's pieces, and what a file system reads of its tables adds little to them."""
        for drive in self.variant.drives:
            folder = self.folder(drive)
            self.assertLessEqual(sum(self.requests(drive.id, f"cp {folder}/large /copy")), PIECES + 4, drive.id)
            self.assertLessEqual(sum(self.requests(drive.id, f"ls -R {folder}")), 4, drive.id)

    def test_written(self):
        """The same holds for a file that is written."""
        self.need("FS_FAT_WRITE")
        drive = self.variant.drives[0]
        written = self.requests(drive.id, f"cp /data {self.folder(drive)}/copy")
        self.assertLessEqual(sum(written), 3 * PIECES + 8, written)

    def test_read(self):
        """A file of a MiB is read in less than the time of its CRC."""
        crc = self.crc()
        for drive in self.variant.drives:
            self.compare(f"{drive.id} read", f"cp {self.folder(drive)}/large /copy", crc, TRIES)


class OtherTest(SpeedCase):
    def test_network(self):
        """A ping takes a few times as long as a command that does nothing."""
        self.need("CMD_PING", "ping")
        self.need("CMD_DHCP", "dhcp")
        nothing = self.nothing()
        for number, (_, node) in enumerate(self.each("net")):
            self.shell(f"ifdown -a; dhcp {node}", seconds=60)
            self.compare("ping", f"ping 10.0.{2 + number}.2", nothing, TRIES)

    def test_rng(self):
        """Random data are there as soon as data from RAM."""
        copy = self.copy()
        for _, node in self.each("rng"):
            self.compare("request", f"memcpy -s /dev/{node} -d /dev/null 0 0 64", copy, TRIES)

    def test_download(self):
        """A file of 100 KiB comes by TFTP in less time than a MiB's CRC takes."""
        self.need("CMD_TFTP", "tftp")
        self.need("CMD_DHCP", "dhcp")
        crc = self.crc()
        (self.board.files.tftp() / "speed").write_bytes(random.randbytes(100 << 10))
        for number, (_, node) in enumerate(self.each("net")):
            self.shell(f"ifdown -a; dhcp {node}; global.net.server=10.0.{2 + number}.2", seconds=60)
            self.compare("tftp", "tftp speed /copied", crc, TRIES)
