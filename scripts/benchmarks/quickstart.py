#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How much quickstart adds to the builds themselves.

    scripts/benchmarks/quickstart.py --workspace NEW_FOLDER --source bitbake=DIR ...

Quickstart runs in a new workspace. Then the very configure and compile steps of its builds, which are plain make, run
again from nothing without BitBake. Seconds depend on the machine; the ratio is the result. Goal: 1.5. Options are
quickstart's; BitBake wants an ordinary user.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[1] / "barebox-virt"
STEPS = ("do_configure", "do_compile")


def timed(command: list[str]) -> float:
    """Seconds that a command takes; the benchmark ends where it fails."""
    started = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ends with status {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.monotonic() - started


def plain(work: Path) -> float:
    """Seconds for configure and compile of one build, from an empty build folder."""
    script = (work / "temp/run.do_compile").read_text(encoding="utf-8")
    build = Path(re.search(r"(?m)^cd '([^']+)'", script)[1])  # type: ignore[index]
    shutil.rmtree(build)
    build.mkdir()
    return sum(timed(["bash", str(work / f"temp/run.{step}")]) for step in STEPS)


def main() -> int:
    """The command line."""
    options = sys.argv[1:]
    if os.geteuid() == 0 or "--workspace" not in options:
        sys.exit(f"{__doc__}\nAn ordinary user and --workspace are needed.")
    workspace = Path(options[options.index("--workspace") + 1]).absolute()
    if workspace.exists():
        sys.exit(f"{workspace} exists; a new folder makes the first run that is to be measured")
    whole = timed([str(PROGRAM), "quickstart", "--bootloader", "barebox", *options])
    folders = sorted(workspace.glob("build-*/build/tmp/work/*/barebox/*"))
    bare = {folder.parents[1].name: plain(folder) for folder in folders}
    for name, seconds in bare.items():
        print(f"plain make of {name}: {seconds:.0f} s")
    print(f"quickstart: {whole:.0f} s, {whole / sum(bare.values()):.2f} of plain make (goal: 1.5)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
