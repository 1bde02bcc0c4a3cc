"""The reference of errors."""

import inspect
from types import ModuleType

from lzcore.base import errors
from lzdocs.text import escaped, markdown


def classes(module: ModuleType = errors) -> list[type[Exception]]:
    """Return the errors that a module defines, in order."""
    return [
        found
        for found in vars(module).values()
        if isinstance(found, type)
        and issubclass(found, Exception)
        and found.__module__ == module.__name__
    ]


def undocumented(module: ModuleType = errors) -> list[str]:
    """Return errors without a docstring of their own."""
    return [found.__name__ for found in classes(module) if not found.__dict__.get("__doc__")]


def page() -> str:
    """Return the page of all errors."""
    rows = [f"| `{error.__name__}` | {_bases(error)} | {_told(error)} |" for error in classes()]
    parts = ["# Errors", markdown(errors.__doc__), IMPORT, "\n".join([*HEAD, *rows])]
    return "\n\n".join(parts) + "\n"


HEAD = ["| error | is also | raised for |", "|---|---|---|"]
IMPORT = (
    "All of them are in `lzcore.base`; `except lzcore.base.LzError` catches each. "
    "[Troubleshooting](../guide/troubleshooting.md) has messages and what to do about them."
)


def _bases(error: type[Exception]) -> str:
    return ", ".join(f"`{base.__name__}`" for base in error.__bases__ if base is not Exception)


def _told(error: type[Exception]) -> str:
    return escaped(" ".join((inspect.getdoc(error) or "").split()))
