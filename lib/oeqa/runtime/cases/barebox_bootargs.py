# SPDX-License-Identifier: MIT
"""barebox adds to the kernel's command line what it knows of the root file system, the console and the machine."""

import functools
import re

from oeqa.barebox import devicetree, images, nfs, payload, station
from oeqa.barebox.handover import HandoverCase, kernel
from oeqa.barebox.network import PeerCase
from oeqa.barebox.variant import Drive, Variant

DISK, PARTITION = "2b9d5f0e-7a31-4c1b-9a01-6f1ce3a57d42", "6f1ce3a5-7d42-4c1b-9a01-2b9d5f0e7a31"
LINE = f"start=2048, size=24576, uuid={PARTITION}, name=otter"
ENTRIES = {"yes": "true", "no": "0", "odd": "perhaps"}


@functools.cache
def root(arch):
    """A disk with a partition table, whose partition has a kernel and entries for it."""

    def tree():
        head = {name: f"title {name}\nlinux /image\noptions entry={name}\n" for name in ENTRIES}
        entries = {f"{name}.conf": f"{head[name]}linux-appendroot {value}\n" for name, value in ENTRIES.items()}
        return {"image": kernel(arch), **{f"loader/entries/{name}": text.encode() for name, text in entries.items()}}

    return Drive("root", images.partitioned("gpt", 16 << 20, {LINE: images.ext4(tree, 12 << 20)}))


def files(arch):
    return {"image": kernel(arch)}


