# SPDX-License-Identifier: MIT
"""The third circle: real BitBake and oe-core build real barebox, and do_testimage tests it. What they build from is
given by environment variables, see bitbake_build.py; without them these tests are skipped by name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

import bitbake_build
from barebox_virt import describe, sources
from bitbake_build import Build, Place
from conftest import LAYER

pytestmark = pytest.mark.timeout(3600)
MACHINES = [path.stem for path in describe.sources(LAYER)]
QUICK = "qemuriscv64-barebox"  # the one that is built soonest
SHORT = 'TEST_SUITES = "barebox_shell"'
GOOD = {"PASSED", "SKIPPED", "EXPECTEDFAIL"}


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    try:
        yield from bitbake_build.find_place()
    except bitbake_build.Absent as absent:
        bitbake_build.skip(absent)


@pytest.fixture(scope="module")
def build(place: Place) -> Build:
    return Build(place, "host-toolchain")


@pytest.fixture(scope="module")
def foreign(place: Place) -> Build:
    return Build(place, "foreign", bitbake_build.layer(place, "meta-otter"))


# From source to verdict


@pytest.mark.parametrize("machine", MACHINES)
def test_machine_from_source_to_verdict(build: Build, machine: str) -> None:
    done = build.testimage(machine)
    assert done.status == 0, done.end
    assert {case["status"] for case in done.result.values()} <= GOOD
    assert len(done.of("PASSED")) > 30
    c = done.configuration
    assert (c["MACHINE"], c["TEST_TYPE"], c["BOOTLOADER"]) == (machine, "runtime", "barebox")
    assert (c["BOOTLOADER_VERSION"], c["BOOTLOADER_COMMIT"]) == (
        sources.release().version,
        f"v{sources.release().version}",
    )
    assert c["ACCELERATOR"] == "kvm" or c["ACCELERATOR_REASON"].startswith("no kvm: ")
    assert re.fullmatch(r"\d+\.\d+\.\d+", c["QEMU_VERSION"])
    assert c["BOOT_SECONDS"] > 0
    for case, reason in done.of("SKIPPED").items():
        assert f"skipped: {case}: {reason}" in done.output
    _wait_for_nothing(build)


def test_results_are_read_by_resulttool(build: Build) -> None:
    done = build.testimage(QUICK, SHORT)
    folder = build.folder / "results"
    report = build.must("resulttool", "report", str(folder))
    assert re.search(rf"barebox-\w+_{QUICK}_\d+ *\| *{len(done.of('PASSED'))} \(.*\| *0 \(0%\)", report), report
    build.must("resulttool", "junit", str(folder / "testresults.json"), "-j", str(folder / "junit.xml"))
    names = {case.get("name") for case in ElementTree.parse(folder / "junit.xml").iter("testcase")}
    assert names == set(done.result)


def test_second_run_builds_nothing(build: Build) -> None:
    build.testimage(QUICK, SHORT)
    done = build.testimage(QUICK, SHORT)
    match = re.search(r"Attempted (\d+) tasks of which (\d+) didn't need to be rerun", done.output)
    assert match is not None, done.end
    assert int(match[1]) - int(match[2]) == 1, "only do_testimage runs each time"


def test_whole_recipe_ends_at_deploy(build: Build) -> None:
    build.configure("")
    done = build.must("bitbake", "barebox", MACHINE=QUICK)
    tasks = re.findall(r"barebox_\S+:do_(\w+)\)", done)
    assert tasks[-1] == "build", done
    assert not {"install", "populate_sysroot", "package"} & set(tasks)


def test_two_builds_one_image(place: Place, build: Build) -> None:
    """In two folders, one after the other, with nothing shared, so that neither paths nor times are in the image."""
    digests = []
    for made in (build, Build(place, "again")):
        made.configure("")
        made.must("bitbake", "barebox", "-c", "cleansstate", MACHINE=QUICK)
        made.must("bitbake", "barebox", MACHINE=QUICK)
        image = made.folder / f"tmp/deploy/images/{QUICK}/barebox-dt-2nd.img"
        digests.append(hashlib.sha256(image.read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_work_directory_may_go(build: Build) -> None:
    build.testimage(QUICK, SHORT)
    build.configure('INHERIT += "rm_work"')
    build.must("bitbake", "barebox", "-c", "rm_work", MACHINE=QUICK)
    done = build.testimage(QUICK, SHORT + '\nINHERIT += "rm_work"')
    assert done.status == 0, done.end
    assert "do_compile: Started" not in done.output, "it was built again"


def test_two_machines_at_once(build: Build) -> None:
    machines = {"riscv": "qemuriscv64-barebox", "x86": "qemux86-64-barebox"}
    (build.folder / "conf/multiconfig").mkdir(exist_ok=True)
    for name, machine in machines.items():
        (build.folder / f"conf/multiconfig/{name}.conf").write_text(f'MACHINE = "{machine}"\n', encoding="utf-8")
    recipes = [f"mc:{name}:barebox" for name in machines]
    done = build.testimage(QUICK, f'{SHORT}\nBBMULTICONFIG = "{" ".join(machines)}"', *recipes)
    assert done.status == 0, done.end
    results = build.results()
    assert set(results) == set(machines.values())
    for entry in results.values():
        assert {case["status"] for case in entry["result"].values()} <= GOOD


def test_upstream_state_shows_known_issues(build: Build) -> None:
    machine = "qemux86-64-barebox"
    done = build.testimage(machine, 'BAREBOX_VIRT_PATCHES = "0"')
    assert done.status == 0, done.end
    issues = json.loads((LAYER / "conf/known-issues.json").read_text(encoding="utf-8"))["issues"]
    mended = [i for i in issues if {machine, "*"} & set(i["machines"]) and i.get("patch") and not i.get("accelerators")]
    assert mended, "no patch is for this machine"
    for issue in mended:
        for pattern in issue["cases"]:
            module, _, rest = pattern.partition(".")
            cases = [c for c in done.result if re.fullmatch(f"{module}\\.{rest.replace('*', '.*')}", c)]
            assert cases, pattern
            assert set(cases) <= set(done.of("EXPECTEDFAIL", "SKIPPED")), issue["id"]
    for case, log in done.of("EXPECTEDFAIL").items():
        issue_id = re.search(r"known issue (\S+):", log)[1]  # type: ignore[index]
        assert f"known issue {issue_id}: {case}: " in done.output
    assert done.configuration["BOOTLOADER_PATCHES"] == []


def test_broken_driver_is_red_and_explained(place: Place) -> None:
    build = Build(place, "broken", bitbake_build.layer(place, "meta-broken"))
    done = build.testimage(QUICK, 'TEST_SUITES = "barebox_boot barebox_virtio"')
    assert done.status == 1
    assert set(done.of("FAILED", "ERROR")) == {
        f"barebox_virtio.BlockTest.test_{t}" for t in ("read", "write", "persists")
    }
    log = done.of("FAILED")["barebox_virtio.BlockTest.test_read"]
    assert "disk0 (virtio-blk-device): " in log
    assert "guest and host differ" in log
    assert "FAILED: barebox_virtio.BlockTest.test_read: A whole disk reads as the host has it." in done.output
    assert re.search(
        rf"ERROR: barebox\S* do_testimage: barebox \S+ on {QUICK}, QEMU .*: 3 of \d+ cases failed", done.output
    )
    check_evidence(build, log)


def check_evidence(build: Build, log: str) -> None:
    """The failure names a folder in the results', and what is in there runs that case again, and no other."""
    match = re.search(r"(?m)^evidence: (.*)$", log)
    assert match, log
    folder = Path(match[1])
    assert build.folder / "results" in folder.parents
    assert {"transcript.txt", "registers.txt", "devinfo.txt", "disks.txt", "replay"} <= {
        p.name for p in folder.iterdir()
    }
    build.configure("")
    again = build.run(str(folder / "replay"))
    assert again.returncode == 1, again.stdout
    assert "1 of 1 cases failed" in again.stdout


