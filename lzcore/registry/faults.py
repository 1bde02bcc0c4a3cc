"""What a plugin may do wrong without taking `lz` with it, and how that is told in one line."""

import traceback
from pathlib import Path

FAULTS = (Exception, SystemExit)  # Ctrl-C goes through

_CORE = Path(__file__).parents[1]
_LIBRARIES = tuple(f"-packages/{name}/" for name in ("torch", "numpy"))  # in paths of their files


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
        (Path(frame.filename), frame.lineno)
        for frame in traceback.extract_tb(err.__traceback__)
        if not frame.filename.startswith("<") and "importlib" not in frame.filename
        if not any(part in Path(frame.filename).as_posix() for part in _LIBRARIES)
    ]
    theirs = [(file, line) for file, line in frames if _CORE not in file.parents]
    ours = [(file, line) for file, line in frames if file.parent != _CORE / "registry"]
    places = theirs or ours
    return f"{words} ({places[-1][0].name} line {places[-1][1]})" if places else words
