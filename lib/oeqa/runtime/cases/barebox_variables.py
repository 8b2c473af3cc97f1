# SPDX-License-Identifier: MIT
"""Variables of barebox and of its devices take values of their kinds, and keep what they had where one is refused."""

import re

from oeqa.barebox import case


class VariablesCase(case.BootloaderTestCase):
    def value(self, name):
        return self.answer(f'echo "[${{{name}}}]"')[1:-1]

    def restored(self, name):
        """The variable's name; its value is as it was once the case is over."""
        self.addCleanup(self.attempt, f"{name}='{self.value(name)}'")
        return name

    def takes(self, name, values):
        """The variable takes each value, and has another one, or the same, afterwards."""
        for value, expected in values.items():
            self.shell(f"{name}='{value}'")
            self.assertEqual(self.value(name).rstrip(), expected, f"{name}={value}")

    def refuses(self, name, *values):
        """The variable keeps its value where another one is no good."""
        before = self.value(name)
        for value in values:
            result = self.attempt(f"{name}='{value}'")
            self.assertNotEqual(result.status, 0, str(result))
            self.assertEqual(self.value(name), before, f"{name}={value}")


class GlobalTest(VariablesCase):
    def test_switch(self):
        """A switch is on and off by each of the words for it."""
        self.need("CMD_BOOTM", "bootm")
        name = self.restored("global.bootm.appendroot")
        self.takes(name, {"1": "1", "0": "0", "true": "1", "false": "0", "TRUE": "1", "False": "0"})

    def test_numbers(self):
        """A number is written with any of C's bases, and with a sign where it may have one."""
        self.need("CMD_BOOTM", "bootm")
        self.takes(self.restored("global.bootm.verbose"), {"17": "17", "0x10": "16", "010": "8", "0": "0"})
        self.takes(self.restored("global.linux.rootwait"), {"-5": "-5", "7": "7", "-0x10": "-16"})

    def test_address(self):
        """An address has four numbers of a byte each; anything else is refused."""
        self.need("NET", "dhcp")
        name = self.restored("global.net.nameserver")
        self.takes(name, {"10.9.0.1": "10.9.0.1", "255.0.255.0": "255.0.255.0"})
        self.refuses(name, "10.9.0", "10.9.0.256", "otter", "10..0.1", "")

    def test_choice(self):
        """A choice takes its words, by their numbers too, and no other."""
        name = self.restored("global.autoboot")
        self.takes(name, {"abort": "abort", "menu": "menu", "countdown": "countdown", "1": "abort"})
        self.refuses(name, "otter", "abor", "aborted", "5", "-1", "")
        self.assertIn('(values: "countdown", "abort", ', "".join(x for x in self.shell("global") if "autoboot:" in x))

    def test_list(self):
        """A list takes some of its words, and none beside them."""
        self.need("BOOTCHOOSER")
        name = self.restored("global.bootchooser.reset_attempts")
        self.takes(name, {"all-zero": "all-zero", "power-on all-zero": "power-on all-zero", "": ""})
        self.takes(name, {"all-zero power-on": "power-on all-zero", " all-zero  ": "all-zero"})
        self.refuses(name, "otter", "all-zero otter", "all-zer")

    def test_files(self):
        """A list of files has a name and flags for each; one that is not whole is refused."""
        self.need("SYSTEM_PARTITIONS")
        name = self.restored("global.system.partitions")
        self.takes(name, {"/dev/zero(otter)c": "/dev/zero(otter)c", "/a(b),/c(d)so": "/a(b),/c(d)so", "": ""})
        self.shell(f"{name}='/a(b)'")
        self.refuses(name, "/dev/zero", "/dev/zero(otter", "/dev/zero(otter)!")

    def test_uuid(self):
        """What is no UUID is refused."""
        name = self.restored("global.product.uuid")
        uuid = "01234567-89ab-CDEF-8123-456789abcdef"
        self.refuses(name, "otter", uuid[1:], uuid.replace("-", "0"), uuid.replace("a", "x"), "")

    def test_plain(self):
        """A variable of one's own takes any text, also after it was made again, and is gone once it is removed."""
        self.shell("global otter=swims; global otter")
        self.assertEqual(self.value("global.otter"), "swims")
        self.takes("global.otter", {"a  b": "a  b", "": "", "x" * 300: "x" * 300})
        self.shell("global -r otter")
        self.assertNotEqual(self.attempt("global.otter=x").status, 0)
        self.assertEqual(self.value("global.otter"), "")
        self.assertNotIn("otter", "\n".join(self.shell("global")))


