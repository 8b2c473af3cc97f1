# SPDX-License-Identifier: MIT
"""oeqa's testimage on a bootloader: BitBake's variables in, the library's target and oeqa's results out."""

import logging
import os
import shlex
import signal
import time
import unittest

import bb
from oeqa.core.target import OETarget
from oeqa.core.utils.test import getSuiteCases
from oeqa.runtime.context import OERuntimeTestContext, OERuntimeTestContextExecutor
from oeqa.utils import get_json_result_dir, make_logger_bitbake_compatible
from oeqa.utils.metadata import get_layers

from oeqa.barebox import firmware, fit, known_issues, linux, qemu, results
from oeqa.barebox.errors import BareboxError, GuestError
from oeqa.barebox.nested import description as kvm_hosts
from oeqa.barebox.nested import image
from oeqa.barebox.nested.host import Host
from oeqa.barebox.target import Target

WORDS = ["--quiet", "slirp", "nonetwork", "nographic"]


class BareboxTarget(OETarget):
    """A bootloader's console in place of a Linux that is reached by ssh. Cases find the library's target in
    ``barebox``."""

    def __init__(self, logger, target_ip, server_ip, *, barebox=None, **kwargs):
        super().__init__(logger)
        self.barebox = barebox

    def start(self, *args, **kwargs):
        try:
            self.barebox.start()
        except GuestError as error:
            # As text: BitBake hands a log record to its user interface, which cannot unpickle this layer's classes.
            self.logger.error("The machine does not come to its prompt: %s", str(error))
        self.logger.info("Testing %s", results.title(self.barebox))

    def stop(self):
        self.barebox.stop()

    def run(self, cmd, timeout=None):
        result = self.barebox.run(cmd, timeout or 30)
        return result.status, "\n".join(result.lines)

    def copyTo(self, localSrc, remoteDst):
        raise NotImplementedError("a bootloader takes no files by ssh; cases use the machine's 9p, TFTP or disks")

    copyFrom = copyDirTo = copyDirFrom = copyTo


def runqemu(description, sysroot, binaries):
    """A start by runqemu: a function of accelerator and QEMU's further options, and the environment for it."""
    conf = str(description).replace(".barebox-test.json", ".qemuboot.conf")
    program = bb.utils.which(binaries, "runqemu")

    def launch(accelerator, extra):
        words = [*WORDS, "kvm"] if accelerator == "kvm" else WORDS
        # A second -serial keeps runqemu from adding one.
        return [program, conf, *words, "qemuparams=" + shlex.join([*extra, "-serial", "none"])]

    # runqemu calls tput at its end.
    return launch, {**os.environ, "TERM": "dumb", "PATH": binaries, "OECORE_NATIVE_SYSROOT": sysroot}


def kvm_host(d, machine, binaries, env, logger):
    """The KVM host for the accelerator nested; its image is built where it is missing. None for other accelerators."""
    if d.getVar("BAREBOX_ACCEL") != "nested":
        return None
    host = kvm_hosts.find(machine.arch, [firmware.Path(p) for p in d.getVar("BBPATH").split(":")])
    binary = bb.utils.which(binaries, host.qemu.binary) or host.qemu.binary
    program = qemu.find_for(host.qemu, "the KVM host %s" % host.name, firmware.Path(binary))
    if d.getVar("BAREBOX_KVM_HOST"):
        made = image.load(firmware.Path(d.getVar("BAREBOX_KVM_HOST")), host)
    else:
        told = {}

        def progress(what, percent):
            if told.setdefault(what, percent) == percent:
                logger.info("KVM host for %s: %s", host.name, what)

        made = image.Cache(image.cache_folder(), progress, binaries).get(host)
    return Host(host, made, program, env)


def fit_key(d):
    """The key that signs what the firmware trusts; None where the build has none."""
    path = d.getVar("BAREBOX_VIRT_FIT_KEY")
    if not path:
        return None
    return fit.key_folder(firmware.Path(path)) / os.path.basename(path)


