"""What a check is: a function of a subject that raises AssertionError, in one line.

    @promise("tree")
    def check_visits_add_up(subject: Subject) -> None:
        ...
        require(total == expected, f"visit_count sums to {total}; expected {expected}.")

The line begins with the subject's name. Whatever else the component raises becomes such a line too.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import TypeAlias

import attrs

from lzcore.registry.faults import FAULTS, told
from lzcore.testing.subject import Subject

Function: TypeAlias = Callable[[Subject], None]

_LONGEST = 400  # characters of what was raised
_SHORT = 60  # characters of a value, and of the end of what was raised


@attrs.frozen
class Check:
    """One promise of a kind of components."""

    name: str
    function: Function
    # None: every subject is held to it; else what says why one is not, or None
    left_out: Callable[[Subject], str | None] | None = None


_CHECKS: dict[str, list[Check]] = {}


def promise(
    kind: str, *, left_out: Callable[[Subject], str | None] | None = None
) -> Callable[[Function], Function]:
    """Make a function a check of one kind of subjects.

    Args:
        kind: of the subjects, see `lzcore.testing.subject.KINDS`.
        left_out: says in one line why a subject is not held to it; None: it is.
    """

    def made(function: Function) -> Function:
        @wraps(function)
        def check(subject: Subject) -> None:
            try:
                function(subject)
            except AssertionError as err:
                raise AssertionError(f"{subject}: {in_one_line(err)}") from err
            except FAULTS as err:  # a component may raise anything, and exit
                raise AssertionError(
                    f"{subject}: it was stopped by {in_one_line(told(err))} Expected no error."
                ) from err

        _CHECKS.setdefault(kind, []).append(Check(function.__name__, check, left_out))
        return check

    return made


def checks_of(kind: str) -> Iterable[Check]:
    """Return the checks of one kind, in the order in which they were made."""
    return tuple(_CHECKS.get(kind, ()))


def require(is_kept: object, said: str) -> None:
    """Raise AssertionError with what was wrong and what was expected, if it is not kept."""
    if not is_kept:
        raise AssertionError(said)


def in_one_line(said: object) -> str:
    """Return an error or a text as a sentence, without its middle where it becomes too long."""
    text = " ".join(str(said).split()) or "no message"
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - _SHORT]} ... {text[-_SHORT:]}"
    return text if text.endswith((".", "?", "!")) else f"{text}."


def short(value: object) -> str:
    """Return a value as text, its beginning if it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHORT else text[: _SHORT - 3] + "..."
