# SPDX-License-Identifier: MIT
"""Several machines at once (test --jobs): the same verdicts as on one, and nothing stays, whatever ends them."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from oeqa.barebox import results
from oeqa.barebox.case import BootloaderTestCase
from oeqa.barebox.variant import Variant
from test_harness import PATIENT, Run, place, run  # noqa: F401

ALL = ["--case", "mock_cases.WrongTest", "--case", "mock_cases.RandomTest", "--case", "mock_cases.DeathTest"]


def children(pid):
    """The processes that a process started."""
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def wait_until(happens, seconds=30):
    deadline = time.monotonic() + seconds
    while not happens() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert happens()


def consoles(folder):
    """The logs of the consoles of all processes' machines."""
    return list((folder / "results").glob("logs/*/job-*/*.console.log"))


def entry(folder):
    (found,) = json.loads((folder / "testresults.json").read_text()).values()
    return found


def test_the_same_as_one_after_the_other(run, place):  # noqa: F811
    found = {}
    for jobs in ("1", "3"):
        status, out, _ = run("--results", f"r{jobs}", "--seed", "5", "--jobs", jobs, *ALL)
        assert status == 1, out
        found[jobs] = entry(place / f"r{jobs}")
    one, several = ({k: v["status"] for k, v in found[jobs]["result"].items()} for jobs in ("1", "3"))
    assert one == several
    assert set(one.values()) == {"PASSED", "FAILED"}
    assert found["3"]["configuration"]["RANDOM_SEED"] == 5
    assert found["3"]["configuration"]["BOOTLOADER_VERSION"] == "2026.06.1"
    assert {x.name for x in (place / "r3/logs").glob("*/*")} == {"job-1", "job-2", "job-3"}


def test_they_run_at_the_same_time(run, place):  # noqa: F811
    process = run.start("--jobs", "2", *PATIENT, "--case", "mock_cases.DeathTest", case="mock_cases.SlowTest")
    wait_until(lambda: len(consoles(place)) == 2)
    assert len(children(process.pid)) >= 2
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    run.leaves_nothing()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_stays_when_they_are_ended(run, place, number):  # noqa: F811
    process = run.start("--jobs", "2", *PATIENT, *ALL, case="mock_cases.SlowTest", start_new_session=True)
    wait_until(lambda: consoles(place))
    jobs = children(process.pid)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    run.leaves_nothing()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in jobs))


def test_one_that_is_killed_is_told_of(run, place):  # noqa: F811
    process = run.start("--jobs", "2", *PATIENT, *ALL, case="mock_cases.SlowTest")
    wait_until(lambda: consoles(place))
    os.kill(children(process.pid)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a process with cases ended with status -9" in err
    run.leaves_nothing()


def test_what_stops_one_stops_all(run):  # noqa: F811
    status, _, err = run("--jobs", "2", "--accel", "kvm", *ALL)
    assert status == 2
    assert "KVM was asked for and cannot be had" in err


def test_a_held_machine_is_one(run):  # noqa: F811
    status, _, err = run("--jobs", "2", "--hold-on-failure")
    assert status == 2
    assert "leave out --jobs" in err


def test_groups():
    """A variant's cases stay together over classes; the described machine's are divided by class."""
    plain = [type(name, (BootloaderTestCase,), {"test_a": lambda _: None, "test_b": lambda _: None}) for name in "AB"]
    large = [type(name, (plain[0],), {"variant": Variant(memory=99)}) for name in "CD"]
    cases = [c(name) for c in (*plain, *large) for name in ("test_a", "test_b")]
    assert [[type(c).__name__ for c in group] for group in results.groups(cases)] == [
        ["A", "A"],
        ["B", "B"],
        ["C", "C", "D", "D"],
    ]