class ArgumentsTest(HandoverCase):
    files = files
    argument = f"root=PARTUUID={PARTITION}"

    @property
    def variant(self):
        return Variant(drives=(*super().variant.drives, root(self.board.machine.arch)))

    def setUp(self):
        super().setUp()
        self.root = f"/dev/{self.board.node(self.variant.drives[1])}"
        if self.attempt("test -d /root-disk").status:
            self.shell(f"mkdir /root-disk; mount {self.root}.0 /root-disk")
        self.shell("global linux.bootargs.base=own")
        self.addCleanup(self.attempt, "global.bootm.appendroot=0; global.bootm.root_dev=; global.bootm.root_param=root")

    def dry(self, command):
        """The words of a dry run's command line, in their alphabet's order, and all that it prints."""
        text = "\n".join(self.shell(command, seconds=60))
        (line,) = re.findall(r"(?m)^commandline: (.*?)\r?$", text)
        return sorted(line.split()), text

    def test_none(self):
        """Arguments that are taken away are gone, however often there are none."""
        self.assertEqual(self.dry("bootm -d /root-disk/image")[0], ["own"])
        self.shell("global.linux.bootargs.base=")
        self.shell("bootm -d /root-disk/image; " * 3, seconds=90)
        self.shell("global.linux.bootargs.base=own")
        self.assertEqual(self.dry("bootm -d /root-disk/image")[0], ["own"])

    def test_root(self):
        """It names the partition that the kernel lies on where that is asked for, and only there."""
        self.assertEqual(self.dry("bootm -d /root-disk/image")[0], ["own"])
        self.shell("global.bootm.appendroot=1")
        with self.started("bootm /root-disk/image") as handed:
            self.assertEqual(sorted(handed.bootargs.split()), sorted(["own", self.argument]))

    def test_root_device(self):
        """It names another partition, and goes by another name, where that is asked for; the next boot forgets both."""
        self.shell(f"global.bootm.appendroot=1; global.bootm.root_dev={self.root}.0; global.bootm.root_param=rd.otter")
        found, text = self.dry(f"bootm -d {self.folder}/image")
        self.assertEqual(found, sorted(["own", f"rd.otter=PARTUUID={PARTITION}"]), text)
        self.shell("global.bootm.appendroot=0")
        with self.started("bootm DISK/image") as handed:
            self.assertEqual(handed.bootargs.split(), ["own"])

    def test_root_unknown(self):
        """A file system or a device that has no such name is told of, and the kernel is booted without."""
        self.shell("global.bootm.appendroot=1")
        for device, message in (
            ("", r"Failed to append kernel cmdline parameter 'root='"),
            ("/dev/otter", "no cdev found for otter, cannot set root= option"),
            ("/dev/zero", "zero doesn't have a PARTUUID, cannot set root= option"),
        ):
            found, text = self.dry(f"global.bootm.root_dev={device}; bootm -d {self.folder}/image")
            self.assertEqual(found, ["own"], text)
            self.assertIn(message, text)

    def test_root_of_entries(self):
        """An entry's linux-appendroot asks for it, or against it, whatever is asked for elsewhere."""
        folder = "/root-disk/loader/entries"
        for asked in (0, 1):
            self.shell(f"global.bootm.appendroot={asked}")
            for name, more in (("yes", [self.argument]), ("no", [])):
                found, text = self.dry(f"boot -d {folder}/{name}.conf")
                self.assertEqual(found, sorted(["own", f"entry={name}", *more]), text)

    def test_root_nonsense(self):
        """An entry whose linux-appendroot is neither yes nor no is refused."""
        self.refused("boot -d /root-disk/loader/entries/odd.conf", 'Invalid value "perhaps"')

    def test_root_shared(self):
        """It names a 9p share that the kernel lies on, with what Linux needs to mount it."""
        device = self.devices("9p")[0]
        (self.board.files.share(device) / "image").write_bytes(kernel(self.board.machine.arch))
        found, text = self.dry(f"global.bootm.appendroot=1; bootm -d {self.board.node(device)}/image")
        tag = self.board.node(device).rpartition("/")[2]
        self.assertIn(f"root={tag}", found, text)
        self.assertIn("rootfstype=9p", found)
        (flags,) = [x.removeprefix("rootflags=").split(",") for x in found if x.startswith("rootflags=")]
        self.assertLessEqual({"trans=virtio", "dfltuid=0", "dfltgid=0"}, set(flags))

    def test_partitions(self):
        """The partitions of flash and of disks are there behind the others, each kind in one argument."""
        names = ("mtdparts.one", "mtdparts.two", "blkdevparts.one", "blkdevparts.two")
        self.addCleanup(self.attempt, "; ".join(f"global -r linux.{name}" for name in names))
        self.shell(
            "; ".join(f"global linux.{name}={name.replace('.', ':')}(x)ro" for name in names[:2])
            .replace("(", "'(")
            .replace(")ro", ")ro'")
        )
        found, text = self.dry(f"bootm -d {self.folder}/image")
        self.assertEqual(found, sorted(["own", "mtdparts=mtdparts:one(x)ro;mtdparts:two(x)ro"]), text)
        self.shell("global linux.blkdevparts.one=mmcblk0:1M; global linux.blkdevparts.two=sda:-")
        with self.started("bootm DISK/image") as handed:
            expected = ["own", "mtdparts=mtdparts:one(x)ro;mtdparts:two(x)ro", "blkdevparts=mmcblk0:1M;sda:-"]
            self.assertEqual(handed.bootargs.split(), expected)

    def test_one_variable(self):
        """The variable bootargs is the command line where there is nothing else for it, and only there."""
        self.shell("bootargs='otter=1 heron=2'")
        self.assertEqual(self.dry(f"bootm -d {self.folder}/image")[0], ["own"])
        self.shell("global -r linux.bootargs.base")
        with self.started("bootm DISK/image") as handed:
            self.assertEqual(handed.bootargs, "otter=1 heron=2")

    def test_early_console(self):
        """Linux' early console is barebox' own, by its device and address, where that is asked for."""
        self.addCleanup(self.attempt, "global.bootm.earlycon=0")
        tree = devicetree.from_blob(self.board.device_tree())
        path = tree["/chosen"]["stdout-path"].decode().strip("\0")
        address = int(path.rpartition("@")[2], 16)
        kind = {"aarch64": "pl011", "riscv64": "uart8250,mmio"}[self.board.machine.arch]
        found, text = self.dry(f"global.bootm.earlycon=1; bootm -d {self.folder}/image")
        self.assertEqual(found, sorted(["own", f"earlycon={kind},{address:#x}"]), text)
        self.assertEqual(self.dry(f"global.bootm.earlycon=0; bootm -d {self.folder}/image")[0], ["own"])

    def test_no_name(self):
        """Where the machine's ID or name is to be told and there is none, or one that systemd would not take, nothing
        is booted."""
        before = self.answer("echo $global.hostname")
        self.addCleanup(self.attempt, f"global.hostname={before}; global.bootm.provide_hostname=0")
        self.shell("global.bootm.provide_hostname=1")
        for name in ("-otter", "otter-", "ot..ter", "otter_1", "ot ter", 65 * "x"):
            self.refused(f"global.hostname='{name}'; bootm -d DISK/image", "not compatible to systemd")
        self.refused("global.hostname=''; bootm -d DISK/image", "no hostname is set")
        for name in ("otter-7", "OTTER", "9.swims.test", 64 * "x"):
            found, text = self.dry(f"global.hostname={name}; bootm -d {self.folder}/image")
            self.assertIn(f"systemd.hostname={name}", found, text)

    def test_no_machine_id(self):
        """Where the machine's ID is to be told and there is none, nothing is booted."""
        self.need("MACHINE_ID")
        self.addCleanup(self.board.discard)
        self.refused(
            "global.machine_id=''; global.bootm.provide_machine_id=1; bootm -d DISK/image", "no machine id set"
        )


