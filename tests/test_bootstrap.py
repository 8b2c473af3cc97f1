# SPDX-License-Identifier: MIT
"""How a program finds its Python packages."""

from __future__ import annotations

import os

import pytest

from barebox_virt import bootstrap


@pytest.fixture
def needs(tmp_path):
    def write(*requirements):
        path = tmp_path / "requirements.txt"
        path.write_text("".join(f"{requirement}\n" for requirement in requirements))
        return path

    return write


def test_what_a_program_starts_looks_for_its_own_environment(needs, monkeypatch):
    monkeypatch.setenv(bootstrap.MARK, "where this program found its packages")
    bootstrap.enter(needs("pytest>=7"), ["soak.py"])
    assert bootstrap.MARK not in os.environ, "a child with the system's Python would take its packages for lost"


def test_an_environment_that_lost_a_package_is_named_with_its_mending(needs, monkeypatch, capsys):
    path = needs("pytest>=7", "otter>=1")
    venv = bootstrap.environment(bootstrap.requirements(path))
    monkeypatch.setenv(bootstrap.MARK, str(venv))
    with pytest.raises(SystemExit) as ended:
        bootstrap.enter(path, ["soak.py"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"soak.py: error: {venv} lacks otter>=1; mend it by: rm -r {venv}\n"
