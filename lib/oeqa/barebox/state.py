# SPDX-License-Identifier: MIT
"""barebox' state as it stands on a flash or a disk (Documentation/user/state.rst, backend type "raw")."""

from __future__ import annotations

import zlib

HEADER = 16
"""Bytes before the data: magic, 16 reserved bits, length, CRC32 of the data, CRC32 of the header."""


def copies(content: bytes, magic: bytes) -> dict[int, bytes]:
    """The data of each valid copy of the state with this magic number, by its place. Outdated ones are among them: in
    an erase block of a flash, the last one counts."""
    found, place = {}, content.find(magic)
    while place >= 0:
        header = content[place : place + HEADER]
        length = int.from_bytes(header[6:8], "little")
        data = content[place + HEADER : place + HEADER + length]
        sums = int.from_bytes(header[8:12], "little"), int.from_bytes(header[12:16], "little")
        if (zlib.crc32(data), zlib.crc32(header[:12])) == sums:
            found[place] = data
        place = content.find(magic, place + 1)
    return found
