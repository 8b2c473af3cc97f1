# SPDX-License-Identifier: MIT
"""barebox-virt test and run against a mock QEMU: every way in which input, QEMU, guest or user can go wrong."""

import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

LAYER = Path(__file__).resolve().parent.parent
MACHINE = "qemuarm64-barebox"
CASE = """
import random

from oeqa.barebox import case

class MockTest(case.BootloaderTestCase):
    def test_echo(self):
        self.assertEqual(self.answer("echo otter"), "otter")

    def test_status(self):
        self.shell("false", status=1)

class RandomTest(case.BootloaderTestCase):
    def test_random(self):
        self.shell(f"echo otter{random.getrandbits(64)}")

class WrongTest(case.BootloaderTestCase):
    def test_wrong(self):
        self.assertEqual(self.answer("echo otter"), "beaver")

class DeathTest(case.BootloaderTestCase):
    def test_1_die(self):
        self.shell("die")

    def test_2_after(self):
        self.shell("true")

    def test_3_panic(self):
        self.shell("panic")

    def test_4_hang(self):
        self.shell("hang")

    def test_5_after(self):
        self.assertEqual(self.answer("echo alive"), "alive")

    def test_6_reset(self):
        self.shell("reset")

class SlowTest(case.BootloaderTestCase):
    def test_slow(self):
        self.shell("hang", seconds=60)
"""


PATIENT = ("--silence-seconds", "60")  # so that a busy host does not end SlowTest before the test does


@pytest.fixture
def place():
    """A folder, with a blank in its short name, that has an image, a QEMU and a layer with a case."""
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        yield furnish(Path(top) / "a place")


def furnish(folder):
    (folder / "bin").mkdir(parents=True)
    program = folder / "bin/qemu-system-aarch64"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{LAYER}/tests/mock_qemu.py" "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    head = bytearray(4096)
    head[0x38:0x3C] = b"ARMd"
    (folder / "barebox.img").write_bytes(head)
    (folder / "layer/lib/oeqa/runtime/cases").mkdir(parents=True)
    (folder / "layer/lib/oeqa/runtime/cases/mock_cases.py").write_text(CASE)
    (folder / "tmp").mkdir()
    return folder