# A layer of somebody else's


def test_foreign_machine_and_cases(foreign: Build) -> None:
    done = foreign.testimage("otter")
    assert done.status == 0, done.end
    assert "otter_pond.PondTest.test_deep" in done.of("PASSED")
    known = {"otter_pond.PondTest.test_frozen", "barebox_shell.ShellTest.test_quotes_in_values"}
    assert set(done.of("EXPECTEDFAIL")) == known
    assert "known issue pond-does-not-freeze: otter_pond.PondTest.test_frozen: The pond does not freeze" in done.output
    assert done.configuration["RECIPE"] == f"barebox_{sources.release().version}.bb"


def test_foreign_recipe_outside_of_the_family(foreign: Build) -> None:
    done = foreign.testimage("beaver")
    assert done.status == 0, done.end
    assert done.configuration["RECIPE"] == f"barebox_{sources.release().version}+beaver.bb"
    assert {name for name in done.result if name.startswith("otter")} == {"otter_pond.PondTest.test_deep"}
    assert "FileTest" in " ".join(done.of("PASSED"))


# What goes wrong


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('BAREBOX_ACCEL = "kvm"', "KVM was asked for and cannot be had: the host is"),
        ('BAREBOX_ACCEL = "hvf"', "unknown accelerator 'hvf'; allowed: auto, kvm"),
        ('TEST_SUITES = "barebox_boot barebox_bot"', "TEST_SUITES names no module in "),
        ('TEST_SUITES = "barebox_boot.NoSuchTest"', "TEST_SUITES names no case: barebox_boot.NoSuchTest"),
        ('TEST_LOG_DIR = "/dev/null/logs"', "Name a folder that can be written"),
    ],
)
def test_bad_settings_are_named(build: Build, settings: str, words: str) -> None:
    if "kvm" in settings and os.uname().machine == "riscv64":
        pytest.skip("this host may have KVM for riscv64")
    done = build.testimage(QUICK, settings)
    assert done.status == 1
    assert words in done.output
    assert "Traceback" not in done.output, done.end


