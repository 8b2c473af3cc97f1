# SPDX-License-Identifier: MIT
"""YAML files checked by a JSON Schema, with errors that name file, key, fault and what is allowed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from oeqa.barebox.errors import UsageError


class _Loader(yaml.SafeLoader):
    """PyYAML takes the last of two equal keys silently; this one does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {name!r} appears twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def name_of(path: Path) -> str:
    """The path as errors show it: short where the file lies below the current directory."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def read(path: Path) -> Any:
    """The content of a YAML file.

    :raises UsageError: it cannot be read or is no YAML
    """
    where = name_of(path)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506, it derives from the safe loader
    except OSError as error:
        raise UsageError(f"{where}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{where}: not UTF-8 at byte {error.start}") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"{where}{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{where}: {error}") from None


def _type(value: Any) -> str:
    names = {
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        list: "a list",
        dict: "a mapping",
    }
    return names.get(type(value), "nothing")


def _key(error: ValidationError, last: str = "") -> str:
    """The path of the key that is wrong, for example ``devices[2].kind``."""
    parts = [f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path]
    return ("".join(parts) + (f".{last}" if last else "")).lstrip(".") or "the file"


def _about(schema: Any) -> str:
    """The schema's own description of a key, to end a message with."""
    text = schema.get("description", "")
    return f": {text}" if text else ""


def _unknown_keys(error: ValidationError, schema: Any) -> Iterator[str]:
    found: Any = error.instance
    allowed = sorted(schema["properties"])
    for key in sorted(set(map(str, found)) - set(allowed)):
        yield f"{_key(error, key)}: unknown key; allowed: {', '.join(allowed)}"


def _missing_keys(error: ValidationError, schema: Any) -> Iterator[str]:
    found: Any = error.instance
    for key in schema["required"]:
        if key not in found:
            yield f"{_key(error, key)}: required key is missing{_about(schema['properties'].get(key, {}))}"


def _wrong_type(error: ValidationError, wanted: Any) -> str:
    found = error.instance
    number = wanted == "string" and isinstance(found, (int, float))
    quote = f'; put it in quotes: "{found}"' if number else ""
    return f"{_key(error)}: {wanted} expected, {_type(found)} found ({json.dumps(found, default=str)}){quote}"


def _messages(error: ValidationError) -> Iterator[str]:
    """What to tell about one violation of the schema; our words, because jsonschema's show Python and whole objects."""
    schema: Any = error.schema
    value: Any = error.validator_value
    if error.validator == "additionalProperties":
        yield from _unknown_keys(error, schema)
    elif error.validator == "required":
        yield from _missing_keys(error, schema)
    elif error.validator == "type":
        yield _wrong_type(error, value)
    elif "propertyNames" in error.absolute_schema_path:
        yield f"{_key(error, str(error.instance))}: unknown key; allowed: {', '.join(value)}"
    elif error.validator == "enum":
        yield f"{_key(error)}: {error.instance!r} is not allowed; allowed: {', '.join(map(str, value))}"
    else:
        yield f"{_key(error)}: {error.instance!r} breaks the rule {error.validator} {value}{_about(schema)}"


def check(data: Any, schema: Path, where: Path) -> None:
    """Check ``data``, read from ``where``, by the JSON Schema in the file ``schema``.

    :raises UsageError: with a line for each violation
    """
    rules = json.loads(schema.read_text(encoding="utf-8"))
    errors = sorted(Draft202012Validator(rules).iter_errors(data), key=lambda e: [str(p) for p in e.absolute_path])
    lines = [f"{name_of(where)}: {text}" for error in errors for text in _messages(error)]
    if lines:
        raise UsageError("\n".join(dict.fromkeys(lines)))
