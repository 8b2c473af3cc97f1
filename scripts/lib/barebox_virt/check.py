# SPDX-License-Identifier: MIT
"""scripts/check: runs every lint and every test, goes on after a failure, ends with pytest's own summary."""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from oeqa.barebox.errors import BareboxError

from . import LAYER, packages, table

BITBAKE_FILES = ("*.bb", "*.bbappend", "*.inc", "*.bbclass", "*.conf")
OELINT_FILES = ("*.bb", "*.bbappend", "*.inc", "*.bbclass")
NO_SPDX = {
    "COPYING.MIT": "the licence itself",
    "*.patch": "under the licence of what they patch",
    "conf/known-issues.json": "generated",
    "conf/kvm-hosts/*64.json": "generated",
    "conf/machines/*-barebox.json": "generated",
    "conf/setup/*.conf.json": "bitbake-setup's schema has no place for it; beside it stands a .license",
}
PYTHON = (sys.executable, "-m")


def tracked(*patterns: str) -> list[str]:
    """The files of the layer that git knows or would add, by pattern."""
    command = ["git", "-c", f"safe.directory={LAYER}", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=LAYER, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    here = [name for name in sorted(set(listed)) if (LAYER / name).is_file()]
    return [name for name in here if any(fnmatch.fnmatch(name, p) for p in patterns)]


def _first_line(name: str) -> str:
    with (LAYER / name).open("rb") as file:
        return file.readline(80).decode(errors="replace")


def with_interpreter(kind: str) -> list[str]:
    """The scripts without an extension whose first line names ``kind`` as interpreter."""
    bare = [name for name in tracked("*") if not Path(name).suffix]
    return [name for name in bare if _first_line(name).startswith("#!") and kind in _first_line(name)]


def _run(command: Sequence[str]) -> int:
    path = f"{LAYER / 'scripts/lib'}:{LAYER / 'lib'}"
    return subprocess.run(command, cwd=LAYER, env={**os.environ, "PYTHONPATH": path}, check=False).returncode


def _need_files(files: list[str]) -> list[str]:
    if not files:
        raise BareboxError("found no file to look at; the step would pass whatever is in the layer")
    return files


def ruff() -> int:
    """Python: ruff's rules."""
    return _run([*PYTHON, "ruff", "check", "--quiet", *tracked("*.py"), *with_interpreter("python3")])


def ruff_format() -> int:
    """Python: ruff's format."""
    return _run([*PYTHON, "ruff", "format", "--quiet", "--diff", *tracked("*.py"), *with_interpreter("python3")])


def mypy() -> int:
    """Python: types, strict."""
    return _run([*PYTHON, "mypy", "--no-error-summary", "scripts/lib/barebox_virt", "lib/oeqa/barebox"])


def shellcheck() -> int:
    """Shell: shellcheck."""
    scripts = with_interpreter("/sh") + with_interpreter("bash") + tracked("*.sh")
    return _run(["shellcheck", *_need_files(sorted(set(scripts)))])


def documented(names: Sequence[str]) -> list[str]:
    """The variables that files of the layer give a ``[doc]``."""
    texts = [(LAYER / name).read_text(encoding="utf-8") for name in names]
    return sorted({variable for text in texts for variable in re.findall(r"(?m)^([A-Z][A-Z0-9_]+)\[doc\]", text)})


def oelint() -> int:
    """Recipes and classes: oelint-adv, by .oelint.cfg; a variable of ours is known by its [doc]."""
    program = str(Path(sys.executable).with_name("oelint-adv"))
    files = _need_files(tracked(*OELINT_FILES))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as ours:
        json.dump({"variables": {"known": documented(files)}}, ours)
        ours.flush()
        return _run([program, "--quiet", "--relpaths", "--jobs=1", f"--constantmods=+{ours.name}", *files])


def bitbake_syntax() -> int:
    """Recipes, classes and configuration: BitBake's parser."""
    return _run([*PYTHON, "barebox_virt.bbsyntax", *_need_files(tracked(*BITBAKE_FILES))])


def machines() -> int:
    """Generated files are up to date."""
    return _run([sys.executable, "scripts/barebox-virt", "machines", "--check"])


def spdx() -> int:
    """Every file names its licence near its top."""
    names = [n for n in tracked("*") if not any(fnmatch.fnmatch(n, p) for p in NO_SPDX)]
    texts = {n: (LAYER / n).read_bytes()[:1000] for n in names}
    bad = [n for n, text in texts.items() if text and b"SPDX-License-Identifier: MIT" not in text]
    for name in bad:
        print(f"{name}: no line 'SPDX-License-Identifier: MIT' near its top")
    return 1 if bad else 0


STEPS: tuple[Callable[[], int], ...] = (ruff, ruff_format, mypy, shellcheck, oelint, bitbake_syntax, machines, spdx)


def _perform(step: Callable[[], int]) -> tuple[str, str, str, str]:
    """Run one step; a row for the summary."""
    started = time.monotonic()
    print(f"=== {step.__name__}: {step.__doc__}", flush=True)
    try:
        status = step()
    except (BareboxError, OSError) as error:
        print(f"{step.__name__}: {error}", flush=True)
        status = 2
    verdict = "failed" if status else "ok"
    seconds = f"{time.monotonic() - started:.1f} s"
    print(f"=== {step.__name__}: {verdict} ({seconds})", flush=True)
    return step.__name__, verdict, seconds, step.__doc__ or ""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    names = [step.__name__ for step in STEPS] + ["pytest"]
    parser = argparse.ArgumentParser(prog="check", description="Run every lint and every test of the layer.")
    parser.add_argument("--install-deps", action="store_true", help="install missing packages, naming them first")
    parser.add_argument("--step", action="append", choices=names, help="only this step (repeatable)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the steps and pytest; 1 if one of them failed."""
    arguments = _arguments(argv)
    try:
        if arguments.install_deps:
            packages.provide(packages.wanted(["test", "images", "check", "nested"]), True)
    except BareboxError as error:
        print(f"check: error: {error}", file=sys.stderr)
        return error.exit_status
    chosen = arguments.step or [step.__name__ for step in STEPS] + ["pytest"]
    rows = [_perform(step) for step in STEPS if step.__name__ in chosen]
    if rows:
        table.show("Checks before pytest", ("step", "verdict", "time", "what"), rows)
        sys.stdout.flush()
    tests = _run([*PYTHON, "pytest"]) if "pytest" in chosen else 0
    return 1 if tests or any(row[1] == "failed" for row in rows) else 0
