# SPDX-License-Identifier: MIT
"""A host on the test's end of a network, which speaks ARP, ICMP, DHCP and TFTP by scapy, and misbehaves on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .errors import Unavailable

try:
    from scapy.layers.dhcp import BOOTP, DHCP
    from scapy.layers.inet import ICMP, IP, UDP
    from scapy.layers.l2 import ARP, Ether
    from scapy.layers.tftp import TFTP, TFTP_ACK, TFTP_DATA, TFTP_ERROR, TFTP_OACK, TFTP_RRQ, TFTP_Option, TFTP_Options
    from scapy.packet import Raw
except ImportError:
    Ether = None

MAC = "52:55:0a:00:09:01"
ADDRESS = "10.9.0.1"
LEASE = "10.9.0.42"
NETMASK = "255.255.255.0"
TFTP_PORT = 69
DATA_PORT = 50069
NOT_FOUND = 1


class Station:
    """Answers frames; an instance is what a Peer takes.

    :param files: what its TFTP server has
    :param options: DHCP options beside the usual ones, as scapy names them
    :param loses: tells of each frame, by its number in either direction, whether it is lost
    :param stops: the TFTP server falls silent after this block; 0 where it does not
    :raises Unavailable: scapy is not installed
    """

    def __init__(
        self,
        files: Mapping[str, bytes] | None = None,
        options: tuple[tuple[str, Any], ...] = (),
        loses: Callable[[int], bool] = lambda _: False,
        stops: int = 0,
    ) -> None:
        if Ether is None:
            raise Unavailable("scapy is not installed: pip install -r scripts/requirements.txt of this layer")
        self.files = dict(files or {})
        self.requests: list[str] = []
        self.dhcp: list[dict[str, Any]] = []
        self._options = options
        self._loses = loses
        self._stops = stops
        self._frames = 0
        self._content = b""
        self._size = 512

    def __call__(self, frame: bytes) -> Iterator[bytes]:
        if self._lost():
            return
        packet = Ether(frame)
        answer = self._arp(packet) if ARP in packet else self._ip(packet) if IP in packet else None
        if answer is not None and not self._lost():
            yield bytes(answer)

    def _lost(self) -> bool:
        self._frames += 1
        return self._loses(self._frames)

    def _arp(self, packet: Any) -> Any:
        if packet[ARP].op != 1 or packet[ARP].pdst != ADDRESS:
            return None
        reply = ARP(op=2, hwsrc=MAC, psrc=ADDRESS, hwdst=packet[ARP].hwsrc, pdst=packet[ARP].psrc)
        return Ether(src=MAC, dst=packet.src) / reply

    def _ip(self, packet: Any) -> Any:
        if ICMP in packet and packet[ICMP].type == 8:
            echo = ICMP(type=0, id=packet[ICMP].id, seq=packet[ICMP].seq)
            return self._to(packet) / echo / bytes(packet[ICMP].payload)
        if DHCP in packet:
            return self._lease(packet)
        if UDP in packet and packet[UDP].dport in (TFTP_PORT, DATA_PORT):
            return self._tftp(packet)
        return None

    def _to(self, packet: Any) -> Any:
        return Ether(src=MAC, dst=packet.src) / IP(src=ADDRESS, dst=packet[IP].src)

    def _lease(self, packet: Any) -> Any:
        asked = dict(x for x in packet[DHCP].options if isinstance(x, tuple) and len(x) == 2)
        self.dhcp.append(asked)
        kind = {1: "offer", 3: "ack"}.get(asked["message-type"])
        if kind is None:
            return None
        options = [("message-type", kind), ("server_id", ADDRESS), ("lease_time", 3600), ("subnet_mask", NETMASK)]
        boot = BOOTP(op=2, yiaddr=LEASE, siaddr=ADDRESS, chaddr=packet[BOOTP].chaddr, xid=packet[BOOTP].xid)
        ether = Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / IP(src=ADDRESS, dst="255.255.255.255")
        return ether / UDP(sport=67, dport=68) / boot / DHCP(options=[*options, *self._options, "end"])

    def _tftp(self, packet: Any) -> Any:
        data = TFTP(bytes(packet[UDP].payload))
        udp = UDP(sport=DATA_PORT, dport=packet[UDP].sport)
        if TFTP_RRQ in data:
            body = self._request(data)
        elif TFTP_ACK in data:
            body = self._block(data[TFTP_ACK].block + 1)
        else:
            return None
        return self._to(packet) / udp / body if body is not None else None

    def _request(self, data: Any) -> Any:
        name = data[TFTP_RRQ].filename.decode()
        self.requests.append(name)
        if name not in self.files:
            return TFTP() / TFTP_ERROR(errorcode=NOT_FOUND, errormsg=b"no such file")
        self._content = self.files[name]
        known = {b"tsize": len(self._content)}
        asked = {x.oname: x.value for x in data[TFTP_Options].options} if TFTP_Options in data else {}
        if b"blksize" in asked:
            known[b"blksize"] = self._size = int(asked[b"blksize"])
        answers = [TFTP_Option(oname=k, value=str(v).encode()) for k, v in known.items() if k in asked]
        return TFTP() / TFTP_OACK() / TFTP_Options(options=answers) if answers else self._block(1)

    def _block(self, number: int) -> Any:
        start = (number - 1) * self._size
        if start > len(self._content) or (self._stops and number > self._stops):
            return None
        body = self._content[start : start + self._size]
        return TFTP() / TFTP_DATA(block=number & 0xFFFF) / Raw(body)
