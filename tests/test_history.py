# SPDX-License-Identifier: MIT
"""The benchmark of barebox' history, with a bitbake that leaves results at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parent.parent / "scripts/benchmarks/history.py"
BITBAKE = f"""#!{sys.executable}
import json, os, re, sys
text = open(sys.argv[2], encoding="utf-8").read()
value = dict(re.findall(r'(?m)^([A-Z_:a-z-]+) = "(.*)"', text))
print(os.environ["MACHINE"], value["SRCREV:pn-barebox"], value["BAREBOX_ACCEL"], value["TEST_SUITES"])
status = json.loads(os.environ["STATUS"])
if status:
    with open(value["OEQA_JSON_RESULT_DIR"] + "/testresults.json", "w", encoding="utf-8") as stream:
        json.dump({{"run": {{"result": {{case: {{"status": s}} for case, s in status.items()}}}}}}, stream)
"""
QUEUES = "barebox_virtqueues.MappingTest.test_queues_cached"


def history(folder, *arguments, status="{}"):
    bitbake = folder / "bitbake"
    bitbake.write_text(BITBAKE, encoding="utf-8")
    bitbake.chmod(0o755)
    environment = {**os.environ, "PATH": str(folder), "STATUS": status}
    done = subprocess.run(
        [sys.executable, PROGRAM, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("release", "status", "verdict", "code"),
    [
        ("v2026.01.0", "PASSED", "clean", 0),
        ("v2026.01.0", "FAILED", "caught", 1),
        ("v2026.02.0", "EXPECTEDFAIL", "caught", 0),
        ("v2026.02.0", "PASSED", "clean", 1),
        ("v2026.02.0", "SKIPPED", "not run", 1),
    ],
)
def test_verdicts(tmp_path, release, status, verdict, code):
    returncode, out, _ = history(tmp_path, release, status=f'{{"{QUEUES}": "{status}"}}')
    assert returncode == code
    assert out.splitlines()[0].split()[:1] == ["qemuarm64-barebox"]
    assert out.splitlines()[-1].split() == [release, "not", "run", *verdict.split(), "-", "NO" if code else "yes"]


def test_a_build_that_fails_is_not_run(tmp_path):
    returncode, out, _ = history(tmp_path, "v2024.10.0")
    assert (returncode, out.count("not run")) == (1, 3)


def test_bad_input(tmp_path):
    returncode, _, text = history(tmp_path, "v1")
    assert returncode == 2
    assert "unknown release v1; allowed: v2024.10.0" in text
