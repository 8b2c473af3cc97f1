# SPDX-License-Identifier: MIT
"""Known issues: when they count, and that a case which passes against one is red."""

import dataclasses
import re
import unittest
from pathlib import Path

import pytest

from oeqa.barebox import known_issues
from oeqa.barebox.case import BootloaderTestCase
from oeqa.barebox.errors import UsageError
from oeqa.barebox.firmware import Firmware
from oeqa.barebox.known_issues import KnownIssue
from oeqa.barebox.results import Recorder
from oeqa.barebox.target import Target

LAYER = Path(__file__).resolve().parent.parent
ISSUE = KnownIssue(
    id="otter",
    title="otters bite",
    bootloader="barebox",
    first="2025.03.0",
    last="2026.06.1",
    machines=("m",),
    accelerators=(),
    cases=("test_known_issues.*",),
    at_times=(),
    evidence="seen",
    link="https://example.org",
    config=(),
    patch="",
)
FIRMWARE = Firmware("barebox", Path("/x"), version="2026.06.1", patches=())


@pytest.mark.parametrize(
    ("version", "counts"),
    [
        ("2025.02.0", False),
        ("2025.03.0", True),
        ("2026.06.1", True),
        ("2026.06.0-00056-gdd1d839c2c", True),
        ("2026.07.0", False),
        ("2026.06.2-dirty", False),
    ],
)
def test_releases(version, counts):
    assert ISSUE.concerns(FIRMWARE, "m", "tcg", version, "7.2.22") is counts


@pytest.mark.parametrize(
    "change",
    [
        {"machines": ("other",)},
        {"accelerators": ("kvm", "nested")},
        {"bootloader": "u-boot"},
    ],
)
def test_elsewhere_it_does_not_count(change):
    issue = dataclasses.replace(ISSUE, **change)
    assert not issue.concerns(FIRMWARE, "m", "tcg", "2026.06.1", "7.2.22")


@pytest.mark.parametrize(
    ("first", "last", "counts"),
    [("", "", True), ("7.2", "", True), ("8.0", "", False), ("", "8.99", True), ("", "7.1.99", False)],
)
def test_versions_of_qemu(first, last, counts):
    issue = dataclasses.replace(ISSUE, qemu_first=first, qemu_last=last)
    assert issue.concerns(FIRMWARE, "m", "tcg", "2026.06.1", "7.2.22") is counts


def test_one_of_every_machine_counts_on_any():
    assert dataclasses.replace(ISSUE, machines=("*",)).concerns(FIRMWARE, "m", "tcg", "2026.06.1", "7.2.22")


def test_a_patch_that_is_in_ends_it():
    issue = dataclasses.replace(ISSUE, patch="0001-mend.patch")
    assert issue.concerns(FIRMWARE, "m", "tcg", "2026.06.1", "7.2.22")
    patched = dataclasses.replace(FIRMWARE, patches=("0001-mend.patch",))
    assert not issue.concerns(patched, "m", "tcg", "2026.06.1", "7.2.22")


@pytest.mark.parametrize(
    ("line", "counts"), [("CONFIG_OTTER=y", True), ("CONFIG_OTTER=n", False), ("# CONFIG_OTTER is not set", False)]
)
def test_without_its_option_it_does_not_count(tmp_path, line, counts):
    issue = dataclasses.replace(ISSUE, config=("OTTER",))
    assert issue.concerns(FIRMWARE, "m", "tcg", "2026.06.1", "7.2.22"), "the configuration is not at hand"
    config = tmp_path / ".config"
    config.write_text(f"{line}\n")
    assert issue.concerns(dataclasses.replace(FIRMWARE, config=config), "m", "tcg", "2026.06.1", "7.2.22") is counts


class FakeTarget(Target):
    """A target without a machine."""

    program = type("P", (), {"version": "7.2.22"})

    def __init__(self, issues, patches=()):
        self.known_issues = issues
        self.firmware = dataclasses.replace(FIRMWARE, patches=patches)
        self.boots = []
        self.machine = type("M", (), {"name": "m"})
        self.accelerator = type("A", (), {"name": "tcg"})
        self.offs = 0

    def off(self):
        self.offs += 1


class Sample(BootloaderTestCase):
    __test__ = False  # not for pytest, which would run it without a target

    def test_good(self):
        pass

    def test_bad(self):
        self.fail("it bit")

    def test_skipped(self):
        self.skipTest("no otter")

    def test_interrupted(self):
        raise KeyboardInterrupt


