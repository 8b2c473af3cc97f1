# SPDX-License-Identifier: MIT
"""doctor and the distribution's packages: what is missing is found, named, and told how to mend."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from barebox_virt import LAYER, host, packages, sources
from conftest import Cli
from oeqa.barebox.errors import SetupError

NOWHERE = "http://127.0.0.1:9"  # the discard port, where nobody listens


@pytest.fixture
def bare_path(tmp_path: Path) -> dict[str, str]:
    """A PATH with a Python and nothing else."""
    (tmp_path / "python3").symlink_to(sys.executable)
    proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), NOWHERE)
    return {**os.environ, **proxies, "PATH": str(tmp_path), "HOME": os.environ.get("HOME", "/")}


def test_host_that_lacks_everything(cli: Cli, bare_path: dict[str, str]) -> None:
    done = cli("doctor", "--json", env=bare_path)
    assert done.returncode == 1, done.stderr
    found = {f["topic"]: f for f in json.loads(done.stdout)}
    for program in ("qemu-system-aarch64", "qemu-system-riscv64", "qemu-system-x86_64", "aarch64-linux-gnu-gcc"):
        assert found[program]["state"] == "missing"
        assert found[program]["remedy"]
    assert "lzop" in found["build tools"]["detail"]
    assert found["source barebox"]["state"] == "missing"
    assert "--downloads" in found["source barebox"]["remedy"]


def test_only_what_is_missing_is_red(cli: Cli) -> None:
    done = cli("doctor", "--json", env={**os.environ, "HTTPS_PROXY": NOWHERE, "https_proxy": NOWHERE})
    states = [f["state"] for f in json.loads(done.stdout)]
    assert done.returncode == int("missing" in states)
    assert set(states) <= {"ok", "note", "missing"}


def test_accelerator_is_tried_not_believed() -> None:
    """What doctor says of an accelerator is what a guest ran with."""
    m = host.known_machines(LAYER)["qemux86-64-barebox"]
    if not packages.is_here(m.qemu.binary) or not packages.is_here("u-boot-qemu"):
        pytest.skip("qemu-system-x86_64 and the package u-boot-qemu are not both installed")
    finding = host.trial(m)
    assert finding.state in (host.OK, host.NOTE), finding
    assert finding.detail.startswith(("kvm: U-Boot at its prompt in", "tcg: U-Boot at its prompt in"))
    assert finding.state == host.OK or "no kvm:" in finding.detail


def test_nested_without_and_with_an_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(host.qemu, "find_for", lambda *_: None)
    monkeypatch.setattr(packages, "is_here", lambda item: item != "dpkg-deb")
    assert "no dpkg-deb to make one" in host.nested("aarch64").detail
    monkeypatch.setattr(packages, "is_here", lambda _: True)
    finding = host.nested("aarch64")
    assert (finding.state, finding.remedy) == (host.NOTE, "barebox-virt kvm-host build aarch64")
    monkeypatch.setattr(host.image.Cache, "current_folder", lambda *_: tmp_path / "aarch64-otter")
    assert "image aarch64-otter" in host.nested("aarch64").detail


def test_locale_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "locale").write_text("#!/bin/sh\necho C.utf8\n", encoding="utf-8")
    (tmp_path / "locale").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    finding = host.locale()
    assert finding.state == host.MISSING
    assert "localedef -i en_US -f UTF-8 en_US.UTF-8" in finding.remedy


def test_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host, "DISK_GB", 10**9)
    assert host.disk(tmp_path / "not" / "yet").state == host.MISSING


def test_every_item_has_a_package_for_each_manager() -> None:
    data = packages.names()
    for item in packages.wanted(data["sets"]):
        for manager in packages.INSTALLERS:
            assert packages.packages_of([item], manager), f"{item}: no package for {manager}"


def test_every_item_of_a_set_is_known() -> None:
    data = packages.names()
    known = {item for kind in packages.KINDS for item in data[kind]}
    assert set(packages.wanted(data["sets"])) <= known


def test_missing_item_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "is_here", lambda item: item != "lzop")
    monkeypatch.setattr(packages, "manager", lambda: "dnf")
    with pytest.raises(SetupError, match="missing on this machine: lzop.*dnf install --assumeyes lzop.*--install-deps"):
        packages.provide(["lzop", "lz4"], False)


def test_unknown_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "manager", lambda: None)
    assert packages.remedy(["lzop"]) == "install by your distribution's means what provides lzop"


def test_versions_come_from_the_recipe() -> None:
    release = sources.release()
    assert (LAYER / f"recipes-bsp/barebox/barebox_{release.version}.bb").is_file()
    assert len(release.sha256) == 64
