# SPDX-License-Identifier: MIT
"""The syntax of BitBake's files, by BitBake's own parser and without oe-core: python -m barebox_virt.bbsyntax FILE...

The parser reads each file into statements, which are not evaluated: classes and variables of oe-core are not here.
Python inside is compiled instead.
"""

from __future__ import annotations

import logging
import re
import sys
import types
from pathlib import Path
from typing import Any

for absent in ("hashserv", "hashserv.client"):  # PyPI's bitbake-setup leaves it out; only signatures need it
    sys.modules.setdefault(absent, types.ModuleType(absent))

import bb  # noqa: E402
import bb.data  # noqa: E402
import bb.parse  # noqa: E402
from bb.parse import ast  # noqa: E402
from bb.parse.parse_py import BBHandler  # noqa: E402

INLINE = re.compile(r"\${@((?:{.*?}|.)+?)}", re.S)  # as bb.data_smart has it


class Statements(list[Any]):
    """Stands in for the parser's list of statements; keeps them and evaluates nothing."""

    read: list[Any] = []

    def eval(self, _data: Any) -> None:
        """Keep what was read."""
        Statements.read = list(self)


class Complaints(logging.Handler):
    """Collects what the parser says; a warning is a fault in a layer that is to be clean."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self.lines.append(record.getMessage())


def _python_in(node: Any) -> list[str]:
    """The Python sources in one statement."""
    if isinstance(node, ast.PythonMethodNode):
        return [re.sub(r"^def ([\w-]+):\w+\(", r"def \1(", "\n".join(node.body))]
    if isinstance(node, ast.MethodNode):
        text = "\n".join(node.body)
        python = node.python or node.func_name == "__anonymous"
        name = node.func_name.partition(":")[0]
        return [f"def {name}(d):\n{text.rstrip() or '    pass'}"] if python else _inline(text)
    return _inline(node.groupd["value"] or "") if isinstance(node, ast.DataNode) else []


def _inline(text: str) -> list[str]:
    return [f"({expression.strip()})" for expression in INLINE.findall(text)]


def _compile(node: Any) -> list[str]:
    found = []
    for source in _python_in(node):
        try:
            compile(source, str(node.filename), "exec")
        except (SyntaxError, ValueError) as error:
            line = source.splitlines()[(getattr(error, "lineno", 1) or 1) - 1]
            found.append(f"{node.filename}:{node.lineno}: Python, before this line: {error.args[0]}: {line.strip()}")
    return found


def _handler(path: Path) -> Any:
    """The parser for a file; BitBake itself reads a bbappend only together with its recipe."""
    return BBHandler.handle if path.suffix == ".bbappend" else bb.parse.handle


def faults(path: Path) -> list[str]:
    """What is wrong in one file."""
    complaints = Complaints()
    log = logging.getLogger("BitBake")
    log.addHandler(complaints)
    Statements.read = []
    try:
        _handler(path)(str(path), bb.data.init(), 1, True)
    except (bb.parse.ParseError, bb.BBHandledException) as error:
        complaints.lines.append(str(error))
    finally:
        log.removeHandler(complaints)
    found = [f"{path}: {line}" for line in complaints.lines if line]
    return found + [fault for node in Statements.read for fault in _compile(node)]


def main(paths: list[str]) -> int:
    """Check files and print their faults."""
    ast.StatementGroup = Statements
    logging.getLogger("BitBake").propagate = False
    found = [fault for path in paths for fault in faults(Path(path).resolve())]
    for fault in found:
        print(fault)
    print(f"{len(paths)} files, {len(found)} faults")
    return 1 if found or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
