# SPDX-License-Identifier: MIT
"""The test's end of a network: frames over QEMU's kind of sockets, and the protocols of the station there."""

import socket
import time
from pathlib import Path

import pytest

from oeqa.barebox import firmware, machine, qemu, station
from oeqa.barebox.errors import BareboxError
from oeqa.barebox.peer import POLL_SECONDS, Peer
from oeqa.barebox.target import Target
from oeqa.barebox.variant import Variant

pytest.importorskip("scapy", reason="scapy is not installed")
from scapy.layers.dhcp import BOOTP, DHCP  # noqa: E402
from scapy.layers.dns import DNS, DNSQR, DNSRR  # noqa: E402
from scapy.layers.inet import ICMP, IP, UDP  # noqa: E402
from scapy.layers.l2 import ARP, Ether  # noqa: E402
from scapy.layers.tftp import TFTP, TFTP_ACK, TFTP_DATA, TFTP_ERROR, TFTP_RRQ, TFTP_WRQ, TFTP_Option, TFTP_Options  # noqa: E402  # noqa: E402

LAYER = Path(__file__).resolve().parent.parent
GUEST = "52:54:00:12:34:56"


def ask(server, packet):
    """The station's only answer; None where it has none."""
    answers = list(server(bytes(Ether(src=GUEST, dst=station.MAC) / packet)))
    return Ether(answers[0]) if answers else None


def get(server, name):
    """A file by TFTP, block after block; what the server said last where it is none."""
    data, number, body = b"", 0, TFTP() / TFTP_RRQ(filename=name.encode(), mode=b"octet")
    while True:
        port = 69 if number == 0 else station.DATA_PORT
        answer = ask(server, IP(src=station.LEASE, dst=station.ADDRESS) / UDP(sport=1234, dport=port) / body)
        if answer is None or TFTP_DATA not in (reply := TFTP(bytes(answer[UDP].payload))):
            return data if answer is None else reply
        number += 1
        assert reply[TFTP_DATA].block == number
        data += bytes(reply[TFTP_DATA].payload)
        if len(reply[TFTP_DATA].payload) < 512:
            return data
        body = TFTP() / TFTP_ACK(block=number)


def test_frames_cross_both_ways(tmp_path):
    ends = tmp_path / "qemu", tmp_path / "test"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as guest, Peer(ends, lambda frame: [frame[::-1]] * 2) as peer:
        guest.bind(str(ends[0]))
        guest.settimeout(5)
        guest.sendto(b"otter", str(ends[1]))
        assert [guest.recv(99), guest.recv(99)] == [b"retto", b"retto"]
        peer.send(b"more")
        assert guest.recv(99) == b"more"
    assert not ends[1].exists()


def test_a_frame_to_nobody_is_lost(tmp_path):
    with Peer((tmp_path / "qemu", tmp_path / "test"), lambda _: ()) as peer:
        peer.send(b"otter")


def test_frames_wait_for_a_guest_that_is_slow(tmp_path):
    """Some frames fill a socket's queue; the sender has to outlast that."""
    ends = tmp_path / "qemu", tmp_path / "test"
    frames = [b"%d" % number for number in range(500)]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as guest, Peer(ends, lambda _: frames):
        guest.bind(str(ends[0]))
        guest.settimeout(5)
        guest.sendto(b"otter", str(ends[1]))
        time.sleep(3 * POLL_SECONDS)
        assert [guest.recv(99) for _ in frames] == frames


def test_a_failure_to_answer_is_not_lost(tmp_path):
    ends = tmp_path / "qemu", tmp_path / "test"
    guest = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with pytest.raises(ZeroDivisionError), guest, Peer(ends, lambda _: [1 // 0]) as peer:
        guest.sendto(b"otter", str(ends[1]))
        peer._thread.join(5)


def test_arp_and_ping():
    server = station.Station()
    assert ask(server, ARP(op=1, pdst=station.ADDRESS))[ARP].hwsrc == station.MAC
    assert ask(server, ARP(op=1, pdst="10.9.0.77")) is None
    answer = ask(server, IP(src=station.LEASE, dst=station.ADDRESS) / ICMP(type=8, id=7, seq=3) / b"body")
    assert (answer[ICMP].type, answer[ICMP].id, answer[ICMP].seq, bytes(answer[ICMP].payload)[:4]) == (0, 7, 3, b"body")


def test_lease():
    server = station.Station(options=(("hostname", "otter"),))
    query = IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / BOOTP(xid=9)
    answer = ask(server, query / DHCP(options=[("message-type", "discover"), "end"]))
    assert (answer[BOOTP].yiaddr, answer[BOOTP].xid) == (station.LEASE, 9)
    assert ("message-type", 2) in answer[DHCP].options and ("hostname", b"otter") in answer[DHCP].options


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 5000])
def test_tftp(size):
    content = bytes(range(256)) * 20
    assert get(station.Station({"file": content[:size]}), "file") == content[:size]


def test_tftp_that_misbehaves():
    assert get(station.Station({"file": bytes(9999)}, stops=3), "file") == bytes(3 * 512)
    assert TFTP_ERROR in get(station.Station(), "file")
    assert get(station.Station({"file": bytes(9999)}, loses=lambda number: number > 4), "file") == bytes(2 * 512)


def test_a_real_guest_gets_a_lease(tmp_path):
    m = machine.load(LAYER / "conf/machines/qemuriscv64-barebox.json")
    try:
        target = Target(m, firmware.find(m, "u-boot", firmware.installed(m, "u-boot")), qemu.find(m), tmp_path, "tcg")
    except BareboxError as error:
        pytest.skip(str(error))
    with target:
        target.want(Variant(peer=True))
        with target.peer(station.Station()):
            target.run("setenv autoload no; dhcp", 60)
            assert target.run("echo ${ipaddr}").lines == (station.LEASE,)


