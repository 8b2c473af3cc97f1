# SPDX-License-Identifier: MIT
"""barebox boots what entries on a disk describe (Boot Loader Specification, type 1, uapi-group.org/specifications)."""

import functools
import random
import re

from oeqa.barebox import case, images, tools
from oeqa.barebox.devicetree import cells
from oeqa.barebox.handover import HandoverCase, kernel
from oeqa.barebox.variant import Drive, Variant

INITRD = random.randbytes(500_000)
SECOND, THIRD = random.randbytes(5000), random.randbytes(777)
MACHINE_ID = f"{random.getrandbits(128):032x}"
TREE = """/dts-v1/; / { compatible = "linux,dummy-virt", "riscv-virtio"; model = "of the entry";
    #address-cells = <2>; #size-cells = <2>; chosen { }; };"""
OTHER = '/dts-v1/; / { compatible = "otter,swims"; };'
NEAR = '/dts-v1/; / { compatible = "linux,dummy-virt2", "linux,dummy", "riscv-virtio2", "riscv-virt"; };'
MORE = "/dts-v1/; /plugin/; &{/} { more { here = <8>; }; };"
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

# In a folder of the disk, in the order of the specification: of one sort key by machine ID, then by falling version. A
# key without a value, an empty line and an unknown key are nothing.
NESTED = {
    "ids-1": "sort-key aaa\nmachine-id 11\nversion 1\nlinux /image",
    "ids-2": "sort-key aaa\nmachine-id 22\nversion 2\nlinux /image",
    "b-new": "sort-key bbb\nversion 2.0\nlinux /image",
    "b-old": "sort-key bbb\nversion 1.9\ninitrd\n\nunknown key\nlinux /image",
    "last": "version 77\nlinux /image",
}


# In another folder: of one version, then without any, by falling names.
ALIKE = {name: "sort-key otter\nversion 3\nlinux /image" for name in ("of-10", "of-9", "of-2")}
ALIKE |= {name: "sort-key river\nlinux /image\ndevicetree none" for name in ("none-11", "none-3")}


def entry(name, text):
    """An entry; its last line does not always end."""
    return f"title The {name}\noptions entry={name}\n{text}{'' if name.startswith('named') else chr(10)}".encode()


@functools.cache
def files(arch):
    trees = {"tree.dtb": TREE, "other.dtb": OTHER, "near.dtb": NEAR, "sub/overlay.dtbo": OVERLAY, "more.dtbo": MORE}
    trees["mine.dtb"] = TREE.replace("of the entry", "of mine")
    blobs = {name: compiled(source) for name, source in trees.items()}
    entries = {f"loader/entries/{name}.conf": entry(name, text) for name, text in ENTRIES.items()}
    alien = {
        f"loader/entries/{name}.conf": entry(name, f"sort-key 000\nlinux /image\ndevicetree /{name}.dtb")
        for name in ("other", "near")
    }
    no_entry = {"loader/entries/backup.conf~": entry("backup", "sort-key 000\nlinux /image")}
    no_entry |= {f"nested/loader/entries/{name}.conf": entry(name, text) for name, text in NESTED.items()}
    no_entry |= {f"alike/loader/entries/{name}.conf": entry(name, text) for name, text in ALIKE.items()}
    no_entry["nested/image"] = no_entry["alike/image"] = kernel(arch)
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

    def test_folder(self):
        """Entries in a folder are in the specification's order, too, and what they name is found there."""
        lines = "\n".join(self.shell(f"boot -l {self.folder}/nested"))
        self.assertEqual(re.findall(r"(?m)^The (\S+) \(", lines), list(NESTED))
        with self.started("boot DISK/nested/loader/entries/b-old.conf") as handed:
            self.assertIn("'DISK/nested/image'".replace("DISK", self.folder), handed.text.replace("//", "/"))
            self.assertNotIn("linux,initrd-start", handed.tree["/chosen"])
            self.check_kernel(handed)

    def test_alike(self):
        """Entries that are alike but for their names, of one version or none, are in the names' falling order."""
        lines = "\n".join(self.shell(f"boot -l {self.folder}/alike"))
        self.assertEqual(re.findall(r"(?m)^The (\S+) \(", lines), list(ALIKE))

    def test_no_tree(self):
        """An entry whose device tree is "none" is booted with the machine's own."""
        with self.started("boot DISK/alike/loader/entries/none-3.conf") as handed:
            self.assertEqual(handed.bootargs, "entry=none-3")
            self.assertNotEqual(handed.tree["/"]["model"], b"of the entry\0")

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

    def test_override_order(self):
        """The entry's own initrd is where there is an empty name among the others, and is taken away by none."""
        self.need("BOOT_OVERRIDE")
        entry = "DISK/loader/entries/full.conf"
        self.refused(f"boot -o bootm.initrd=:DISK/nothing {entry}", "No such file")
        with self.started(f"boot -o bootm.initrd=DISK/second::DISK/third {entry}") as handed:
            self.check_initrds(handed, SECOND, INITRD, THIRD)

    def test_override_by_variable(self):
        """The variable's own value is taken where none is given."""
        self.need("BOOT_OVERRIDE")
        self.shell(f"global.bootm.initrd={self.folder}/third")
        with self.started("boot -o bootm.initrd DISK/loader/entries/full.conf") as handed:
            self.check_initrd(handed, THIRD)

    def test_override_overlays(self):
        """Overlays are put behind the entry's device tree and applied beside its own; what is none is told of."""
        self.need("BOOT_OVERRIDE")
        command = "boot -o bootm.oftree=:DISK/more.dtbo:DISK/second DISK/loader/entries/full.conf"
        with self.started(command) as handed:
            self.assertEqual(handed.tree["/"]["model"], b"of the entry\0")
            self.assertEqual(
                (handed.tree.get("/overlaid"), handed.tree.get("/more")), ({"here": cells(7)}, {"here": cells(8)})
            )
            self.assertRegex(handed.text, 'failed to apply overlay ".*second')

    def test_override_tree(self):
        """A device tree in place of the entry's has its overlays, and the entry's are applied to it as well."""
        self.need("BOOT_OVERRIDE")
        self.refused("boot -o bootm.oftree=DISK/nothing DISK/loader/entries/full.conf", "No such file")
        with self.started("boot -o bootm.oftree=DISK/mine.dtb:DISK/more.dtbo DISK/loader/entries/full.conf") as handed:
            self.assertEqual(handed.tree["/"]["model"], b"of mine\0")
            self.assertLessEqual({"/overlaid", "/more"}, set(handed.tree))
            self.check_initrd(handed, INITRD)


