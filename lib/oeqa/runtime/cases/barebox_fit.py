# SPDX-License-Identifier: MIT
"""barebox boots what a FIT image's configurations name, and nothing where they name what is not there."""

import functools
import gzip
import hashlib
import random
import tempfile
from pathlib import Path

from oeqa.barebox import payload, tools
from oeqa.barebox.handover import HandoverCase

INITRDS = {"ramdisk-1": random.randbytes(50_003), "ramdisk-2": random.randbytes(9001)}
SMALL = random.randbytes(3000)
BOARDS = {"aarch64": "linux,dummy-virt", "riscv64": "riscv-virtio"}
LOAD = {"aarch64": 0x4460_0000, "riscv64": 0x8860_0000}
CELLS = "#address-cells = <2>; #size-cells = <2>; chosen { };"
SUMS = {name: hashlib.new(name, SMALL).hexdigest() for name in ("sha1", "sha256")}
BAD_SUMS = {
    "changed": (f'algo = "sha1"; value = [{SUMS["sha1"][:-1]}{int(SUMS["sha1"][-1], 16) ^ 1:x}];', "hash BAD"),
    "unknown": (f'algo = "otter"; value = [{SUMS["sha1"]}];', "unsupported algo otter"),
    "short": (f'algo = "sha1"; value = [{SUMS["sha1"][:-2]}];', "invalid hash length 19"),
    "long": (f'algo = "sha1"; value = [{SUMS["sha256"]}];', "invalid hash length 32"),
    "no-value": ('algo = "sha1";', '"value" property not found'),
    "no-algo": (f"value = [{SUMS['sha1']}];", '"algo" property not found'),
}


@functools.cache
def kernel(arch):
    """A small kernel, the same each time."""
    return payload.image(arch, 1 << 18)


def node(name, kind, more="", sums=""):
    """An image in a FIT, whose content is a file of the name."""
    hashes = f"hash-1 {{ {sums} }};" if sums else ""
    return f'{name} {{ type = "{kind}"; arch = "arm64"; os = "linux"; data = /incbin/("{name}"); {more} {hashes} }};\n'


def fit(nodes, configurations, contents):
    """A FIT image, whose configurations are given as {name: properties}."""
    inner = "".join(f"{name} {{ {text} }};\n" for name, text in configurations.items() if name != "default")
    default = f'default = "{configurations["default"]}";' if "default" in configurations else ""
    source = f'/dts-v1/; / {{ description = "otter"; images {{ {nodes} }}; configurations {{ {default} {inner} }}; }};'
    with tempfile.TemporaryDirectory() as folder:
        for name, content in contents.items():
            (Path(folder) / name).write_bytes(content)
        return tools.data("dtc", ["-q", "-i", folder, "-"], source.encode())


def tree(model, compatible):
    return tools.data(
        "dtc", ["-q", "-"], f'/dts-v1/; / {{ model = "{model}"; compatible = "{compatible}"; {CELLS} }};'.encode()
    )


@functools.cache
def files(arch):
    packed = gzip.compress(kernel(arch))
    contents = {
        **{"kernel-1": kernel(arch), "kernel-2": packed, "kernel-3": packed[:-20000], **INITRDS},
        **{"fdt-1": tree("first", "otter,river"), "fdt-2": tree("second", BOARDS[arch])},
        "fdt-3": gzip.compress(tree("third", BOARDS[arch])),
    }
    address = f"load = <{LOAD[arch]}>; entry = <{LOAD[arch]}>;"
    wide = f"load = <0 {LOAD[arch] + (4 << 20)}>; entry = <0 {LOAD[arch] + (4 << 20)}>;"
    nodes = node("kernel-1", "kernel", address) + node("kernel-2", "kernel", f'{wide} compression = "gzip";')
    nodes += node("kernel-3", "kernel", 'compression = "gzip";') + "".join(node(name, "ramdisk") for name in INITRDS)
    nodes += node("fdt-1", "flat_dt") + node("fdt-2", "flat_dt") + node("fdt-3", "flat_dt", 'compression = "gzip";')
    nodes += 'empty { type = "ramdisk"; };'
    first = 'kernel = "kernel-1"; ramdisk = "ramdisk-1"; fdt = "fdt-1";'
    second = 'kernel = "kernel-2"; ramdisk = "ramdisk-2"; fdt = "fdt-3";'
    others = {
        "broken": 'kernel = "kernel-3";',
        "lost": 'kernel = "kernel-9";',
        "lost-ramdisk": 'kernel = "kernel-1"; ramdisk = "ramdisk-9";',
        "empty-ramdisk": 'kernel = "kernel-1"; ramdisk = "empty";',
        "no-kernel": f'ramdisk = "ramdisk-1"; compatible = "{BOARDS[arch]}";',
    }
    good = fit(nodes, {"default": "second", "first": first, "second": second, **others}, contents)
    by_tree = {"default": "first", "first": first, "second": second, "match": 'kernel = "kernel-1"; fdt = "fdt-2";'}
    sums = {name: f'algo = "{name}"; value = [{text}];' for name, text in SUMS.items()}
    sums |= {name: text for name, (text, _) in BAD_SUMS.items()}
    hashed = node("kernel-1", "kernel") + "".join(node(name, "ramdisk", sums=text) for name, text in sums.items())
    configurations = {f"c-{name}": f'kernel = "kernel-1"; ramdisk = "{name}";' for name in sums}
    return {
        "fit": good,
        "by-tree": fit(nodes, by_tree, contents),
        "no-default": fit(nodes, {"first": first}, contents),
        "wrong-default": fit(nodes, {"default": "third", "first": first}, contents),
        "cut": good[:-5000],
        "sums": fit(hashed, configurations, {"kernel-1": kernel(arch), **dict.fromkeys(sums, SMALL)}),
        "loader/entries/entry.conf": b"title Entry\nlinux /image\ninitrd /initrd\noptions entry=1\n",
        **{"image": kernel(arch), "image.gz": packed, "initrd": SMALL},
    }


