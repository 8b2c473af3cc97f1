# SPDX-License-Identifier: MIT
"""barebox boots FIT images that are whole, and signed with the key it was built for, refuses others, and says why."""

import functools
import hashlib
import random

from oeqa.barebox import fit, payload
from oeqa.barebox.handover import HandoverCase, disk, kernel
from oeqa.barebox.variant import Variant

INITRD = random.randbytes(70_000)
OTHER_INITRD = random.randbytes(len(INITRD))
BOARDS = {"aarch64": "linux,dummy-virt", "riscv64": "riscv-virtio"}


@functools.cache
def fits(key):
    """What puts the FIT images on the disk, for a key; the same each time."""
    return functools.partial(files, key)


def files(key, arch):
    images = {fit.KERNEL: kernel(arch), fit.INITRD: INITRD}
    other = bytes(reversed(kernel(arch)))
    good = fit.make(arch, {**images, fit.OTHER_KERNEL: other[: 1 << 16]}, key)
    middle = 1 << 17
    part = kernel(arch)[middle : middle + 64]
    two = fit.make(arch, {**images, fit.OTHER_INITRD: OTHER_INITRD}, key)
    return {
        "two": two,
        "second-bit": fit.flip(two, OTHER_INITRD[-64:], 63),
        "good": good,
        "kernel-bit": fit.flip(good, part),
        "initrd-bit": fit.flip(good, INITRD[-64:], 63),
        "content": fit.with_content(good, INITRD, OTHER_INITRD),
        "signature-bit": fit.flip(good, fit.signature(good), 100),
        "other-hint": fit.flip(good, key.stem.encode() + b"\0"),
        "swapped": fit.swapped(good),
        "unsigned": fit.make(arch, images, None),
        "other-key": fit.with_other_key(arch, images, key.stem),
        "plain": kernel(arch),
    }


@functools.cache
def hashed(arch):
    """FIT images that nobody signed: a good one, and such as differ from it in one bit."""
    good = fit.make(arch, {fit.KERNEL: kernel(arch), fit.INITRD: INITRD}, None)
    two = fit.make(arch, {fit.KERNEL: kernel(arch), fit.INITRD: INITRD, fit.OTHER_INITRD: OTHER_INITRD}, None)
    digest, part = hashlib.sha256(INITRD).digest(), kernel(arch)[1 << 17 :][:64]
    return {
        "good": good,
        "kernel-bit": fit.flip(good, part),
        "initrd-bit": fit.flip(good, INITRD[-64:], 63),
        "digest-first": fit.flip(good, digest),
        "digest-last": fit.flip(good, digest, len(digest) - 1),
        "no-digest": good.replace(b"hash-1\0", b"nothng\0"),
        "boards": boards(arch),
        "two": two,
        "second-bit": fit.flip(two, OTHER_INITRD[-64:], 63),
    }


def boards(arch):
    """A FIT image with a configuration for this board that is neither the first one nor the default."""
    other = payload.image(arch)
    images = {fit.KERNEL: other, fit.OTHER_KERNEL: kernel(arch), fit.INITRD: INITRD}
    board = BOARDS[arch]
    near = [(fit.KERNEL, ["otter,river", board]), (fit.OTHER_KERNEL, [board]), (fit.KERNEL, ["otter,lake", board])]
    return fit.make(arch, images, None, [(fit.KERNEL, ["otter,river"]), *near])


class HashTest(HandoverCase):
    """Without a key: an image is whole, or it is refused."""

    needs = (*HandoverCase.needs, "BOOTM_FITIMAGE")
    files = hashed

    def boots(self, image, mode):
        self.shell(f"global.bootm.verify={mode}")
        with self.started(f"bootm {image if image.startswith('/') else f'DISK/{image}'}") as handed:
            self.check_kernel(handed)
            self.check_initrd(handed, INITRD)

    def refuses(self, image, message, modes=("available", "hash")):
        for mode in modes:
            self.shell(f"global.bootm.verify={mode}")
            self.refused(f"bootm DISK/{image}", message)

    def test_default(self):
        """Digests are looked at where there are some, if nobody asked for anything else."""
        self.board.reset()
        self.assertEqual(self.answer("echo $global.bootm.verify"), "available")

    def test_whole(self):
        """An image whose digests are right is booted, with its own kernel and initrd."""
        self.boots("good", "hash")

    def test_replaced(self):
        """An image is read anew, and its digests are looked at, each time that it is booted."""
        self.shell(f"global.bootm.verify=hash; cp {self.folder}/good /fit; bootm -d /fit", seconds=60)
        self.shell(f"cp {self.folder}/kernel-bit /fit", seconds=60)
        self.refused("bootm /fit", "kernel-1/hash-1: hash BAD")
        self.shell(f"cp {self.folder}/good /fit", seconds=60)
        self.boots("/fit", "hash")

    def test_changed(self):
        """One bit changed in the kernel, or the last one of the initrd: refused, and what is wrong is named."""
        self.refuses("kernel-bit", "kernel-1/hash-1: hash BAD")
        self.refuses("initrd-bit", "ramdisk-1/hash-1: hash BAD")

    def test_two_initrds(self):
        """An image with two initrds is booted with both, and one bit changed in the second one is refused."""
        self.refuses("second-bit", "ramdisk-2/hash-1: hash BAD")
        with self.started("bootm DISK/two") as handed:
            self.check_initrds(handed, INITRD, OTHER_INITRD)

    def test_changed_digest(self):
        """One bit changed in a digest, the first or the last one."""
        self.refuses("digest-first", "ramdisk-1/hash-1: hash BAD")
        self.refuses("digest-last", "ramdisk-1/hash-1: hash BAD")

    def test_no_digest(self):
        """An image without digests is refused where they are asked for, and booted otherwise."""
        self.refuses("no-digest", "does not have hashes", modes=("hash",))
        self.boots("no-digest", "available")

    def test_board(self):
        """Of several configurations the one that is made for the board goes before such as can do with it."""
        with self.started("bootm DISK/boards") as handed:
            self.check_kernel(handed)

    def test_asked_on_the_command_line(self):
        """bootm -c asks for digests where nobody else does, and not for a signature."""
        self.shell("global.bootm.verify=none")
        self.refused("bootm -c DISK/initrd-bit", "ramdisk-1/hash-1: hash BAD")
        with self.started("bootm -c DISK/good") as handed:
            self.check_kernel(handed)

    def test_not_asked(self):
        """Where nobody asks for digests, they are not looked at."""
        self.shell("global.bootm.verify=none")
        with self.started("bootm DISK/initrd-bit") as handed:
            self.check_kernel(handed)