def test_tftp_options_windows_and_a_counter_that_starts_again():
    content = bytes(range(256)) * 2100
    server = station.Station({"file": content}, block=8, window=64)
    head = IP(src=station.LEASE, dst=station.ADDRESS)
    options = TFTP_Options(
        options=[TFTP_Option(oname=b"blksize", value=b"512"), TFTP_Option(oname=b"windowsize", value=b"99")]
    )
    answer = ask(server, head / UDP(sport=9, dport=69) / TFTP() / TFTP_RRQ(filename=b"file", mode=b"octet") / options)
    agreed = {x.oname: x.value for x in TFTP(bytes(answer[UDP].payload))[TFTP_Options].options}
    assert agreed == {b"blksize": b"8", b"windowsize": b"64"}
    data, last = b"", 0
    while len(data) == last * 8:
        frame = Ether(src=GUEST, dst=station.MAC) / head / UDP(sport=9, dport=station.DATA_PORT) / TFTP()
        for answer in server(bytes(frame / TFTP_ACK(block=last & 0xFFFF))):
            last += 1
            payload = bytes(answer)[42:]
            assert payload[:4] == b"\0\3" + (last & 0xFFFF).to_bytes(2, "big")
            data += payload[4:]
    assert last == len(content) // 8 + 1 > 65536
    assert data == content


def test_tftp_heeds_no_acknowledgement_that_is_late():
    """One of an older block is a duplicate, and not one of the numbers' next round."""
    content = bytes(range(256)) * 20
    server = station.Station({"file": content})
    head = IP(src=station.LEASE, dst=station.ADDRESS)
    ask(server, head / UDP(sport=9, dport=69) / TFTP() / TFTP_RRQ(filename=b"file", mode=b"octet"))
    answers = [
        ask(server, head / UDP(sport=9, dport=station.DATA_PORT) / TFTP() / TFTP_ACK(block=block))
        for block in (1, 2, 1, 2)
    ]
    assert answers[2] is None
    assert bytes(TFTP(bytes(answers[3][UDP].payload))[TFTP_DATA].payload) == content[1024:1536]


def test_tftp_transfers_do_not_mix():
    """barebox asks for a file's size, by a request of its own, while it reads the file."""
    content = bytes(range(256)) * 20
    server = station.Station({"file": content})
    head = IP(src=station.LEASE, dst=station.ADDRESS)
    wish = TFTP() / TFTP_RRQ(filename=b"file", mode=b"octet")
    size = TFTP_Options(options=[TFTP_Option(oname=b"blksize", value=b"1000")])
    ask(server, head / UDP(sport=9, dport=69) / wish / size)
    ask(server, head / UDP(sport=10, dport=69) / wish)
    for port, block, expected in ((9, 0, content[:1000]), (10, 1, content[512:1024]), (9, 1, content[1000:2000])):
        answer = ask(server, head / UDP(sport=port, dport=station.DATA_PORT) / TFTP() / TFTP_ACK(block=block))
        assert bytes(TFTP(bytes(answer[UDP].payload))[TFTP_DATA].payload) == expected


def test_upload():
    server = station.Station()
    head = IP(src=station.LEASE, dst=station.ADDRESS)
    wish = TFTP() / TFTP_WRQ(filename=b"up", mode=b"octet")
    assert TFTP(bytes(ask(server, head / UDP(sport=9, dport=69) / wish)[UDP].payload))[TFTP_ACK].block == 0
    for number, body in ((1, b"a" * 512), (1, b"b" * 512), (2, b"end")):  # the second one is repeated by mistake
        block = head / UDP(sport=9, dport=station.DATA_PORT) / TFTP() / TFTP_DATA(block=number) / body
        assert TFTP(bytes(ask(server, block)[UDP].payload))[TFTP_ACK].block == number
    assert server.uploads == {"up": b"a" * 512 + b"end"}


def test_names_strays_and_what_was_sent():
    server = station.Station(names={"otter.river.test": "10.9.0.66"}, strays=lambda answer: [answer / b"stray"])
    query = IP(src=station.LEASE, dst=station.ADDRESS) / UDP(sport=5, dport=53)
    frame = bytes(Ether(src=GUEST, dst=station.MAC) / query / DNS(id=7, qd=DNSQR(qname="otter.river.test")))
    stray, answer = server(frame)
    assert stray == answer + b"stray" or stray.endswith(b"stray")
    assert Ether(answer)[DNSRR].rdata == "10.9.0.66"
    assert server.frames[0][DNS].id == 7
    unknown = bytes(Ether(src=GUEST, dst=station.MAC) / query / DNS(id=7, qd=DNSQR(qname="nobody.test")))
    assert Ether(list(server(unknown))[1])[DNS].ancount == 0


def test_an_alias_leads_to_its_name():
    server = station.Station(names={"heron.test": "otter.test", "otter.test": "10.9.0.66"})
    query = IP(src=station.LEASE, dst=station.ADDRESS) / UDP(sport=5, dport=53) / DNS(qd=DNSQR(qname="heron.test"))
    records = ask(server, query)[DNS].an
    assert [(r.rrname, r.type, r.rdata) for r in records] == [
        (b"heron.test.", 5, b"otter.test."),
        (b"otter.test.", 1, "10.9.0.66"),
    ]


def test_an_answer_comes_from_where_the_question_went():
    answer = ask(station.Station(), IP(src=station.LEASE, dst="192.0.2.7") / ICMP(type=8, id=7, seq=3))
    assert (answer[IP].src, answer[IP].dst) == ("192.0.2.7", station.LEASE)
