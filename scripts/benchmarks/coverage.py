#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which lines of the bootloader a run of the cases executes, and which it does not.

    scripts/benchmarks/coverage.py qemuarm64-barebox --firmware FILE --patches all --jobs 2 --results DIR
    scripts/benchmarks/coverage.py qemuarm64-barebox --firmware FILE --results DIR --show 'fs/*.c' 'net/*.c'

The first runs the cases with a plugin of QEMU's (TCG), keeps in DIR what was run, and prints a table of the folders, of
files that are used beyond their registration. The second runs nothing, and prints the lines that were not run, of files
whose path ends in one of the patterns, by function.
The firmware's ELF file has to have debug information (CONFIG_DEBUG_INFO), which does not change the image.

A line that was run is not a line that a case checks; DEFECTS.md tells how many defects are caught.
"""

from __future__ import annotations

import argparse
import bisect
import fnmatch
import os
import shutil
import stat
import struct
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

LAYER = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(LAYER / "scripts/lib"), str(LAYER / "lib")]

from barebox_virt import bootstrap  # noqa: E402

if __name__ == "__main__":
    bootstrap.enter(LAYER / "scripts/requirements.txt", sys.argv)

from barebox_virt import common, table  # noqa: E402
from barebox_virt.main import guarded  # noqa: E402
from oeqa.barebox.errors import SetupError, UsageError  # noqa: E402
from oeqa.barebox.hazards import binutils, plugin  # noqa: E402
from oeqa.barebox.hazards.elf import Elf  # noqa: E402

SOURCE = Path(__file__).with_suffix(".c")
BLOCK = struct.Struct("<QQ")
PAGE = 4096
WRAPPER = """#!/bin/sh
exec env {variables} {program} "$@" -plugin "file={plugin},out={out}/$$"
"""

Row = tuple[str, int, int]
"""File, line and address, as in the debug information."""
Lines = dict[tuple[str, int], bool]
"""Whether each line of each file that there is code for was run."""


def measure(arguments: argparse.Namespace, program: str, blocks: Path) -> int:
    """Run the cases with a QEMU that writes into ``blocks`` what it runs; the exit status of the cases.

    :raises SetupError: QEMU or the plugin is missing
    """
    found = shutil.which(program)
    if found is None:
        raise SetupError(f"{program}: not found; install it")
    loaded = plugin.get(Path(found), plugin.build(source=SOURCE))
    wrapper = arguments.results / "qemu" / program
    for folder in (blocks, wrapper.parent):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    variables = " ".join(f"{name}={value}" for name, value in loaded.environment.items())
    text = WRAPPER.format(variables=variables, program=found, plugin=loaded.path, out=blocks.resolve())
    wrapper.write_text(text, encoding="utf-8")
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    command = common.test_command(arguments, "tcg", arguments.results / "cases")
    path = f"{wrapper.parent.resolve()}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, env={**os.environ, "PATH": path}, check=False).returncode


def distance(elf: Elf, begins: list[int]) -> int:
    """How far from its own addresses the ELF's code was: functions begin where blocks do, and code moves by pages."""
    places = defaultdict(list)
    for symbol in elf.symbols:
        places[symbol.address % PAGE].append(symbol.address)
    votes = Counter(begin - place for begin in begins for place in places[begin % PAGE] if begin >= place)
    return votes.most_common(1)[0][0] if votes else 0