class SignedCase(HandoverCase):
    needs = (*HandoverCase.needs, "BOOTM_FITIMAGE_SIGNATURE")

    @property
    def variant(self):
        if self.board.signing_key is None:
            self.skipTest("no key that signs what the firmware trusts: --signing-key (BAREBOX_VIRT_FIT_KEY)")
        return Variant(drives=(disk(fits(self.board.signing_key), self.board.machine.arch),))

    def setUp(self):
        super().setUp()
        self.shell("global.bootm.verify=signature")


class AcceptedTest(SignedCase):
    def test_signed(self):
        """A signed image is booted, with its own kernel and initrd, whole."""
        with self.started("bootm DISK/good") as handed:
            self.check_kernel(handed)
            self.check_initrd(handed, INITRD)

    def test_two_initrds(self):
        """A signed image with two initrds is booted, and one bit changed in the second one is refused."""
        self.refused("bootm DISK/second-bit", "ramdisk-2/hash-1: hash BAD")
        with self.started("bootm DISK/two") as handed:
            self.check_kernel(handed)

    def test_hint(self):
        """The name of the key in an image is a hint, and what stands there is not signed."""
        with self.started("bootm DISK/other-hint") as handed:
            self.check_kernel(handed)

    def test_asked_on_the_command_line(self):
        """bootm -s asks for a signature where nobody else does, also beside -c, and a signed image has one."""
        self.shell("global.bootm.verify=none")
        for options in ("-s", "-c -s", "-s -c"):
            self.refused(f"bootm {options} DISK/unsigned", "does not have a signature")
        self.refused("bootm -s DISK/swapped", "image signature BAD")
        with self.started("bootm -s DISK/good") as handed:
            self.check_kernel(handed)
            self.check_initrd(handed, INITRD)

    def test_unsigned_where_allowed(self):
        """An image without a signature is booted where none is asked for."""
        self.shell("global.bootm.verify=hash")
        with self.started("bootm DISK/unsigned") as handed:
            self.check_kernel(handed)


class RefusedTest(SignedCase):
    def test_changed_kernel(self):
        """One bit changed in the kernel."""
        self.refused("bootm DISK/kernel-bit", "kernel-1/hash-1: hash BAD")

    def test_changed_initrd(self):
        """One bit changed in the initrd, its last one."""
        self.refused("bootm DISK/initrd-bit", "ramdisk-1/hash-1: hash BAD")

    def test_changed_digest(self):
        """Another initrd, with the digest changed to fit it."""
        self.refused("bootm DISK/content", "image signature BAD")

    def test_changed_signature(self):
        """One bit changed in the signature."""
        self.refused("bootm DISK/signature-bit", "image signature BAD")

    def test_swapped(self):
        """The signed configuration made to name another kernel in the same image."""
        self.refused("bootm DISK/swapped", "image signature BAD")

    def test_unsigned(self):
        """No signature."""
        self.refused("bootm DISK/unsigned", "does not have a signature")

    def test_other_key(self):
        """A right signature by another key of the same name."""
        self.refused("bootm DISK/other-key", "image signature BAD")

    def test_plain(self):
        """A kernel that is no FIT image, and so cannot be signed."""
        self.refused("bootm DISK/plain", "(?i)sign")

    def test_changed_where_a_signature_is_optional(self):
        """A bad signature is refused also where none would be needed."""
        self.shell("global.bootm.verify=available")
        for image in ("swapped", "signature-bit", "other-key"):
            self.refused(f"bootm DISK/{image}", "image signature BAD")
        self.refused("bootm DISK/kernel-bit", "hash BAD")
