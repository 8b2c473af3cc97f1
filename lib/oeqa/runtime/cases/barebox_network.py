# SPDX-License-Identifier: MIT
"""barebox on the network: leases, files of every size, servers that misbehave, links that lose and go."""

import gzip
import random
import time

from oeqa.barebox import payload, station
from oeqa.barebox.network import NetworkCase, PeerCase
from oeqa.barebox.station import ARP, BOOTP, ICMP, IP, UDP, Ether, Station

MIB = 1 << 20
BLOCK = 1432
"""How many bytes of a file barebox asks for at once by TFTP."""


class ServerTest(NetworkCase):
    """QEMU's own server."""

    def setUp(self):
        super().setUp()
        self.need("CMD_TFTP", "tftp")
        self.shell(f"ifdown -a; dhcp {self.node}; global.net.server=10.0.2.2", seconds=60)

    def put(self, name, size):
        """A file on the server."""
        content = random.randbytes(size)
        (self.board.files.tftp() / name).write_bytes(content)
        return name, content

    def test_sizes(self):
        """Files of no byte, one, around TFTP's block and of some MiB arrive whole."""
        for size in (0, 1, 511, 512, 513, 1431, 1432, 1433, 65536, 3 * MIB + 1):
            self.check_download(*self.put(f"size{size}", size))

    def test_large(self):
        """A file of 24 MiB arrives whole."""
        self.check_download(*self.put("large", 24 * MIB + 7), seconds=300)

    def test_missing(self):
        """A file that the server does not have is an error at once, and leaves nothing behind."""
        started = time.monotonic()
        result = self.attempt("tftp nothing /download", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn("No such file", "\n".join(result.lines))
        self.assertLess(time.monotonic() - started, 10, "barebox waited instead of reading the answer")
        self.shell("test -e /download", status=1)

    def test_file_system(self):
        """Files are read by way of the TFTP file system, too."""
        self.need("FS_TFTP")
        (self.board.files.tftp() / "folder").mkdir(exist_ok=True)
        name, content = self.put("folder/mounted", 100001)
        self.shell("mkdir -p /net; mount -t tftp 10.0.2.2 /net")
        for command in (f"cp /net/{name} /copy", f"cd /net; cp {name} /copy; cd /"):
            self.shell(command, seconds=60)
            self.assertEqual(self.answer("sha256sum /copy; rm /copy").split()[0], self.hash(content), command)
        self.shell("test -e /net/folder/mounted; test ! -e /net/nothing")
        self.shell("test -e /net/nothing", status=1)
        self.shell("umount /net")

    def test_hardware_address(self):
        """Each network device has the hardware address that QEMU gave it."""
        for device, node in self.each("net"):
            self.assertEqual(self.answer(f"echo ${node}.ethaddr"), self.board.hardware_address(device))

    def test_link(self):
        """While the link is down nothing comes, which is said; once it is up again everything goes on."""
        self.need("CMD_PING", "ping")
        name = self.devices("net")[0].id
        self.board.query("set_link", name=name, up=False)
        result = self.attempt(f"ifdown -a; dhcp -r 1 {self.node}", seconds=60)
        self.board.query("set_link", name=name, up=True)
        self.assertNotEqual(result.status, 0, str(result))
        self.shell(f"dhcp {self.node}", seconds=60)
        self.assertIn("host 10.0.2.2 is alive", self.shell("ping 10.0.2.2", seconds=60))
        self.check_download(*self.put("after", 70001))


class PeerTest(PeerCase):
    def test_lease(self):
        """DHCP's options are taken over: address, netmask, router, name server, domain, host name, boot file."""
        options = (
            *(("router", "10.9.0.9"), ("name_server", "10.9.0.8"), ("domain", "river.test"), ("hostname", "otter")),
            *(("boot-file-name", b"image.fit"), ("root_disk_path", b"10.9.0.7:/root")),
        )
        server = self.serve(options=options, next_server="10.9.0.7")
        expected = {
            f"{self.node}.ipaddr": station.LEASE,
            f"{self.node}.netmask": station.NETMASK,
            "global.net.gateway": "10.9.0.9",
            "global.net.nameserver": "10.9.0.8",
            "global.net.domainname": "river.test",
            "global.dhcp.bootfile": "image.fit",
            "global.dhcp.rootpath": "10.9.0.7:/root",
            "global.hostname": "otter",
            "global.net.server": "10.9.0.7",
        }
        self.assertEqual({name: self.answer(f"echo ${name}") for name in expected}, expected)
        self.assertEqual([x["message-type"] for x in server.dhcp], [1, 3], "discover and request, once each")
        found = server.dhcp[-1]
        self.assertEqual((found["server_id"], found["requested_addr"]), (station.ADDRESS, station.LEASE))

    def test_own_server(self):
        """A server that the user named is kept, whatever DHCP tells."""
        self.serve()
        self.shell(f"ifdown -a; global.net.server=10.9.0.77; dhcp {self.node}", seconds=60)
        self.assertEqual(self.answer("echo $global.net.server; global.net.server="), "10.9.0.77")

    def test_another_lease(self):
        """Asked again, DHCP takes another address where the server gives one."""
        self.serve()
        self.peer.__exit__()
        self.serve(lease="10.9.0.43")
        self.assertEqual(self.answer(f"echo ${self.node}.ipaddr"), "10.9.0.43")

    def test_stray_lease(self):
        """A lease that answers somebody else's request is not taken."""

        def strays(answer):
            if BOOTP in answer:
                other = answer.copy()
                other[BOOTP].xid ^= 1
                other[BOOTP].yiaddr = "10.9.0.99"
                yield other

        self.serve(strays=strays)
        self.assertEqual(self.answer(f"echo ${self.node}.ipaddr"), station.LEASE)

    def test_lost_request(self):
        """DHCP asks again where its request was lost."""
        server = self.serve(loses=lambda number: number == 1)
        self.assertEqual(self.answer(f"echo ${self.node}.ipaddr"), station.LEASE)
        self.assertEqual([x["message-type"] for x in server.dhcp], [1, 3])

    def test_request(self):
        """DHCP sends what the user set by options and variables: who asks, and of which vendor and class."""
        server = Station()
        with self.board.peer(server):
            self.shell(f"ifdown -a; dhcp -c otter-id -v river-vendor {self.node}", seconds=60)
        self.assertIn(b"otter-id", server.dhcp[-1]["client_id"])
        self.assertEqual(server.dhcp[-1]["vendor_class_id"], b"river-vendor")
        values = {"hostname": "heron", "vendor_id": "lake", "client_id": "beaver", "user_class": "animals"}
        for name, value in values.items():
            self.shell(f"global.dhcp.{name}={value}")
            self.addCleanup(self.attempt, f"global.dhcp.{name}=")
        with self.board.peer(server):
            self.shell(f"ifdown -a; dhcp {self.node}", seconds=60)
        found = server.dhcp[-1]
        self.assertEqual((found["hostname"], found["vendor_class_id"]), (b"heron", b"lake"))
        self.assertIn(b"beaver", found["client_id"])
        self.assertIn(b"animals", bytes(found["user_class"]))

    def test_ping(self):
        """A ping is answered by the peer."""
        self.need("CMD_PING", "ping")
        server = self.serve()
        self.assertIn(f"host {station.ADDRESS} is alive", self.shell(f"ping {station.ADDRESS}", seconds=60))
        asked = [x for x in server.frames if ICMP in x and x[ICMP].type == 8]
        self.assertTrue(asked)
        for frame in asked:
            self.assertEqual(bytes(frame), station.with_right_sums(frame), "a checksum is wrong")

    def test_unreachable(self):
        """A ping that cannot be sent fails, also after one that was answered."""
        self.serve()
        self.shell(f"ping {station.ADDRESS}", seconds=60)
        self.peer.__exit__()
        self.shell("ifdown -a")
        result = self.attempt(f"ping {station.ADDRESS}", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))

    def test_answers(self):
        """At its prompt, barebox answers who asks for its address, and who pings it."""
        server = self.serve()
        self.shell(f"ping {station.ADDRESS}", seconds=60)
        mac = server.frames[-1].src
        head = Ether(src=station.MAC, dst=mac)
        asks = head / ARP(op=1, hwsrc=station.MAC, psrc=station.ADDRESS, pdst=station.LEASE)
        pings = head / IP(src=station.ADDRESS, dst=station.LEASE) / ICMP(type=8, id=77, seq=5) / b"otters swim"
        for frame in (asks, pings):
            self.peer.send(bytes(frame))
        self.shell("msleep 300")
        self.assertEqual([x[ARP].hwsrc for x in server.frames if ARP in x and x[ARP].op == 2], [mac])
        replies = [x for x in server.frames if ICMP in x and x[ICMP].type == 0]
        self.assertEqual(
            [(x[ICMP].id, x[ICMP].seq, bytes(x[ICMP].payload)) for x in replies], [(77, 5, b"otters swim")]
        )
        self.assertEqual(bytes(replies[0]), station.with_right_sums(replies[0]), "a checksum is wrong")

    def test_gateway(self):
        """Hosts outside of the network are reached by way of the router."""
        server = self.serve(options=(("router", station.ADDRESS),))
        self.assertIn("host 192.0.2.7 is alive", self.shell("ping 192.0.2.7", seconds=60))
        self.assertEqual({x[ARP].pdst for x in server.frames if ARP in x and x[ARP].op == 1}, {station.ADDRESS})

    def test_name(self):
        """A host's name, or an alias, is resolved by the name server that DHCP names, with the domain that it names."""
        self.need("NET_RESOLV")
        options = (("name_server", station.ADDRESS), ("domain", "river.test"))
        aliases = {"heron.river.test": "bird.pond.test", "bird.pond.test": "otter.river.test"}
        self.serve(options=options, names={"otter.river.test": station.ADDRESS, **aliases})
        for name in ("otter", "otter.river.test", "heron"):
            self.assertIn(f"({station.ADDRESS})", "\n".join(self.shell(f"ping {name}", seconds=60)))
        self.assertNotEqual(self.attempt("ping beaver.river.test", seconds=60).status, 0)

    def test_download(self):
        """A file from the peer arrives whole."""
        self.need("CMD_TFTP", "tftp")
        content = random.randbytes(200_001)
        self.serve(files={"file": content})
        self.check_download("file", content)

    def test_lossy(self):
        """A link that loses some frames slows a download, and the file is whole all the same."""
        self.need("CMD_TFTP", "tftp")
        content = random.randbytes(60_000)
        lost = set(random.sample(range(10, 150), 8))
        self.serve(files={"file": content}, loses=lambda number: number in lost)
        self.check_download("file", content)

    def test_windows(self):
        """A file that comes by several blocks at once is whole, also where blocks of such a window are lost."""
        self.need("FS_TFTP")
        self.addCleanup(self.attempt, f"global.tftp.windowsize={self.answer('echo $global.tftp.windowsize')}")
        content = random.randbytes(90_000)
        for window, lost in ((2, ()), (8, ()), (16, (20, 21, 33, 60))):
            self.shell(f"global.tftp.windowsize={window}")
            server = self.serve(files={"file": content}, window=16, loses=lambda number, lost=lost: number in lost)
            self.check_download("file", content)
            self.peer.__exit__()
            if not lost:
                answers = sum(UDP in x and x[UDP].dport == station.DATA_PORT for x in server.frames)
                self.assertLess(answers, len(content) / BLOCK / window + 5, f"{window} blocks at once")

    def test_after_a_loss(self):
        """After one lost block, a download by windows goes on as quickly as before."""
        self.need("FS_TFTP")
        self.addCleanup(self.attempt, f"global.tftp.windowsize={self.answer('echo $global.tftp.windowsize')}")
        windows, window = 15, 8
        self.shell(f"global.tftp.windowsize={window}")
        content = random.randbytes(windows * window * BLOCK)
        for _ in range(3):  # a busy host may be late by itself
            self.serve(files={"file": content}, window=window, loses=lambda number: number == 40)
            late = "".join(self.shell("tftp file /download", seconds=90)).count("T ")
            self.peer.__exit__()
            if late < windows // 2:
                return
        self.fail(f"{late} of {windows} windows came after a timeout")

    def test_upload(self):
        """Files that are sent by TFTP arrive whole, of any size around TFTP's block."""
        self.need("CMD_TFTP", "tftp")
        content = random.randbytes(50_000)
        server = self.serve(files={"source": content})
        self.shell("tftp source /source", seconds=60)
        for size in (1, 511, 512, 513, 1024, 1432, 2000, 2864, len(content)):
            self.shell(f"rm -f /up; memcpy -s /source -d /up 0 0 {size}")
            self.shell(f"tftp -p /up up{size}", seconds=60)
            self.assertIn(f"up{size}", server.uploads, "the last block, which is shorter, is missing")
            self.assertEqual(self.hash(server.uploads[f"up{size}"]), self.hash(content[:size]), f"{size} bytes")

    def test_lossy_upload(self):
        """A link that loses some frames slows an upload, and the file is whole all the same."""
        self.need("CMD_TFTP", "tftp")
        content = random.randbytes(40_000)
        lost = set(random.sample(range(80, 125), 4))
        server = self.serve(files={"source": content}, loses=lambda number: number in lost)
        self.shell("tftp source /source; tftp -p /source up", seconds=90)
        self.assertEqual(self.hash(server.uploads["up"]), self.hash(content))

    def test_unread(self):
        """A file that is read in part is given up towards the server, so that it does not send the rest again."""
        self.need("FS_TFTP")
        server = self.serve(files={"file": random.randbytes(100_000)})
        self.shell("mkdir -p /net; mount -t tftp 10.9.0.1 /net; md -b -s /net/file 0+16; umount /net", seconds=60)
        words = [bytes(x[UDP].payload)[:2] for x in server.frames if UDP in x and x[UDP].dport == station.DATA_PORT]
        self.assertIn(station.ERROR, words, "no word of it to the server")

    def test_packed_kernel(self):
        """A compressed kernel is fetched by TFTP once, from its beginning to its end."""
        self.need("FS_TFTP")
        self.need("CMD_BOOTM", "bootm")
        self.need("ZLIB", "uncompress")
        packed = gzip.compress(payload.image(payload.check(self.board.machine.arch), 1 << 18))
        server = self.serve(files={"image.gz": packed})
        self.shell("mkdir -p /net; mount -t tftp 10.9.0.1 /net; bootm -d /net/image.gz; umount /net", seconds=60)
        sent = sum(UDP in x and x[UDP].dport == station.DATA_PORT for x in server.frames)
        self.assertLess(sent, 1.5 * len(packed) / BLOCK + 20, "acknowledged blocks")

    def test_error_in_the_middle(self):
        """A server that breaks a transfer off with an error is told of, and the download fails."""
        self.need("CMD_TFTP", "tftp")
        self.serve(files={"file": bytes(100_000)}, stops=20, reason=b"disk is gone")
        for command in ("tftp file /download", "mkdir -p /net; mount -t tftp 10.9.0.1 /net; cp /net/file /copy"):
            result = self.attempt(command, seconds=60)
            self.assertNotEqual(result.status, 0, str(result))
        self.shell("umount /net")

    def test_damaged_frames(self):
        """Frames whose IP header has a wrong sum, and pieces of larger ones, are not looked at."""
        self.need("CMD_TFTP", "tftp")

        def strays(answer):
            if UDP in answer and BOOTP not in answer:
                other = Ether(bytes(answer)[:-1] + b"x")
                other[IP].chksum ^= 1
                yield other
                piece = Ether(bytes(answer)[:-1] + b"x")
                piece[IP].flags = "MF"
                yield Ether(station.with_right_sums(piece))

        content = random.randbytes(9000)
        self.serve(files={"file": content}, strays=strays)
        self.check_download("file", content)

    def test_server_stops(self):
        """A server that falls silent half-way is given up, with an error, in seconds, but not while it is slow."""
        self.need("CMD_TFTP", "tftp")
        pause, patience = 5, 12

        def slow(number):
            if number == 30:  # some ten blocks later
                time.sleep(pause)
            return False

        self.serve(files={"file": bytes(100_000)}, stops=20, loses=slow)
        started = time.monotonic()
        result = self.attempt("tftp file /download", seconds=60)
        self.assertGreater(time.monotonic() - started, pause + patience, str(result))
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn("timed out", "\n".join(result.lines))
        self.shell("true")

    def test_no_server(self):
        """Where no server answers, DHCP fails after its retries, and the shell goes on."""
        result = self.attempt(f"ifdown -a; dhcp -r 1 {self.node}", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.shell("true")


class PatienceTest(PeerCase):
    """What takes its time: what barebox gives up after fifteen seconds, and some ten thousand small frames."""

    slow = True

    def test_many_blocks(self):
        """A file of more blocks than TFTP's counter counts arrives whole."""
        self.need("CMD_TFTP", "tftp")
        content = random.randbytes(8 * 65600 + 3)
        self.serve(files={"file": content}, block=8, window=64)
        self.check_download("file", content, seconds=900)

    def test_server_gone(self):
        """A host that is gone does not answer a ping, and that is said."""
        self.need("CMD_PING", "ping")
        with self.board.peer(Station()):
            self.shell(f"ifdown -a; dhcp {self.node}", seconds=60)
        result = self.attempt(f"ping {station.ADDRESS}", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn("ping failed", "\n".join(result.lines))
