# SPDX-License-Identifier: MIT
"""What barebox does over the network beside loading files: interfaces by configuration, host names, its own console."""

import random

from oeqa.barebox import images, nfs, station
from oeqa.barebox.keyboard import KeyboardCase
from oeqa.barebox.network import PeerCase
from oeqa.barebox.station import ARP, DNS, UDP

OWN = "10.9.0.50"
CONSOLE_PORT = 6666


class InterfaceTest(PeerCase):
    """ifup, by the parameters of a device. A case leaves them as they were."""

    needs = ("NET_CMD_IFUP", "CMD_PING")

    def setUp(self):
        super().setUp()
        self.reset()
        self.addCleanup(self.reset)

    def reset(self):
        """Configured as after a start."""
        own = {"mode": "dhcp", "ipaddr": "0.0.0.0", "linux.devname": "", "linux.bootargs": ""}
        self.attempt("; ".join(["ifdown -a", *(f"{self.node}.{name}={value}" for name, value in own.items())]))
        self.attempt(f"global.net.server=; global.net.gateway=0.0.0.0; rm -f /env/network/{self.node}")

    def check_address(self, server, address):
        """The device has an address, and uses it."""
        self.assertEqual(self.answer(f"echo ${self.node}.ipaddr"), address)
        self.shell(f"ping {station.ADDRESS}", seconds=60)
        self.assertEqual({x[ARP].psrc for x in server.frames if ARP in x and x[ARP].op == 1}, {address})

    def test_static(self):
        """A static address is taken without DHCP, and Linux is told of it."""
        server = self.play()
        self.shell(f"{self.node}.mode=static; {self.node}.ipaddr={OWN}; {self.node}.netmask=255.255.255.0")
        self.shell(f"{self.node}.linux.devname=otter0")
        self.shell(f"global.net.server={station.ADDRESS}; global.net.gateway=10.9.0.9")
        self.shell(f"ifup {self.node}", seconds=60)
        self.check_address(server, OWN)
        self.assertEqual(server.dhcp, [])
        self.assertEqual(
            self.answer(f"echo ${self.node}.linux.bootargs"),
            f"ip={OWN}:{station.ADDRESS}:10.9.0.9:255.255.255.0::otter0:",
        )

    def test_dhcp(self):
        """An interface gets its address by DHCP, once, and again where that is forced; Linux is told to do the same."""
        server = self.play()
        self.shell(f"{self.node}.mode=dhcp; {self.node}.linux.devname=otter0; ifup {self.node}", seconds=60)
        self.check_address(server, station.LEASE)
        bootargs = self.answer(f"echo ${self.node}.linux.bootargs")
        self.assertRegex(bootargs, r"^ip=::::[^:]*:otter0:dhcp$")
        self.assertEqual(len(server.dhcp), 2)
        self.shell(f"ifup {self.node}", seconds=60)
        self.assertEqual(len(server.dhcp), 2, "an interface that is up was configured again")
        self.shell(f"ifup -f {self.node}", seconds=60)
        self.assertEqual(len(server.dhcp), 4, "ifup -f did not configure again")

    def test_down_and_up(self):
        """An interface that was taken down has no address, and gets one anew."""
        server = self.play()
        self.shell(f"{self.node}.mode=dhcp; ifup {self.node}; ping {station.ADDRESS}", seconds=60)
        self.shell(f"ifdown {self.node}")
        self.assertNotEqual(self.attempt(f"ping {station.ADDRESS}", seconds=60).status, 0)
        self.shell(f"ifup {self.node}", seconds=60)
        self.check_address(server, station.LEASE)
        self.assertEqual(len(server.dhcp), 4)

    def test_disabled(self):
        """A device that is disabled gets no address."""
        server = self.play()
        self.shell(f"{self.node}.mode=disabled; ifup {self.node}", seconds=60)
        self.assertEqual(self.answer(f"echo ${self.node}.ipaddr"), "0.0.0.0")
        self.assertEqual(server.dhcp, [])

    def test_first_server(self):
        """ifup -a -1 brings interfaces up until a server is known."""
        server = self.play()
        self.shell("global.net.server=; ifup -a -1", seconds=90)
        self.assertEqual(self.answer("echo $global.net.server"), station.ADDRESS)
        self.check_address(server, station.LEASE)

    def test_file(self):
        """A file of the environment configures an interface as well, which is said to be the old way."""
        server = self.play()
        self.shell("mkdir -p /env/network")
        for line in ("ip=static", f"ipaddr={OWN}", "netmask=255.255.255.0", f"serverip={station.ADDRESS}"):
            self.shell(f"echo -a /env/network/{self.node} {line}")
        self.assertIn("deprecated", "\n".join(self.shell(f"ifup {self.node}", seconds=60)))
        self.check_address(server, OWN)

    def test_unknown(self):
        """An interface that there is not is an error."""
        self.assertNotEqual(self.attempt("ifup eth77", seconds=60).status, 0)


