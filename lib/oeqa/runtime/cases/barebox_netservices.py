# SPDX-License-Identifier: MIT
"""What barebox does over the network beside loading files: interfaces by configuration, host names, its own console."""

import random
import struct

from oeqa.barebox import images, nfs, station
from oeqa.barebox.keyboard import KeyboardCase
from oeqa.barebox.network import PeerCase
from oeqa.barebox.station import ARP, BOOTP, DNS, UDP

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

    @property
    def hardware(self):
        return self.board.hardware_address(self.devices("net")[0])

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

    def configure(self, *lines, name=""):
        """A file of the environment for the interface."""
        path = f"/env/network/{name or self.node}"
        self.addCleanup(self.attempt, f"rm -f {path}")
        self.shell(f"mkdir -p /env/network; rm -f {path}")
        for line in lines:
            self.shell(f"echo -a {path} {line}")

    def test_whole_file(self):
        """A file of the environment tells hardware address, router and Linux' name as well, and leaves no variables."""
        hardware = "02:00:5e:10:20:30"
        self.addCleanup(self.attempt, f"{self.node}.ethaddr={self.hardware}")
        server = self.play()
        lines = "ip=static", f"ipaddr={OWN}", "netmask=255.255.255.0", f"gateway={station.ADDRESS}"
        self.configure(*lines, f"ethaddr={hardware}", "linuxdevname=otter7", "serverip=10.9.0.66")
        self.shell(f"ifup {self.node}", seconds=60)
        self.check_address(server, OWN)
        self.shell("ping 192.0.2.7", seconds=60)
        self.assertEqual({x.src for x in server.frames}, {hardware})
        self.assertEqual(self.answer("echo $global.net.server [$ipaddr$gateway$ethaddr]"), "10.9.0.66 []")
        self.assertEqual(
            self.answer(f"echo ${self.node}.linux.bootargs"),
            f"ip={OWN}:10.9.0.66:{station.ADDRESS}:255.255.255.0::otter7:",
        )

    def test_file_dhcp(self):
        """A file of the environment may ask for DHCP, whatever mode the interface had."""
        server = self.play()
        self.shell(f"{self.node}.mode=static")
        self.configure("ip=dhcp")
        self.shell(f"ifup {self.node}", seconds=60)
        self.check_address(server, station.LEASE)

    def test_wrong_file(self):
        """A file without a mode, or with a wrong one or a wrong hardware address, is an error, and is not followed."""
        server = self.play()
        wrong = {"No mode specified": (), "Invalid ip mode": ("ip=otter",), "Cannot parse": ("ip=dhcp", "ethaddr=02:x")}
        for words, lines in wrong.items():
            self.configure(f"ipaddr={OWN}", *lines)
            result = self.attempt(f"ifup {self.node}", seconds=60)
            self.assertNotEqual(result.status, 0, str(result))
            self.assertIn(words, "\n".join(result.lines))
            self.assertEqual(self.answer(f"echo ${self.node}.ipaddr [$ipaddr]"), "0.0.0.0 []")
        self.assertEqual(server.frames, [])

    def test_discovered(self):
        """A script that finds an interface runs before it is brought up, and where it fails, it is not."""
        server = self.play()
        self.configure("'#!/bin/sh'", "echo looked", name=f"{self.node}-discover")
        self.assertIn("looked", self.shell(f"ifup {self.node}", seconds=60))
        self.assertEqual(len(server.dhcp), 2)
        self.shell(f"ifdown {self.node}")
        self.configure("'#!/bin/sh'", "false", name=f"{self.node}-discover")
        self.assertNotEqual(self.attempt(f"ifup {self.node}", seconds=60).status, 0)
        self.assertEqual(len(server.dhcp), 2)

    def test_in_sequence(self):
        """ifup -a -s brings all interfaces up one after the other, or, with -1, only as far as a server is known."""
        server = self.play()
        self.shell("ifup -a -s", seconds=90)
        nodes = [node for _, node in self.each("net")]
        addresses = [self.answer(f"echo ${node}.ipaddr") for node in nodes]
        self.assertEqual(addresses[0], station.LEASE)
        self.assertNotIn("0.0.0.0", addresses)
        self.shell(f"ifdown -a; global.net.server=; {'; '.join(f'{node}.ipaddr=0.0.0.0' for node in nodes)}")
        self.shell("ifup -a -s -1", seconds=90)
        addresses = [self.answer(f"echo ${node}.ipaddr") for node in nodes]
        self.assertEqual(addresses, [station.LEASE, *["0.0.0.0"] * (len(nodes) - 1)])
        self.check_address(server, station.LEASE)

    def test_all(self):
        """ifup -a brings each interface up, again where it is forced, and ifdown -a takes all of them down."""
        server = self.play()
        self.shell("ifup -a", seconds=90)
        self.assertNotIn("0.0.0.0", [self.answer(f"echo ${node}.ipaddr") for _, node in self.each("net")])
        self.shell("ifup -a", seconds=90)
        self.assertEqual(len(server.dhcp), 2)
        self.shell("ifup -a -f", seconds=90)
        self.assertEqual(len(server.dhcp), 4)
        self.shell("ifdown -a")
        self.assertNotEqual(self.attempt(f"ping {station.ADDRESS}", seconds=60).status, 0)

    def test_hardware_address(self):
        """A hardware address that the user sets is on the wire, or is refused and the device's own one stays there;
        what is none is refused."""
        self.addCleanup(self.attempt, f"{self.node}.ethaddr={self.hardware}")
        server = self.play()
        self.shell(f"{self.node}.ethaddr={self.hardware}")
        taken = self.attempt(f"{self.node}.ethaddr=02:00:5e:aa:bb:cc").status == 0
        hardware = "02:00:5e:aa:bb:cc" if taken else self.hardware
        self.shell(f"ifup {self.node}; ping {station.ADDRESS}", seconds=60)
        self.assertEqual({x.src for x in server.frames}, {hardware})
        self.assertEqual({x[ARP].hwsrc for x in server.frames if ARP in x}, {hardware})
        self.assertEqual({x[BOOTP].chaddr[:6].hex(":") for x in server.frames if BOOTP in x}, {hardware})
        for wrong in ("02:00:5e:aa:bb", "02:00:5e:aa:bb:cg", "otter"):
            self.assertNotEqual(self.attempt(f"{self.node}.ethaddr={wrong}").status, 0, wrong)
            self.assertEqual(self.answer(f"echo ${self.node}.ethaddr"), hardware)

    def test_netmask(self):
        """What is outside of the netmask cannot be reached without a router; wrong addresses are refused."""
        self.play()
        self.shell(f"{self.node}.mode=static; {self.node}.ipaddr={OWN}; {self.node}.netmask=255.255.255.248")
        self.shell(f"ifup {self.node}", seconds=60)
        self.assertNotEqual(self.attempt(f"ping {station.ADDRESS}", seconds=60).status, 0)
        self.shell(f"{self.node}.netmask=255.255.255.192; ping {station.ADDRESS}", seconds=60)
        for name in ("ipaddr", "netmask", "gateway"):
            before = self.answer(f"echo ${self.node}.{name}")
            for wrong in ("10.9.0", "10.9.0.256", "10.9.0.x"):
                self.assertNotEqual(self.attempt(f"{self.node}.{name}={wrong}").status, 0, f"{name}={wrong}")
                self.assertEqual(self.answer(f"echo ${self.node}.{name}"), before)

    def test_lost_question(self):
        """Where the question for a host's hardware address is lost, it is asked again."""
        server = self.play(loses=lambda number: number == 1)
        self.shell(f"{self.node}.mode=static; {self.node}.ipaddr={OWN}; {self.node}.netmask=255.255.255.0")
        self.shell(f"ifup {self.node}; ping {station.ADDRESS}", seconds=60)
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
        self.assertEqual(self.answer("host otter.river.test found; echo $found", seconds=60), "192.0.2.9")
        result = self.attempt("host beaver.river.test", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn("unknown host", "\n".join(result.lines))

    def test_no_server(self):
        """Without a name server a name is not resolved, which is said, and an address still is."""
        self.serve()
        self.shell("global.net.nameserver=0.0.0.0")
        result = self.attempt("host otter.river.test", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn("no nameserver", "\n".join(result.lines))
        self.assertEqual(self.answer("host 192.0.2.55"), "192.0.2.55 is at 192.0.2.55")

    def test_several_addresses(self):
        """Of several addresses the first is taken, also where names in the answer are written out in full."""

        def strays(answer):
            if DNS in answer:
                name = bytes(answer[DNS].an[0].rrname)
                full = b"".join(bytes([len(x)]) + x for x in name.rstrip(b".").split(b".")) + b"\0"
                record = full + b"\0\1\0\1\0\0\0\1\0\4"
                head = bytes(answer[DNS])[:6] + b"\0\2\0\0\0\0" + full + b"\0\1\0\1"
                payload = head + record + bytes([192, 0, 2, 44]) + record + bytes([192, 0, 2, 45])
                yield station.with_payload(answer, payload)
                answer[DNS].id ^= 1  # so that the usual answer is not taken, should it come at the same time

        names = {"otter.river.test": "192.0.2.9"}
        self.serve(options=(("name_server", station.ADDRESS),), names=names, strays=strays)
        self.assertEqual(self.answer("host otter.river.test", seconds=60), "otter.river.test is at 192.0.2.44")

    def test_lost_question(self):
        """Where the question for a name is lost, it is asked again, in the same words."""
        self.serve(options=(("name_server", station.ADDRESS),))
        self.peer.__exit__()
        names = {"otter.river.test": "192.0.2.9"}
        server = self.play(names=names, loses=lambda number: number == 3)  # behind the question for its address
        self.assertIn("otter.river.test is at 192.0.2.9", "\n".join(self.shell("host otter.river.test", seconds=60)))
        self.assertEqual(len([x for x in server.frames if DNS in x and x[UDP].dport == station.DNS_PORT]), 1)

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

    def mount(self, options="", services=None, **behaviour):
        """The share, mounted."""
        server = self.serve(services=services or nfs.Export("/export", self.tree).services, **behaviour)
        self.addCleanup(self.attempt, "umount /nfs", seconds=60)
        self.shell(f"mkdir -p /nfs; mount -t nfs {options} {station.ADDRESS}:/export /nfs", seconds=60)
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

    def test_attributes(self):
        """A server that tells attributes wherever it may, and few bytes at once, has the same files."""
        self.mount(services=nfs.Export("/export", self.tree, tells=True, piece=700).services)
        for name in ("size1025", "size30001"):
            found = self.answer(f"sha256sum /nfs/{name}", seconds=90).split()[0]
            self.assertEqual(found, self.hash(self.files[name]), name)
        self.assertEqual(self.shell("cat /nfs/sub/deep/otter /nfs/sub/link"), ["swims", "swims"])
        self.assertEqual(len(" ".join(self.shell("ls /nfs/many", seconds=60)).split()), 90)
        self.assertNotEqual(self.attempt("cat /nfs/sub/nothing").status, 0)

    def test_ports(self):
        """A share whose ports the user tells is mounted without a port mapper, and Linux is told of them as well."""
        ports = {nfs.NFS: 2050, nfs.MOUNT: 20050}
        server = self.mount("-o port=2050,mountport=20050", nfs.Export("/export", self.tree, ports=ports).services)
        self.assertEqual(self.answer("cat /nfs/sub/deep/otter"), "swims")
        self.assertEqual({x[UDP].dport for x in server.frames if UDP in x and BOOTP not in x}, set(ports.values()))

    def spoiled(self, procedure, spoil):
        """The services, where the replies to calls of a procedure of NFS are spoiled."""
        good = nfs.Export("/export", self.tree).services

        def answer(call):
            program, _, called = struct.unpack(">3I", call[12:24])
            for reply in good[nfs.PORTS[nfs.NFS]](call):
                yield spoil(reply) if (program, called) == (nfs.NFS, procedure) else reply

        return {**good, nfs.PORTS[nfs.NFS]: answer}

    def check_fails(self, procedure, spoil, command, words=""):
        """A command fails where replies are spoiled so."""
        self.mount(services=self.spoiled(procedure, spoil))
        result = self.attempt(command, seconds=60)
        self.assertNotEqual(result.status, 0, str(result))
        self.assertIn(words, "\n".join(result.lines))
        self.shell("umount /nfs; rm -f /copy", seconds=60)
        self.peer.__exit__()

    def test_failures(self):
        """What the server cannot do is an error at once, by status and in words: of a file, a link or a name."""
        words = {1: "Operation not permitted", 5: "I/O error", 13: "Permission denied", 70: ""}
        for procedure, command in (
            (nfs.READ, "cp /nfs/size1025 /copy"),
            (nfs.READLINK, "cat /nfs/sub/link"),
            (nfs.LOOKUP, "cat /nfs/size1"),
        ):
            for status in words if procedure == nfs.READ else (13,):
                spoil = lambda reply, status=status: reply[:24] + struct.pack(">I", status) + reply[28:]  # noqa: E731
                self.check_fails(procedure, spoil, command, words[status] if procedure == nfs.READ else "")

    def test_no_call(self):
        """A call that the server denies, or has no program or procedure for, or finds garbage, is an error at once."""
        for place, word in ((8, 1), (20, 1), (20, 2), (20, 3), (20, 4)):
            spoil = lambda reply, p=place, w=word: reply[:p] + struct.pack(">I", w) + reply[p + 4 :]  # noqa: E731
            self.check_fails(nfs.READ, spoil, "cp /nfs/size1025 /copy")

    def test_cut_short(self):
        """A reply that ends before what it announces is an error."""
        self.check_fails(nfs.READ, lambda reply: reply[:-100], "cp /nfs/size1025 /copy")

    def test_refused(self):
        """What is not exported cannot be mounted, and the shell goes on."""
        self.serve(services=nfs.Export("/export", self.tree).services)
        result = self.attempt(f"mkdir -p /other; mount -t nfs {station.ADDRESS}:/other /other", seconds=60)
        self.assertNotEqual(result.status, 0, str(result))


class AutomountTest(PeerCase):
    """Folders of the default environment that are mounted by a look: no command configures the network before."""

    needs = ("CMD_AUTOMOUNT", "NET_CMD_IFUP")

    def play_down(self, folder, **behaviour):
        """A server, while no interface is up."""
        self.shell("ifdown -a; global.net.server=")
        if folder not in " ".join(self.shell("automount -l")).split():
            self.skipTest(f"the environment has no {folder}")
        server = self.play(**behaviour)
        self.addCleanup(self.attempt, f"umount {folder}; global.net.server=", seconds=60)
        return server

    def test_tftp(self):
        """A file below /mnt/tftp is asked for from the server that DHCP names."""
        self.need("FS_TFTP")
        server = self.play_down("/mnt/tftp", files={"some/file": b"otter\n"})
        self.assertIn("otter", self.shell("cat /mnt/tftp/some/file", seconds=90))
        self.assertIn("some/file", server.requests)
        self.shell("umount /mnt/tftp")
        self.assertIn("otter", self.shell("cat /mnt/tftp/some/file", seconds=90))
        self.assertEqual(len(server.dhcp), 2, "the interface was up already")

    def test_nfs(self):
        """A file below /mnt/nfs is that of the user's folder for this machine."""
        self.need("FS_NFS")
        for name, value in (("user", "heron"), ("hostname", "otter")):
            self.addCleanup(self.attempt, f"global.{name}={self.answer(f'echo $global.{name}')}")
            self.shell(f"global.{name}={value}")
        path = "/home/heron/nfsroot/otter"
        self.play_down("/mnt/nfs", services=nfs.Export(path, {"deep/file": b"swims\n"}).services)
        self.assertIn("swims", self.shell("cat /mnt/nfs/deep/file", seconds=90))


class RouteTest(PeerCase):
    needs = ("CMD_IP_ROUTE_GET",)

    def test_found(self):
        """ip_route_get tells by which device, and by way of which router, a host is reached, and what Linux is told."""
        self.serve(options=(("router", station.ADDRESS),))
        self.assertEqual(self.answer("ip_route_get 10.9.0.77"), f"10.9.0.77 dev {self.node}")
        self.assertEqual(self.answer("ip_route_get 192.0.2.1"), f"192.0.2.1 via {station.ADDRESS} dev {self.node}")
        self.assertEqual(self.answer("ip_route_get 10.9.0.77 found; echo $found"), self.node)
        self.shell(f"ifup -f {self.node}", seconds=60)
        told = self.answer(f"echo ${self.node}.linux.bootargs")
        self.assertEqual(self.answer("ip_route_get -b 10.9.0.77 found; echo $found"), told)
        self.assertEqual(self.answer("ip_route_get -b 10.9.0.77"), told)

    def test_none(self):
        """Without a router a host of another network is not reached, and nobody is while all devices are down."""
        self.serve()
        self.assertNotEqual(self.attempt("ip_route_get 192.0.2.1").status, 0)
        self.shell("ifdown -a")
        self.assertNotEqual(self.attempt("ip_route_get 10.9.0.77").status, 0)


class NetConsoleTest(PeerCase, KeyboardCase):
    needs = ("NET_NETCONSOLE",)

    def setUp(self):
        super().setUp()
        self.heard = bytearray()
        self.server = self.serve(services={CONSOLE_PORT: self._hear})
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

    def test_not_told(self):
        """Without a port, or without an address, the console is not opened, and nothing is sent."""
        for ip, port in (("0.0.0.0", CONSOLE_PORT), (station.ADDRESS, 0)):
            self.shell(f"netconsole.ip={ip}; netconsole.port={port}")
            self.attempt("netconsole.active=oe")
            self.shell("echo otters swim")
            self.assertEqual(self.answer("netconsole.active=; echo [$netconsole.active]"), "[]")
        self.assertEqual([x for x in self.server.frames if UDP in x and BOOTP not in x], [])

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


class InterruptTest(PeerCase, KeyboardCase):
    """Ctrl-C while a server does not answer."""

    def check(self, command, sign=""):
        """The command ends before its time, says by its status that it is not done, and the shell goes on as ever."""
        text = self.interrupt(f'{command}; echo st""atus $?', sign)
        self.assertRegex(text, r"(?m)^status [1-9]", command)
        self.assertNotIn("timed out", text)
        self.assertEqual(self.answer("echo alive"), "alive", command)

    def test_download(self):
        """A download by TFTP ends, and the next one is whole."""
        self.need("CMD_TFTP", "tftp")
        self.serve(files={"file": bytes(100_000)}, stops=3)
        self.check("tftp file /download", r"\[")
        self.peer.__exit__()
        content = random.randbytes(3000)
        self.play(files={"file": content})
        self.check_download("file", content)

    def test_name(self):
        """The search for a host's name ends."""
        self.need("CMD_HOST")
        seen, silent = [], []

        def loses(number):
            seen.append(number)
            return bool(silent) and number > silent[0] + 2  # behind the question for the server's address

        self.serve(options=(("name_server", station.ADDRESS),), loses=loses)
        silent.append(seen[-1])
        self.check("host otter.river.test", "T ")
