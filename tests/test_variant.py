# SPDX-License-Identifier: MIT
"""What a case's variant of a machine makes of QEMU's command line and of the flash; and that what it asks for is there
in a real QEMU, with the distribution's U-Boot."""

import random
from pathlib import Path

import pytest

from oeqa.barebox import firmware, flash, images, machine, qemu
from oeqa.barebox.errors import BareboxError, Unavailable, UsageError
from oeqa.barebox.firmware import Firmware
from oeqa.barebox.machine import Flash, FlashPart
from oeqa.barebox.target import Target
from oeqa.barebox.variant import Drive, Fault, Variant

LAYER = Path(__file__).resolve().parent.parent
NAMES = ["qemuarm64-barebox", "qemuriscv64-barebox", "qemux86-64-barebox"]
FILES = qemu.Files(Path("/run/a,b c"))
FIRMWARE = Firmware("barebox", Path("/b/barebox.img"), bios=Path("/x/OVMF.fd"))


def load(name):
    return machine.load(LAYER / f"conf/machines/{name}.json")


def after(arguments, option):
    return [b for a, b in zip(arguments, arguments[1:]) if a == option]


def device_args(name, variant):
    m = load(name)
    program = qemu.Program(Path("/usr/bin/qemu"), "8.0.0", frozenset(d.model for d in m.devices))
    return qemu.device_args(m, "barebox", program, FILES, variant)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_asked_changes_nothing(name):
    assert device_args(name, Variant()) == device_args(name, None)


@pytest.mark.parametrize("name", NAMES)
def test_drives_come_last_and_in_order(name):
    variant = Variant(drives=(Drive("one", images.noise(512)), Drive("two", images.noise(512), read_only=True)))
    drives = after(device_args(name, variant), "-drive")[-2:]
    assert drives == [
        "if=none,id=one,format=raw,file=/run/a,,b c/one.img",
        "if=none,id=two,format=raw,read-only=on,file=/run/a,,b c/two.img",
    ]
    model = load(name).of_kind("block", "barebox")[-1].model
    assert after(device_args(name, variant), "-device")[-2:] == [f"{model},drive=one", f"{model},drive=two"]


def test_faults_stand_between_disk_and_file():
    faults = (Fault("read", 70), Fault("flush", once=True))
    variant = Variant(drives=(Drive("bad", images.noise(512), faults=faults),))
    drive = after(device_args(NAMES[0], variant), "-drive")[-1]
    assert drive.startswith("if=none,id=bad,format=raw,rerror=report,werror=report,file.driver=blkdebug,")
    assert "file.image.filename=/run/a,,b c/bad.img," in drive
    first = "file.inject-error.0"
    assert f"{first}.event=none,{first}.iotype=read,{first}.errno=5,{first}.sector=70," in drive
    second = "file.inject-error.1"
    assert drive.endswith(f"{second}.event=none,{second}.iotype=flush,{second}.errno=5,{second}.once=on")


def test_another_board():
    variant = Variant(
        board=("highmem=off", "virtualization=on"),
        cpu="max",
        devices=("pcie-root-port,id=port0",),
        drives=(Drive("behind", images.noise(512), model="virtio-blk-pci,bus=port0"),),
    )
    found = device_args(NAMES[0], variant)
    assert after(found, "-machine") == ["highmem=off", "virtualization=on"]
    assert after(found, "-cpu") == ["max"]
    assert after(found, "-device")[-2:] == ["pcie-root-port,id=port0", "virtio-blk-pci,bus=port0,drive=behind"]


def test_instructions_are_counted():
    assert after(device_args(NAMES[0], Variant(icount=True)), "-icount") == ["shift=1,sleep=off"]
    assert after(device_args(NAMES[2], Variant(icount=True)), "-icount") == ["shift=4,sleep=off"]
    assert "-icount" not in device_args(NAMES[0], Variant(memory=256))


@pytest.mark.parametrize("name", NAMES)
def test_a_disk_for_the_state(name):
    wanted = load(name).firmware["barebox"].state_disk or load(name).of_kind("block", "barebox")[-1].model
    variant = Variant(drives=(Drive("one", images.noise(512), state=True),))
    assert after(device_args(name, variant), "-device")[-1] == f"{wanted},drive=one"
    assert load("qemux86-64-barebox").firmware["barebox"].state_disk == "ide-hd"


def test_devices_left_out():
    found = "".join(device_args(NAMES[0], Variant(without=("rng", "net"))))
    assert "virtio-rng" not in found
    assert "netdev" not in found
    assert "virtio-blk" in found


def test_memory_and_texts():
    arguments = device_args(NAMES[0], Variant(memory=1024, fw_cfg=(("opt/a", "b,c"),)))
    assert after(arguments, "-m") == ["1024"]
    assert after(arguments, "-fw_cfg") == ["name=opt/a,string=b,,c"]


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_has_the_first_network_alone(name):
    first, *others = after(device_args(name, Variant(peer=True)), "-netdev")
    assert first.startswith("dgram,id=net0,local.type=unix,local.path=/run/a,,b c/net.qemu,")
    assert all("restrict=on" in other for other in others)


