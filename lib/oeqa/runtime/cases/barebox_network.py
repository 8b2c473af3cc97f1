# SPDX-License-Identifier: MIT
"""barebox on the network: leases, files of every size, servers that misbehave, links that lose and go."""

import random
import time

from oeqa.barebox import case, station
from oeqa.barebox.station import Station
from oeqa.barebox.variant import Variant

MIB = 1 << 20


class NetworkCase(case.BootloaderTestCase):
    def setUp(self):
        super().setUp()
        self.need("CMD_DHCP", "dhcp")
        self.node = self.board.node(self.devices("net")[0])

    def check_download(self, name, content, seconds=120):
        """A file by TFTP has its contents."""
        self.need("CMD_SHA256SUM", "sha256sum")
        self.shell(f"tftp {name} /download", seconds=seconds)
        digest = self.answer("sha256sum /download", seconds=60).split()[0]
        self.shell("rm /download")
        self.assertEqual(digest, self.hash(content), f"{name}, {len(content)} bytes")


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
        """A file of 24 MiB, more blocks than TFTP counts, arrives whole."""
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
        name, content = self.put("mounted", 100001)
        self.shell(f"mkdir -p /net; mount -t tftp 10.0.2.2 /net; cp /net/{name} /copy; umount /net", seconds=60)
        self.assertEqual(self.answer("sha256sum /copy").split()[0], self.hash(content))

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


class PeerCase(NetworkCase):
    """A server that the test plays itself."""

    variant = Variant(peer=True)

    def serve(self, **behaviour):
        """A server with a behaviour, and a lease from it."""
        server = Station(**behaviour)
        peer = self.board.peer(server)
        peer.__enter__()
        self.addCleanup(peer.__exit__)
        self.shell(f"ifdown -a; dhcp {self.node}; global.net.server={station.ADDRESS}", seconds=60)
        return server


class PeerTest(PeerCase):
    def test_lease(self):
        """DHCP's options are taken over: address, netmask, router, name server, domain, host name, boot file."""
        options = (
            *(("router", "10.9.0.9"), ("name_server", "10.9.0.8"), ("domain", "river.test"), ("hostname", "otter")),
            *(("boot-file-name", b"image.fit"), ("root_disk_path", b"10.9.0.7:/root")),
        )
        server = self.serve(options=options)
        expected = {
            f"{self.node}.ipaddr": station.LEASE,
            f"{self.node}.netmask": station.NETMASK,
            "global.net.gateway": "10.9.0.9",
            "global.net.nameserver": "10.9.0.8",
            "global.net.domainname": "river.test",
            "global.dhcp.bootfile": "image.fit",
            "global.dhcp.rootpath": "10.9.0.7:/root",
            "global.hostname": "otter",
        }
        self.assertEqual({name: self.answer(f"echo ${name}") for name in expected}, expected)
        self.assertEqual([x["message-type"] for x in server.dhcp], [1, 3], "discover and request, once each")

    def test_request(self):
        """DHCP sends what the user set: client and vendor identifiers."""
        server = Station()
        with self.board.peer(server):
            self.shell(f"ifdown -a; dhcp -c otter-id -v river-vendor {self.node}", seconds=60)
        self.assertIn(b"otter-id", server.dhcp[-1]["client_id"])
        self.assertEqual(server.dhcp[-1]["vendor_class_id"], b"river-vendor")

    def test_ping(self):
        """A ping is answered by the peer."""
        self.need("CMD_PING", "ping")
        self.serve()
        self.assertIn(f"host {station.ADDRESS} is alive", self.shell(f"ping {station.ADDRESS}", seconds=60))

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

    def test_server_stops(self):
        """A server that falls silent half-way is given up, with an error, in seconds."""
        self.need("CMD_TFTP", "tftp")
        self.serve(files={"file": bytes(100_000)}, stops=20)
        result = self.attempt("tftp file /download", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn("timed out", "\n".join(result.lines))
        self.shell("true")

    def test_no_server(self):
        """Where no server answers, DHCP fails after its retries, and the shell goes on."""
        result = self.attempt(f"ifdown -a; dhcp -r 1 {self.node}", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.shell("true")


class PatienceTest(PeerCase):
    """What barebox gives up after fifteen seconds."""

    slow = True

    def test_server_gone(self):
        """A host that is gone does not answer a ping, and that is said."""
        self.need("CMD_PING", "ping")
        with self.board.peer(Station()):
            self.shell(f"ifdown -a; dhcp {self.node}", seconds=60)
        result = self.attempt(f"ping {station.ADDRESS}", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn("ping failed", "\n".join(result.lines))