class HostTest(PeerCase):
    needs = ("CMD_HOST", "NET_RESOLV")

    def test_names(self):
        """host tells a name's address, and fails for a name that nobody has."""
        self.serve(options=(("name_server", station.ADDRESS),), names={"otter.river.test": "192.0.2.9"})
        self.assertEqual(self.answer("host otter.river.test", seconds=60), "otter.river.test is at 192.0.2.9")
        result = self.attempt("host beaver.river.test", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn("unknown host", "\n".join(result.lines))

    def test_strays(self):
        """An answer to somebody else's question is not taken."""

        def strays(answer):
            if DNS in answer:
                other = answer.copy()
                other[DNS].id ^= 1
                other[DNS].an[0].rdata = "192.0.2.66"
                yield other

        names = {"otter.river.test": "192.0.2.9"}
        self.serve(options=(("name_server", station.ADDRESS),), names=names, strays=strays)
        self.assertEqual(self.answer("host otter.river.test", seconds=60), "otter.river.test is at 192.0.2.9")


class NfsTest(PeerCase):
    """A share by NFS."""

    needs = ("FS_NFS", "CMD_MOUNT")
    files = {f"size{n}": random.randbytes(n) for n in (0, 1, 1023, 1024, 1025, 2048, 30_001)}
    tree = {
        **files,
        **{f"many/entry{n:03}": b"%d" % n for n in range(90)},
        **{"sub/deep/otter": b"swims\n", "sub/link": images.Link("deep/otter"), "sub/up": images.Link("../size1025")},
    }

    def mount(self, **behaviour):
        """The share, mounted."""
        server = self.serve(services=nfs.Export("/export", self.tree).services, **behaviour)
        self.addCleanup(self.attempt, "umount /nfs", seconds=60)
        self.shell(f"mkdir -p /nfs; mount -t nfs {station.ADDRESS}:/export /nfs", seconds=60)
        return server

    def check_files(self):
        for name, content in self.files.items():
            found = self.answer(f"sha256sum /nfs/{name}", seconds=90).split()[0]
            self.assertEqual(found, self.hash(content), name)

    def test_files(self):
        """Files of every size are read whole, in folders and by way of links, and folders are listed to their end."""
        self.mount()
        self.check_files()
        self.assertEqual(self.shell("cat /nfs/sub/deep/otter /nfs/sub/link"), ["swims", "swims"])
        self.assertEqual(self.answer("sha256sum /nfs/sub/up").split()[0], self.hash(self.files["size1025"]))
        listed = " ".join(self.shell("ls /nfs/many", seconds=60)).split()
        self.assertEqual(sorted(listed), [f"entry{n:03}" for n in range(90)])

    def test_missing(self):
        """What the server does not have is not found."""
        self.mount()
        for name in ("nothing", "sub/nothing", "size1/nothing"):
            self.assertNotEqual(self.attempt(f"cat /nfs/{name}").status, 0, name)

    def test_places(self):
        """A file is read from any place on."""
        self.mount()
        content = self.files["size30001"]
        for start, size in ((0, 10), (1000, 100), (1024, 1024), (29_990, 11), (random.randrange(20_000), 5000)):
            self.shell(f"memcpy -s /nfs/size30001 -d /part {start} 0 {size}", seconds=60)
            found = self.answer("sha256sum /part; rm /part").split()[0]
            self.assertEqual(found, self.hash(content[start : start + size]), f"{size} bytes from {start}")

    def test_compared(self):
        """Files are compared to their end, though the server gives them piece by piece."""
        self.need("CMD_MEMCMP", "memcmp")
        self.mount()
        self.shell("cp /nfs/size30001 /same; memcmp -s /nfs/size30001 -d /same 0 0 30001", seconds=60)
        self.shell("mw -b -d /same 29000 0x01; mw -b -d /same 29001 0x02")
        result = self.attempt("memcmp -s /nfs/size30001 -d /same 0 0 30001", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))

    def test_lossy(self):
        """Where calls and replies are lost, files are whole all the same."""
        lost = set(random.sample(range(20, 120), 8))
        self.mount(loses=lambda number: number in lost)
        self.check_files()

    def test_late_replies(self):
        """The reply to an earlier call, which comes late, is not taken for this one's."""

        def strays(answer):
            if UDP in answer and answer[UDP].sport == nfs.PORTS[nfs.NFS]:
                reply = bytes(answer[UDP].payload)
                earlier = (int.from_bytes(reply[:4], "big") - 1).to_bytes(4, "big") + reply[4:-1] + b"x"
                yield station.with_payload(answer, earlier)

        self.mount(strays=strays)
        self.check_files()

    def test_refused(self):
        """What is not exported cannot be mounted, and the shell goes on."""
        self.serve(services=nfs.Export("/export", self.tree).services)
        result = self.attempt(f"mkdir -p /other; mount -t nfs {station.ADDRESS}:/other /other", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))


class NetConsoleTest(PeerCase, KeyboardCase):
    needs = ("NET_NETCONSOLE",)

    def setUp(self):
        super().setUp()
        self.heard = bytearray()
        self.serve(services={CONSOLE_PORT: self._hear})
        self.addCleanup(self.attempt, "netconsole.active=")

    def _hear(self, payload):
        self.heard += payload
        return ()

    def test_output(self):
        """What is printed comes over the network as well, while that is asked for."""
        self.shell(f"netconsole.ip={station.ADDRESS}; netconsole.port={CONSOLE_PORT}; netconsole.active=oe")
        self.shell("echo otters swim")
        self.shell("netconsole.active=")
        self.shell("echo beavers build")
        self.assertIn(b"\notters swim\r\n", bytes(self.heard))
        self.assertNotIn(b"\nbeavers build", bytes(self.heard))

    def test_input(self):
        """What is typed at the other end runs, until the console is closed."""
        self.shell(f"netconsole.ip={station.ADDRESS}; netconsole.port={CONSOLE_PORT}; netconsole.active=ioe")
        self.say("echo -o /typed her''on\r")
        self.prompt()
        self.assertEqual(self.answer("cat /typed; rm /typed"), "heron")
        self.shell("netconsole.active=")
        self.say("echo -o /typed otter\r")
        self.shell("msleep 100; test -e /typed", status=1)

    def say(self, text):
        """Type at the other end."""
        server = station.ADDRESS, CONSOLE_PORT
        self.peer.send(station.datagram(self.hardware, server, (station.LEASE, CONSOLE_PORT), text.encode()))

    @property
    def hardware(self):
        return self.board.hardware_address(self.devices("net")[0])
