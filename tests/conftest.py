# SPDX-License-Identifier: MIT
"""What several test modules need: the command line as users start it, and a layer to break."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

LAYER = Path(__file__).resolve().parent.parent
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cli() -> Cli:
    """Run scripts/barebox-virt with arguments, in this Python."""

    def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(LAYER / "scripts/barebox-virt"), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)

    return run


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A layer of somebody else's, with one machine of the tests' own."""
    (tmp_path / "conf/machines").mkdir(parents=True)
    (tmp_path / "conf/layer.conf").touch()
    shutil.copy(LAYER / "conf/machines/qemuarm64-barebox.yaml", tmp_path / "conf/machines/mine.yaml")
    return tmp_path