class FitTest(HandoverCase):
    needs = (*HandoverCase.needs, "BOOTM_FITIMAGE")
    files = files

    def setUp(self):
        super().setUp()
        self.shell("global linux.bootargs.base=own; global.bootm.verify=available")

    def check_kernel(self, handed):
        content = kernel(self.board.machine.arch)
        self.check_same(self.board.memory(handed.registers["start"], len(content)), content, "the kernel in memory")

    def check(self, command, initrd, model, place):
        """What is booted has kernel, initrd and device tree of a configuration, the kernel at its place."""
        with self.started(command) as handed:
            self.check_kernel(handed)
            self.check_initrd(handed, INITRDS[initrd])
            self.assertEqual(handed.tree["/"]["model"], f"{model}\0".encode())
            self.assertEqual(handed.registers["start"], LOAD[self.board.machine.arch] + place)

    def test_named(self):
        """A configuration that is named behind @ is booted: its kernel, at the address that is asked for, its initrd,
        its device tree."""
        self.check("bootm DISK/fit@first", "ramdisk-1", "first", 0)

    def test_default(self):
        """The default is booted where no configuration is for the board; what is compressed is unpacked, and an address
        of two cells is one."""
        self.check("bootm DISK/fit", "ramdisk-2", "third", 4 << 20)

    def test_by_tree(self):
        """A configuration whose device tree is for the board goes before the default; one whose device tree is
        compressed is not looked into, which is said."""
        with self.started("bootm DISK/by-tree") as handed:
            self.assertEqual(handed.tree["/"]["model"], b"second\0")
            self.assertNotIn("linux,initrd-start", handed.tree["/chosen"])
            self.assertRegex(handed.text, "skipping compressed configuration .*second")

    def test_own_address(self):
        """The address of the command line goes before the image's."""
        place = LOAD[self.board.machine.arch] + (16 << 20)
        with self.started(f"bootm -a {place:#x} DISK/fit@first") as handed:
            self.assertEqual(handed.registers["start"], place)
            self.check_kernel(handed)

    def test_sums(self):
        """Digests of each kind are looked at; one that is wrong, unknown or not there is refused, and what is wrong is
        named."""
        for name in SUMS:
            self.shell(f"bootm -d {self.folder}/sums@c-{name}", seconds=60)
        for name, (_, message) in BAD_SUMS.items():
            self.refused(f"bootm -d DISK/sums@c-{name}", f"{name}/hash-1: {message}")

    def test_refused(self):
        """A configuration that is not there, or lacks its kernel, and an image that is cut off are refused by name."""
        for name, message in (
            ("fit@nothing", "configuration 'nothing' not found"),
            ("no-default", "(?s)No match found.*Couldn't get a valid configuration"),
            ("wrong-default", "configuration 'third' not found"),
            ("fit@lost-ramdisk", "No such file"),
            ("fit@empty-ramdisk", "data not found"),
            ("fit@broken", "gzip data couldn't be decompressed"),
            ("cut", "unable to read .*/cut: No data available"),
        ):
            self.refused(f"bootm -d DISK/{name}", message)
        for name in ("fit@lost", "fit@no-kernel"):
            self.assertNotEqual(self.attempt(f"bootm -d {self.folder}/{name}").status, 0, name)

    def test_override(self):
        """A FIT image in place of an entry's kernel brings all that its configuration names; the entry's arguments
        stay."""
        self.need("BOOT_OVERRIDE")
        self.check("boot -o bootm.image=DISK/fit@first DISK/loader/entries/entry.conf", "ramdisk-1", "first", 0)

    def test_kernel_override(self):
        """A compressed kernel in place of an entry's own leaves the entry its initrd, and an empty name takes that
        away."""
        self.need("BOOT_OVERRIDE")
        entry = "DISK/loader/entries/entry.conf"
        command = f"boot -d -o bootm.image={self.folder}/image.gz -o bootm.initrd= {entry}".replace("DISK", self.folder)
        self.assertRegex("\n".join(self.shell(command, seconds=60)), "removed initrd")
        self.refused(f"boot -o bootm.image=DISK/nothing {entry}", "No such file")
        for wrong in ("bootm.image=", "bootm.otter=1"):
            self.assertNotEqual(
                self.attempt(f"boot -d -o {wrong} {entry.replace('DISK', self.folder)}").status, 0, wrong
            )
        with self.started(f"boot -o bootm.image=DISK/image.gz {entry}") as handed:
            self.check_kernel(handed)
            self.check_initrd(handed, SMALL)
            self.assertRegex(handed.text, "replacement OS: .*image.gz")
            self.assertIn("entry=1", handed.bootargs.split())