class NfsTest(PeerCase):
    """Entries that a share by NFS has, and the kernel's arguments for it as the root file system."""

    needs = ("FS_NFS", "BLSPEC", "CMD_BOOT", "CMD_BOOTM", "ROOTWAIT_BOOTARG")

    def setUp(self):
        super().setUp()
        text = "title Otter\nlinux /image\noptions entry=otter\nlinux-appendroot true\n"
        image = payload.image(self.board.machine.arch, 1 << 15)
        self.tree = {"image": image, "loader/entries/otter.conf": text.encode()}

    def export(self, *ports):
        """Have the share on the server, by further ports, too."""
        services = nfs.Export("/export", self.tree).services
        self.serve(services={**services, **dict.fromkeys(ports, services[nfs.PORTS[nfs.NFS]])})
        self.addCleanup(self.attempt, "for i in /mnt/nfs-*; do umount $i; rmdir $i; done", seconds=60)

    def root(self, url):
        """The words of the command line of a dry run of what is at a URL."""
        text = "\n".join(self.shell(f"boot -d {url}", seconds=90))
        (line,) = re.findall(r"(?m)^commandline: (.*?)\r?$", text)
        return sorted(line.split())

    def test_url(self):
        """An entry is found by the URL of its share, which is mounted once, and the kernel is told of its root."""
        self.export()
        told = f"nfsroot={station.ADDRESS}:/export,v3,tcp"
        expected = sorted(["entry=otter", "root=/dev/nfs", told, "rootwait=10"])
        for _ in range(2):
            self.assertEqual(self.root(f"nfs://{station.ADDRESS}//export"), expected)
        self.assertEqual("\n".join(self.shell("mount")).count(f"{station.ADDRESS}:/export on /mnt/nfs-"), 1)

    def test_options(self):
        """The kernel is told of the port of the URL, and of the options and the time that are asked for."""
        self.export(2050)
        self.shell("global.linux.rootnfsopts=v4; global.linux.rootwait=3")
        self.addCleanup(self.attempt, "global.linux.rootnfsopts=v3,tcp; global.linux.rootwait=10")
        told = f"nfsroot={station.ADDRESS}:/export,v4,port=2050,mountport=2050"
        expected = sorted(["entry=otter", "root=/dev/nfs", told, "rootwait=3"])
        self.assertEqual(self.root(f"nfs://{station.ADDRESS}:2050//export"), expected)

    def test_refused(self):
        """A share that is not there, and a server without a share, are nothing to boot from."""
        self.export()
        for url, message in (
            (f"nfs://{station.ADDRESS}//other", "No such file"),
            (f"nfs://{station.ADDRESS}", "Nothing bootable found on"),
        ):
            result = self.attempt(f"boot -d {url}", seconds=60)
            self.assertNotEqual(result.status, 0, str(result))
            self.assertIn(message, "\n".join(result.lines))
