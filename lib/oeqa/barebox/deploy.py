# SPDX-License-Identifier: MIT
"""What a build leaves beside the firmware for the tests: its configuration, its ELF, the one file that the tests read,
and the configuration of runqemu."""

from __future__ import annotations

import configparser
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import machine as machines
from .errors import UsageError
from .firmware import FORMAT
from .machine import Machine


def write(folder: Path | str, facts: Mapping[str, Any]) -> None:
    """Write everything to ``folder``, where the firmware is.

    :param facts: of the build: machine, description (path of the machine's), bootloader, name (first part of file
        names), config, elf and pbl (paths), bios (file name or None), version, commit, recipe, patches, options
    :raises UsageError: the machine has no description, or it lacks the bootloader
    """
    folder, name = Path(folder), facts["name"]
    if not facts["description"]:
        raise UsageError(
            f"no layer has conf/machines/{facts['machine']}.json. Describe the machine in conf/machines/"
            f"{facts['machine']}.yaml of a layer and run: barebox-virt machines --layer <that layer>"
        )
    description = Path(facts["description"])
    m = machines.load(description)
    image = m.bootloader(facts["bootloader"]).image
    files = {"image": image, "bios": facts["bios"]}
    for key, suffix in (("config", ".config"), ("elf", ".elf"), ("pbl", ".pbl.elf")):
        files[key] = _copy(Path(facts[key]), folder / f"{name}{suffix}")
    files["qemuboot"] = f"{name}.qemuboot.conf"
    kept = {key: facts[key] for key in ("bootloader", "version", "commit", "recipe", "patches", "options")}
    data = {"format": FORMAT, "machine": json.loads(description.read_text(encoding="utf-8")), **files, **kept}
    (folder / f"{name}.barebox-test.json").write_text(
        json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    _write_qemuboot(m, folder / files["qemuboot"])


def _copy(source: Path, target: Path) -> str | None:
    if not source.is_file():
        return None
    shutil.copyfile(source, target)
    return target.name


def _write_qemuboot(m: Machine, path: Path) -> None:
    """runqemu's configuration of a bare machine; firmware and devices come as qemuparams."""
    kvm = m.qemu.kvm
    settings = {
        "machine": m.name,
        "deploy_dir_image": ".",
        "image_link_name": path.name.removesuffix(".qemuboot.conf"),
        "qb_system_name": m.qemu.binary,
        "qb_machine": f"-machine {m.qemu.machine}",
        "qb_cpu": f"-cpu {m.qemu.cpu}",
        "qb_smp": f"-smp {m.qemu.smp}",
        "qb_mem": f"-m {m.qemu.memory}",
        "qb_default_kernel": "none",
        "qb_default_bios": "none",
        "qb_default_fstype": "none",
        "qb_rootfs": "none",
        "qb_kernel_cmdline": "none",
        **{key: "" for key in ("qb_rng", "qb_opt_append", "qb_graphics", "qb_dtb", "serial_consoles")},
    }
    if kvm is not None:
        settings["qb_cpu_kvm"] = f"-cpu {kvm.cpu}" + (f" -machine {kvm.machine}" if kvm.machine else "")
    parser = configparser.ConfigParser(interpolation=None)
    parser["config_bsp"] = settings
    with path.open("w", encoding="utf-8") as stream:
        parser.write(stream)
