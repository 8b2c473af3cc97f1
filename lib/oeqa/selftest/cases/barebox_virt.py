# SPDX-License-Identifier: MIT
"""oe-selftest of this layer: oe-selftest -r barebox_virt, in a build with the fragment barebox-virt/host-toolchain."""

import json
import os
import shutil

from oeqa.selftest.case import OESelftestTestCase
from oeqa.utils.commands import bitbake, get_bb_vars, runCmd

MACHINE = "qemuriscv64-barebox"
CASE = '''
from oeqa.barebox import case

class OtterTest(case.BootloaderTestCase):
    def test_known(self):
        """The shell says beaver for otter."""
        self.assertEqual(self.answer("echo otter"), "beaver")

    def test_gone(self):
        """The shell says otter."""
        self.assertEqual(self.answer("echo otter"), "otter")
'''
ISSUE = {
    "title": "Otters are no beavers",
    "bootloader": "barebox",
    "releases": {"first": "2020.01.0"},
    "machines": [MACHINE],
    "evidence": "They are not.",
    "link": "https://example.org",
}


class BareboxVirtTest(OESelftestTestCase):
    """do_deploy and do_testimage of barebox on one machine."""

    def configure(self, settings=""):
        self.results = os.path.join(self.builddir, "barebox-virt-results")
        shutil.rmtree(self.results, ignore_errors=True)
        self.write_config('MACHINE = "%s"\nOEQA_JSON_RESULT_DIR = "%s"\n%s' % (MACHINE, self.results, settings))

    def run_cases(self, settings=""):
        """BitBake's status and output, and the results by case."""
        self.configure(settings)
        done = bitbake("barebox -c testimage", ignore_status=True)
        path = os.path.join(self.results, "testresults.json")
        if not os.path.exists(path):
            return done, {}, {}
        with open(path) as f:
            (entry,) = json.load(f).values()
        return done, entry["result"], entry["configuration"]

    def deployed(self):
        """The folder of the firmware, and what describes it there to the tests."""
        self.configure()
        bitbake("barebox -c deploy")
        folder = get_bb_vars(["DEPLOY_DIR_IMAGE"], "barebox")["DEPLOY_DIR_IMAGE"]
        with open(os.path.join(folder, "barebox-%s.barebox-test.json" % MACHINE)) as f:
            return folder, json.load(f)

    def test_deploys_what_the_tests_read(self):
        """Image, ELF, configuration and runqemu's file lie beside their description."""
        folder, description = self.deployed()
        for key in ("image", "elf", "config", "qemuboot"):
            self.assertTrue(os.path.isfile(os.path.join(folder, description[key])), key)
        variables = get_bb_vars(["PV", "BAREBOX_PATCHES", "FILE"], "barebox")
        self.assertEqual(description["version"], variables["PV"])
        self.assertEqual(description["recipe"], os.path.basename(variables["FILE"]))
        patches = [url.partition("://")[2] for url in variables["BAREBOX_PATCHES"].split()]
        self.assertEqual(description["patches"], patches)

    def test_testimage_passes(self):
        """The machine's own cases pass, and the results tell what ran where."""
        done, cases, configuration = self.run_cases()
        self.assertEqual(done.status, 0, done.output)
        self.assertTrue(cases)
        self.assertLessEqual({c["status"] for c in cases.values()}, {"PASSED", "SKIPPED", "EXPECTEDFAIL"})
        for key in ("ACCELERATOR", "QEMU_VERSION", "BOOTLOADER_VERSION", "BOOTLOADER_COMMIT", "BOOT_SECONDS"):
            self.assertTrue(configuration[key], key)

    def test_firmware_that_does_not_start(self):
        """A firmware that stays silent fails every case and the task, and says so."""
        folder, description = self.deployed()
        image = os.path.join(folder, description["image"])
        with open(image, "rb") as f:
            content = f.read()
        self.addCleanup(self.deploy_again)
        os.unlink(image)  # a hard link into sstate's copy otherwise
        with open(image, "wb") as f:
            f.write(content[:64] + bytes(len(content) - 64))
        done, cases, _ = self.run_cases(
            'TEST_SUITES = "barebox_boot"\nBAREBOX_SILENCE_SECONDS = "3"\nBAREBOX_BOOT_SECONDS = "10"'
        )
        self.assertNotEqual(done.status, 0)
        self.assertEqual({c["status"] for c in cases.values()}, {"FAILED"})
        self.assertIn("The machine does not come to its prompt: silence for 3 s", done.output)

    def deploy_again(self):
        """Have the firmware as it was; by then, oe-selftest has taken the test's configuration away."""
        self.configure()
        bitbake("-C deploy barebox")

    def test_known_issues(self):
        """A known issue is an expected failure and is named; one that is gone is a failure."""
        layer = os.path.join(self.builddir, "meta-otter")
        self.create_layer(layer)
        done, cases, _ = self.run_cases('TEST_SUITES = "barebox_otter.OtterTest.test_known"')
        self.assertEqual(done.status, 0, done.output)
        self.assertEqual(cases["barebox_otter.OtterTest.test_known"]["status"], "EXPECTEDFAIL")
        self.assertIn("known issue otter: barebox_otter.OtterTest.test_known: Otters are no beavers", done.output)
        done, cases, _ = self.run_cases('TEST_SUITES = "barebox_otter.OtterTest.test_gone"')
        self.assertNotEqual(done.status, 0)
        self.assertIn("known issue beaver is gone here", cases["barebox_otter.OtterTest.test_gone"]["log"])

    def create_layer(self, layer):
        """A layer with two cases and a known issue for each."""
        self.configure()
        runCmd("bitbake-layers create-layer --layerid otter %s" % layer)
        self.addCleanup(shutil.rmtree, layer)  # the last one: the layer has to be there for it to be removed
        runCmd("bitbake-layers add-layer %s" % layer)
        self.addCleanup(runCmd, "bitbake-layers remove-layer %s" % layer)
        os.makedirs(os.path.join(layer, "lib/oeqa/runtime/cases"))
        with open(os.path.join(layer, "lib/oeqa/runtime/cases/barebox_otter.py"), "w") as f:
            f.write(CASE)
        issues = [
            {**ISSUE, "id": i, "cases": ["barebox_otter.*." + t]}
            for i, t in (("otter", "test_known"), ("beaver", "test_gone"))
        ]
        with open(os.path.join(layer, "conf/known-issues.json"), "w") as f:
            json.dump({"issues": issues}, f)

    def test_other_machines_are_left_alone(self):
        """On a machine of oe-core's, its barebox recipe is chosen, without a file or a task of this layer's."""
        self.write_config('MACHINE = "qemux86-64"\nPREFERRED_PROVIDER_virtual/bootloader = "barebox"')
        variables = get_bb_vars(["FILE", "SRC_URI", "BAREBOX_VIRT_FRAGMENTS", "do_testimage"], "barebox")
        self.assertTrue(variables["FILE"].endswith("/meta/recipes-bsp/barebox/barebox.bb"), variables["FILE"])
        self.assertNotIn(".cfg", variables["SRC_URI"])
        self.assertIsNone(variables["BAREBOX_VIRT_FRAGMENTS"])
        self.assertIsNone(variables["do_testimage"])
