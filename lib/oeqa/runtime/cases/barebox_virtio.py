# SPDX-License-Identifier: MIT
"""barebox moves data through each VirtIO device, and the host's side agrees."""

import hashlib
import random

from oeqa.barebox import case
from oeqa.barebox.variant import Variant

COPIED = 0x180000
BEHIND = 0x400200


class BlockTest(case.BootloaderTestCase):
    def setUp(self):
        super().setUp()
        self.need("CMD_SHA256SUM", "sha256sum")

    def same(self, device, node):
        digest = self.answer(f"sha256sum /dev/{node}", seconds=60).split()[0]
        self.assertEqual(digest, self.digest(self.board.files.disk(device)), "guest and host differ")

    def test_read(self):
        """A whole disk reads as the host has it."""
        for device, node in self.each("block"):
            self.same(device, node)

    def test_write(self):
        """What is written beyond the first MiB is on the host, and nothing beside it changed."""
        for device, node in self.each("block"):
            disk = self.board.files.disk(device)
            expected = bytearray(disk.read_bytes())
            expected[BEHIND : BEHIND + COPIED] = expected[:COPIED]
            self.shell(f"memcpy -s /dev/{node} -d /dev/{node} 0 {BEHIND:#x} {COPIED:#x}", seconds=60)
            self.assertEqual(
                self.digest(disk), hashlib.sha256(expected).hexdigest(), "the host's copy is not as written"
            )
            self.same(device, node)

    def test_persists(self):
        """What is written is there after a power cycle."""
        for device, node in self.each("block"):
            text = f"written to {device.id}"
            self.shell(f"echo -o /note {text}; memcpy -s /note -d /dev/{node} 0 0x300000 {len(text)}")
            self.board.off()
            self.shell(f"memcpy -s /dev/{node} -d /back 0x300000 0 {len(text)}")
            self.assertEqual(self.answer("cat /back"), text)
            self.same(device, node)


class FirmwareDiskTest(case.BootloaderTestCase):
    def test_read(self):
        """The first disk reads the same by the driver of the firmware below."""
        self.need("EFI_BLK")
        node = self.board.node(self.devices("block")[0])
        self.shell(f"memcpy -s /dev/{node} -d /theirs 0 0 512")
        self.shell("memcpy -s /dev/disk0 -d /ours 0 0 512", seconds=5)
        self.shell("memcmp -s /ours -d /theirs 0 0 512")


class NetTest(case.BootloaderTestCase):
    def setUp(self):
        super().setUp()
        self.need("CMD_DHCP", "dhcp")

    def lease(self, number, node):
        """An address by DHCP on one interface, with the others down."""
        self.shell(f"ifdown -a; dhcp {node}", seconds=60)
        return f"10.0.{2 + number}"

    def test_dhcp(self):
        """DHCP gives the address that the host's server has."""
        for number, (_, node) in enumerate(self.each("net")):
            network = self.lease(number, node)
            self.assertEqual(self.answer(f"echo ${node}.ipaddr"), f"{network}.15")

    def test_ping(self):
        """The host answers a ping."""
        self.need("CMD_PING", "ping")
        for number, (_, node) in enumerate(self.each("net")):
            network = self.lease(number, node)
            self.assertIn(f"host {network}.2 is alive", self.shell(f"ping {network}.2", seconds=60))

    def test_tftp(self):
        """A TFTP download of some MiB has the digest of the host's file."""
        self.need("CMD_TFTP", "tftp")
        self.need("CMD_SHA256SUM", "sha256sum")
        expected = self.digest(self.board.files.tftp() / "download.bin")
        for number, (_, node) in enumerate(self.each("net")):
            self.shell(f"global.net.server={self.lease(number, node)}.2")
            self.shell("tftp download.bin /download.bin", seconds=120)
            digest = self.answer("sha256sum /download.bin").split()[0]
            self.shell("rm /download.bin")
            self.assertEqual(digest, expected, "the download is not the host's file")


