"""What a plugin may do wrong without taking `lz` with it, and how that is told in one line."""

import traceback
from pathlib import Path

FAULTS = (Exception, SystemExit)  # Ctrl-C goes through

_CORE, _HERE = __name__.partition(".")[0], __name__.rpartition(".")[0]
_LIBRARIES = ("torch", "numpy", "importlib")  # what a component calls is not where it went wrong


def worded(err: BaseException) -> str:
    """Say in one line what was raised, and not where."""
    text = " ".join(str(err).split())
    return f"{type(err).__name__}: {text}" if text else type(err).__name__


def told(err: BaseException) -> str:
    """Say in one line what was raised, and in which line of which file, the plugin's if it can."""
    words = worded(err)
    if isinstance(err, SyntaxError):
        return words
    frames = [
        (str(frame.f_globals.get("__name__")), f"{Path(frame.f_code.co_filename).name} line {line}")
        for frame, line in traceback.walk_tb(err.__traceback__)
        if not frame.f_code.co_filename.startswith("<")
    ]
    theirs = [at for module, at in frames if _package(module) not in (_CORE, *_LIBRARIES)]
    ours = [at for module, at in frames if module.startswith(f"{_CORE}.") and _HERE not in module]
    places = theirs or ours
    return f"{words} ({places[-1]})" if places else words


def _package(module: str) -> str:
    return module.partition(".")[0]