def executed(elf: Elf, blocks: Path) -> bytearray:
    """For each of the ELF's addresses from 0, whether it was run in any of the starts.

    :raises UsageError: nothing was measured
    """
    size = max(start + len(code) for start, code in elf.code)
    found = bytearray(size)
    files = sorted(blocks.glob("*"))
    if not files:
        raise UsageError(f"{blocks}: nothing was measured; leave out --show")
    for file in files:
        content = file.read_bytes()
        pairs = list(BLOCK.iter_unpack(content[: len(content) // BLOCK.size * BLOCK.size]))
        moved = distance(elf, [begin for begin, _ in pairs])
        for begin, end in pairs:
            if moved <= begin < end <= moved + size:
                found[begin - moved : end - moved] = b"\1" * (end - begin)
    return found


def lines_of(rows: Sequence[Row], elf: Elf, ran: bytearray) -> Lines:
    """The lines that there is code for.

    :param rows: of the ELF's debug information
    :raises SetupError: the debug information or binutils are missing
    """
    found: Lines = {}
    for file, line, address in rows:
        if address < len(ran):
            found[file, line] = found.get((file, line), False) or bool(ran[address])
    if not found:
        raise SetupError(
            f"{elf.path}: no lines; build with CONFIG_DEBUG_INFO, and install binutils for its architecture"
        )
    return found


def show_folders(lines: Lines) -> None:
    """A table of folders: lines with code and lines that were run, of files of which a tenth was run."""
    code = Counter(file for file, _ in lines if file.endswith(".c"))
    run = Counter(file for (file, _), ran in lines.items() if ran)
    used = sorted(file for file in code if run[file] * 10 >= code[file])
    if not used:
        raise UsageError("nothing of the firmware was run; is this the ELF file of the image?")
    base = os.path.commonpath(used)
    folders = defaultdict(list)
    for file in used:
        folders[os.path.relpath(Path(file).parent, base)].append(file)
    rows = [(name, sum(code[f] for f in files), sum(run[f] for f in files)) for name, files in sorted(folders.items())]
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    texts = [(name, str(total), str(done), f"{100 * done / total:.0f} %") for name, total, done in rows]
    table.show("Lines of files that are in use", ("folder", "with code", "run", ""), texts)


def not_run(lines: Lines, patterns: list[str], elf: Elf, rows: Sequence[Row]) -> Iterator[str]:
    """The lines that were not run, by file and function."""
    functions = defaultdict(list)
    for symbol in elf.symbols:
        functions[symbol.address].append(symbol.name)
    starts: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for file, line, address in rows:
        if address in functions:
            starts[file].append((line, functions[address][0]))
    for file in sorted({file for file, _ in lines}):
        if not any(fnmatch.fnmatch(file, f"*/{pattern}") for pattern in patterns):
            continue
        numbers = sorted(line for (name, line), ran in lines.items() if name == file and not ran)
        yield f"{file}: {len(numbers)} of {sum(name == file for name, _ in lines)} lines were not run"
        places = sorted(starts[file])
        text = Path(file).read_text(errors="replace").splitlines() if Path(file).is_file() else []
        last = ""
        for number in numbers:
            index = bisect.bisect_right(places, (number, "~")) - 1
            name = places[index][1] if index >= 0 else ""
            if name != last:
                yield f"  {name}()"
                last = name
            yield f"    {number:5} {text[number - 1].strip() if number <= len(text) else ''}"


def run(arguments: argparse.Namespace) -> int:
    """Measure, or show what was measured."""
    machine = common.find_machine(arguments)
    firmware = common.find_firmware(arguments, machine)
    if firmware.elf is None:
        raise UsageError(f"{firmware.image}: its ELF file is not there; name it by --elf")
    blocks = arguments.results / "blocks"
    status = 0 if arguments.show else measure(arguments, machine.qemu.binary, blocks)
    if status > 1:
        return status
    elf = Elf(firmware.elf)
    rows = list(binutils.line_table(machine.arch, elf.path))
    lines = lines_of(rows, elf, executed(elf, blocks))
    if arguments.show:
        print("\n".join(not_run(lines, arguments.show, elf, rows)))
    else:
        show_folders(lines)
    return status


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_firmware_arguments(p)
    common.add_patches_argument(p)
    common.add_run_arguments(p)
    p.add_argument("--results", type=Path, required=True, metavar="DIR", help="what was run, and the cases' results")
    p.add_argument(
        "--show", nargs="+", default=[], metavar="PATTERN", help="run nothing, print lines that were not run"
    )
    return p


def main() -> int:
    """The command line."""
    return guarded(run, parser().parse_args())


if __name__ == "__main__":
    sys.exit(main())