class ShareTest(case.BootloaderTestCase):
    def test_from_host(self):
        """A file of the host's has its contents in the guest."""
        self.need("CMD_SHA256SUM", "sha256sum")
        for device, node in self.each("9p"):
            path = self.board.files.share(device) / "from-host"
            path.write_bytes(self.board.files.tftp().joinpath("download.bin").read_bytes()[:300001])
            self.assertEqual(self.answer(f"sha256sum {node}/from-host").split()[0], self.digest(path))

    def test_to_host(self):
        """A file of the guest's has its contents on the host."""
        self.need("9P_FS_WRITE", "cp")
        for device, node in self.each("9p"):
            self.shell(f"echo -o {node}/from-guest otters swim in {device.id}")
            text = (self.board.files.share(device) / "from-guest").read_text()
            self.assertEqual(text, f"otters swim in {device.id}\n")

    def test_tree(self):
        """Folders of the host's, with many files, are listed whole; sizes, links and parts of files are right."""
        self.need("CMD_SHA256SUM", "sha256sum")
        names = [f"file-{number:03}-{'x' * (number % 60)}" for number in range(300)]
        for device, node in self.each("9p"):
            folder = self.board.files.share(device) / "trees"
            (folder / "deep/er").mkdir(parents=True, exist_ok=True)
            for number, name in enumerate(names):
                (folder / name).write_bytes(b"x" * number)
            content = random.randbytes(200_001)
            (folder / "deep/er/data").write_bytes(content)
            if not (folder / "link").is_symlink():
                (folder / "link").symlink_to("deep/er/data")
            lines = self.shell(f"ls -l {node}/trees", seconds=90)
            sizes = {words[-1]: int(words[1]) for words in map(str.split, lines) if words[-1].startswith("file-")}
            self.assertEqual(sizes, {name: number for number, name in enumerate(names)})
            for path in ("deep/er/data", "link"):
                self.assertEqual(self.answer(f"sha256sum {node}/trees/{path}").split()[0], self.hash(content), path)
            found = self.answer(f"sha256sum {node}/trees/link 70001+100000").split()[0]
            self.assertEqual(found, self.hash(content[70001:170001]))
            self.assertNotEqual(self.attempt(f"cat {node}/trees/nothing").status, 0)

    def test_changes_to_host(self):
        """What the guest appends, shortens, makes and removes on a share is so on the host."""
        self.need("9P_FS_WRITE", "cp")
        for device, node in self.each("9p"):
            folder = self.board.files.share(device)
            (folder / "old").write_text("away")
            self.shell(f"mkdir -p {node}/made/deep; echo -o {node}/made/deep/text otters; rm {node}/old")
            self.shell(f"echo -a {node}/made/deep/text swim")
            self.assertEqual((folder / "made/deep/text").read_text(), "otters\nswim\n")
            self.assertFalse((folder / "old").exists())
            self.shell(f"echo -o {node}/made/deep/text x; rm -r {node}/made/deep")
            self.assertEqual(list((folder / "made").iterdir()), [])
            self.shell(f"rmdir {node}/made")

    def test_links_to_host(self):
        """Links that the guest makes on a share are the host's, and are removed without what they lead to."""
        self.need("9P_FS_WRITE", "cp")
        self.need("CMD_LN", "ln")
        for device, node in self.each("9p"):
            folder = self.board.files.share(device)
            (folder / "target").write_text("otter\n")
            targets = {"near": "target", "far": "./" * 90 + "target", "nowhere": "missing/file"}
            for name, target in targets.items():
                self.shell(f"ln {target} {node}/{name}")
                self.assertEqual((folder / name).readlink().as_posix().lstrip("./"), target.lstrip("./"), name)
            self.assertEqual(self.shell(f"cat {node}/near {node}/far"), ["otter", "otter"])
            self.assertNotEqual(self.attempt(f"cat {node}/nowhere").status, 0)
            self.assertNotEqual(self.attempt(f"ln other {node}/near").status, 0)
            self.shell(f"rm {node}/near {node}/far {node}/nowhere")
            self.assertEqual([name for name in targets if (folder / name).is_symlink()], [])
            self.assertEqual((folder / "target").read_text(), "otter\n")

    def test_large_to_host(self):
        """A large file, copied to a share, overwritten in its middle, cut and lengthened, is so on the host."""
        self.need("9P_FS_WRITE", "cp")
        self.need("CMD_TRUNCATE")
        content = self.board.files.tftp().joinpath("download.bin").read_bytes()[:1_300_001]
        for device, node in self.each("9p"):
            path = self.board.files.share(device) / "large"
            (self.board.files.share(device) / "source").write_bytes(content)
            self.shell(f"cp {node}/source /source; cp /source {node}/large", seconds=60)
            self.assertEqual(self.digest(path), self.hash(content))
            self.shell(
                f"memcpy -s /source -d {node}/large 7 700001 200000; truncate -s 1200001 {node}/large", seconds=60
            )
            expected = (content[:700_001] + content[7:200_007] + content[900_001:])[:1_200_001]
            self.assertEqual(self.digest(path), self.hash(expected))
            self.shell(f"truncate -s 1200101 {node}/large")
            self.assertEqual(self.digest(path), self.hash(expected + bytes(100)))
            self.assertEqual(self.answer(f"sha256sum {node}/large").split()[0], self.hash(expected + bytes(100)))
            self.shell(f"rm {node}/large {node}/source /source")

    def test_refused(self):
        """What the host refuses fails for the guest, and changes nothing."""
        self.need("9P_FS_WRITE", "cp")
        for device, node in self.each("9p"):
            folder = self.board.files.share(device)
            (folder / "full/inside").mkdir(parents=True, exist_ok=True)
            (folder / "full/file").write_text("stays\n")
            commands = (
                f"rmdir {node}/full",
                f"mkdir {node}/full",
                f"echo -o {node}/nothing/file x",
                f"rm {node}/full",
                f"echo -o {node}/{'x' * 256} x",
                f"rm {node}/nothing",
                f"cd {node}/full/file",
                f"rmdir {node}/full/file",
            )
            for command in commands:
                result = self.attempt(command)
                self.assertNotEqual(result.status, 0, str(result))
            self.assertEqual((folder / "full/file").read_text(), "stays\n")
            self.assertEqual(sorted(x.name for x in (folder / "full").iterdir()), ["file", "inside"])

    def test_options(self):
        """A share is mounted with small messages, and not with what is too small, or no option, or mounted already."""
        for device, node in self.each("9p"):
            tag = node.rpartition("/")[2]
            content = random.randbytes(50_001)
            folder = self.board.files.share(device)
            (folder / "optional").mkdir(exist_ok=True)
            (folder / "optional/data").write_bytes(content)
            for number in range(60):
                (folder / f"optional/{'x' * 100}{number}").touch()
            self.shell(f"ls {node}; mkdir -p /nine")
            self.assertNotEqual(self.attempt(f"mount -t 9p -o trans=virtio {tag} /nine").status, 0, "it is mounted")
            self.shell(f"umount {node}")
            self.addCleanup(self.attempt, "umount /nine")
            for options, name in (("trans=virtio,msize=100", tag), ("trans=virtio", "otter"), ("trans=otter", tag)):
                result = self.attempt(f"mount -t 9p -o {options} {name} /nine")
                self.assertNotEqual(result.status, 0, str(result))
            self.shell(f"mount -t 9p -o trans=virtio,msize=4096 {tag} /nine")
            found = self.answer("sha256sum /nine/optional/data", seconds=60).split()[0]
            self.assertEqual(found, self.hash(content))
            self.assertEqual(len(self.shell("ls -l /nine/optional", seconds=60)), 61)
            self.shell("umount /nine; rmdir /nine")
            self.assertEqual(self.answer(f"sha256sum {node}/optional/data").split()[0], self.hash(content))