class DeviceTest(VariablesCase):
    def test_network(self):
        """A network device's addresses, mode and hardware address are refused where they are none."""
        node = self.board.node(self.devices("net")[0])
        for name in ("ipaddr", "netmask", "gateway"):
            self.takes(self.restored(f"{node}.{name}"), {"10.9.0.7": "10.9.0.7", "0.0.0.0": "0.0.0.0"})
            self.refuses(f"{node}.{name}", "10.9.0", "otter")
        self.takes(self.restored(f"{node}.mode"), {"static": "static", "disabled": "disabled", "dhcp": "dhcp"})
        self.refuses(f"{node}.mode", "otter", "stat")
        self.refuses(f"{node}.ethaddr", "otter", "52:54:00:12:34")

    def test_missing(self):
        """A device that there is not, and a parameter that a device has not, take no value."""
        node = self.board.node(self.devices("net")[0])
        for name in ("otter0.ipaddr", f"{node}.otter"):
            result = self.attempt(f"{name}=x")
            self.assertNotEqual(result.status, 0, str(result))
            self.assertEqual(self.value(name), "", name)

    def test_fixed(self):
        """A parameter that tells of a device cannot be changed."""
        self.need("CMD_DEVLOOKUP", "devlookup")
        self.need("CMD_DEVINFO", "devinfo")
        owner = self.answer(f"devlookup {self.board.node(self.devices('block')[0])}")
        names = re.findall(r"(?m)^  (vendor|device|features|status): ", "\n".join(self.shell(f"devinfo {owner}")))
        if not names:
            self.skipTest(f"{owner} has no such parameter")
        for name in names:
            self.refuses(f"{owner}.{name}", "0", "7")

    def test_told(self):
        """devinfo tells each parameter with its value and kind, and drivers, buses and what there is not."""
        self.need("CMD_DEVINFO", "devinfo")
        node = self.board.node(self.devices("net")[0])
        text = "\n".join(self.shell(f"devinfo {node}"))
        self.assertIn(f"  ethaddr: {self.value(f'{node}.ethaddr')} (type: MAC)", text)
        self.assertIn(f"  ipaddr: {self.value(f'{node}.ipaddr')} (type: ipv4)", text)
        self.assertRegex(text, r'mode: \w+ \(type: enum\) \(values: "dhcp", "static", "disabled"\)')
        self.assertNotEqual(self.attempt("devinfo otter0").status, 0)


class PrintenvTest(VariablesCase):
    needs = ("CMD_PRINTENV", "CMD_EXPORT")

    def test_listed(self):
        """printenv lists exported variables under their own head, and in a script those of its caller too."""
        self.addCleanup(self.attempt, "rm /own-script; setenv unseen; setenv shown")
        self.shell(
            "unseen=hidden; export shown=river; "
            "echo -o /own-script '#!/bin/sh'; echo -a /own-script 'export own=1; printenv'"
        )
        for command, more in (("printenv", []), ("/own-script", ["own=1"])):
            lines = self.shell(command)
            place = lines.index("globals:")
            self.assertLess(lines.index("locals:"), place, command)
            for expected in ("shown=river", "PATH=/env/bin", *more):
                self.assertIn(expected, lines[place:], command)
            self.assertNotIn("unseen=hidden", lines[place:], command)

    def test_export(self):
        """export takes several variables, with values or those that they have."""
        self.addCleanup(self.attempt, "rm /own-script; setenv a; setenv b; setenv c")
        self.shell("echo -o /own-script 'echo $a $b $c'; a=1; b=2; c=; export a b=3 c=4")
        self.assertEqual(self.shell("sh /own-script"), ["1 3 4"])
        self.assertNotEqual(self.attempt("export").status, 0)

    def test_setenv(self):
        """setenv takes a variable's value in one word or in two, and takes it away where there is none."""
        self.need("CMD_SETENV", "setenv")
        self.shell("setenv otter=swims; setenv heron 'flies high'")
        self.assertEqual([self.value("otter"), self.value("heron")], ["swims", "flies high"])
        self.shell("setenv otter=; setenv heron")
        self.assertEqual([self.value("otter"), self.value("heron")], ["", ""])
        self.assertNotEqual(self.attempt("setenv").status, 0)


class MagicTest(VariablesCase):
    needs = ("CMD_MAGICVAR",)

    def test_listed(self):
        """magicvar explains variables, with -v along with their values."""
        self.assertTrue([x for x in self.shell("magicvar") if re.match(r"PATH +colon separated", x)])
        lines = self.shell("magicvar -v")
        for name in ("global.version", "PATH"):
            place = next(n for n, line in enumerate(lines) if line.split()[:1] == [name])
            self.assertEqual(lines[place + 1].strip(), self.value(name), name)
