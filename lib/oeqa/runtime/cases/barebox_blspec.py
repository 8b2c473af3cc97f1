# SPDX-License-Identifier: MIT
"""barebox boots what entries on a disk describe (Boot Loader Specification, type 1, uapi-group.org/specifications)."""

import functools
import random
import re

from oeqa.barebox import tools
from oeqa.barebox.handover import HandoverCase, kernel

INITRD = random.randbytes(500_000)
SECOND, THIRD = random.randbytes(5000), random.randbytes(777)
MACHINE_ID = f"{random.getrandbits(128):032x}"
TREE = """/dts-v1/; / { compatible = "linux,dummy-virt", "riscv-virtio"; model = "of the entry";
    #address-cells = <2>; #size-cells = <2>; chosen { }; };"""
OTHER = '/dts-v1/; / { compatible = "otter,swims"; };'
NEAR = '/dts-v1/; / { compatible = "linux,dummy-virt2", "linux,dummy", "riscv-virtio2", "riscv-virt"; };'
OVERLAY = "/dts-v1/; /plugin/; &{/} { overlaid { here = <7>; }; };"

# Each entry tells its name on the command line, and they are given here in the order in which they are to be tried:
# by sort key, then by falling version; those without a sort key last, by falling version of their names.
ENTRIES = {
    "z-broken": "sort-key aaa\nversion 3\nlinux /nothing\ndevicetree-overlay /sub/overlay.dtbo",
    "a-new": "sort-key aaa\nversion 1.10\nlinux /image",
    "b-old": "sort-key aaa\nversion 1.9\nlinux /image",
    "a-other-key": "sort-key bbb\nversion 99\nlinux /image",
    "named-10": "linux /image",
    "named-9": f"machine-id {MACHINE_ID}\nlinux /image",
    "full": """# a comment
linux\t \t/image
initrd /sub/initrd
devicetree /tree.dtb
devicetree-overlay /sub/overlay.dtbo
options second="b c"
options   third=3""",
}


def entry(name, text):
    """An entry; its last line does not always end."""
    return f"title The {name}\noptions entry={name}\n{text}{'' if name.startswith('named') else chr(10)}".encode()


@functools.cache
def files(arch):
    trees = {"tree.dtb": TREE, "other.dtb": OTHER, "near.dtb": NEAR, "sub/overlay.dtbo": OVERLAY}
    blobs = {name: compiled(source) for name, source in trees.items()}
    entries = {f"loader/entries/{name}.conf": entry(name, text) for name, text in ENTRIES.items()}
    alien = {
        f"loader/entries/{name}.conf": entry(name, f"sort-key 000\nlinux /image\ndevicetree /{name}.dtb")
        for name in ("other", "near")
    }
    no_entry = {"loader/entries/backup.conf~": entry("backup", "sort-key 000\nlinux /image")}
    initrds = {"sub/initrd": INITRD, "second": SECOND, "third": THIRD}
    return {"image": kernel(arch), **initrds, **blobs, **entries, **alien, **no_entry}


def compiled(source):
    """A device tree as a blob."""
    return tools.data("dtc", ["-q", "-@", "-"], source.encode())


class BlspecTest(HandoverCase):
    needs = (*HandoverCase.needs, "BLSPEC", "CMD_BOOT")
    files = files

    def listed(self):
        """The entries on the disk, as barebox lists them."""
        return re.findall(r"(?m)^The (\S+) \(", "\n".join(self.shell(f"boot -l {self.disk}")))

    def test_order(self):
        """The entries are in the specification's order; what is for another machine, and no entry, is left out."""
        self.assertEqual(self.listed(), list(ENTRIES))

    def test_first(self):
        """Of a disk's entries the first is booted; as its kernel is missing, which is said, the next one by itself."""
        with self.started(f"boot {self.disk}") as handed:
            self.assertEqual(handed.bootargs, "entry=a-new")
            self.assertRegex(handed.text, r"Booting entry 'The z-broken .*' failed")
            self.assertNotIn("/overlaid", handed.tree)
            self.check_kernel(handed)

    def test_default(self):
        """boot, told nothing, finds the disk with entries among all disks."""
        self.need("BOOT_DEFAULTS")
        with self.started("boot") as handed:
            self.assertEqual(handed.bootargs, "entry=a-new")

    def test_entry(self):
        """An entry's command line, initrd, device tree and overlay arrive as they are in its file."""
        self.need("OF_OVERLAY")
        self.shell("global linux.bootargs.base=base=1")
        with self.started("boot DISK/loader/entries/full.conf") as handed:
            self.assertEqual(handed.bootargs, 'base=1 entry=full second="b c" third=3')
            self.check_initrd(handed, INITRD)
            self.assertEqual(handed.tree["/"]["model"], b"of the entry\0")
            self.assertEqual(handed.tree.get("/overlaid"), {"here": bytes([0, 0, 0, 7])})
            self.assertEqual(handed.memory, self.board.machine.qemu.memory << 20)

    def test_machine_id(self):
        """Where a machine ID is set, only the entries that have it are there."""
        self.shell(f"global boot.machine_id={MACHINE_ID}")
        self.assertEqual(self.listed(), ["named-9"])
        self.shell("global boot.machine_id=''")
        self.assertEqual(self.listed(), list(ENTRIES))

    def test_nothing_left(self):
        """Where no entry can be booted, that is an error, and the entry's options are not left over."""
        self.refused("boot DISK/loader/entries/z-broken.conf", "No such file")
        with self.started("boot DISK/loader/entries/b-old.conf") as handed:
            self.assertEqual(handed.bootargs, "entry=b-old")

    def test_chosen(self):
        """The boot chooser boots an entry, and the kernel is told which system it is."""
        self.need("BOOTCHOOSER", "bootchooser")
        path = f"{self.folder}/loader/entries/b-old.conf"
        self.shell(f"global bootchooser.targets=otter; global bootchooser.otter.boot={path}")
        with self.started("boot bootchooser") as handed:
            self.assertEqual(set(handed.bootargs.split()), {"bootchooser.active=otter", "entry=b-old"})

    def test_chosen_in_vain(self):
        """What the boot chooser did not boot leaves no trace on the command line of what is booted then."""
        self.need("BOOTCHOOSER", "bootchooser")
        path = f"{self.folder}/loader/entries/full.conf"
        self.shell(f"global bootchooser.targets=otter; global bootchooser.otter.boot={path}; boot -d bootchooser")
        with self.started("boot DISK/loader/entries/b-old.conf") as handed:
            self.assertEqual(handed.bootargs, "entry=b-old")

    def test_chosen_override(self):
        """Parts of the entry that the boot chooser boots can be replaced, too."""
        self.need("BOOTCHOOSER", "bootchooser")
        self.need("BOOT_OVERRIDE")
        path = f"{self.folder}/loader/entries/full.conf"
        self.shell(f"global bootchooser.targets=otter; global bootchooser.otter.boot={path}")
        with self.started("boot -o bootm.initrd=DISK/second bootchooser") as handed:
            self.check_initrd(handed, SECOND)

    def test_dry(self):
        """A dry run of an entry boots nothing."""
        self.shell(f"boot -d {self.folder}/loader/entries/full.conf", seconds=60)
        self.shell("true")

    def test_override(self):
        """Parts of an entry can be replaced, and initrds be put behind one another."""
        self.need("BOOT_OVERRIDE")
        with self.started("boot -o bootm.initrd=:DISK/second:DISK/third DISK/loader/entries/full.conf") as handed:
            self.assertEqual(handed.tree["/"]["model"], b"of the entry\0")
            self.check_initrds(handed, INITRD, SECOND, THIRD)