class ConsoleTest(case.BootloaderTestCase):
    def test_output(self):
        """What is printed while the console is active arrives at the host, and nothing after that."""
        for device, node in self.each("console"):
            self.shell(f"{node}.active=oe")
            self.shell("; ".join(5 * ["echo through $global.version"]))  # a warning may interrupt one of them
            self.shell(f"{node}.active=")
            self.shell("echo behind the curtain")
            text = self.board.files.console(device).read_text(encoding="utf-8", errors="replace")
            self.assertIn(f"through {self.board.boots[0].version}", text)
            self.assertNotIn("behind the curtain", text)


LEGACY = Variant(globals=("virtio-mmio.force-legacy=true",))


class LegacyTest(case.BootloaderTestCase):
    """VirtIO devices on MMIO as they were before VirtIO 1.0, with queues in the guest's pages."""

    needs = ("VIRTIO_MMIO", "CMD_SHA256SUM")
    variant = LEGACY

    def usable(self, kind):
        """The devices of a kind that are on MMIO."""
        found = [(d, node) for d, node in self.each(kind) if d.model.endswith("-device")]
        if not found:
            self.skipTest(f"no {kind} device on MMIO")
        return found

    def test_block(self):
        """A disk is read and written over more than its queue holds, and is so on the host."""
        for device, node in self.usable("block"):
            path = self.board.files.disk(device)
            content = bytearray(path.read_bytes())
            self.shell(f"memcpy -s /dev/{node} -d /dev/{node} 0 {BEHIND:#x} {COPIED:#x}", seconds=60)
            content[BEHIND : BEHIND + COPIED] = content[:COPIED]
            self.assertEqual(self.digest(path), self.hash(content))
            self.assertEqual(self.answer(f"sha256sum /dev/{node}", seconds=60).split()[0], self.hash(content))

    def test_network(self):
        """A network device has its address, and brings a file over more than its queue holds."""
        self.need("CMD_TFTP", "tftp")
        for device, node in self.usable("net"):
            self.assertEqual(self.answer(f"echo ${node}.ethaddr"), self.board.hardware_address(device))
            number = self.devices("net").index(device)
            self.shell(f"ifdown -a; dhcp {node}; global.net.server=10.0.{2 + number}.2", seconds=60)
            self.shell("tftp download.bin /download.bin", seconds=120)
            digest = self.answer("sha256sum /download.bin; rm /download.bin").split()[0]
            self.assertEqual(digest, self.digest(self.board.files.tftp() / "download.bin"))

    def test_random_data(self):
        """Random data come, in any amount, and others each time."""
        for _, node in self.usable("rng"):
            found = set()
            for size in (1, 64, 5000):
                self.shell(f"memcpy -s /dev/{node} -d /random 0 0 {size}")
                self.assertEqual(int(self.answer("ls -l /random").split()[1]), size)
                found.add(self.answer("sha256sum /random; rm /random").split()[0])
            self.assertEqual(len(found), 3)

    def test_share(self):
        """A share is read and written."""
        self.need("9P_FS_WRITE", "cp")
        for device, node in self.usable("9p"):
            content = random.randbytes(100_001)
            folder = self.board.files.share(device)
            (folder / "legacy").write_bytes(content)
            self.shell(f"cp {node}/legacy {node}/copied", seconds=60)
            self.assertEqual(self.digest(folder / "copied"), self.hash(content))
