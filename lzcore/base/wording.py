"""What messages say of settings: what a setting takes, and which one was probably meant."""

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin


def arms_of(kind: Any) -> tuple[Any, ...]:
    """Return the types that an annotation unites, None's among them, or the type itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def expectation(kind: Any, check: Any = None) -> str:
    """Say what a setting takes, such as "an integer, at least 1".

    Args:
        kind: the annotation of the setting.
        check: its attrs validator, or a check that has `words` of its own.
    """
    arms, refused = arms_of(kind), getattr(check, "refused", ())
    words = [" or ".join(_noun(arm, refused) for arm in arms if arm is not NoneType)]
    words += getattr(check, "words", None) or _bounds(check)
    return ", ".join(words) + (', or "none"' if NoneType in arms else "")


_NOUNS = {
    bool: ("true or false", "true or false"),
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    str: ("text", "texts"),
    Any: ("anything", "anything"),
}


def _noun(kind: Any, refused: Collection[Any] = (), plural: bool = False) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        origin, inner = Literal, tuple(member.value for member in kind)
    if origin is Literal:
        options = [str(option) for option in inner if option not in refused]
        return ("" if plural else "one of ") + ", ".join(options)
    if origin is tuple:
        length = "" if inner[-1] is ... else f"{len(inner)} "
        return f"a list of {length}{_noun(inner[0], plural=True)}"
    return _NOUNS[kind][plural] if kind in _NOUNS else "a table"


_BOUND = re.compile(r"<Validator for x (>=|>|<=|<) (.+?)>")
_BOUND_WORDS = {">=": "at least", ">": "above", "<=": "at most", "<": "below"}


def _bounds(check: Any) -> list[str]:
    """Read the bounds out of attrs validators, whose repr is the one public form they have."""
    found = {
        f"{_BOUND_WORDS[sign]} {bound.removesuffix('.0')}": None
        for sign, bound in _BOUND.findall(repr(check))
    }
    return [" and ".join(found)] if found else []


def hint(path: str, known: Sequence[str]) -> str:
    """Return " Did you mean 'x'?" for the known path closest to a mistaken one, or nothing.

    A setting of exactly that name in another table comes first, then those of the same table.
    """
    leaf, table = _leaf(path), path.rpartition(".")[0]
    same_name = [k for k in known if _leaf(k) == leaf]
    same_table = [k for k in known if k.rpartition(".")[0] == table]
    for pool, cutoff in ((same_name, 1.0), (same_table, 0.6), (known, 0.75)):
        close = get_close_matches(leaf, [_leaf(k) for k in pool], n=1, cutoff=cutoff)
        if close:
            return f" Did you mean {next(k for k in pool if _leaf(k) == close[0])!r}?"
    return ""


def _leaf(path: str) -> str:
    return path.rpartition(".")[2]
