# SPDX-License-Identifier: MIT
"""The flash bank that keeps a bootloader's environment, as a file of the host's."""

from __future__ import annotations

from pathlib import Path

from .errors import Unavailable, UsageError
from .firmware import Firmware
from .machine import Flash, FlashPart

ERASED = b"\xff"
SPARE = "/dev/nor0.initramfs"
"""A partition in the bootloader in which nothing else is."""


def make(path: Path, flash: Flash, firmware: Firmware) -> None:
    """Write the bank as it is at first.

    :raises Unavailable: a file that belongs into it is missing
    :raises UsageError: the bank is too small for what belongs into it
    """
    parts = [(part.offset, _content(part, firmware)) for part in flash.parts]
    size = flash.size or max(offset + len(data) for offset, data in parts)
    content = bytearray(ERASED * size)
    for offset, data in parts:
        if offset + len(data) > size:
            raise UsageError(
                f"{firmware.image}: {len(data)} bytes at {offset:#x} do not fit into a flash of {size} bytes; "
                "correct flash in the machine's description"
            )
        content[offset : offset + len(data)] = data
    path.write_bytes(content)


def _content(part: FlashPart, firmware: Firmware) -> bytes:
    if part.code:
        return bytes.fromhex(part.code)
    path = firmware.bios if part.bios else firmware.image.with_name(part.image)
    if path is None or not path.is_file():
        raise Unavailable(f"{path}: no such file; the flash with the environment needs it beside {firmware.image.name}")
    return path.read_bytes()
