# SPDX-License-Identifier: MIT
"""QEMU's command line, from a machine's description; pure functions, so that a dry run is free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .firmware import Firmware
from .machine import Device, Machine
from .program import OF_THE_BOARD
from .program import Program as Program
from .program import find as find
from .program import find_for as find_for
from .program import understand as understand
from .variant import Drive, Variant

FIRST_MAC = 0x525400123456


@dataclass(frozen=True)
class Files:
    """The host's side of the guest's devices, all under one folder.

    ``cache`` is the cache mode of disks; QEMU's own default when empty.
    """

    folder: Path
    cache: str = ""

    def disk(self, device: Device | Drive) -> Path:
        return self.folder / f"{device.id}.img"

    def tftp(self) -> Path:
        return self.folder / "tftp"

    def share(self, device: Device) -> Path:
        return self.folder / device.id

    def console(self, device: Device) -> Path:
        return self.folder / f"{device.id}.log"

    def flash(self) -> Path:
        return self.folder / "flash.img"

    def ends(self) -> tuple[Path, Path]:
        """The two sockets of a network whose other end is the test's: QEMU's, the test's."""
        return self.folder / "net.qemu", self.folder / "net.test"

    def device_tree(self) -> Path:
        """Where QEMU writes its device tree when it is asked to."""
        return self.folder / "qemu.dtb"

    def memory(self) -> Path:
        """Where QEMU writes a part of the guest's memory when it is asked to."""
        return self.folder / "memory.bin"

    def folders(self, machine: Machine) -> list[Path]:
        """The folders that have to exist before QEMU starts."""
        return [self.tftp(), *(self.share(d) for d in machine.devices if d.kind == "9p")]

    def disks(self, machine: Machine) -> list[Path]:
        """The disk images that have to exist before QEMU starts."""
        return [self.disk(d) for d in machine.devices if d.kind == "block"]


def machine_args(machine: Machine, accelerator: str) -> list[str]:
    """Board, processor, RAM and accelerator."""
    q = machine.qemu
    cpu, board = q.cpu, q.machine
    if accelerator == "kvm" and q.kvm is not None:
        cpu, board = q.kvm.cpu, q.kvm.machine or q.machine
    return ["-machine", board, "-cpu", cpu, "-accel", accelerator, "-smp", str(q.smp), "-m", str(q.memory)]


def stdio_args() -> list[str]:
    """The serial console and QEMU's monitor on the terminal."""
    return ["-serial", "mon:stdio"]


def firmware_args(machine: Machine, firmware: Firmware, flash: Path | None = None, cache: str = "") -> list[str]:
    """The bootloader and what has to run below it.

    :param flash: the file that the bank with the environment is to be kept in
    :param cache: its cache mode; QEMU's own default when empty
    """
    loader = machine.bootloader(firmware.bootloader)
    bank = loader.flash if flash else None
    replaced = bank.replaces if bank else ""
    args = [] if replaced == loader.load else [f"-{loader.load}", str(firmware.image)]
    if firmware.bios and replaced != "bios":
        args += bios_args(firmware.bios)
    if flash and bank:
        drive = f"if=pflash,index={bank.index},format={flash_format(machine, firmware)},file={comma(flash)}"
        args += ["-drive", drive + _cache(cache)]
    return args


def flash_format(machine: Machine, firmware: Firmware) -> str:
    """The format of the file that the bank with the environment is kept in."""
    bank, bios = machine.bootloader(firmware.bootloader).flash, firmware.bios
    return "qcow2" if bank and bank.replaces == "bios" and bios and bios.suffix == ".qcow2" else "raw"


def bios_args(bios: Path) -> list[str]:
    """A firmware below the bootloader: flash for a qcow2 image, which -bios cannot read."""
    if bios.suffix == ".qcow2":
        return ["-drive", f"if=pflash,format=qcow2,snapshot=on,file={comma(bios)}"]
    return ["-bios", str(bios)]


def device_args(
    machine: Machine, bootloader: str, program: Program, files: Files, variant: Variant | None = None
) -> list[str]:
    """The devices under test with their backends; those that the bootloader or this QEMU does not know are left out.
    What a variant has beside them comes last."""
    args = [a for setting in machine.qemu.globals for a in ("-global", setting)]
    nets = 0
    left_out = {*OF_THE_BOARD, *(variant.without if variant else ())}
    for device in machine.devices:
        if bootloader not in device.node or program.lacks(device) or device.kind in left_out:
            continue
        backend = _peer if variant and variant.peer and device.kind == "net" and not nets else _BACKENDS[device.kind]
        args += backend(device, files, nets)
        nets += device.kind == "net"
    return [*args, *_variant_args(machine, bootloader, files, variant)] if variant else args


