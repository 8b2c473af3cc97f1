# SPDX-License-Identifier: MIT
"""barebox on the network: leases, files of every size, servers that misbehave, links that lose and go."""

import gzip
import random
import time

from oeqa.barebox import payload, station
from oeqa.barebox.network import NetworkCase, PeerCase
from oeqa.barebox.station import ARP, BOOTP, DHCP, DNS, ICMP, IP, UDP, Ether, Station

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
        self.shell("test -e /net/folder/mounted && test ! -e /net/nothing")
        self.shell("test -e /net/nothing", status=1)
        self.shell("umount /net")

    def test_hardware_address(self):
        """Each network device has the hardware address that QEMU gave it."""
        for device, node in self.each("net"):
            self.assertEqual(self.answer(f"echo ${node}.ethaddr"), self.board.hardware_address(device))

    def test_other_hardware_address(self):
        """An address that the device cannot take is refused, in whichever of its bytes it differs."""
        for device, node in self.each("net"):
            own = self.board.hardware_address(device)
            for place in range(1, 6):
                octets = own.split(":")
                octets[place] = "a5"
                self.assertNotEqual(self.attempt(f"{node}.ethaddr={':'.join(octets)}").status, 0, octets)
                self.assertEqual(self.answer(f"echo ${node}.ethaddr"), own)
            self.shell(f"{node}.ethaddr={own}")

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

    def test_other_messages(self):
        """That a host cannot be reached is no answer to a ping, though it comes from there."""
        server = Station()
        asked = []

        def answer(frame):
            for reply in server(frame):
                packet = Ether(reply)
                if ICMP in packet and packet[ICMP].type == 0:
                    asked.append(packet)
                    if len(asked) == 1:
                        packet[ICMP].type = 3
                yield station.with_right_sums(packet)

        with self.board.peer(answer):
            self.shell(f"ifdown -a; dhcp {self.node}", seconds=60)
            self.assertIn(f"host {station.ADDRESS} is alive", self.shell(f"ping {station.ADDRESS}", seconds=60))
        self.assertGreater(len(asked), 1, "what was no answer was taken for one")

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

    def test_compressed_name(self):
        """Names in an answer that are words and a pointer behind them are understood (RFC 1035, 4.1.4)."""
        self.need("CMD_HOST", "host")
        server = Station(options=(("name_server", station.ADDRESS),))
        address = bytes(map(int, station.ADDRESS.split(".")))

        def answer(frame):
            packet = Ether(frame)
            if DNS not in packet:
                yield from server(frame)
                return
            asked = bytes(packet[UDP].payload)
            heron = b"\x05heron\xc0\x12"  # what stands behind "otter" in the question
            other = b"\xc0\x0c\0\5\0\1" + bytes(4) + len(heron).to_bytes(2, "big") + heron
            found = heron + b"\0\1\0\1" + bytes(4) + b"\0\4" + address
            text = asked[:2] + b"\x81\x80\0\1\0\2\0\0\0\0" + asked[12:] + other + found
            addresses = (packet[IP].dst, packet[UDP].dport), (packet[IP].src, packet[UDP].sport)
            yield station.datagram(packet.src, *addresses, text)

        with self.board.peer(answer):
            self.shell(f"ifdown -a; dhcp {self.node}", seconds=60)
            self.assertIn(station.ADDRESS, "\n".join(self.shell("host otter.river.test", seconds=60)))

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

    def test_refused_upload(self):
        """An upload that the server breaks off with an error fails."""
        server = self.serve(files={"source": random.randbytes(30_000)}, stops=3, reason=b"disk is full")
        self.shell("memcpy -s /dev/prng -d /source 0 0 30000", seconds=60)
        result = self.attempt("tftp -p /source up", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.assertNotIn("up", server.uploads)

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

    def test_no_server(self):
        """Where no server answers, DHCP fails after its retries, and the shell goes on."""
        result = self.attempt(f"ifdown -a; dhcp -r 1 {self.node}", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.shell("true")


class LeaseTest(PeerCase):
    """What DHCP asks for, and what it takes over of an answer."""

    def ask(self, server, options=""):
        """A lease from a server by a command with options: what was asked for."""
        with self.board.peer(server):
            self.shell(f"ifdown -a; dhcp {options} {self.node}", seconds=60)
        return server.dhcp[-1]

    def test_options(self):
        """Each option of dhcp is sent, goes before the variable for it, and one without an end is cut."""
        variables = {"H": "hostname", "v": "vendor_id", "c": "client_id", "u": "client_uuid", "U": "user_class"}
        variables["o"] = "option224"
        for name in variables.values():
            self.addCleanup(self.attempt, f"global.dhcp.{name}={self.attempt(f'echo $global.dhcp.{name}').lines[0]}")
            self.shell(f"global.dhcp.{name}=variable-{name}")
        options = " ".join(f"-{letter} given-{name}" for letter, name in variables.items())
        for command, source in (("", "variable"), (options, "given")):
            server = Station()
            self.ask(server, command)
            frames = [bytes(x[UDP].payload) for x in server.frames if BOOTP in x]
            self.assertEqual(len(frames), 2)
            for frame in frames:
                for name, code in zip(variables.values(), (12, 60, 61, 97, 77, 224)):
                    text = f"{source}-{name}".encode()
                    self.assertIn(bytes([code, len(text)]) + text, frame, f"option {code}")

    def test_devices(self):
        """Without a device's name the first one is meant; one that there is not, and too many, are errors."""
        server = Station()
        with self.board.peer(server):
            self.shell("ifdown -a; dhcp", seconds=60)
            for command in ("dhcp eth77", f"dhcp {self.node} {self.node}", f"dhcp -x {self.node}"):
                self.assertNotEqual(self.attempt(command, seconds=60).status, 0, command)
        self.assertEqual(len(server.dhcp), 2)

    def test_asked_for(self):
        """The server is asked for what barebox has a use for."""
        asked = self.ask(Station())
        self.assertLessEqual({1, 3, 6, 12, 15, 17, 66, 67, 224}, set(asked["param_req_list"]))

    def test_boot_file(self):
        """A boot file that is no option, but in its place in the answer, is taken over."""
        self.ask(Station(boot_file=b"images/otter.fit"))
        self.assertEqual(self.answer("echo $global.dhcp.bootfile"), "images/otter.fit")
        self.ask(Station())
        self.assertEqual(self.answer("echo [$global.dhcp.bootfile]"), "[]")

    def test_device_tree(self):
        """The name of a device tree that the server tells by a private option is taken over."""
        self.ask(Station(options=((224, b"trees/otter.dtb"),)))
        self.assertEqual(self.answer("echo $global.dhcp.oftree_file"), "trees/otter.dtb")

    def test_server_name(self):
        """A TFTP server that is told by its address, or by its name, goes before the next server."""
        self.need("NET_RESOLV")
        names = {"files.river.test": "10.9.0.55"}
        for told in (b"10.9.0.55", b"files.river.test"):
            options = (("name_server", station.ADDRESS), (66, told))
            server = Station(options=options, names=names, next_server="10.9.0.7")
            self.ask(server)
            with self.board.peer(server):  # once more, as an interface that is up can ask for names
                self.shell(f"global.net.server=; dhcp {self.node}", seconds=60)
            self.assertEqual(self.answer("echo $global.net.server"), "10.9.0.55", told)
            self.assertEqual(self.answer("echo $global.dhcp.tftp_server_name"), told.decode())
        self.shell("global.net.server=")

    def test_server_name_at_once(self):
        """The name of a TFTP server is resolved by the lease that tells of it."""
        self.need("NET_RESOLV")
        options = (("name_server", station.ADDRESS), (66, b"files.river.test"))
        with self.board.peer(Station(options=options, names={"files.river.test": "10.9.0.55"}, next_server="10.9.0.7")):
            self.shell(f"global.net.server=; ifdown -a; dhcp {self.node}", seconds=60)
        self.assertEqual(self.answer("echo $global.net.server; global.net.server="), "10.9.0.55")

    def test_pads(self):
        """Pads between the options, which have no length, hide none of them (RFC 2132, 3.1)."""
        self.ask(Station(options=("pad", ("domain", "pond.test"), "pad", "pad", ("hostname", "newt"))))
        self.assertEqual(self.answer("echo $global.net.domainname $global.hostname"), "pond.test newt")

    def test_no_lease(self):
        """A refusal, a second offer, an answer from another port or for other hardware is no lease; the right one is
        taken after all."""

        wrong = ((UDP, "sport", 6767), (BOOTP, "htype", 6), (BOOTP, "hlen", 8), (BOOTP, "op", 77))

        def strays(answer):
            others = [answer.copy() for _ in range(6)] if BOOTP in answer else []
            for other, (layer, field, value) in zip(others, wrong):
                setattr(other[layer], field, value)
            for other, kind in zip(others[4:], ("nak", "offer")):
                other[DHCP].options = [("message-type", kind), *other[DHCP].options[1:]]
            if others and answer[DHCP].options[0][1] == "offer":
                others = others[:4]
            for other in others:
                other[BOOTP].yiaddr = "10.9.0.99"
                yield Ether(station.with_right_sums(other))

        self.ask(Station(strays=strays))
        self.assertEqual(self.answer(f"echo ${self.node}.ipaddr"), station.LEASE)

    def test_many_options(self):
        """Options that barebox does not know, long ones among them, do not hide those that come behind them."""
        strange = tuple((code, bytes([code]) * size) for code, size in ((250, 1), (251, 200), (252, 0), (253, 33)))
        self.ask(Station(options=(*strange, ("domain", "pond.test"))))
        self.assertEqual(self.answer("echo $global.net.domainname"), "pond.test")

    def test_without_the_former(self):
        """A new lease is asked for without the former one's address (RFC 2131, 4.1)."""
        for _ in range(2):
            server = Station()
            self.ask(server)
            self.assertEqual({x[IP].src for x in server.frames if BOOTP in x}, {"0.0.0.0"})

    def test_gives_back(self):
        """A lease without a router, a name server or a boot file takes those of the former one away."""
        options = (("router", "10.9.0.9"), ("name_server", "10.9.0.8"), ("boot-file-name", b"old.fit"))
        self.ask(Station(options=options))
        self.ask(Station())
        found = self.answer("echo $global.net.gateway $global.net.nameserver [$global.dhcp.bootfile]")
        self.assertEqual(found, "0.0.0.0 0.0.0.0 []")


class FramesTest(PeerCase):
    """What is on the wire, field by field, and what is no business of barebox'."""

    @property
    def hardware(self):
        return self.board.hardware_address(self.devices("net")[0])

    def await_frames(self, server, number, layer):
        """Let barebox look at its network until it sent so many frames, and a moment more."""
        for _ in range(50):
            self.shell("msleep 100")
            if sum(layer in x for x in server.frames) >= number:
                break
        self.shell("msleep 50")

    def test_flood(self):
        """Many frames of any size and kind at once, more than there are buffers for, hurt nothing."""
        self.need("CMD_TFTP", "tftp")
        content = random.randbytes(100_000)
        self.serve(files={"file": content})
        self.shell(f"ping {station.ADDRESS}", seconds=60)
        for number in range(200):
            size = (0, 1, 3, 20, 45, 46, 300, 1486, 1500)[number % 9]
            kind = (0x800, 0x806, 0x86DD, 0x8100, 0x22)[number % 5]
            frame = Ether(src=station.MAC, dst=(self.hardware, "ff:ff:ff:ff:ff:ff")[number % 2], type=kind)
            self.peer.send(bytes(frame / random.randbytes(size)))
        self.shell(f"msleep 20; ping {station.ADDRESS}", seconds=60)
        self.check_download("file", content)

    def test_lease(self):
        """The frames of DHCP are those of RFC 2131: from nobody, to everybody, and one number in both of them."""
        server = self.play()
        self.shell(f"ifdown -a; {self.node}.ipaddr=0.0.0.0; dhcp {self.node}", seconds=60)
        frames = [x for x in server.frames if BOOTP in x]
        self.assertEqual(len(frames), 2)
        for frame in frames:
            self.assertEqual((frame.src, frame.dst), (self.hardware, "ff:ff:ff:ff:ff:ff"))
            self.assertEqual((frame[IP].src, frame[IP].dst), ("0.0.0.0", "255.255.255.255"))
            self.assertEqual((frame[UDP].sport, frame[UDP].dport), (68, 67))
            self.assertEqual((frame[IP].ihl, frame[IP].frag, frame[IP].flags.MF, frame[IP].proto), (5, 0, 0, 17))
            self.assertGreater(frame[IP].ttl, 16)
            self.assertEqual((frame[IP].len, frame[UDP].len), (len(frame) - 14, len(frame) - 34))
            right = Ether(station.with_right_sums(frame))
            self.assertEqual(frame[IP].chksum, right[IP].chksum)
            self.assertIn(frame[UDP].chksum, (0, right[UDP].chksum))
            bootp = frame[BOOTP]
            self.assertEqual((bootp.op, bootp.htype, bootp.hlen, bootp.hops), (1, 1, 6, 0))
            self.assertEqual((bootp.ciaddr, bootp.yiaddr, bootp.siaddr, bootp.giaddr), ("0.0.0.0",) * 4)
            self.assertEqual(bootp.chaddr[:6].hex(":"), self.hardware)
        self.assertEqual(len({frame[BOOTP].xid for frame in frames}), 1)
        self.assertNotIn("requested_addr", server.dhcp[0])
        self.assertNotIn("server_id", server.dhcp[0])

    def test_questions(self):
        """A question for a hardware address is that of RFC 826, and an answer goes to who asked alone."""
        server = self.serve()
        self.shell(f"ping {station.ADDRESS}", seconds=60)
        asked = [x for x in server.frames if ARP in x and x[ARP].op == 1]
        self.assertTrue(asked)
        for frame in asked:
            arp = frame[ARP]
            self.assertEqual((frame.src, frame.dst), (self.hardware, "ff:ff:ff:ff:ff:ff"))
            self.assertEqual((arp.hwtype, arp.ptype, arp.hwlen, arp.plen), (1, 0x800, 6, 4))
            self.assertEqual((arp.hwsrc, arp.psrc, arp.pdst), (self.hardware, station.LEASE, station.ADDRESS))
        server.frames.clear()
        for asker, address in (("52:55:0a:00:09:77", station.LEASE), ("52:55:0a:00:09:78", "10.9.0.43")):
            question = ARP(op=1, hwsrc=asker, psrc="10.9.0.77", pdst=address)
            self.peer.send(bytes(Ether(src=asker, dst="ff:ff:ff:ff:ff:ff") / question))
        self.await_frames(server, 1, ARP)
        answers = [x for x in server.frames if ARP in x and x[ARP].op == 2]
        self.assertEqual(len(answers), 1, "one answer, for the own address alone")
        frame, arp = answers[0], answers[0][ARP]
        self.assertEqual((frame.src, frame.dst), (self.hardware, "52:55:0a:00:09:77"))
        self.assertEqual((arp.hwsrc, arp.psrc), (self.hardware, station.LEASE))
        self.assertEqual((arp.hwdst, arp.pdst), ("52:55:0a:00:09:77", "10.9.0.77"))

    def test_echoes(self):
        """Pings of every size are answered with what they brought; those to others, or damaged ones, are not."""
        server = self.serve()
        self.shell(f"ping {station.ADDRESS}", seconds=60)
        server.frames.clear()
        payloads = [random.randbytes(size) for size in (0, 1, 17, 1000, 1471, 1472)]
        head = Ether(src=station.MAC, dst=self.hardware) / IP(src=station.ADDRESS, dst=station.LEASE)
        for number, sent in enumerate(payloads):
            self.peer.send(bytes(head / ICMP(type=8, id=7, seq=number) / sent))
        other, damaged, longer = (Ether(bytes(head / ICMP(type=8, id=7, seq=number) / b"x")) for number in (50, 51, 52))
        other[IP].dst = "10.9.0.43"
        other = Ether(station.with_right_sums(other))
        damaged[IP].chksum ^= 0x10
        longer[IP].len += 400
        for frame in (other, damaged, Ether(station.with_right_sums(longer))):
            self.peer.send(bytes(frame))
        self.await_frames(server, len(payloads), ICMP)
        replies = [x for x in server.frames if ICMP in x and x[ICMP].type == 0]
        self.assertEqual({x[ICMP].seq: bytes(x[ICMP].payload) for x in replies}, dict(enumerate(payloads)))
        for reply in replies:
            self.assertEqual(bytes(reply), station.with_right_sums(reply), "a sum is wrong")
            self.assertEqual((reply.src, reply.dst, reply[IP].src), (self.hardware, station.MAC, station.LEASE))

    def test_requests(self):
        """A file is asked for as RFCs 1350, 2348, 2349 and 7440 tell, and each block is acknowledged in its turn."""
        self.need("CMD_TFTP", "tftp")
        self.need("CMD_PING", "ping")
        self.addCleanup(self.attempt, f"global.tftp.windowsize={self.answer('echo $global.tftp.windowsize')}")
        for window in (1, 3):
            self.shell(f"global.tftp.windowsize={window}")
            server = self.serve(files={"some/file": bytes(20_000)}, window=window)
            self.shell("tftp some/file /download; rm /download", seconds=60)
            self.shell(f"ping {station.ADDRESS}", seconds=60)  # whose answer comes after all that was sent before
            self.peer.__exit__()
            frames = [x for x in server.frames if UDP in x and BOOTP not in x]
            request = [bytes(x[UDP].payload) for x in frames if x[UDP].dport == station.TFTP_PORT][-1]
            self.assertEqual(request[:2] + request[2:].split(b"\0")[0], b"\0\1some/file")
            words = request[2:].rstrip(b"\0").split(b"\0")[1:]
            self.assertEqual(words[0], b"octet")
            options = dict(zip(words[1::2], words[2::2]))
            self.assertEqual((int(options[b"blksize"]), int(options[b"tsize"])), (BLOCK, 0))
            self.assertEqual(int(options.get(b"windowsize", 1)), window)
            port = frames[-1][UDP].sport
            acknowledged = [bytes(x[UDP].payload) for x in frames if x[UDP].sport == port and x[UDP].dport != 69]
            blocks = 20_000 // BLOCK + 1
            expected = sorted({0, *range(window, blocks, window), blocks})
            found = [int.from_bytes(x[2:], "big") for x in acknowledged if x[:2] == b"\0\4"]
            self.assertEqual(sorted(set(found)), expected, f"windows of {window}")
            self.assertEqual(found, sorted(found))

    def test_other_answers(self):
        """Answers about others' hardware addresses, and orders to nobody, are not taken for the one that is awaited."""

        def strays(answer):
            if ARP in answer and answer[ARP].op == 2:
                other = answer.copy()
                other[ARP].psrc, other[ARP].hwsrc = "10.9.0.99", "52:55:0a:00:09:99"
                yield other
                other = other.copy()
                other[ARP].psrc, other[ARP].op = station.ADDRESS, 4
                yield other
                other = other.copy()
                other[ARP].op, other[ARP].pdst = 2, "10.9.0.43"
                yield other
                other = other.copy()
                other[ARP].pdst, other[ARP].hwtype = station.LEASE, 6
                yield other

        server = self.serve(strays=strays)
        self.shell(f"ping {station.ADDRESS}", seconds=60)
        self.assertEqual({x.dst for x in server.frames if ICMP in x}, {station.MAC})

    def test_not_ours(self):
        """Frames to another address or port, of another protocol, or that are shorter than they say, are not taken."""
        self.need("CMD_TFTP", "tftp")

        def strays(answer):
            frame = Ether(bytes(answer))
            if UDP not in frame or BOOTP in frame or bytes(frame[UDP].payload)[:2] != b"\0\3":
                return
            wrong = (
                (IP, "dst", "10.9.0.43"),
                (UDP, "dport", 9),
                (IP, "proto", 6),
                (IP, "version", 6),
                (UDP, "len", 2000),
            )
            for layer, field, value in wrong:
                other = Ether(bytes(frame)[:-4] + b"bad!")
                setattr(other[layer], field, value)
                yield station.with_right_sums(other)

        content = random.randbytes(9000)
        self.serve(files={"file": content}, strays=strays)
        self.check_download("file", content)


class TftpServerTest(PeerCase):
    """TFTP servers that know less than others, tell nonsense, or whose frames come twice, early or from elsewhere."""

    needs = ("CMD_TFTP", "FS_TFTP")
    pieces = (0, 1, 511, 512, 513, 1024, 5000)
    """Sizes around those of a block where no other was agreed on."""

    def mount(self, options=""):
        self.addCleanup(self.attempt, "umount /net", seconds=60)
        self.shell(f"mkdir -p /net; mount -t tftp {options} {station.ADDRESS} /net")

    @staticmethod
    def body(answer):
        """The UDP payload of a frame of the server's, and the frame."""
        frame = Ether(bytes(answer))
        return (bytes(frame[UDP].payload) if UDP in frame and BOOTP not in frame else b""), frame

    def acknowledged(self, server):
        """How many frames the guest sent to the server of a transfer."""
        return sum(UDP in x and x[UDP].dport == station.DATA_PORT for x in server.frames)

    def test_no_options(self):
        """A server that knows of no options (RFC 1350) sends data at once, and files of every size arrive whole."""
        files = {f"size{size}": random.randbytes(size) for size in self.pieces}
        self.serve(files=files, block=0)
        for name, content in files.items():
            self.check_download(name, content)

    def test_no_options_upload(self):
        """A server that knows of no options acknowledges a write at once, and is sent files of every size."""
        server = self.serve(files={"source": random.randbytes(6000)}, block=0)
        self.shell("tftp source /source", seconds=60)
        for size in self.pieces[1:]:
            self.shell(f"rm -f /up; memcpy -s /source -d /up 0 0 {size}; tftp -p /up up{size}", seconds=60)
            self.assertEqual(self.hash(server.uploads[f"up{size}"]), self.hash(server.files["source"][:size]), size)

    def test_port(self):
        """A server at another port is asked there, by the command and in the file system."""
        content = random.randbytes(3000)
        server = self.serve(files={"file": content}, port=6969)
        for command in ("tftp -P 6969 file /download", "cp /net/file /download"):
            if command.startswith("cp"):
                self.mount("-o port=6969")
            self.shell(command, seconds=60)
            self.assertEqual(self.answer("sha256sum /download; rm /download").split()[0], self.hash(content), command)
        self.shell("tftp -p -P 6969 /env/network/README up || echo no", seconds=60)
        self.assertIn("up", server.uploads)
        for port in ("0", "65536"):
            result = self.attempt(f"tftp -P {port} file /download", seconds=60)
            self.assertNotEqual(result.status, 0, str(result))
            self.assertIn("invalid port", "\n".join(result.lines))

    def test_nonsense(self):
        """A server that agrees to blocks or windows of no size, or of more than was asked for, is an error at once."""
        for claims in ({b"blksize": 0}, {b"blksize": 60_000}, {b"windowsize": 0}, {b"windowsize": 20_000}):
            self.serve(files={"file": bytes(5000)}, claims=claims)
            started = time.monotonic()
            result = self.attempt("tftp file /download", seconds=60)
            self.assertNotEqual(result.status, 0, f"{claims}:\n{result}")
            self.assertLess(time.monotonic() - started, 10, "barebox waited instead of reading the answer")
            self.peer.__exit__()
        self.shell("rm -f /download")

    def test_twice(self):
        """Where each frame of the server's comes twice, files arrive whole in either direction."""
        self.addCleanup(self.attempt, f"global.tftp.windowsize={self.answer('echo $global.tftp.windowsize')}")
        content = random.randbytes(20_000)
        for window in (1, 4):
            self.shell(f"global.tftp.windowsize={window}")
            server = self.serve(files={"file": content}, window=window, strays=lambda x: [x] if self.body(x)[0] else [])
            self.shell("tftp file /download; tftp -p /download up", seconds=60)
            self.assertEqual(self.answer("sha256sum /download; rm /download").split()[0], self.hash(content))
            self.assertEqual(self.hash(server.uploads["up"]), self.hash(content))
            self.peer.__exit__()

    def test_order(self):
        """Blocks of a window that come before their turn, in whatever order, are put into the right one, and are not
        looked at again when they come once more."""
        self.addCleanup(self.attempt, f"global.tftp.windowsize={self.answer('echo $global.tftp.windowsize')}")
        self.shell("global.tftp.windowsize=8")
        content = random.randbytes(5 * 8 * BLOCK + 100)
        blocks = [content[place : place + BLOCK] for place in range(0, len(content), BLOCK)]
        again = b"".join(x if n % 8 == 0 else random.randbytes(BLOCK) for n, x in enumerate(blocks))

        def strays(answer):
            """The blocks that follow the first of a window, in disorder and one twice."""
            body, frame = self.body(answer)
            number = int.from_bytes(body[2:4], "big")
            if body[:2] == b"\0\3" and number % 8 == 1 and number + 7 < len(blocks):
                for later in (number + n for n in (3, 5, 7, 1, 4, 6, 2, 3)):
                    yield station.with_payload(frame, body[:2] + later.to_bytes(2, "big") + blocks[later - 1])

        self.serve(files={"file": again}, window=8, block=BLOCK, strays=strays)
        self.check_download("file", content)

    def test_too_large(self):
        """A block of more bytes than was agreed on is not taken, and the right one is."""

        def strays(answer):
            body, frame = self.body(answer)
            if body[:2] == b"\0\3":
                yield station.with_payload(frame, body[:4] + bytes(514))

        content = random.randbytes(4000)
        self.serve(files={"file": content}, block=512, strays=strays)
        self.check_download("file", content)

    def test_small_blocks(self):
        """A server that has blocks of few bytes is asked for each of them, and the file is whole."""
        content = random.randbytes(900)
        server = self.serve(files={"file": content}, block=20)
        self.check_download("file", content)
        self.assertGreater(self.acknowledged(server), 900 // 20)

    def test_places(self):
        """A file on TFTP is read from any place on; behind its end there is nothing."""
        content = random.randbytes(9000)
        self.serve(files={"file": content})
        self.mount()
        for place, size in ((0, 10), (1, 1), (1023, 3), (1024, 1024), (5000, 4000), (8999, 1)):
            self.shell(f"memcpy -s /net/file -d /part {place} 0 {size}", seconds=60)
            found = self.answer("sha256sum /part; rm /part").split()[0]
            self.assertEqual(found, self.hash(content[place : place + size]), f"{size} bytes from {place}")
        self.assertEqual(self.dump("/net/file", 16, 4321), content[4321:4337])
        self.assertNotEqual(self.attempt("memcpy -s /net/file -d /part 9001 0 1", seconds=60).status, 0)
        self.shell("rm -f /part")

    def test_size(self):
        """The size of a file on TFTP is the one that the server tells."""
        self.serve(files={"file": bytes(70_001), "one": b"x"})
        self.mount()
        for name, size in (("file", 70_001), ("one", 1)):
            self.assertEqual(int(self.answer(f"ls -l /net/{name}", seconds=60).split()[1]), size)

    def test_by_name(self):
        """A server is mounted by its name; one whose name nobody knows is not, and neither is one without a name."""
        self.need("NET_RESOLV")
        options = (("name_server", station.ADDRESS),)
        self.serve(files={"file": b"otter\n"}, options=options, names={"files.river.test": station.ADDRESS})
        self.addCleanup(self.attempt, "umount /net", seconds=60)
        result = self.attempt("mkdir -p /net; mount -t tftp nobody.river.test /net", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn("Cannot resolve", "\n".join(result.lines))
        self.shell("mount -t tftp files.river.test /net", seconds=60)
        self.assertEqual(self.answer("cat /net/file", seconds=60), "otter")

    def test_long_name(self):
        """A name with many folders is asked for as it is; one that has no room in a frame is an error."""
        name = "/".join(f"folder{n:02}" for n in range(20)) + "/file"
        content = random.randbytes(700)
        server = self.serve(files={name: content})
        self.check_download(name, content)
        self.assertIn(name, server.requests)


class SilentTest(PeerCase):
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
