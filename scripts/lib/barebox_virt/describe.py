# SPDX-License-Identifier: MIT
"""Machine descriptions and known issues: check the YAML that people write, render what BitBake and the tests read."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from oeqa.barebox import machine
from oeqa.barebox.errors import SetupError, UsageError
from oeqa.barebox.nested import description as host_description

from . import LAYER, yamlfile

MARKER = "Generated from"
DESCRIPTIONS = "conf/machines"
TEMPLATE = LAYER / DESCRIPTIONS / "machine.conf.jinja2"
MACHINE_SCHEMA = LAYER / DESCRIPTIONS / "schema.json"
ISSUES_SCHEMA = LAYER / "conf/known-issues.schema.json"
HOSTS = host_description.FOLDER
HOST_SCHEMA = LAYER / HOSTS / "schema.json"


@dataclass(frozen=True)
class Generated:
    """A file as it has to be."""

    path: Path
    text: str

    def current(self) -> str | None:
        """What the file holds now; None where there is none."""
        return self.path.read_text(encoding="utf-8") if self.path.exists() else None


def _refuse_repeated_ids(entries: list[dict[str, Any]], key: str, where: Path) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        if entry["id"] in seen:
            raise UsageError(
                f"{yamlfile.name_of(where)}: {key}[{index}].id: {entry['id']!r} appears twice; ids are unique in a file"
            )
        seen.add(entry["id"])


def describe(path: Path) -> dict[str, Any]:
    """The description in a YAML file, checked, with the machine's name.

    :raises UsageError: it is not as the schema wants it
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", path.stem):
        raise UsageError(f"{yamlfile.name_of(path)}: the file's name is the machine's; allowed in it: a-z, 0-9 and -")
    data = yamlfile.read(path)
    yamlfile.check(data, MACHINE_SCHEMA, path)
    _refuse_repeated_ids(data["devices"], "devices", path)
    return {"name": path.stem, **data}


def _as_json(data: Any) -> str:
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def render(description: dict[str, Any], source: str) -> str:
    """The text of conf/machine/<name>.conf, by the template.

    :raises SetupError: the template is missing or at odds with the description
    """
    loader = jinja2.FileSystemLoader(TEMPLATE.parent)
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    try:
        template = environment.get_template(TEMPLATE.name)
        text = template.render(name=description["name"], m=machine.from_dict(description, source))
    except jinja2.TemplateNotFound:
        raise SetupError(
            f"{TEMPLATE}: the template is missing; git checkout -- {DESCRIPTIONS} brings it back"
        ) from None
    except jinja2.TemplateError as error:
        line = getattr(error, "lineno", None)
        raise SetupError(f"{TEMPLATE}{f':{line}' if line else ''}: {error} (rendering {source})") from None
    if MARKER not in text:
        raise SetupError(f"{TEMPLATE}: renders no line with {MARKER!r}, by which generated files are known")
    return text


def sources(layer: Path) -> list[Path]:
    """The descriptions of a layer.

    :raises UsageError: it is no layer, or has none
    """
    if not (layer / "conf/layer.conf").is_file():
        raise UsageError(f"{layer}: not a layer, it has no conf/layer.conf")
    found = sorted((layer / DESCRIPTIONS).glob("*.yaml"))
    if not found:
        raise UsageError(f"{layer / DESCRIPTIONS}: no machine is described here; {LAYER / DESCRIPTIONS} has examples")
    return found


def _known_issues(layer: Path) -> list[Generated]:
    path = layer / "conf/known-issues.yaml"
    if not path.exists():
        return []
    data = yamlfile.read(path)
    yamlfile.check(data, ISSUES_SCHEMA, path)
    _refuse_repeated_ids(data["issues"], "issues", path)
    return [Generated(path.with_suffix(".json"), _as_json(data))]


def _kvm_hosts(layer: Path) -> list[Generated]:
    files = []
    for path in sorted((layer / HOSTS).glob("*.yaml")):
        data = yamlfile.read(path)
        yamlfile.check(data, HOST_SCHEMA, path)
        for index, pattern in enumerate(data["complaints"]):
            _refuse_pattern(pattern, f"{yamlfile.name_of(path)}: complaints[{index}]")
        files.append(Generated(path.with_suffix(".json"), _as_json({"name": path.stem, **data})))
    return files


def _refuse_pattern(pattern: str, where: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise UsageError(f"{where}: {pattern!r} is no regular expression: {error}") from None


def generate(layer: Path) -> list[Generated]:
    """Every file of ``layer`` that is generated, as it has to be.

    :raises UsageError: with all that is wrong in the descriptions
    """
    files, faults = [], []
    for path in sources(layer):
        try:
            description = describe(path)
        except UsageError as error:
            faults.append(str(error))
            continue
        files.append(
            Generated(layer / f"conf/machine/{path.stem}.conf", render(description, f"{DESCRIPTIONS}/{path.name}"))
        )
        files.append(Generated(path.with_suffix(".json"), _as_json(description)))
    if faults:
        raise UsageError("\n".join(faults))
    return files + _kvm_hosts(layer) + _known_issues(layer)


def stale(layer: Path) -> list[Path]:
    """Generated files whose description is gone."""
    names = {path.stem for path in sources(layer)}
    configurations = [p for p in sorted(layer.glob("conf/machine/*.conf")) if MARKER in p.read_text(encoding="utf-8")]
    compiled = [p for p in sorted(layer.glob(f"{DESCRIPTIONS}/*.json")) if p != MACHINE_SCHEMA]
    gone = [p for p in configurations + compiled if p.stem not in names]
    hosts = [p for p in sorted((layer / HOSTS).glob("*.json")) if p.name != HOST_SCHEMA.name]
    return gone + [p for p in hosts if not p.with_suffix(".yaml").exists()]
