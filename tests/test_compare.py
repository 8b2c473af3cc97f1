# SPDX-License-Identifier: MIT
"""barebox-virt compare: what differs between runs is shown, and noise is not; on a mock QEMU."""

import os

import pytest

from barebox_virt import compare
from oeqa.barebox.results import Verdict
from test_harness import MACHINE, furnish


def column(name, statuses, devices=(), transcript=()):
    verdicts = [Verdict(case, status, 0.1, "") for case, status in statuses.items()]
    return compare.Column(name, verdicts, list(devices), list(transcript), 0.5, 2.0)


def test_verdicts_that_differ_are_shown(capsys):
    same = {"a.A.test_same": "PASSED"}
    columns = [
        column("tcg", {**same, "a.A.test_x": "PASSED"}, ["virtio0"], ["otter", "otter"]),
        column("nested", {**same, "a.A.test_x": "FAILED", "a.A.test_y": "PASSED"}, ["virtio0"], ["otter", "beaver"]),
    ]
    assert compare.show(columns) == 1
    out = capsys.readouterr().out
    assert compare.differing(columns) == [
        ("a.A.test_x", "passed", "failed"),
        ("a.A.test_y", "not run", "passed"),
    ]
    assert "test_same" not in out
    assert "Devices: tcg and nested have the same 1 lines" in out
    assert "Consoles: 1 lines are in one alone, - tcg, + nested\n+beaver" in out


def test_order_and_number_of_lines_are_noise():
    assert compare.changes(["a", "b", "a"], ["b", "a"]) == []
    assert compare.changes(["a", "b"], ["c", "a", "c"]) == ["-b", "+c"]


@pytest.fixture
def place(tmp_path):
    return furnish(tmp_path)


def run(cli, place, *options, scenario=""):
    env = {**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}", "MOCK_QEMU": scenario}
    chosen = ["--layer", place / "layer", "--case", "mock_cases.MockTest", "--results", place / "results"]
    return cli("compare", MACHINE, *chosen, *options, env=env)


def test_two_firmwares_that_agree(cli, place):
    other = place / "other.img"
    other.write_bytes((place / "barebox.img").read_bytes())
    done = run(cli, place, "--firmware", place / "barebox.img", "--firmware", other, "--accel", "tcg")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"A: {place / 'barebox.img'}" in done.stdout
    assert f"B: {other}" in done.stdout
    assert "All 2 verdicts agree: tcg A, tcg B" in done.stdout


def test_accelerator_that_cannot_be_had_is_told(cli, place):
    done = run(cli, place, "--firmware", place / "barebox.img", "--accel", "tcg,kvm")
    assert done.returncode == 2, done.stdout
    assert "kvm cannot be had: KVM was asked for" in done.stdout
    assert "fewer than two runs are left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--accel", "tcg"], "nothing to compare: name two accelerators"),
        (["--accel", "tcg,hvf"], "unknown accelerator 'hvf'; allowed: "),
        (["--accel", "tcg,kvm", "--case", "mock_cases.NoTest"], "NoTest"),
    ],
)
def test_bad_input_is_named(cli, place, options, words):
    done = run(cli, place, "--firmware", place / "barebox.img", *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