def test_flash_stands_in_for_kernel_or_bios():
    path = Path("/run/flash.img")
    arm64, riscv64, x86 = (qemu.firmware_args(load(name), FIRMWARE, path) for name in NAMES)
    assert "-kernel" not in arm64 and after(arm64, "-bios") == ["/x/OVMF.fd"]
    assert after(riscv64, "-kernel") == ["/b/barebox.img"]
    assert after(x86, "-kernel") == ["/b/barebox.img"] and "-bios" not in x86
    assert after(riscv64, "-drive") == ["if=pflash,index=1,format=raw,file=/run/flash.img"]


def test_flash_holds_its_parts_and_is_erased_elsewhere(tmp_path):
    (tmp_path / "other.img").write_bytes(b"otter")
    loaded = Firmware("barebox", tmp_path / "barebox.img")
    bank = Flash(0, "none", (FlashPart(0, code="0102"), FlashPart(8, image="other.img")), 16)
    flash.make(tmp_path / "flash", bank, loaded)
    assert (tmp_path / "flash").read_bytes() == b"\1\2" + b"\xff" * 6 + b"otter" + b"\xff" * 3


def test_flash_of_another_build_is_refused(tmp_path):
    arm64, image, other = load(NAMES[0]), tmp_path / "barebox-dt-2nd.img", tmp_path / "barebox-qemu-virt.img"
    common = bytes(56) + b"ARM\x64barebox" + random.randbytes(40_000)
    image.write_bytes(common)
    firmware.check_flash(arm64, "barebox", image)
    other.write_bytes(b"another head" + common)
    firmware.check_flash(arm64, "barebox", image)
    other.write_bytes(bytes(reversed(common)))
    with pytest.raises(UsageError, match=r"qemu-virt.img: of another build than barebox-dt-2nd.img.*: make$"):
        firmware.find(arm64, "barebox", image)
    firmware.check_flash(load(NAMES[2]), "barebox", image)


def test_flash_that_cannot_be_made(tmp_path):
    loaded = Firmware("barebox", tmp_path / "barebox.img")
    with pytest.raises(Unavailable, match=r"other.img: no such file; the flash .* needs it beside barebox.img"):
        flash.make(tmp_path / "flash", Flash(0, "none", (FlashPart(0, image="other.img"),)), loaded)
    with pytest.raises(UsageError, match="2 bytes at 0x3 do not fit into a flash of 4 bytes"):
        flash.make(tmp_path / "flash", Flash(0, "none", (FlashPart(3, code="0102"),), 4), loaded)


@pytest.mark.parametrize(
    ("make", "magic"),
    [
        (images.table("gpt", 4 << 20, ["start=2048, size=2048"]), {512: b"EFI PART"}),
        (images.table("dos", 4 << 20, ["start=2048, size=2048"]), {510: b"\x55\xaa"}),
        (images.fat(lambda: {"a/b": b"c"}, 4 << 20, bits=16), {0x36: b"FAT16"}),
        (images.ext4(lambda: {"a/b": b"c"}, 4 << 20), {0x438: b"\x53\xef"}),
        (images.squashfs(lambda: {"a/b": b"c"}), {0: b"hsqs"}),
        (
            images.partitioned(
                "dos", 4 << 20, {"start=2048, size=2048": images.ext4(dict, 1 << 20)}, ["label-id: 0x7"]
            ),
            {440: b"\7\0\0\0", 510: b"\x55\xaa", (1 << 20) + 0x438: b"\x53\xef"},
        ),
    ],
)
def test_images(make, magic, tmp_path):
    path = tmp_path / "image"
    try:
        make(path)
    except Unavailable as error:
        pytest.skip(str(error))
    content = path.read_bytes()
    assert {place: content[place : place + len(text)] for place, text in magic.items()} == magic


def test_fat_is_judged(tmp_path):
    path = tmp_path / "image"
    try:
        images.fat(lambda: {"file": b"otter" * 1000}, 4 << 20, bits=16)(path)
    except Unavailable as error:
        pytest.skip(str(error))
    assert images.check_fat(path) == ""
    assert images.from_fat(path, "file") == b"otter" * 1000
    with pytest.raises(AssertionError, match="mcopy finds no file heron"):
        images.from_fat(path, "heron")
    content = bytearray(path.read_bytes())
    table = int.from_bytes(content[14:16], "little") * 512
    content[table + 4 : table + 8] = b"\0\0\0\0"
    path.write_bytes(content)
    assert images.check_fat(path) != ""


def test_real_machine(tmp_path):
    """The guest has the disk and the RAM of its variant, and the described machine again after it."""
    m = load("qemuarm64-barebox")
    try:
        target = Target(m, firmware.find(m, "u-boot", firmware.installed(m, "u-boot")), qemu.find(m), tmp_path, "tcg")
    except BareboxError as error:
        pytest.skip(str(error))
    with target:
        target.want(Variant(memory=768, drives=(Drive("more", images.noise(3 << 20)),)))
        assert target.query("query-memory-size-summary")["base-memory"] == 768 << 20
        target.run("virtio scan")
        assert "3.0 MB" in "\n".join(target.run("virtio info").lines)
        target.want(Variant())
        assert target.query("query-memory-size-summary")["base-memory"] == 512 << 20
