"""Writing TOML, which the standard library only reads.

TOML has no null: None is written as the text "none", and read back as None where a setting may be
None.
"""

import json
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 60  # characters of a value that a message shows


def dumps(table: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str:
    """Write nested plain data as TOML: values first, then each table under its own header.

    Args:
        table: of bool, int, float, str, None, Enum, lists or tuples of these, and mappings.
        comments: dotted path -> a remark that stands behind its value.
    Raises:
        TypeError: a value is something else; the message names its path.
    """
    return "\n".join(_lines(table, "", comments or {})).strip("\n") + "\n"


def _lines(table: Mapping[str, Any], path: str, comments: Mapping[str, str]) -> Iterator[str]:
    inner = {}
    for name, value in table.items():
        here = f"{path}{key(name)}"
        if isinstance(value, Mapping):
            inner[here] = value
            continue
        try:
            written = f"{key(name)} = {literal(value)}"
        except TypeError as err:
            raise TypeError(f"{here}: {err}") from None
        yield f"{written}  # {comments[here]}" if here in comments else written
    for here, value in inner.items():
        yield f"\n[{here}]"
        yield from _lines(value, f"{here}.", comments)


def key(name: str) -> str:
    """Return a key as TOML spells it, in quotes if it must be."""
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def literal(value: Any) -> str:
    """Return one value as TOML spells it."""
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(literal, value))}]"
    raise TypeError(f"TOML cannot hold {value!r}, a {type(value).__name__}")


def show(value: Any) -> str:
    """Return a value for a message: as TOML where it has a spelling, and not too long."""
    try:
        text = literal(value)
    except TypeError:
        text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