def verdict(test, issues=(ISSUE,), patches=()):
    recorder = Recorder(lambda _: None)
    case = Sample(test)
    case.target = FakeTarget(issues, patches)
    case.run(recorder)
    (found,) = recorder.verdicts
    return found, case.target, recorder


def test_expected_failure_is_shown_with_its_reason():
    found, target, recorder = verdict("test_bad")
    assert found.status == "EXPECTEDFAIL"
    assert "known issue otter: otters bite" in found.log
    assert "it bit" in found.log
    assert recorder.wasSuccessful()
    assert target.offs == 1


def test_an_interrupted_case_has_not_passed():
    heard = []
    case = Sample("test_interrupted")
    case.target = FakeTarget((), ())
    with pytest.raises(KeyboardInterrupt):
        case.run(Recorder(heard.append))
    assert [(v.status, v.log) for v in heard] == [("ERROR", "interrupted")]


def test_unexpected_success_is_red():
    found, _, recorder = verdict("test_good")
    assert found.status == "FAILED"
    assert found.log == "known issue otter is gone here: narrow its range in conf/known-issues.yaml"
    assert not recorder.wasSuccessful()


def test_where_nobody_knows_of_patches_both_ends_are_fine():
    issue = dataclasses.replace(ISSUE, patch="0001-mend.patch")
    assert verdict("test_good", (issue,), None)[0].status == "PASSED"
    assert verdict("test_bad", (issue,), None)[0].status == "EXPECTEDFAIL"


def test_what_shows_at_times_alone_may_pass_or_fail():
    issue = dataclasses.replace(ISSUE, cases=("test_known_issues.Other.*",), at_times=("test_known_issues.Sample.*",))
    assert verdict("test_good", (issue,))[0].status == "PASSED"
    assert verdict("test_bad", (issue,))[0].status == "EXPECTEDFAIL"
    found = verdict("test_good", (issue, dataclasses.replace(ISSUE, id="heron")))[0]
    assert found.log == "known issue heron is gone here: narrow its range in conf/known-issues.yaml"


def test_skip_stays_a_skip():
    assert verdict("test_skipped")[0].status == "SKIPPED"


def test_without_an_issue():
    assert verdict("test_good", ())[0].status == "PASSED"
    found, target, _ = verdict("test_bad", ())
    assert (found.status, target.offs) == ("FAILED", 1)


def test_a_result_may_hold_other_cases():
    """oeqa's loader registers cases by id; the name in known issues is the same."""
    assert Sample("test_good").name == "test_known_issues.Sample.test_good"
    names = unittest.TestLoader().getTestCaseNames(Sample)
    assert names == ["test_bad", "test_good", "test_interrupted", "test_skipped"]


def test_ours_can_be_read_and_name_patches_that_exist():
    for issue in known_issues.load([LAYER / "conf/known-issues.json"]):
        assert not issue.patch or (LAYER / "recipes-bsp/barebox/files" / issue.patch).is_file()


def test_our_patterns_match_cases_that_exist():
    from oeqa.barebox import results

    names = [c.name for c in results.load([LAYER / "lib/oeqa/runtime/cases"], "barebox")]
    for issue in known_issues.load([LAYER / "conf/known-issues.json"]):
        assert any(issue.covers(name) for name in names), issue.id


NAMED = tuple(dataclasses.replace(ISSUE, id=f"i{n}", patch=f"000{n}-mend-{n}.patch") for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("all", ("0001-mend-1.patch", "0002-mend-2.patch", "0003-mend-3.patch")),
        ("none", ()),
        ("0002", ("0002-mend-2.patch",)),
        ("0003-mend-3.patch,0001", ("0001-mend-1.patch", "0003-mend-3.patch")),
    ],
)
def test_patches_that_the_user_names(request_, expected):
    assert known_issues.patches(request_, (*NAMED, ISSUE)) == expected


@pytest.mark.parametrize("request_", ["0004", "", "000", "0001,,0002", "All"])
def test_patches_that_are_none(request_):
    with pytest.raises(UsageError, match="allowed: all, none, 0001-mend-1.patch, 0002"):
        known_issues.patches(request_, NAMED)


def test_each_module_is_run_by_the_task():
    text = (LAYER / "classes/barebox-testimage.bbclass").read_text(encoding="utf-8").replace("\\\n", "")
    (suites,) = re.findall(r'(?m)^TEST_SUITES \?= "(.*)"$', text)
    modules = {path.stem for path in (LAYER / "lib/oeqa/runtime/cases").glob("barebox_*.py")}
    assert set(suites.split()) == modules
