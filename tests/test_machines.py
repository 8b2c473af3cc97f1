# SPDX-License-Identifier: MIT
"""Machine descriptions: the schema, its messages, and the files that are generated."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from barebox_virt import LAYER, describe, machines, yamlfile
from conftest import Cli
from oeqa.barebox import machine
from oeqa.barebox.errors import SetupError, UsageError

SCHEMA = json.loads(describe.MACHINE_SCHEMA.read_text(encoding="utf-8"))


def _edit(layer: Path, old: str, new: str) -> Path:
    path = layer / "conf/machines/mine.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text, f"the test edits what is not there: {old}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path


# What is broken, and every part that the message must have.
FAULTS = [
    (
        "  memory: 512",
        "  memroy: 512",
        ["qemu.memroy: unknown key", "binary, cpu, fw_cfg, globals", "qemu.memory: required"],
    ),
    ("  memory: 512", '  memory: "512"', ["qemu.memory: integer expected, a string found"]),
    ('minimum: "7.2"', "minimum: 7.2", ["qemu.minimum: string expected, a number found (7.2)", 'quotes: "7.2"']),
    ("arch: aarch64", "arch: arm64", ["arch: 'arm64' is not allowed; allowed: aarch64, riscv64, x86_64"]),
    ("  smp: 2", "  smp: 0", ["qemu.smp: 0 breaks the rule minimum 1", "Number of processors"]),
    ("kind: block", "kind: disk", ["devices[0].kind: 'disk' is not allowed; allowed: block, net, rng, console, 9p"]),
    ("id: disk1", "id: disk0", ["devices[1].id: 'disk0' appears twice"]),
    ("u-boot: virtio 0", "uboot: virtio 0", ["devices[0].node.uboot: unknown key; allowed: barebox, u-boot"]),
    ("    load: kernel", "    load: pflash", ["firmware.barebox.load: 'pflash' is not allowed; allowed: kernel, bios"]),
    ("arch: aarch64", "arch: aarch64\narch: riscv64", [".yaml:4: key 'arch' appears twice"]),
    ("arch: aarch64", "arch: [aarch64", [".yaml:", "expected ',' or ']'"]),
    ("arch: aarch64\n", "", ["arch: required key is missing: Architecture of the guest"]),
    ("devices:", "device:", ["device: unknown key", "devices: required key is missing"]),
]


@pytest.mark.parametrize(("old", "new", "parts"), FAULTS, ids=[f[1].strip() or "missing" for f in FAULTS])
def test_fault_names_file_key_and_choices(layer: Path, cli: Cli, old: str, new: str, parts: list[str]) -> None:
    path = _edit(layer, old, new)
    done = cli("machines", "--layer", layer)
    assert done.returncode == 2, done.stderr
    assert str(path) in done.stderr
    for part in parts:
        assert part in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "content", [b"", b"just a word", b"- a\n- list\n", b"\xff\xfe\x00", b"a: \tb: c", b"? [x]\n: y\n"]
)
def test_file_that_is_no_description(layer: Path, cli: Cli, content: bytes) -> None:
    (layer / "conf/machines/mine.yaml").write_bytes(content)
    done = cli("machines", "--layer", layer)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert "mine.yaml" in done.stderr


def test_directory_that_is_no_layer(tmp_path: Path, cli: Cli) -> None:
    done = cli("machines", "--layer", tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path}: not a layer" in done.stderr


def test_name_that_bitbake_cannot_use(layer: Path, cli: Cli) -> None:
    (layer / "conf/machines/mine.yaml").rename(layer / "conf/machines/My_Machine.yaml")
    done = cli("machines", "--layer", layer)
    assert done.returncode == 2
    assert "a-z, 0-9 and -" in done.stderr


def test_foreign_layer_is_rendered_checked_and_cleaned(layer: Path, cli: Cli) -> None:
    assert cli("machines", "--check", "--layer", layer).returncode == 1
    assert cli("machines", "--layer", layer).returncode == 0
    assert cli("machines", "--check", "--layer", layer).returncode == 0
    assert machine.load(layer / "conf/machines/mine.json").name == "mine"
    _edit(layer, "memory: 512", "memory: 513")
    drifted = cli("machines", "--check", "--layer", layer)
    assert drifted.returncode == 1
    assert re.search(r'^\+.*"memory": 513', drifted.stdout, re.M), drifted.stdout
    (layer / "conf/machines/mine.yaml").rename(layer / "conf/machines/other.yaml")
    assert "mine.yaml is gone" in cli("machines", "--check", "--layer", layer).stdout
    assert cli("machines", "--layer", layer).returncode == 0
    assert not (layer / "conf/machine/mine.conf").exists()
    assert not (layer / "conf/machines/mine.json").exists()


def test_second_run_writes_nothing(layer: Path, cli: Cli) -> None:
    cli("machines", "--layer", layer)
    before = {p: p.stat().st_mtime_ns for p in layer.rglob("conf/*/*")}
    assert cli("machines", "--layer", layer).stdout == ""
    assert {p: p.stat().st_mtime_ns for p in layer.rglob("conf/*/*")} == before


def test_configuration_written_by_hand_is_kept(layer: Path, cli: Cli) -> None:
    mine = layer / "conf/machine/mine.conf"
    mine.parent.mkdir()
    mine.write_text("# by hand\n", encoding="utf-8")
    for option in ([], ["--check"]):
        done = cli("machines", *option, "--layer", layer)
        assert done.returncode == 0, done.stderr
        assert "conf/machine/mine.conf was written by hand" in done.stdout
    assert mine.read_text(encoding="utf-8") == "# by hand\n"
    assert machine.load(layer / "conf/machines/mine.json").name == "mine"


def test_list_shows_every_machine(cli: Cli) -> None:
    done = cli("machines", "--list")
    assert done.returncode == 0
    for path in describe.sources(LAYER):
        assert re.search(rf"^{path.stem} ", done.stdout, re.M), done.stdout


def test_template_with_an_undefined_name(layer: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    template = tmp_path / "broken.jinja2"
    template.write_text("{{ m.qemu.cpuu }}", encoding="utf-8")
    monkeypatch.setattr(describe, "TEMPLATE", template)
    with pytest.raises(SetupError, match="broken.jinja2.*cpuu"):
        describe.generate(layer)


def test_missing_template(layer: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(describe, "TEMPLATE", tmp_path / "nowhere.jinja2")
    with pytest.raises(SetupError, match="template is missing"):
        describe.generate(layer)


def test_generated_files_of_this_layer_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert machines._check(LAYER) == 0
    assert capsys.readouterr().out == "", "a configuration here was written by hand"


def _levels(cls: Any, schema: dict[str, Any]) -> None:
    """The dataclass has exactly the schema's keys; those that may be left out have a default."""
    known = {f.name: f for f in dataclasses.fields(cls) if (cls, f.name) != (machine.Machine, "name")}
    assert set(known) == set(schema["properties"]), cls.__name__
    plain = {n for n, f in known.items() if f.default is f.default_factory is dataclasses.MISSING}
    assert plain <= set(schema["required"]), f"{cls.__name__}: may be left out, but has no default"


