# SPDX-License-Identifier: MIT
"""What was built is what was asked for: configuration, versions, and an image that fits where it goes."""

import re

from oeqa.barebox import case, firmware


class ConfigurationTest(case.BootloaderTestCase):
    def setUp(self):
        super().setUp()
        if self.board.firmware.options is None:
            self.skipTest("which options the build asked for is known of a build by BitBake alone")
        self.text = self.board.firmware.config.read_text(encoding="utf-8").splitlines()

    def test_fragments(self):
        """Every option of the fragments is in the configuration as they have it; Kconfig drops some silently."""
        off = {line for line in self.board.firmware.options if line.endswith(" is not set")}
        lost = [x for x in self.board.firmware.options if x not in off and x not in self.text]
        lost += [x for x in off if any(line.startswith(f"{x.split()[1]}=") for line in self.text)]
        self.assertEqual(lost, [])

    def test_devices(self):
        """Every device that the description has is configured, so that none of its cases is skipped."""
        devices = [d for d in self.board.machine.devices if self.bootloader in d.node]
        lacking = {d.id: sorted(set(d.config) - self.board.symbols) for d in devices}
        self.assertEqual({id: symbols for id, symbols in lacking.items() if symbols}, {})


class ImageTest(case.BootloaderTestCase):
    def test_architecture(self):
        """Image, ELF and first stage are for the machine's processor."""
        loaded = self.board.firmware
        files = [path for path in (loaded.image, loaded.elf, loaded.pbl) if path is not None]
        found = {path.name: firmware.architecture(path) for path in files}
        self.assertEqual(set(found.values()), {self.board.machine.arch}, found)

    def test_version(self):
        """The version that the build knows is in the ELF, on the console, and in an image that is not compressed."""
        loaded = self.board.firmware
        if loaded.elf is None:
            self.skipTest("no ELF at hand")
        version, build = firmware.banner(loaded.elf, "barebox")
        self.assertEqual(version, loaded.version)
        self.board.shell()
        self.assertEqual((self.board.boots[0].version, self.board.boots[0].build), (version, build))
        in_image = firmware.banner(loaded.image, "barebox")
        self.assertIn(in_image, ((version, build), ("", "")))

    def test_fits(self):
        """The image ends in its flash bank before barebox' environment, which is where the device tree says."""
        self.need("CMD_OF_DUMP", "of_dump")
        bank = self.board.machine.bootloader(self.bootloader).flash
        parts = [part for part in (bank.parts if bank else ()) if part.image]
        if not parts:
            self.skipTest("the description has no flash with an image in it")
        environment = re.search(r"device-path = .*/partition@(\w+)", "\n".join(self.shell("of_dump /chosen")))
        self.assertTrue(environment, "the device tree tells of no environment")
        for part in parts:
            path = self.board.firmware.image.with_name(part.image)
            if not path.is_file():
                self.skipTest(f"no {part.image} beside {self.board.firmware.image.name}")
            end = bank.index * bank.size + part.offset + path.stat().st_size
            self.assertLessEqual(end, int(environment[1], 16), part.image)
