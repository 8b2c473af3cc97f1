# SPDX-License-Identifier: MIT
"""Which libraries a program needs, by its ELF headers: ldd for programs of another architecture.

Format: System V ABI, chapters 4 and 5, 64-bit and little-endian.
"""

from __future__ import annotations

import struct
from pathlib import Path

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB = 1, 5


def needed(path: Path) -> list[str]:
    """The interpreter, an absolute path, and the names of the libraries that ``path`` is linked with.

    Empty for what is no 64-bit ELF or is linked statically.
    """
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\2\1":
        return []
    start, size, count = *struct.unpack_from("<Q", data, 0x20), *struct.unpack_from("<HH", data, 0x36)
    headers = [struct.unpack_from("<IIQQQQ", data, start + i * size) for i in range(count)]
    found = [_text(data, offset) for kind, _, offset, _, _, _ in headers if kind == PT_INTERP]
    for kind, _, offset, _, _, length in headers:
        if kind == PT_DYNAMIC:
            tags = [struct.unpack_from("<QQ", data, o) for o in range(offset, offset + length, 16)]
            strings = _offset(headers, next(value for tag, value in tags if tag == DT_STRTAB))
            found += [_text(data, strings + value) for tag, value in tags if tag == DT_NEEDED]
    return found


def _offset(headers: list[tuple[int, ...]], address: int) -> int:
    """Where in the file a virtual address is."""
    for kind, _, offset, start, _, length in headers:
        if kind == PT_LOAD and start <= address < start + length:
            return offset + address - start
    raise ValueError(f"no segment holds {address:#x}")


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()