def test_schema_and_dataclasses_are_in_step() -> None:
    bootloader = SCHEMA["properties"]["firmware"]["additionalProperties"]
    _levels(machine.Machine, SCHEMA)
    _levels(machine.Qemu, SCHEMA["properties"]["qemu"])
    _levels(machine.Kvm, SCHEMA["properties"]["qemu"]["properties"]["kvm"])
    _levels(machine.Device, SCHEMA["properties"]["devices"]["items"])
    _levels(machine.Bootloader, bootloader)
    _levels(machine.Bios, bootloader["properties"]["bios"])


ISSUE = {
    "id": "x",
    "title": "t",
    "bootloader": "barebox",
    "releases": {"first": "2026.06.0"},
    "machines": ["m"],
    "cases": ["barebox_net.Net.test_dhcp"],
    "evidence": "seen",
    "link": "https://barebox.org",
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, ""),
        ({"releases": {"frist": "2026.06.0"}}, "issues[0].releases.frist: unknown key; allowed: first, last"),
        ({"releases": {}}, "issues[0].releases: {} breaks the rule minProperties"),
        ({"cases": []}, "issues[0].cases: [] breaks the rule minItems"),
        ({"accelerators": ["hvf"]}, "issues[0].accelerators[0]: 'hvf' is not allowed; allowed: tcg, kvm, nested"),
    ],
)
def test_known_issues_schema(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    data = {"issues": [{**ISSUE, **change}]}
    where = tmp_path / "known-issues.yaml"
    if message:
        with pytest.raises(UsageError, match=re.escape(message)):
            yamlfile.check(data, describe.ISSUES_SCHEMA, where)
    else:
        yamlfile.check(data, describe.ISSUES_SCHEMA, where)