def find_linux(d, machine):
    """The Linux that cases boot, out of the KVM host's image; None where there is none."""
    layers = [firmware.Path(p) for p in d.getVar("BBPATH").split(":")]
    if machine.arch not in kvm_hosts.names(layers):
        return None
    folder = d.getVar("BAREBOX_KVM_HOST")
    return linux.find(machine.arch, layers, firmware.Path(folder) if folder else None)


def make_target(d, logger):
    """The library's target for the deployed firmware."""
    name = "%s.barebox-test.json" % d.getVar("BAREBOX_TEST_NAME")
    description = os.path.join(d.getVar("DEPLOY_DIR_IMAGE"), name)
    machine, loaded = firmware.load_description(firmware.Path(description))
    sysroot = native_sysroot(d)
    binaries = ":".join([sysroot + "/usr/bin", d.getVar("PATH"), d.getVar("BB_ORIGENV").getVar("PATH") or ""])
    binary = bb.utils.which(binaries, machine.qemu.binary) or machine.qemu.binary
    os.environ["PATH"] = binaries  # cases look for what makes disks and file systems
    launch, env = runqemu(description, sysroot, binaries)
    paths = [os.path.join(p, "conf/known-issues.json") for p in d.getVar("BBPATH").split(":")]
    plugin = firmware.Path(d.getVar("BAREBOX_HAZARDS_PLUGIN"))
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return Target(
        machine,
        loaded,
        qemu.find(machine, firmware.Path(binary)),
        firmware.Path(d.getVar("TEST_LOG_DIR")) / stamp,
        d.getVar("BAREBOX_ACCEL"),
        launch=launch,
        known_issues=known_issues.load(firmware.Path(p) for p in paths if os.path.exists(p)),
        env=env,
        host=kvm_host(d, machine, binaries, env, logger),
        boot_seconds=float(d.getVar("BAREBOX_BOOT_SECONDS")),
        silence_seconds=float(d.getVar("BAREBOX_SILENCE_SECONDS")),
        slow=bb.utils.to_boolean(d.getVar("BAREBOX_TEST_SLOW")),
        hazards=plugin if plugin.exists() else None,
        linux=find_linux(d, machine),
        signing_key=fit_key(d),
        evidence_folder=firmware.Path(get_json_result_dir(d)) / "evidence" / stamp,
        replay=lambda case, seed: replay(d, case, loaded.image, seed),
    )


def replay(d, case, image, seed):
    """The command that runs one case again: the task, with one case to run. Below it, the way without BitBake."""
    settings = {"TEST_SUITES": case, "BAREBOX_TEST_SLOW": "1"}
    script = bb.utils.which(d.getVar("BBPATH"), "scripts/barebox-virt")
    other = [script, "test", d.getVar("MACHINE"), "--firmware", str(image), "--accel", d.getVar("BAREBOX_ACCEL")]
    return "\n".join(
        [
            "cd %s || exit" % shlex.quote(d.getVar("TOPDIR")),
            'command -v bitbake >/dev/null || { echo "set up the build environment first" >&2; exit 2; }',
            "conf=$(mktemp --suffix=.conf) && trap 'rm -f \"$conf\"' EXIT || exit",
            *('echo \'%s:forcevariable = "%s"\' >>"$conf"' % setting for setting in settings.items()),
            'MACHINE=%s bitbake -R "$conf" %s -c testimage' % (d.getVar("MACHINE"), d.getVar("PN")),
            "# The same firmware without BitBake:",
            "# %s" % shlex.join([*other, "--slow", "--case", case, "--seed", str(seed)]),
        ]
    )


def native_sysroot(d):
    """The sysroot with QEMU in it, which rm_work spares; an empty one where the host's QEMU is used."""
    base = os.path.join(d.getVar("BASE_WORKDIR"), d.getVar("BUILD_SYS"))
    helper = os.path.join(base, "qemu-helper-native/1.0/recipe-sysroot-native")
    if os.path.isdir(helper + "/usr/bin"):
        return helper
    empty = os.path.join(d.getVar("WORKDIR"), "testimage/sysroot")
    bb.utils.mkdirhier(empty + "/usr/bin")
    return empty