def _variant_args(machine: Machine, bootloader: str, files: Files, variant: Variant) -> list[str]:
    args = ["-m", str(variant.memory)] if variant.memory else []
    args += ["-icount", f"shift={machine.qemu.icount},sleep=off", "-smp", "1"] if variant.icount else []
    args += [a for setting in variant.globals for a in ("-global", setting)]
    args += [a for setting in variant.board for a in ("-machine", setting)]
    args += ["-cpu", variant.cpu] if variant.cpu else []
    args += [a for device in variant.devices for a in ("-device", device)]
    for name, text in variant.fw_cfg:
        args += ["-fw_cfg", f"name={name},string={text.replace(',', ',,')}"]
    for drive in variant.drives:
        read_only = ",read-only=on" if drive.read_only else ""
        special = machine.bootloader(bootloader).state_disk if drive.state else ""
        model = drive.model or special or machine.of_kind("block", bootloader)[-1].model
        file = _faulty(drive, files) if drive.faults else f"file={comma(files.disk(drive))}"
        args += ["-drive", f"if=none,id={drive.id},format=raw{read_only},{file}{_cache(files.cache)}"]
        args += ["-device", f"{model},drive={drive.id}"]
    return args


def _faulty(drive: Drive, files: Files) -> str:
    """A disk's file behind QEMU's blkdebug, errors of which are the guest's to handle."""
    options = ["rerror=report,werror=report,file.driver=blkdebug", f"file.image.filename={comma(files.disk(drive))}"]
    for number, fault in enumerate(drive.faults):
        rule = f"file.inject-error.{number}"
        options.append(f"{rule}.event=none,{rule}.iotype={fault.kind},{rule}.errno=5")
        options += [f"{rule}.sector={fault.sector}"] * (fault.sector >= 0) + [f"{rule}.once=on"] * fault.once
    return ",".join(options)


def io_args(console: Path, qmp: Path, qmp_backend: str = "socket") -> list[str]:
    """The serial console on a pair of pipes, QMP on a socket where the harness listens or on another backend."""
    return [
        *("-chardev", f"pipe,id=console,path={comma(console)}", "-serial", "chardev:console", "-monitor", "none"),
        *("-chardev", f"{qmp_backend},id=qmp,path={comma(qmp)}", "-mon", "chardev=qmp,mode=control"),
    ]


def command(machine: Machine, program: Program, accelerator: str, extra: list[str]) -> list[str]:
    """The whole command, for a start without runqemu; ``extra`` has firmware and devices."""
    return [str(program.path), *machine_args(machine, accelerator), "-nographic", "-nic", "none", *extra]


def _block(device: Device, files: Files, _: int) -> list[str]:
    drive = f"if=none,id={device.id},format=raw,file={comma(files.disk(device))}"
    return ["-drive", drive + _cache(files.cache), "-device", f"{device.model},drive={device.id}"]


def _net(device: Device, files: Files, number: int) -> list[str]:
    user = f"user,id={device.id},restrict=on,net=10.0.{2 + number}.0/24,tftp={comma(files.tftp())}"
    return ["-netdev", user, *_nic(device, number)]


def _peer(device: Device, files: Files, number: int) -> list[str]:
    ours, theirs = (comma(path) for path in files.ends())
    unix = f"local.type=unix,local.path={ours},remote.type=unix,remote.path={theirs}"
    return ["-netdev", f"dgram,id={device.id},{unix}", *_nic(device, number)]


def mac(number: int) -> str:
    """The hardware address of the network device with this number, from 0."""
    return (FIRST_MAC + number).to_bytes(6, "big").hex(":")


def _nic(device: Device, number: int) -> list[str]:
    return ["-device", f"{device.model},netdev={device.id},mac={mac(number)}"]


def _rng(device: Device, _files: Files, _: int) -> list[str]:
    return ["-object", f"rng-builtin,id={device.id}", "-device", f"{device.model},rng={device.id}"]


def _console(device: Device, files: Files, _: int) -> list[str]:
    backend = f"file,id={device.id},path={comma(files.console(device))}"
    bus = f"{device.id}bus"
    return [
        *("-chardev", backend, "-device", f"{device.model},id={bus}"),
        *("-device", f"virtconsole,chardev={device.id},bus={bus}.0"),
    ]


def _share(device: Device, files: Files, _: int) -> list[str]:
    backend = f"local,id={device.id},security_model=none,path={comma(files.share(device))}"
    return ["-fsdev", backend, "-device", f"{device.model},fsdev={device.id},mount_tag={device.id}"]


def _display(device: Device, _files: Files, _: int) -> list[str]:
    return ["-device", device.model]


_BACKENDS = {"block": _block, "net": _net, "rng": _rng, "console": _console, "9p": _share, "display": _display}


def _cache(mode: str) -> str:
    return f",cache={mode}" if mode else ""


def comma(path: Path) -> str:
    """A path as a value in one of QEMU's comma-separated options."""
    return str(path).replace(",", ",,")