class Run:
    """The command line in ``place``."""

    def __init__(self, place):
        self.place = place
        self.env = {
            **os.environ,
            "PATH": f"{place}/bin:{os.environ['PATH']}",
            "TMPDIR": str(place / "tmp"),
        }

    def command(self, *arguments, case="mock_cases.MockTest"):
        options = ["--firmware", "barebox.img", "--layer", "layer", "--results", "results", "--case", case]
        quick = ["--boot-seconds", "5", "--silence-seconds", "1.5"]
        return [sys.executable, str(LAYER / "scripts/barebox-virt"), "test", MACHINE, *options, *quick, *arguments]

    def start(self, *arguments, scenario="well", case="mock_cases.MockTest", **options):
        env = {**self.env, "MOCK_QEMU": scenario, **options.pop("env", {})}
        command = self.command(*arguments, case=case)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.place, env=env, **pipes, **options)

    def __call__(self, *arguments, **options):
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=90)
        assert "Traceback" not in out + err, out + err
        self.leaves_nothing()
        return process.returncode, out, err

    def leaves_nothing(self):
        deadline = time.monotonic() + 10
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []

    def left(self):
        """Processes and temporary files of ours."""
        processes = subprocess.run(["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True).stdout.splitlines()
        ours = [x for x in processes if str(self.place) in x and "barebox-virt test" not in x]
        return ours + [str(p) for p in (self.place / "tmp").iterdir()]


@pytest.fixture
def run(place):
    return Run(place)


def results(place):
    (entry,) = json.loads((place / "results/testresults.json").read_text()).values()
    return entry


def test_seed_repeats_random_data(run, place):
    """What a case draws depends on the seed, which results tell, and not on the cases that ran before it."""
    said = []
    for options in (["--seed", "7"], ["--seed", "7", "--case", "mock_cases.MockTest"], ["--seed", "8"]):
        status, out, _ = run("--results", f"r{len(said)}", *options, case="mock_cases.RandomTest")
        assert status == 0, out
        logs = (place / f"r{len(said)}/logs").rglob("*.console.log")
        said.append(re.search(r"^otter\d+", "".join(log.read_text() for log in logs), re.M)[0])
    assert said[0] == said[1] != said[2]
    (entry,) = json.loads((place / "r2/testresults.json").read_text()).values()
    assert entry["configuration"]["RANDOM_SEED"] == 8


def test_passes(run, place):
    status, out, _ = run()
    assert status == 0, out
    entry = results(place)
    assert {v["status"] for v in entry["result"].values()} == {"PASSED"}
    assert entry["configuration"]["ACCELERATOR"] == "tcg"
    assert entry["configuration"]["QEMU_VERSION"] == "8.0.0"
    assert entry["configuration"]["BOOTLOADER_VERSION"] == "2026.06.1"
    assert entry["configuration"]["BOOT_SECONDS"] > 0


def test_failed_case_tells_what_was_sent_and_seen(run, place):
    status, out, _ = run(case="mock_cases.WrongTest")
    assert status == 1
    assert "'otter' != 'beaver'" in out
    assert results(place)["result"]["mock_cases.WrongTest.test_wrong"]["status"] == "FAILED"


def test_each_case_after_a_dead_guest_starts_anew(run, place):
    status, out, _ = run(case="mock_cases.DeathTest")
    assert status == 1
    verdicts = {k.rpartition("_")[2]: v for k, v in results(place)["result"].items()}
    assert {k: v["status"] for k, v in verdicts.items()} == {
        "die": "FAILED",
        "after": "PASSED",
        "panic": "FAILED",
        "hang": "FAILED",
        "reset": "FAILED",
    }
    assert "QEMU ended" in verdicts["die"]["log"]
    assert "PC is at otter+0x4" in verdicts["panic"]["log"]
    assert "silence for 1.5 s" in verdicts["hang"]["log"]
    for word in ("sent: hang", "log: ", "command: ", "accelerator: tcg"):
        assert word in verdicts["hang"]["log"]


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("silent", "silence for 1.5 s"),
        ("no_prompt", "did not come within 5 s"),
        ("noise", "MiB of output"),
        ("loop", "resets in a loop"),
        ("crash", "the guest panicked: PANIC: unable to handle NULL"),
        ("late_death", "mock: assertion failed"),
    ],
)
def test_guest_that_does_not_come_up(run, place, scenario, words):
    status, out, _ = run(scenario=scenario)
    assert status == 1
    assert words in out
    assert {v["status"] for v in results(place)["result"].values()} == {"FAILED"}


@pytest.mark.parametrize(
    ("scenario", "words"),
    [("old", "is release 5.1.0; qemuarm64-barebox needs 7.2"), ("early_death", "unsupported machine type")],
)
def test_qemu_that_does_not_do(run, scenario, words):
    status, _, err = run(scenario=scenario)
    assert (status, words in err) == (2, True), err


def test_qemu_missing(run, place):
    (place / "bin/qemu-system-aarch64").unlink()
    (place / "bin/python3").symlink_to(sys.executable)
    status, _, err = run(env={"PATH": f"{place}/bin"})
    assert status == 2
    assert "qemu-system-aarch64 is not installed" in err
    assert "doctor" in err


