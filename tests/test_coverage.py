# SPDX-License-Identifier: MIT
"""The coverage benchmark: from the blocks that QEMU ran to the lines that it did not."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from oeqa.barebox.errors import SetupError, UsageError
from oeqa.barebox.hazards import plugin

LAYER = Path(__file__).resolve().parents[1]
SCRIPT = LAYER / "scripts/benchmarks/coverage.py"
QEMU = shutil.which("qemu-system-aarch64")


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("coverage_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def symbol(name, address):
    return SimpleNamespace(name=name, address=address)


ELF = SimpleNamespace(
    path=Path("/somewhere/barebox"),
    symbols=[symbol("first", 0x100), symbol("second", 0x340), symbol("third", 0x1580)],
    code=[(0, bytes(0x2000))],
)
TABLE = [
    *(("/source/fs/fs.c", line, address) for line, address in ((10, 0x100), (11, 0x104), (12, 0x110))),
    *(("/source/fs/fs.c", line, address) for line, address in ((20, 0x340), (21, 0x348))),
    *(("/source/net/net.c", line, address) for line, address in ((5, 0x1580), (6, 0x1590))),
]


@pytest.fixture
def blocks(coverage, tmp_path):
    def write(name, *pairs):
        (tmp_path / name).write_bytes(b"".join(coverage.BLOCK.pack(*pair) for pair in pairs))
        return tmp_path

    return write


def test_code_is_found_wherever_it_was(coverage, blocks):
    blocks("1", (0x5FA10100, 0x5FA10108), (0x5FA10340, 0x5FA10348), (0x40000000, 0x40000010))
    folder = blocks("2", (0x9FB01580, 0x9FB01590), (0x9FB00100, 0x9FB00108))
    ran = coverage.executed(ELF, folder)
    assert {place for place in range(len(ran)) if ran[place]} == {
        *range(0x100, 0x108),
        *range(0x340, 0x348),
        *range(0x1580, 0x1590),
    }


def test_a_block_that_was_cut_off_does_not_count(coverage, blocks):
    folder = blocks("1", (0x1100, 0x1108))
    (folder / "1").write_bytes((folder / "1").read_bytes() + b"half a block")
    assert sum(coverage.executed(ELF, folder)) == 8


def test_nothing_was_measured(coverage, tmp_path):
    with pytest.raises(UsageError, match="leave out --show"):
        coverage.executed(ELF, tmp_path)


def test_lines_are_told_by_file_and_function(coverage, blocks):
    ran = coverage.executed(ELF, blocks("1", (0x1100, 0x1108), (0x1348, 0x1350), (0x2580, 0x2584)))
    lines = coverage.lines_of(TABLE, ELF, ran)
    assert [line for (_, line), done in lines.items() if done] == [10, 11, 21, 5]
    text = list(coverage.not_run(lines, ["fs/*.c"], ELF, TABLE))
    assert text == [
        "/source/fs/fs.c: 2 of 5 lines were not run",
        *("  first()", "       12 "),
        *("  second()", "       20 "),
    ]


def test_folders_are_shown_with_their_sums(coverage, blocks, capsys):
    ran = coverage.executed(ELF, blocks("1", (0x1100, 0x1108), (0x2580, 0x2584)))
    coverage.show_folders(coverage.lines_of(TABLE, ELF, ran))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["fs", "5", "2", "40", "%"] in rows
    assert ["net", "2", "1", "50", "%"] in rows
    assert ["all", "7", "3", "43", "%"] in rows


def test_an_elf_without_lines(coverage):
    with pytest.raises(SetupError, match="CONFIG_DEBUG_INFO"):
        coverage.lines_of([], ELF, bytearray(0x2000))


def test_no_elf():
    command = [sys.executable, SCRIPT, "qemuarm64-barebox", "--bootloader", "u-boot", "--results", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(QEMU is None, reason="qemu-system-aarch64 is not installed")
def test_the_plugin_is_loaded(coverage, tmp_path):
    found = plugin.get(Path(QEMU), plugin.build(tmp_path, coverage.SOURCE))
    assert found.path.name.startswith("coverage-")
