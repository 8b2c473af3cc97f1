# SPDX-License-Identifier: MIT
"""Device trees, from a blob and from the text that of_dump prints, as {path: {property: bytes}}.

Formats: Devicetree Specification v0.4, chapters 5 (blob) and 6 (source).
"""

from __future__ import annotations

import re
import struct

Tree = dict[str, dict[str, bytes]]

BEGIN_NODE, END_NODE, PROP, NOP, END = 1, 2, 3, 4, 9
MAGIC = 0xD00DFEED


def from_blob(blob: bytes) -> Tree:
    """The tree in a flattened device tree.

    :raises ValueError: it is none
    """
    magic, _, structure, strings = struct.unpack_from(">4I", blob)
    if magic != MAGIC:
        raise ValueError(f"no device tree: it starts with {magic:#x}")
    tree: Tree = {}
    path: list[str] = []
    position = structure
    while True:
        (token,) = struct.unpack_from(">I", blob, position)
        position += 4
        if token == BEGIN_NODE:
            name = _string(blob, position)
            position = _align(position + len(name) + 1)
            path.append(name)
            tree["/".join(path) or "/"] = {}
        elif token == END_NODE:
            path.pop()
        elif token == PROP:
            length, offset = struct.unpack_from(">2I", blob, position)
            value = blob[position + 8 : position + 8 + length]
            tree["/".join(path) or "/"][_string(blob, strings + offset)] = value
            position = _align(position + 8 + length)
        elif token == END:
            return tree
        elif token != NOP:
            raise ValueError(f"unknown token {token} at offset {position - 4}")


def reservations(blob: bytes) -> list[tuple[int, int]]:
    """The reserved memory that a flattened device tree lists before its nodes: address and size of each."""
    (place,) = struct.unpack_from(">I", blob, 16)
    found = []
    while any(entry := struct.unpack_from(">2Q", blob, place)):
        found.append(entry)
        place += 16
    return found


def from_source(lines: list[str]) -> Tree:
    """The tree that of_dump printed.

    :raises ValueError: a line is none of device tree source
    """
    tree: Tree = {}
    path: list[str] = []
    for line in (x.strip() for x in lines):
        if not line:
            continue
        if match := re.fullmatch(r"(\S*) ?\{", line):
            path.append("" if match.group(1) == "/" else match.group(1))
            tree["/".join(path) or "/"] = {}
        elif line == "};":
            path.pop()
        elif match := re.fullmatch(r"([^\s=;]+)(?: = (.*))?;", line):
            tree["/".join(path) or "/"][match.group(1)] = _value(match.group(2) or "")
        else:
            raise ValueError(f"no device tree source: {line!r}")
    return tree


def _value(source: str) -> bytes:
    value = b""
    for text, cells, octets in re.findall(r'"([^"]*)"|<([^>]*)>|\[([^\]]*)\]', source):
        if cells:
            value += b"".join(int(cell, 0).to_bytes(4, "big") for cell in cells.split())
        elif octets:
            value += bytes.fromhex(octets)
        else:
            value += text.encode() + b"\0"
    return value


def _string(blob: bytes, position: int) -> str:
    return blob[position : blob.index(b"\0", position)].decode()


def _align(position: int) -> int:
    return (position + 3) & ~3


def cells(*numbers: int) -> bytes:
    """The cells of a property."""
    return b"".join(number.to_bytes(4, "big") for number in numbers)
