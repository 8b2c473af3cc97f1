# SPDX-License-Identifier: MIT
"""Cases on a network, of which the test may be the other end."""

from __future__ import annotations

from typing import Any

from . import case
from .peer import Peer
from .station import Station
from .variant import Variant


class NetworkCase(case.BootloaderTestCase):
    """``node`` is the bootloader's first network device."""

    node: str

    def setUp(self) -> None:
        super().setUp()
        self.need("CMD_DHCP", "dhcp")
        self.node = self.board.node(self.devices("net")[0])

    def check_download(self, name: str, content: bytes, seconds: float = 120) -> None:
        """A file by TFTP has its contents."""
        self.need("CMD_SHA256SUM", "sha256sum")
        self.shell(f"tftp {name} /download", seconds=seconds)
        digest = self.answer("sha256sum /download", seconds=60).split()[0]
        self.shell("rm /download")
        self.assertEqual(digest, self.hash(content), f"{name}, {len(content)} bytes")


class PeerCase(NetworkCase):
    """A server that the test plays itself; ``peer`` is its end of the network."""

    variant = Variant(peer=True)
    peer: Peer

    def play(self, **behaviour: Any) -> Station:
        """A server with a behaviour, until the case ends."""
        server = Station(**behaviour)
        self.peer = self.board.peer(server)
        self.peer.__enter__()
        self.addCleanup(self.peer.__exit__)
        return server

    def serve(self, **behaviour: Any) -> Station:
        """A server with a behaviour, and a lease from it."""
        server = self.play(**behaviour)
        self.shell(f"ifdown -a; global.net.server=; dhcp {self.node}", seconds=60)
        return server
