# SPDX-License-Identifier: MIT
"""The soak: what it counts, and that it goes on where it was."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from test_harness import MACHINE, Run, furnish

LAYER = Path(__file__).resolve().parent.parent
CASE = """
from pathlib import Path
from oeqa.barebox import case

class OddTest(case.BootloaderTestCase):
    def test_odd(self):
        self.shell("hang" if Path("hang").exists() else "true", seconds=60)
        count = Path("count")
        number = int(count.read_text()) + 1 if count.exists() else 1
        count.write_text(str(number))
        self.assertNotEqual(number, 2)
"""


@pytest.fixture
def soak(tmp_path):
    run = Run(furnish(tmp_path / "p"))
    (run.place / "layer/lib/oeqa/runtime/cases/mock_cases.py").write_text(CASE)

    def start(*arguments):
        command = [sys.executable, str(LAYER / "scripts/benchmarks/soak.py"), MACHINE, "--firmware", "barebox.img"]
        command += ["--layer", "layer", "--state", "soak", "--case", "mock_cases", "--accel", "tcg", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=run.place, env=run.env, **pipes)

    return run, start


def ended(process):
    out, err = process.communicate(timeout=90)
    assert "Traceback" not in err, err
    return process.returncode, out


def test_it_counts_to_its_goal_and_names_false_alarms(soak):
    run, start = soak
    status, out = ended(start("--goal", "2", "--jobs", "2"))
    assert status == 1, "the second run is red"
    assert "run 2: red: mock_cases.OddTest.test_odd" in out
    assert "run 3: clean" in out
    assert [r["red"] for r in json.loads((run.place / "soak/soak.json").read_text())] == [
        [],
        ["mock_cases.OddTest.test_odd"],
        [],
    ]
    assert [r["jobs"] for r in json.loads((run.place / "soak/soak.json").read_text())] == [2, 2, 2]
    assert "all   3     2" in out
    assert "mock_cases.OddTest.test_odd  1     33.3 %" in out
    left = [path.name for path in (run.place / "soak").iterdir() if path.is_dir()]
    assert len(left) == 1, "a green run leaves nothing, a red one its evidence"


def test_it_goes_on_where_it_was(soak):
    run, start = soak
    assert ended(start("--runs", "1"))[0] == 0
    assert "run 2: red" in ended(start("--runs", "1"))[1]
    assert "all   2     1" in ended(start("--show"))[1]
    (run.place / "barebox.img").write_bytes((run.place / "barebox.img").read_bytes() + b"another")
    assert "all   0     0" in ended(start("--show"))[1]


def test_a_run_that_is_stopped_does_not_count(soak):
    run, start = soak
    (run.place / "hang").touch()
    process = start()
    deadline = time.monotonic() + 30
    log = run.place / "soak/last-run.log"
    while (
        not (log.exists() and list((run.place / "soak").glob("*/logs/*/*.console.log"))) and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    status, out = ended(process)
    assert (status, "does not count" in out) == (0, True)
    assert not (run.place / "soak/soak.json").exists()
    run.leaves_nothing()