def load_cases(d, context):
    """Load TEST_SUITES into oeqa's context. Of other folders than those with its modules nothing is imported."""
    wanted = d.getVar("TEST_SUITES").split()
    folders = [os.path.join(layer, "lib/oeqa/runtime/cases") for layer in d.getVar("BBLAYERS").split()]
    found = {name: [f for f in folders if os.path.exists("%s/%s.py" % (f, name.split(".")[0]))] for name in wanted}
    missing = [name for name in wanted if not found[name]]
    if missing or not wanted:
        bb.fatal("TEST_SUITES names no module in %s: %s" % (" or ".join(folders), " ".join(missing) or "it is empty"))
    context.loadTests(sorted({f for name in wanted for f in found[name]}), modules=wanted)
    cases = getSuiteCases(context.suites)
    if not cases:
        bb.fatal("TEST_SUITES names no case: %s" % d.getVar("TEST_SUITES"))
    context.suites = unittest.TestSuite(results.arranged(cases))


def interrupt(signum, frame):
    raise KeyboardInterrupt


def testimage(d):
    """The task: run the cases, write testresults.json, fail where one failed."""
    logger = make_logger_bitbake_compatible(logging.getLogger("BitBake"))
    started = time.time()
    try:
        library = make_target(d, logger)
    except BareboxError as error:
        bb.fatal(str(error))
    target = OERuntimeTestContextExecutor.getTarget(d.getVar("TEST_TARGET"), logger, None, None, barebox=library)
    context = OERuntimeTestContext({name: d.getVar(name) for name in ("MACHINE", "PN", "PV")}, logger, target, {}, None)
    load_cases(d, context)
    outcome = run_cases(target, context)
    result_id, configuration = results.configuration(library, started)
    outcome.logDetails(get_json_result_dir(d), {**configuration, **of_build(d)}, result_id)
    outcome.logSummary(d.getVar("PN"))
    explain(logger, library, outcome)
    logger.info("Results: %s/%s, logs: %s", get_json_result_dir(d), results.FILE, library.logs)
    if not outcome.wasSuccessful():
        bb.fatal("%s: %d of %d cases failed" % (results.title(library), len(failed(outcome)), outcome.testsRun))


def run_cases(target, context):
    """Start the machine, run the cases, stop it; also when BitBake ends the task by SIGTERM."""
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        target.start()
        return context.runTests()
    except BareboxError as error:
        bb.fatal(str(error))
    except KeyboardInterrupt:
        bb.fatal("interrupted, there are no results")
    finally:
        signal.signal(signal.SIGTERM, before)
        target.stop()


def failed(outcome):
    """The cases that make the task fail, each with its log."""
    return [*outcome.failures, *outcome.errors]


def explain(logger, library, outcome):
    """What oeqa's summary leaves out: why a case was skipped, is known to fail, or failed."""
    for case, reason in outcome.skipped:
        logger.info("skipped: %s: %s", case.id(), reason)
    for case, _ in outcome.expectedFailures:
        issue = library.expected_failure(case.name)
        logger.info("known issue %s: %s: %s (%s)", issue.id, case.id(), issue.title, issue.link)
    for case, _ in failed(outcome):
        logger.info("FAILED: %s: %s", case.id(), case.shortDescription())


def of_build(d):
    """What oeqa's testimage tells of a build in a result's configuration."""
    return {
        "DISTRO": d.getVar("DISTRO"),
        "IMAGE_PKGTYPE": d.getVar("IMAGE_PKGTYPE") or "none",
        "TCLIBC": d.getVar("TCLIBC"),
        "LAYERS": get_layers(d.getVar("BBLAYERS")),
        "RECIPE": os.path.basename(d.getVar("FILE")),
    }
