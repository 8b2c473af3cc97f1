# SPDX-License-Identifier: MIT
"""One transfer of a TFTP server: RFC 1350, with options (2347), block size (2348), size (2349) and windows (7440)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

try:
    from scapy.layers.inet import UDP
    from scapy.layers.tftp import TFTP, TFTP_ACK, TFTP_DATA, TFTP_ERROR, TFTP_OACK, TFTP_Option, TFTP_Options
    from scapy.packet import Raw
except ImportError:
    TFTP = None

BLOCK = 512
"""The size of a block, in bytes, where none is asked for."""


class Transfer:
    """What a server knows of one request; another one, from another of the guest's ports, has its own.

    :param name: the file's
    :param request: the read or write request
    :param content: what the file has; None for a write request
    :param limits: the server's largest block size and window; it knows of no options where there are none
    :param claims: options of its answer that it does not keep to
    :param stops: the server gives up after this block; 0 where it does not
    :param reason: an error that it tells then; it falls silent where there is none
    """

    def __init__(
        self,
        name: str,
        request: Any,
        content: bytes | None,
        limits: Mapping[bytes, int],
        claims: Mapping[bytes, int],
        stops: int = 0,
        reason: bytes = b"",
    ) -> None:
        self.name = name
        self.received = b""
        self.ended = False
        self.writes = content is None
        self._content = content or b""
        self._stops = stops
        self._reason = reason
        self._acknowledged = 0
        asked = {x.oname: int(x.value) for x in request[TFTP_Options].options} if TFTP_Options in request else {}
        self._agreed = {name: min(asked[name], limit) for name, limit in limits.items() if name in asked and limit > 1}
        self._size, self._window = self._agreed.get(b"blksize", BLOCK), self._agreed.get(b"windowsize", 1)
        if not self.writes and b"tsize" in asked and limits:
            self._agreed[b"tsize"] = len(self._content)
        self._agreed.update(claims)

    def opened(self) -> Any:
        """The answer to the request."""
        if self._agreed:
            options = [TFTP_Option(oname=name, value=str(value).encode()) for name, value in self._agreed.items()]
            return TFTP() / TFTP_OACK() / TFTP_Options(options=options)
        return TFTP() / TFTP_ACK(block=0) if self.writes else self._block(1)

    def after(self, head: Any, block: int) -> Iterator[Any]:
        """The frames that follow a block that the guest has, a window of them, with ``head`` for their headers."""
        step = (block - self._acknowledged) & 0xFFFF
        if step >= 0x8000:  # of an older block: a duplicate that was late, and not one of the next round of numbers
            return
        self._acknowledged += step
        plain = b""
        for number in range(self._acknowledged + 1, self._acknowledged + self._window + 1):
            if (number - 1) * self._size > len(self._content):
                return
            if self._stops and number > self._stops:
                if self._reason:
                    yield head / TFTP() / TFTP_ERROR(errorcode=0, errormsg=self._reason)
                return
            body = self._body(number)
            if plain and len(body) == self._size:  # its headers are those of the block before, without a sum
                yield plain[:-2] + (number & 0xFFFF).to_bytes(2, "big") + body
                continue
            frame = head / self._block(number)
            frame[UDP].chksum = 0
            yield frame
            plain = bytes(frame)[: -len(body)] if len(body) == self._size else b""

    def take(self, data: Any) -> Any:
        """Take a block of an upload, where it is the next one, and acknowledge it; a shorter one is its end. Behind the
        block where the server gives up, where it tells a reason, the answer is an error."""
        if self._stops and self._reason and self._acknowledged >= self._stops:
            return TFTP() / TFTP_ERROR(errorcode=0, errormsg=self._reason)
        if data.block == (self._acknowledged + 1) & 0xFFFF:
            self._acknowledged += 1
            self.received += bytes(data.payload)
            self.ended = len(bytes(data.payload)) < self._size
        return TFTP() / TFTP_ACK(block=data.block)

    def _body(self, number: int) -> bytes:
        return self._content[(number - 1) * self._size : number * self._size]

    def _block(self, number: int) -> Any:
        return TFTP() / TFTP_DATA(block=number & 0xFFFF) / Raw(self._body(number))
