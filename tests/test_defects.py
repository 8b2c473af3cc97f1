# SPDX-License-Identifier: MIT
"""Seeded defects: how they come and go, what counts as caught, and that the list names what there is."""

import argparse
import json
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest

from barebox_virt import seeds
from barebox_virt.seeds import Defect, Progress, Seed
from oeqa.barebox import results
from oeqa.barebox.errors import SetupError, UsageError
from oeqa.barebox.machine import load
from test_harness import furnish

LAYER = Path(__file__).resolve().parent.parent
SOURCE = "int otter(void)\n{\n\treturn 1;\n}\n\nint beaver(void)\n{\n\treturn 1;\n}\n"
DEFECT = Defect("d", "what", "block", "barebox_block", "common/x.c", "return 1", "return 2", after="int beaver")
CASE = """
from oeqa.barebox import case

class ValueTest(case.BootloaderTestCase):
    def test_value(self):
        self.shell("true")
        self.assertIn(b"otter", self.board.firmware.image.read_bytes())
"""
MAKE = """#!/bin/sh
# make -j1 -C SOURCE O=BUILD TARGET...
source=$3 build=${4#O=}
grep -q BROKEN "$source/common/x.c" && exit 2
for target in "$build/images/barebox-dt-2nd.img" "$build/images/barebox-qemu-virt.img"; do
    { head -c 56 /dev/zero; printf ARMd; cat "$source/common/x.c"; } >"$target"
done
"""


def test_the_place_is_the_first_one_after_its_anchor():
    assert DEFECT.seed(SOURCE) == SOURCE[:-15] + SOURCE[-15:].replace("1", "2")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"after": ""}, "'return 1' is there 2 times"),
        ({"after": "int badger"}, "'int badger' is not there"),
        ({"find": "return 3"}, "'return 3' is not there"),
    ],
)
def test_a_place_that_is_not_clear(change, words):
    with pytest.raises(UsageError, match=f"common/x.c: {words}"):
        Defect(**{**vars(DEFECT), **change}).seed(SOURCE)


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "common").mkdir()
    (tmp_path / "common/x.c").write_text(SOURCE)
    (tmp_path / "state").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("machine", "targets"),
    [
        ("qemuarm64-barebox", ["images/barebox-dt-2nd.img", "images/barebox-qemu-virt.img"]),
        ("qemuriscv64-barebox", ["images/barebox-dt-2nd.img"]),
        ("qemux86-64-barebox", ["barebox.efi"]),
    ],
)
def test_what_a_machine_starts_from_is_built(tree, machine, targets):
    (tree / "Kbuild").touch()
    (tree / ".config").touch()
    build = runpy.run_path(str(LAYER / "scripts/benchmarks/defects.py"))["Build"]
    options = argparse.Namespace(source=tree, build=tree, make="make", prefix="")
    assert build(load(LAYER / f"conf/machines/{machine}.json"), options).targets == targets


def test_a_seed_is_taken_out(tree):
    with pytest.raises(ZeroDivisionError), Seed(DEFECT, tree, tree / "state"):
        assert "return 2" in (tree / "common/x.c").read_text()
        raise ZeroDivisionError
    assert (tree / "common/x.c").read_text() == SOURCE


def test_a_seed_that_a_killed_run_left_is_taken_out(tree):
    Seed(DEFECT, tree, tree / "state").__enter__()
    assert seeds.restore(tree / "state") == str(tree / "common/x.c")
    assert (tree / "common/x.c").read_text() == SOURCE
    (tree / "common/x.c").write_text("mine")
    assert seeds.restore(tree / "state") == ""
    assert (tree / "common/x.c").read_text() == "mine"


def test_what_was_measured_is_kept_until_the_defect_changes(tmp_path):
    Progress(tmp_path / "state.json").put(DEFECT, verdict="red")
    again = Progress(tmp_path / "state.json")
    assert again.of(DEFECT)["verdict"] == "red"
    assert again.of(Defect(**{**vars(DEFECT), "put": "return 3"})) is None


def test_what_is_red_without_a_defect_is_known_for_its_image(tmp_path):
    progress = Progress(tmp_path / "state.json")
    progress.put_clean("image", ["a", "b"], ["b"])
    again = Progress(tmp_path / "state.json")
    assert again.clean("image", ["a"]) == again.clean("image", ["b", "a"]) == ["b"]
    assert again.clean("image", ["a", "c"]) is again.clean("image", []) is again.clean("other", ["a"]) is None
    again.put_clean("image", [], ["c"])
    assert again.clean("image", []) == again.clean("image", ["a"]) == ["c"]


def test_progress_that_cannot_be_read(tmp_path):
    (tmp_path / "state.json").write_text("{half")
    with pytest.raises(SetupError, match="Remove it"):
        Progress(tmp_path / "state.json")


def test_rates_count_no_error_as_a_catch(tmp_path):
    progress = Progress(tmp_path / "state.json")
    verdicts = ("red", "red", "green", "does not build", "changes nothing", "does not apply")
    defects = [Defect(**{**vars(DEFECT), "id": f"d{n}"}) for n in range(7)]
    for defect, verdict in zip(defects, verdicts):
        progress.put(defect, verdict=verdict)
    assert seeds.rates(defects, progress) == [("block", 3, 2, 4), ("all", 3, 2, 4)]


