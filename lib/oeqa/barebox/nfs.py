# SPDX-License-Identifier: MIT
"""A read-only server of files by NFS 3 over UDP: RFC 1813, with ONC RPC (5531), XDR (4506), a port mapper (1833)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from .images import Link, Tree

PORT_MAPPER, NFS, MOUNT = 100000, 100003, 100005
PORTS = {PORT_MAPPER: 111, NFS: 2049, MOUNT: 20048}
GETPORT, MOUNT_ADD, MOUNT_REMOVE = 3, 1, 3
LOOKUP, READLINK, READ, READDIR = 3, 5, 6, 16
OK, NO_ENTRY, NOT_A_FOLDER, STALE = 0, 2, 20, 70
FILE, FOLDER, LINK = 1, 2, 5
CALL_HEAD = 24
NO_ATTRIBUTES = b"\0\0\0\0"


def _opaque(content: bytes) -> bytes:
    """Bytes of any length, as XDR has them."""
    return struct.pack(">I", len(content)) + content + bytes(-len(content) % 4)


class _Arguments:
    """What a call is given, read in its order."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0

    def number(self, size: int = 4) -> int:
        self._place += size
        return int.from_bytes(self._content[self._place - size : self._place], "big")

    def opaque(self) -> bytes:
        size = self.number()
        start = self._place
        self._place += size + -size % 4
        return self._content[start : start + size]


class Export:
    """Answers calls for a tree of files; ``services`` are what a Station takes.

    :param path: what guests mount
    :param tree: the files, and the folders that they are in
    :param tells: it tells attributes wherever it may, and not just where it must
    :param piece: how many bytes of a file it gives at once at most
    :param ports: where its services are, in place of the usual ports
    """

    def __init__(
        self,
        path: str,
        tree: Tree,
        tells: bool = False,
        piece: int = 1 << 16,
        ports: Mapping[int, int] | None = None,
    ) -> None:
        self._path = path
        self._tells, self._piece = tells, piece
        self._entries: dict[str, bytes | Link | None] = {"": None}
        for name, content in tree.items():
            parts = name.split("/")
            self._entries |= {"/".join(parts[:n]): None for n in range(1, len(parts))}
            self._entries[name] = content
        self._numbers = {name: number for number, name in enumerate(self._entries)}
        self._handles = {self._handle(name): name for name in self._entries}
        self.services = dict.fromkeys((ports or PORTS).values(), self._reply)

    def _reply(self, call: bytes) -> Iterator[bytes]:
        number, _, _, program, _, procedure = struct.unpack(">6I", call[:CALL_HEAD])
        arguments = _Arguments(call[CALL_HEAD:])
        for _ in ("credentials", "verifier"):
            arguments.number()
            arguments.opaque()
        result = self._result(program, procedure, arguments)
        yield struct.pack(">6I", number, 1, 0, 0, 0, 0 if result else 3) + result

    def _result(self, program: int, procedure: int, arguments: _Arguments) -> bytes:
        """What a procedure gives; nothing where there is no such procedure."""
        if (program, procedure) == (PORT_MAPPER, GETPORT):
            return struct.pack(">I", PORTS.get(arguments.number(), 0))
        if (program, procedure) == (MOUNT, MOUNT_ADD):
            found = arguments.opaque().decode() == self._path
            return self._status(OK) + _opaque(self._handle("")) + bytes(4) if found else self._status(NO_ENTRY)
        if (program, procedure) == (MOUNT, MOUNT_REMOVE):
            return bytes(4)
        procedures = {LOOKUP: self._lookup, READLINK: self._readlink, READ: self._read, READDIR: self._readdir}
        if program != NFS or procedure not in procedures:
            return b""
        name = self._handles.get(arguments.opaque())
        return self._status(STALE) + NO_ATTRIBUTES if name is None else procedures[procedure](name, arguments)

    @staticmethod
    def _status(status: int) -> bytes:
        return struct.pack(">I", status)

    def _handle(self, name: str) -> bytes:
        return f"handle of {self._numbers[name]}".encode()

    def _attributes(self, name: str) -> bytes:
        content = self._entries[name]
        kind = FOLDER if content is None else LINK if isinstance(content, Link) else FILE
        size = len(content or b"")
        head = struct.pack(">5I2Q2I2Q", kind, 0o755, 1, 0, 0, size, size, 0, 0, 1, self._numbers[name])
        return head + bytes(24)

    def _may_tell(self, name: str) -> bytes:
        return struct.pack(">I", 1) + self._attributes(name) if self._tells else NO_ATTRIBUTES

    def _lookup(self, name: str, arguments: _Arguments) -> bytes:
        wanted = f"{name}/{arguments.opaque().decode()}".lstrip("/")
        if self._entries[name] is not None:
            return self._status(NOT_A_FOLDER) + self._may_tell(name)
        if wanted not in self._entries:
            return self._status(NO_ENTRY) + self._may_tell(name)
        told = struct.pack(">I", 1) + self._attributes(wanted) + self._may_tell(name)
        return self._status(OK) + _opaque(self._handle(wanted)) + told

    def _readlink(self, name: str, _: _Arguments) -> bytes:
        content = self._entries[name]
        assert isinstance(content, Link)
        return self._status(OK) + self._may_tell(name) + _opaque(content.encode())

    def _read(self, name: str, arguments: _Arguments) -> bytes:
        content = self._entries[name]
        assert isinstance(content, bytes)
        place, size = arguments.number(8), min(arguments.number(), self._piece)
        piece = content[place : place + size]
        ends = place + size >= len(content)
        return self._status(OK) + self._may_tell(name) + struct.pack(">2I", len(piece), ends) + _opaque(piece)

    def _readdir(self, name: str, arguments: _Arguments) -> bytes:
        """As many entries as fit; the cookie of an entry is its number."""
        start, _, room = arguments.number(8), arguments.number(8), arguments.number()
        inside = [x for x in self._entries if x and x.rpartition("/")[0] == name]
        answer = self._status(OK) + self._may_tell(name) + bytes(8)
        for number, entry in enumerate(inside[start:], start + 1):
            told = (
                struct.pack(">IQ", 1, number) + _opaque(entry.rpartition("/")[2].encode()) + struct.pack(">Q", number)
            )
            if len(answer) + len(told) + 8 > room:
                return answer + struct.pack(">2I", 0, 0)
            answer += told
        return answer + struct.pack(">2I", 0, 1)
