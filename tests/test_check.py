# SPDX-License-Identifier: MIT
"""scripts/check: each step goes red where the layer has the fault that the step is there for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from barebox_virt import check
from conftest import LAYER

RECIPE = "recipes-bsp/barebox/barebox_git.bb"
CLASS = "classes/barebox-testimage.bbclass"

# A step, the file that gets a fault, the fault as text at its end, and what the step has to say.
FAULTS = [
    ("ruff", "lib/oeqa/barebox/wire.py", "\nimport json\n", "F401"),
    ("ruff_format", "lib/oeqa/barebox/wire.py", "\n\n\n\nX = {'a':1}\n", '+X = {"a": 1}'),
    ("mypy", "lib/oeqa/barebox/deadline.py", '\n\nWRONG: int = "text"\n', "Incompatible types"),
    ("shellcheck", ".ci/run", '\necho $1 "$undefined_otter\n', ".ci/run"),
    ("oelint", RECIPE, '\nBAREBOX_OTTERR = "1"\n', "BAREBOX_OTTERR"),
    ("bitbake_syntax", RECIPE, "\ndo_otter() {\n    true\n", "unclosed function"),
    ("bitbake_syntax", RECIPE, "\npython do_otter() {\n    if True\n}\n", "expected ':'"),
    ("bitbake_syntax", "conf/layer.conf", "\nthis is no assignment\n", "unparsed line"),
    ("bitbake_syntax", "recipes-bsp/barebox/barebox_%.bbappend", '\nX = "${@1 +}"\n', "invalid syntax"),
    ("machines", "conf/machine/qemuarm64-barebox.conf", '\nMACHINE_FEATURES += "otter"\n', "out of date"),
    ("spdx", "lib/oeqa/barebox/otter.py", "print()\n", "otter.py: no line"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the layer that may be broken."""
    folder = tmp_path_factory.mktemp("layer")
    for name in check.tracked("*"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(LAYER / name, folder / name)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


@pytest.mark.parametrize(("step", "name", "fault", "words"), FAULTS, ids=[f"{f[0]}-{f[3]}" for f in FAULTS])
def test_fault_is_found(copy: Path, step: str, name: str, fault: str, words: str) -> None:
    path = copy / name
    before = path.read_bytes() if path.exists() else None
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(fault)
        done = perform(copy, step)
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
    assert done.returncode == 1, done.stdout + done.stderr
    assert words in done.stdout + done.stderr
    assert f"=== {step}: failed" in done.stdout


def perform(layer: Path, step: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "MYPY_CACHE_DIR": str(LAYER / ".mypy_cache")}
    command = [sys.executable, str(layer / "scripts/check"), "--step", step]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=240)


def test_step_that_finds_no_file_is_red() -> None:
    with pytest.raises(check.BareboxError, match="found no file to look at"):
        check._need_files([])
