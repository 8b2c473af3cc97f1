# SPDX-License-Identifier: MIT
"""A host on the test's end of a network, which speaks ARP, ICMP, DHCP and TFTP by scapy, and misbehaves on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .errors import Unavailable
from .tftp import Transfer

try:
    from scapy.layers.dhcp import BOOTP, DHCP
    from scapy.layers.dns import DNS, DNSRR
    from scapy.layers.inet import ICMP, IP, UDP
    from scapy.layers.l2 import ARP, Ether
    from scapy.layers.tftp import TFTP, TFTP_ACK, TFTP_DATA, TFTP_ERROR, TFTP_RRQ, TFTP_WRQ
except ImportError:
    ARP = BOOTP = ICMP = IP = UDP = Ether = None

MAC = "52:55:0a:00:09:01"
ADDRESS = "10.9.0.1"
LEASE = "10.9.0.42"
NETMASK = "255.255.255.0"
DNS_PORT = 53
TFTP_PORT = 69
DATA_PORT = 50069
NOT_FOUND = 1
ERROR = b"\0\5"
"""How a TFTP error begins."""


def with_right_sums(packet: Any) -> bytes:
    """A frame with the checksums that it should have."""
    copy = packet.copy()
    for layer in (IP, ICMP, UDP):
        if layer in copy:
            del copy[layer].chksum
    return bytes(copy)


def with_payload(packet: Any, payload: bytes) -> bytes:
    """A frame with another UDP payload, from and to the same."""
    addresses = packet[IP].src, packet[UDP].sport, packet[IP].dst, packet[UDP].dport
    return datagram(packet.dst, addresses[:2], addresses[2:], payload)


def datagram(mac: str, source: tuple[str, int], target: tuple[str, int], payload: bytes) -> bytes:
    """A frame with an UDP datagram from an address and port to another, for the device with the address ``mac``."""
    ip = IP(src=source[0], dst=target[0]) / UDP(sport=source[1], dport=target[1])
    return bytes(Ether(src=MAC, dst=mac) / ip / payload)


class Station:
    """Answers frames; an instance is what a Peer takes.

    What the guest sent is kept: ``frames`` as scapy's packets, ``requests`` the names of files that it wanted,
    ``uploads`` the files that it sent to their end, ``dhcp`` the options of its DHCP messages.

    :param files: what its TFTP server has
    :param options: DHCP options beside the usual ones, as scapy names them
    :param lease: the address that its DHCP server gives
    :param next_server: where its DHCP server sends guests for their files
    :param boot_file: what its DHCP server names as their file, beside the options
    :param names: host names that its name server knows, with their addresses, or with the names that they stand for
    :param loses: tells of each frame, by its number in either direction, whether it is lost
    :param stops: the TFTP server gives up after this block; 0 where it does not
    :param reason: an error that it tells then; it falls silent where there is none
    :param block: the TFTP server's largest block, in bytes; 0 where it knows of no options at all
    :param window: how many blocks the TFTP server sends before it waits, where the guest asks for so many
    :param claims: what the TFTP server answers to options, whatever was asked for and whatever it does
    :param port: the TFTP server's port
    :param strays: frames of somebody else's that come before an answer, made from it
    :param services: further services by their UDP port: what each answers, as UDP payloads, to a payload
    :raises Unavailable: scapy is not installed
    """

    def __init__(
        self,
        files: Mapping[str, bytes] | None = None,
        options: tuple[tuple[str, Any], ...] = (),
        lease: str = LEASE,
        next_server: str = ADDRESS,
        boot_file: bytes = b"",
        names: Mapping[str, str] | None = None,
        loses: Callable[[int], bool] = lambda _: False,
        stops: int = 0,
        reason: bytes = b"",
        block: int = 1468,
        window: int = 1,
        claims: Mapping[bytes, int] | None = None,
        port: int = TFTP_PORT,
        strays: Callable[[Any], Iterable[Any]] = lambda _: (),
        services: Mapping[int, Callable[[bytes], Iterable[bytes]]] | None = None,
    ) -> None:
        if Ether is None:
            raise Unavailable("scapy is not installed: pip install -r scripts/requirements.txt of this layer")
        self.files = dict(files or {})
        self.frames: list[Any] = []
        self.requests: list[str] = []
        self.uploads: dict[str, bytes] = {}
        self.dhcp: list[dict[str, Any]] = []
        self._options = options
        self._given, self._next_server, self._boot_file = lease, next_server, boot_file
        self._names = dict(names or {})
        self._loses = loses
        self._stops, self._reason = stops, reason
        self._limits = {b"blksize": block, b"windowsize": window} if block else {}
        self._claims = dict(claims or {})
        self._port = port
        self._strays = strays
        self._services = dict(services or {})
        self._count = 0
        self._transfers: dict[int, Transfer] = {}

    def __call__(self, frame: bytes) -> Iterator[bytes]:
        if self._lost():
            return
        packet = Ether(frame)
        self.frames.append(packet)
        for answer in self._arp(packet) if ARP in packet else self._ip(packet) if IP in packet else ():
            if not self._lost():
                yield from (bytes(stray) for stray in self._strays(answer))
                yield bytes(answer)

    def _lost(self) -> bool:
        self._count += 1
        return self._loses(self._count)

    def _arp(self, packet: Any) -> Iterator[Any]:
        if packet[ARP].op == 1 and packet[ARP].pdst == ADDRESS:
            reply = ARP(op=2, hwsrc=MAC, psrc=ADDRESS, hwdst=packet[ARP].hwsrc, pdst=packet[ARP].psrc)
            yield Ether(src=MAC, dst=packet.src) / reply

    def _ip(self, packet: Any) -> Iterator[Any]:
        if ICMP in packet and packet[ICMP].type == 8:
            echo = ICMP(type=0, id=packet[ICMP].id, seq=packet[ICMP].seq)
            yield self._back(packet) / echo / bytes(packet[ICMP].payload)
        elif DHCP in packet:
            yield from self._lease(packet)
        elif DNS in packet and packet[UDP].dport == DNS_PORT:
            yield self._resolved(packet[DNS], self._back(packet) / UDP(sport=DNS_PORT, dport=packet[UDP].sport))
        elif UDP in packet and packet[UDP].dport in (self._port, DATA_PORT):
            yield from self._tftp(packet)
        elif UDP in packet and packet[UDP].dport in self._services:
            head = self._back(packet) / UDP(sport=packet[UDP].dport, dport=packet[UDP].sport)
            for payload in self._services[packet[UDP].dport](bytes(packet[UDP].payload)):
                yield head / payload

    def _back(self, packet: Any) -> Any:
        """The headers of an answer, which comes from where the question went to."""
        return Ether(src=MAC, dst=packet.src) / IP(src=packet[IP].dst, dst=packet[IP].src)

    def _lease(self, packet: Any) -> Iterator[Any]:
        asked = dict(x for x in packet[DHCP].options if isinstance(x, tuple) and len(x) == 2)
        self.dhcp.append(asked)
        kind = {1: "offer", 3: "ack"}.get(asked["message-type"])
        if kind is None:
            return
        options = [("message-type", kind), ("server_id", ADDRESS), ("lease_time", 3600), ("subnet_mask", NETMASK)]
        asker = {"chaddr": packet[BOOTP].chaddr, "xid": packet[BOOTP].xid}
        boot = BOOTP(op=2, yiaddr=self._given, siaddr=self._next_server, file=self._boot_file, **asker)
        anybody = ("ff:ff:ff:ff:ff:ff", "255.255.255.255")  # RFC 2131: where the guest cannot do without
        mac, address = anybody if packet[BOOTP].flags.B else (packet.src, self._given)
        head = Ether(src=MAC, dst=mac) / IP(src=ADDRESS, dst=address) / UDP(sport=67, dport=68)
        yield head / boot / DHCP(options=[*options, *self._options, "end"])

    def _resolved(self, query: Any, head: Any) -> Any:
        name = query.qd[0].qname.decode().rstrip(".") if query.qd[0].qtype == 1 else ""
        records = []
        while name in self._names:
            found = self._names[name]
            records.append(DNSRR(rrname=name, type="CNAME" if found in self._names else "A", rdata=found))
            name = found
        return head / DNS(id=query.id, qr=1, qd=query.qd, an=records).compress()

    def _tftp(self, packet: Any) -> Iterator[Any]:
        data = TFTP(bytes(packet[UDP].payload))
        head = self._back(packet) / UDP(sport=DATA_PORT, dport=packet[UDP].sport)
        transfer = self._transfers.get(packet[UDP].sport)
        if TFTP_RRQ in data or TFTP_WRQ in data:
            yield head / self._opened(data, packet[UDP].sport)
        elif TFTP_ACK in data and transfer:
            yield from transfer.after(head, data[TFTP_ACK].block)
        elif TFTP_DATA in data and transfer and transfer.writes:
            answer = head / transfer.take(data[TFTP_DATA])
            if transfer.ended:
                self.uploads[transfer.name] = transfer.received  # before the guest reads the answer
            yield answer

    def _opened(self, data: Any, port: int) -> Any:
        """The answer to a request, from a port of the guest's."""
        writes = TFTP_WRQ in data
        name = data[TFTP_WRQ if writes else TFTP_RRQ].filename.decode()
        if not writes:
            self.requests.append(name)
            if name not in self.files:
                return TFTP() / TFTP_ERROR(errorcode=NOT_FOUND, errormsg=b"no such file")
        content = None if writes else self.files[name]
        self._transfers[port] = Transfer(name, data, content, self._limits, self._claims, self._stops, self._reason)
        return self._transfers[port].opened()