def partitions(label, name, types, more=()):
    """A disk with a partition of each type, in each of which is an entry that has the type's name."""
    lines = {
        f"start={2048 * (2 * n + 1)}, size=4096, type={kind}": images.fat(
            functools.partial(one, f"{name}-{word}"), 2 << 20, 12
        )
        for n, (word, kind) in enumerate(types.items())
    }
    return Drive(name, images.partitioned(label, 12 << 20, lines, more))


def one(name):
    return {f"loader/entries/{name}.conf": entry(name, "linux /image")}


class DisksTest(case.BootloaderTestCase):
    """On which disks and partitions entries are looked for."""

    needs = ("BLSPEC", "CMD_BOOT", "FS_FAT")
    uuid = "0a7d5c1e-91f3-4b52-8d86-3e1f6a2b4c70"
    linux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
    esp = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
    variant = Variant(
        drives=(
            partitions("gpt", "gpt", {"linux": linux, "esp": esp, "more": esp}, (f"label-id: {uuid}",)),
            partitions("gpt", "plain", {"linux": linux}),
            partitions("dos", "dos", {"linux": "83", "esp": "ef", "boot": "ea", "fat": "c"}),
        )
    )

    def setUp(self):
        super().setUp()
        self.disks = {drive.id: self.board.node(drive) for drive in self.variant.drives}

    def need_aliases(self):
        self.need("BOOT_DEFAULTS")
        if "EFI_PAYLOAD" in (self.board.symbols or ()):
            self.skipTest("CONFIG_EFI_PAYLOAD is on: the firmware below has the same disks, by other names")

    def found(self, target):
        """The entries that are found there, in their alphabet's order."""
        return sorted(re.findall(r"(?m)^The (\S+) \(", "\n".join(self.attempt(f"boot -l {target}", seconds=60).lines)))

    def test_disk(self):
        """Of a disk, those on partitions for the boot and on the EFI's are found, and none on any other."""
        for disk, expected in {"gpt": ["gpt-esp", "gpt-more"], "dos": ["dos-boot", "dos-esp"], "plain": []}.items():
            for name in (self.disks[disk], f"/dev/{self.disks[disk]}"):
                self.assertEqual(self.found(name), expected, name)

    def test_partition(self):
        """Of a partition, its own are found, whatever its type."""
        for disk, words in {
            "gpt": ("linux", "esp"),
            "dos": ("linux", "esp", "boot", "fat"),
            "plain": ("linux",),
        }.items():
            for number, word in enumerate(words):
                self.assertEqual(self.found(f"{self.disks[disk]}.{number}"), [f"{disk}-{word}"])
        self.assertEqual(self.found(f"{self.disks['gpt']}.9"), [])

    def test_none(self):
        """That there is nothing to boot is said, and is an error."""
        result = self.attempt(f"boot -l {self.disks['plain']}")
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn(f"Nothing bootable found on '{self.disks['plain']}'", "\n".join(result.lines))

    def test_uuid(self):
        """A disk is found by its UUID in letters of any case, and a partition of it by its number behind that."""
        self.need_aliases()
        for uuid in (self.uuid, self.uuid.upper()):
            self.assertEqual(self.found(f"diskuuid.{uuid}"), ["gpt-esp", "gpt-more"])
        self.assertEqual(self.found(f"diskuuid.{self.uuid}.0"), ["gpt-linux"])
        for other in (f"{self.uuid}.9", self.uuid[:-1], self.uuid[:-1] + "1", ""):
            self.assertEqual(self.found(f"diskuuid.{other}"), [], other)

    def test_storage(self):
        """All disks are looked at for any storage, and for what is built in; what can be removed is another thing."""
        self.need_aliases()
        every = ["dos-boot", "dos-esp", "gpt-esp", "gpt-more"]
        for name in ("storage", "storage.builtin", "storage.nonbootsource", "storage.builtin.nonbootsource"):
            self.assertEqual(self.found(name), every, name)
        for name in ("storage.removable", "storage.removable.nonbootsource", "storage.otter", "bootsource"):
            self.assertEqual(self.found(name), [], name)


class ExtendedTest(case.BootloaderTestCase):
    """A GPT disk with an extended boot loader partition."""

    needs = DisksTest.needs
    kind = "BC13C2FF-59E6-4262-A352-B275FD6F7172"
    variant = Variant(
        drives=(partitions("gpt", "ext", {"linux": DisksTest.linux, "esp": DisksTest.esp, "boot": kind}),)
    )

    def test_found(self):
        """Entries of the extended partition are found before those of the EFI's, and those of others are not."""
        lines = self.shell(f"boot -l {self.board.node(self.variant.drives[0])}", seconds=60)
        self.assertEqual(re.findall(r"(?m)^The (\S+) \(", "\n".join(lines)), ["ext-boot", "ext-esp"])
