# SPDX-License-Identifier: MIT
"""A failed machine that is held: how it is reached, that Ctrl-C ends it, and that nothing of it stays."""

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from test_evidence import CASE
from test_harness import MACHINE, Run, furnish

LAYER = Path(__file__).resolve().parent.parent
SECONDS = 30


@pytest.fixture
def run(tmp_path):
    place = furnish(tmp_path / "p")
    (place / "layer/lib/oeqa/runtime/cases/mock_cases.py").write_text(CASE)
    return Run(place)


def until(process, word):
    """What a program prints until a line that begins with ``word``; the line's rest."""
    for line in process.stdout:
        if line.startswith(word):
            return line.removeprefix(word).strip()
    raise AssertionError(f"no line begins with {word}: {process.stderr.read()}")


def talk(path, text, answer):
    """Type ``text`` at the console on a socket, and wait for its answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        client.connect(path)
        client.sendall(text)
        seen = b""
        while answer not in seen:
            seen += client.recv(4096)


def end(run, process, number=signal.SIGINT):
    """End a program that holds a machine, once it has told all of it."""
    if number == signal.SIGINT:
        until(process, "In gdb, ")
    process.send_signal(number)
    out, err = process.communicate(timeout=SECONDS)
    assert "Traceback" not in err
    run.leaves_nothing()
    return process.returncode, out


def test_the_first_failure_is_held_and_ctrl_c_ends_it(run):
    process = run.start("--hold-on-failure", case="mock_cases")
    assert until(process, "held, paused: ").startswith("mock_cases.")
    console = re.search(r"UNIX-CONNECT:(\S+)", until(process, "console: "))[1]
    assert f"target remote {Path(console).with_name('held-gdb')}" in until(process, "gdb: ")
    status, out = end(run, process)
    (entry,) = json.loads((run.place / "results/testresults.json").read_text()).values()
    failed = [v for v in entry["result"].values() if v["status"] in ("FAILED", "ERROR")]
    assert (status, len(failed)) == (1, 1), out
    assert len(entry["result"]) < 5, "cases were run after one was held"


def test_the_console_of_a_held_machine_is_on_its_socket(run):
    process = run.start("--hold-on-failure", case="mock_cases.WrongTest")
    console = re.search(r"UNIX-CONNECT:(\S+)", until(process, "console: "))[1]
    for text in (b"echo again", b"echo and again"):
        talk(console, text + b"\r", b"\r\n" + text[5:] + b"\r\n")
    assert end(run, process)[0] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_held_machine_survives_its_holder(run, number):
    process = run.start("--hold-on-failure", case="mock_cases.WrongTest")
    until(process, "held, paused: ")
    end(run, process, number)


def test_a_held_machine_may_end_by_itself(run):
    process = run.start("--hold-on-failure", case="mock_cases.WrongTest")
    console = re.search(r"UNIX-CONNECT:(\S+)", until(process, "console: "))[1]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(console)
        client.sendall(b"poweroff\r")
        out, _ = process.communicate(timeout=SECONDS)
    assert (process.returncode, "1 failed" in out) == (1, True), out
    run.leaves_nothing()


def test_a_lost_guest_is_held_a_dead_qemu_cannot_be(run):
    lost = run.start("--hold-on-failure", case="mock_cases.LostTest.test_panic")
    assert until(lost, "held, paused: ") == "mock_cases.LostTest.test_panic"
    assert end(run, lost)[0] == 1
    status, out, _ = run("--hold-on-failure", case="mock_cases.LostTest.test_die")
    assert (status, "not held: QEMU is gone, there is nothing to hold" in out) == (1, True), out


def test_expected_losses_and_green_cases_are_not_held(run):
    status, out, _ = run("--hold-on-failure", case="mock_cases.LostTest.test_expected")
    assert (status, "held" in out) == (0, False), out


def test_a_run_is_held_at_its_prompt(run):
    command = [
        sys.executable,
        str(LAYER / "scripts/barebox-virt"),
        "run",
        MACHINE,
        "--firmware",
        "barebox.img",
        "--hold",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*command, "--accel", "tcg"], cwd=run.place, env=run.env, **pipes)
    assert until(process, "held, paused: ").endswith("barebox.img at its prompt")
    assert end(run, process)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", MACHINE, "--hold", "--accel", "nested"], "--hold is not possible with --accel nested"),
        (["run", MACHINE, "--hold", "--gdb"], "--gdb is not possible with --hold"),
        (["test", MACHINE, "--hold-on-failure", "--accel", "nested"], "--hold-on-failure is not possible with"),
    ],
)
def test_what_cannot_be_held(run, arguments, words):
    command = [sys.executable, str(LAYER / "scripts/barebox-virt"), *arguments, "--firmware", "barebox.img"]
    done = subprocess.run(command, cwd=run.place, env=run.env, capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_gdb_is_told_where_the_code_lies(tmp_path):
    """Symbols are asked for with the distance that the code was moved by."""
    from oeqa.barebox.backtrace import Placed
    from oeqa.barebox.hold import Held

    class Process:
        pid = 7
        qmp = type("Qmp", (), {"execute": lambda *_, **__: ""})()

    held = Held("x", "aarch64", Process(), tmp_path, lambda *_: b"", [])
    held.placed = [Placed(type("E", (), {"path": Path("/b/barebox")})(), 0x5FA10000)]
    assert "'add-symbol-file /b/barebox -o 0x5fa10000'" in str(held)
    assert "'set architecture aarch64'" in str(held)