def test_unknown_machine(run):
    command = run.command()
    command[3] = "qemuarm"
    done = subprocess.run(command, cwd=run.place, env=run.env, capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown machine 'qemuarm'; known: qemuarm64-barebox, qemuriscv64-barebox, qemux86-64-barebox" in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (os.urandom(4096), "neither a Linux image, nor PE, nor ELF"),
        (b"\x7fELF\2\1\1" + bytes(11) + b"\x3e\0" + bytes(64), "an image for x86_64; qemuarm64-barebox needs aarch64"),
    ],
    ids=["missing", "empty", "random", "other architecture"],
)
def test_firmware_that_is_none(run, place, content, words):
    image = place / "barebox.img"
    image.unlink()
    if content is not None:
        image.write_bytes(content)
    status, _, err = run()
    assert (status, words in err) == (2, True), err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--accel", "kvm"], "KVM was asked for and cannot be had: the host is"),
        (["--accel", "hvf"], "unknown accelerator 'hvf'; allowed: auto, kvm, tcg"),
        (["--case", "barebox_bot"], "no case 'barebox_bot' for barebox; modules: "),
        (["--layer", "nowhere"], "nowhere: no such folder"),
        (["--elf", "nowhere"], "nowhere: no such file"),
        (["--repeat", "0"], "a number from 1 on is expected"),
        (["--silence-seconds", "soon"], "seconds are expected"),
        (["--results", "/dev/null/results"], "/dev/null/results: Not a directory"),
    ],
)
def test_bad_arguments(run, arguments, words):
    status, _, err = run(*arguments)
    assert (status, words in err) == (2, True), err


def test_case_that_cannot_be_imported(run, place):
    (place / "layer/lib/oeqa/runtime/cases/broken.py").write_text("import nothing_like_that\n")
    status, _, err = run()
    assert status == 2
    assert "broken.py: cannot be imported" in err


def test_disk_full(run):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    status, _, err = run(preexec_fn=small_files)
    assert status == 2
    assert "Set TMPDIR to a folder with" in err


def test_tftp_root_that_cannot_be_made(run, place):
    (place / "files").mkdir()
    (place / "files/tftp").write_text("in the way")
    options = ["run", MACHINE, "--firmware", "barebox.img", "--accel", "tcg", "--files", "files"]
    command = [sys.executable, str(LAYER / "scripts/barebox-virt"), *options]
    done = subprocess.run(command, cwd=place, env=run.env, capture_output=True, text=True)
    assert done.returncode == 2
    assert "files/tftp: File exists. Name another folder: --files DIR" in done.stderr
    assert (place / "files/tftp").read_text() == "in the way"


def test_results_beside_a_damaged_file(run, place):
    (place / "results").mkdir()
    (place / "results/testresults.json").write_text("{half a fi")
    status, _, err = run()
    assert status == 2
    assert "testresults.json" in err
    assert (place / "results/testresults.json").read_text() == "{half a fi"


def test_two_runs_in_one_directory(run):
    first = run.start(*PATIENT, case="mock_cases.SlowTest")
    wait_for_prompt(run.place)
    second = run.start()
    _, err = second.communicate(timeout=30)
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)
    assert second.returncode == 2
    assert "another run writes its results there" in err
    run.leaves_nothing()


def test_no_utf8_locale(run):
    status, out, err = run(env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    assert status == 0, out + err


@pytest.mark.parametrize("delay", [0.0, 0.15, 0.3, 0.6, 1.0])
def test_ctrl_c_at_any_moment(run, delay):
    process = run.start(*PATIENT, case="mock_cases.SlowTest")
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    early = (1, -signal.SIGINT) if delay < 0.1 else ()  # Python itself, before anything of ours is there
    assert process.returncode in (130, *early)
    assert "Traceback" not in out + err or delay < 0.1
    run.leaves_nothing()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_qemu_survives_the_harness(run, number):
    process = run.start(*PATIENT, case="mock_cases.SlowTest")
    wait_for_prompt(run.place)
    process.send_signal(number)
    process.communicate(timeout=30)
    run.leaves_nothing()


def wait_for_prompt(place):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if any("autoboot" in p.read_text() for p in (place / "results").glob("logs/*/*.console.log")):
            return
        time.sleep(0.02)
    raise AssertionError("the mock guest did not start")


def test_repeat_counts_each_run(run):
    status, out, _ = run("--repeat", "2")
    assert status == 0
    assert out.count("2 passed") == 2


def test_list_needs_no_qemu(run):
    status, out, _ = run("--list", env={"MOCK_QEMU": "early_death"})
    assert status == 0
    assert "mock_cases.MockTest.test_echo" in out
