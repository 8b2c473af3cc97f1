# SPDX-License-Identifier: MIT
"""Seeded defects: changes of a barebox source tree that a case has to notice, and how they come and go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from oeqa.barebox.errors import SetupError, UsageError

from . import LAYER, yamlfile

LIST = LAYER / "scripts/benchmarks/defects.yaml"
SCHEMA = LAYER / "scripts/benchmarks/defects.schema.json"
CLEAN = "(clean)"
ERRORS = ("does not apply", "does not build", "changes nothing", "not measured")


@dataclass(frozen=True)
class Defect:
    """One defect; defects.schema.json tells what each field means."""

    id: str
    what: str
    area: str
    case: str
    file: str
    find: str
    put: str
    after: str = ""
    machines: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Differs as soon as anything of the defect does, so that it is measured again."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def seed(self, text: str) -> str:
        """The file's text with the defect in it.

        :raises UsageError: the place is not there, or there are several
        """
        start = text.find(self.after) if self.after else 0
        place = text.find(self.find, start + len(self.after)) if start >= 0 else -1
        if place < 0:
            raise UsageError(f"{self.file}: {self.find if start >= 0 else self.after!r} is not there")
        if not self.after and text.count(self.find) > 1:
            raise UsageError(
                f"{self.file}: {self.find!r} is there {text.count(self.find)} times; `after` tells them apart"
            )
        return text[:place] + self.put + text[place + len(self.find) :]


def load(path: Path = LIST) -> list[Defect]:
    """The defects in a file.

    :raises UsageError: it is not as the schema wants it, or an id appears twice
    """
    data = yamlfile.read(path)
    yamlfile.check(data, SCHEMA, path)
    defects = [Defect(**{**entry, "machines": tuple(entry.get("machines", ()))}) for entry in data["defects"]]
    ids = [defect.id for defect in defects]
    if repeated := sorted({i for i in ids if ids.count(i) > 1}):
        raise UsageError(f"{yamlfile.name_of(path)}: ids that appear twice: {', '.join(repeated)}")
    return defects


class Seed:
    """A defect in a source tree for as long as the context lasts. The file's original lies in ``folder`` meanwhile, and
    :func:`restore` brings it back also where this program was killed.

    :raises UsageError: the place is not in the file
    """

    def __init__(self, defect: Defect, source: Path, folder: Path) -> None:
        self._defect = defect
        self._path = source / defect.file
        self._folder = folder

    def __enter__(self) -> None:
        try:
            text = self._path.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            raise UsageError(f"{self._defect.file}: {error.strerror}") from None
        changed = self._defect.seed(text)
        (self._folder / "original").write_text(text, encoding="utf-8", errors="surrogateescape")
        (self._folder / "original.path").write_text(str(self._path), encoding="utf-8")
        self._path.write_text(changed, encoding="utf-8", errors="surrogateescape")

    def __exit__(self, *exception: object) -> None:
        restore(self._folder)


def restore(folder: Path) -> str:
    """Take out a defect that is still in a source tree: the file that was mended; empty where there was none."""
    path = folder / "original.path"
    if not path.exists():
        return ""
    target = Path(path.read_text(encoding="utf-8"))
    target.write_bytes((folder / "original").read_bytes())
    path.unlink()
    return str(target)


class Progress:
    """What was measured so far, in a file, so that an interrupted measurement goes on where it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.entries: dict[str, dict[str, Any]] = (
                json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            )
        except (OSError, ValueError) as error:
            raise SetupError(f"{path}: {error}. Remove it to measure everything again.") from None

    def of(self, defect: Defect) -> Mapping[str, Any] | None:
        """What is known of a defect as it stands in the list now."""
        entry = self.entries.get(defect.id)
        return entry if entry is not None and entry["fingerprint"] == defect.fingerprint else None

    def clean(self, digest: str, cases: Sequence[str]) -> list[str] | None:
        """The cases that were red on an image without a defect; None where these cases were not run on it. An empty
        list of cases stands for all of them."""
        entry = self.entries.get(CLEAN, {})
        if entry.get("image") != digest or (entry["ran"] and not (cases and set(cases) <= set(entry["ran"]))):
            return None
        return list(entry["red"])

    def put_clean(self, digest: str, cases: Sequence[str], red: Sequence[str]) -> None:
        """Note which cases were red on an image without a defect."""
        if self.clean(digest, cases) is None:
            self._write({**self.entries, CLEAN: {"image": digest, "ran": list(cases), "red": list(red)}})

    def put(self, defect: Defect, **facts: object) -> None:
        """Note what came out."""
        what = {"area": defect.area, "what": defect.what, "case": defect.case}
        self._write({**self.entries, defect.id: {"fingerprint": defect.fingerprint, **what, **facts}})

    def _write(self, entries: dict[str, dict[str, Any]]) -> None:
        self.entries = entries
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(self.entries, indent=1, sort_keys=True), encoding="utf-8")
        draft.replace(self._path)


def rates(defects: Iterable[Defect], progress: Progress) -> list[tuple[str, int, int, int]]:
    """For each area, and at last for all of them: how many defects were measured, how many turned a case red, and how
    many could not be measured."""
    rows: dict[str, list[int]] = {}
    for defect in defects:
        entry = progress.of(defect)
        verdict = entry["verdict"] if entry else "not measured"
        row = rows.setdefault(defect.area, [0, 0, 0])
        row[0] += verdict in ("red", "green")
        row[1] += verdict == "red"
        row[2] += verdict in ERRORS
    found = [(area, *row) for area, row in rows.items()]
    return [*found, ("all", *(sum(row[i] for row in rows.values()) for i in range(3)))]  # type: ignore[list-item]


def interleaved(defects: Sequence[Defect]) -> list[Defect]:
    """The defects with the areas in turn, so that any first part of them has some of each."""
    rank: dict[str, int] = {}
    order = []
    for position, defect in enumerate(defects):
        rank[defect.area] = rank.get(defect.area, -1) + 1
        order.append((rank[defect.area], position, defect))
    return [defect for _, _, defect in sorted(order, key=lambda entry: entry[:2])]


def of_machine(defects: Sequence[Defect], machine: str) -> list[Defect]:
    """The defects whose code a machine's build has."""
    return [defect for defect in defects if not defect.machines or machine in defect.machines]