def test_missing_python_package_is_named(build: Build) -> None:
    build.configure("")
    system = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    if build.place.run("python3", "-c", "import qemu.qmp, pexpect", PATH=system).returncode == 0:
        pytest.skip("this host's own Python has qemu.qmp and pexpect")
    done = build.run("bitbake", "barebox", "-c", "testimage", MACHINE=QUICK, PATH=system)
    assert done.returncode == 1
    assert re.search(r"pip install -r \S+/lib/oeqa/barebox/requirements.txt", done.stdout), done.stdout


def test_missing_program_is_named_with_its_package(build: Build) -> None:
    programs = build.place.folder / "without-lzop"
    programs.mkdir(exist_ok=True)
    for folder in ("/usr/sbin", "/usr/bin", "/usr/local/bin"):
        for program in Path(folder).iterdir():
            link = programs / program.name
            if program.name != "lzop" and not link.is_symlink():
                link.symlink_to(program)
    path = f"{build.place.folder}/venv/bin:{programs}"
    done = build.run("bitbake", "barebox", "-c", "testimage", MACHINE=QUICK, PATH=path)
    assert done.returncode == 1
    assert "this host lacks:\n  lzop (package lzop)" in done.stdout
    assert "Install them: sudo " in done.stdout
    assert "Traceback" not in done.stdout
    assert build.run("bitbake-config-build", "list-fragments", PATH=path).returncode == 0, "the fragment is in the way"


# How it ends


@contextlib.contextmanager
def _testing(build: Build) -> Iterator[subprocess.Popen[str]]:
    """BitBake in a testimage whose machine has been started. Nothing is left after the block, whatever it did."""
    build.configure('TEST_SUITES = "otter_slow"')
    command = build.place.command(*build.script("bitbake", "barebox", "-c", "testimage"))
    env = build.place.environment({"MACHINE": "otter"})
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(  # type: ignore[call-overload]
        command, env=env, start_new_session=True, preexec_fn=_heed_ctrl_c, **pipes
    )
    try:
        deadline = time.monotonic() + 600
        while not any("qmp,mode=control" in command for command in build.left().values()):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "no QEMU was started"
            time.sleep(0.1)
        yield process
        _wait_for_nothing(build)
    finally:
        for pid in build.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _heed_ctrl_c() -> None:
    """A shell's background jobs ignore Ctrl-C, and the tests may be one."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _wait_for_nothing(build: Build) -> None:
    deadline = time.monotonic() + 60
    while (left := build.left()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == {}


def _press_ctrl_c(process: subprocess.Popen[str]) -> None:
    """Until BitBake ends: when it is pressed once, BitBake waits for the task that runs."""
    for _ in range(30):
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3)
            return
    raise AssertionError("BitBake does not end")


def test_ctrl_c_leaves_nothing(foreign: Build) -> None:
    with _testing(foreign) as process:
        _press_ctrl_c(process)
        output, _ = process.communicate(timeout=10)
        assert process.returncode != 0
        assert "Traceback" not in output, output


def test_killed_worker_leaves_nothing(foreign: Build) -> None:
    with _testing(foreign) as process:
        for pid, command in foreign.left().items():  # the worker and the task, which is its child
            if "bitbake-worker" in command:
                os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=120)


# Without the fragment


def test_plan_without_the_fragment(place: Place) -> None:
    build = Build(place, "oe-toolchain", fragment=False)
    plan = build.must("bitbake", "-n", "barebox", MACHINE="qemuarm64-barebox")
    assert re.search(r"gcc-cross_\S+\.bb:do_compile\)", plan), "oe-core's own cross-compiler is not planned"
    build.must("bitbake", "-n", "core-image-minimal", MACHINE="qemuarm64-barebox")
