# SPDX-License-Identifier: MIT
"""What barebox does over the network beside loading files: interfaces by configuration, host names, its own console."""

from oeqa.barebox import station
from oeqa.barebox.keyboard import KeyboardCase
from oeqa.barebox.network import PeerCase
from oeqa.barebox.station import ARP, DNS, Ether

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
        self.shell(f"{self.node}.mode=dhcp; ifup {self.node}; ifdown {self.node}", seconds=60)
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
                other = Ether(bytes(answer))
                other[DNS].id ^= 1
                other[DNS].an[0].rdata = "192.0.2.66"
                yield Ether(station.with_right_sums(other))

        names = {"otter.river.test": "192.0.2.9"}
        self.serve(options=(("name_server", station.ADDRESS),), names=names, strays=strays)
        self.assertEqual(self.answer("host otter.river.test", seconds=60), "otter.river.test is at 192.0.2.9")


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