def test_areas_take_turns():
    defects = [Defect(**{**vars(DEFECT), "id": n, "area": n[0]}) for n in ("a1", "a2", "a3", "b1", "c1", "c2")]
    assert [d.id for d in seeds.interleaved(defects)] == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_our_list_is_long_enough_and_names_cases_that_exist():
    defects = seeds.load()
    names = [case.name for case in results.load([LAYER / "lib/oeqa/runtime/cases"], "barebox")]
    unknown = {d.case for d in defects if not any(f"{n}.".startswith(f"{d.case}.") for n in names)}
    assert unknown == set()
    assert len(defects) >= 40
    areas = json.loads(seeds.SCHEMA.read_text())["properties"]["defects"]["items"]["properties"]["area"]["enum"]
    assert {d.area for d in defects} == set(areas)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("defects: [{id: a}]", "required key is missing"),
        ("defects: [" + json.dumps({**vars(DEFECT), "machines": ["m"], "area": "zoo"}) + "]", "'zoo' is not allowed"),
        ("defects: [" + 2 * (json.dumps({**vars(DEFECT), "machines": ["m"]}) + ", ") + "]", "appear twice: d"),
    ],
)
def test_a_list_that_is_wrong(tmp_path, text, words):
    (tmp_path / "list.yaml").write_text(text)
    with pytest.raises(UsageError, match=words):
        seeds.load(tmp_path / "list.yaml")


@pytest.fixture
def measured(tmp_path):
    """The benchmark on a barebox of two lines, with a make and a QEMU that only play theirs."""
    place = furnish(tmp_path / "place")
    (place / "layer/lib/oeqa/runtime/cases/mock_cases.py").write_text(CASE)
    (place / "source/common").mkdir(parents=True)
    (place / "build/images").mkdir(parents=True)
    (place / "source/Kbuild").touch()
    (place / "build/.config").write_text("# Barebox/arm 2026.06.1 Configuration\n")
    (place / "source/common/x.c").write_text("otter swims\n")
    (place / "source/common/unused.c").write_text("nothing\n")
    (place / "make").write_text(MAKE)
    (place / "make").chmod(0o755)
    environment = {**os.environ, "PATH": f"{place}/bin:{os.environ['PATH']}", "TMPDIR": str(place / "tmp")}

    def measure(defects, *more, wait=True):
        (place / "list.yaml").write_text(json.dumps({"defects": defects}))
        command = [sys.executable, str(LAYER / "scripts/benchmarks/defects.py"), "qemuarm64-barebox", "--quick"]
        command += ["--source", "source", "--build", "build", "--make", f"{place}/make", "--layer", "layer"]
        command += ["--defects", "list.yaml", "--json", "out.json", *more]
        if not wait:
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            return subprocess.Popen(command, cwd=place, env=environment, **pipes)
        return place, subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120)

    return measure


def entry(name, find, put, file="common/x.c"):
    case = "mock_cases.ValueTest.test_value"
    return {"id": name, "what": "w", "area": "block", "case": case, "file": file, "find": find, "put": put}


def test_only_a_red_case_is_a_catch(measured):
    place, done = measured(
        [
            entry("caught", "otter", "beaver"),
            entry("missed", "swims", "walks"),
            entry("broken", "otter", "BROKEN"),
            entry("unused", "nothing", "something", "common/unused.c"),
            entry("gone", "badger", "beaver"),
        ]
    )
    assert done.returncode == 1, done.stdout + done.stderr
    found = {k: v["verdict"] for k, v in json.loads((place / "out.json").read_text())["defects"].items()}
    assert found == {
        "caught": "red",
        "missed": "green",
        "broken": "does not build",
        "unused": "changes nothing",
        "gone": "does not apply",
    }
    assert (place / "source/common/x.c").read_text() == "otter swims\n"
    assert "all    2         1       50 %  3" in done.stdout


def test_it_goes_on_where_it_was(measured):
    _, first = measured([entry("caught", "otter", "beaver")])
    assert (first.returncode, "[1/1] caught: red" in first.stdout) == (0, True), first.stdout + first.stderr
    _, second = measured([entry("caught", "otter", "beaver"), entry("more", "otter", "badger")])
    assert "[1/1] more: red" in second.stdout
    assert "2         2       100 %" in second.stdout


def test_a_measurement_that_is_ended_takes_its_defect_out(measured):
    place, _ = measured([])
    (place / "make").write_text(MAKE + 'grep -q beaver "$source/common/x.c" && sleep 60 && exit 3\nexit 0\n')
    process = measured([entry("caught", "otter", "beaver")], wait=False)
    deadline = time.monotonic() + 60
    while "beaver" not in (place / "source/common/x.c").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "goes on where it was" in err) == (130, True), err
    assert (place / "source/common/x.c").read_text() == "otter swims\n"


def test_a_case_that_is_red_without_a_defect_measures_nothing(measured):
    place, _ = measured([])
    (place / "source/common/x.c").write_text("beaver\n")
    _, done = measured([entry("caught", "beaver", "badger")])
    assert (done.returncode, "[1/1] caught: green" in done.stdout) == (1, True)
    assert "red without a defect, so they catch nothing: mock_cases.ValueTest.test_value" in done.stdout


def test_the_layer_is_no_source_tree(measured):
    _, done = measured([], "--source", str(LAYER))
    assert (done.returncode, "outside of the layer" in done.stderr) == (2, True), done.stderr
