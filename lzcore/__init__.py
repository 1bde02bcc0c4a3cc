"""Planning with tree search and deep learning: the core that finds and runs plugins.

From Python, `train` and `Agent` are what `lz run` and `lz eval` are in the shell. They resolve on
first use, so that importing lzcore loads neither torch nor NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lzcore.engine.agent import Agent
    from lzcore.engine.starting import train

__version__ = "0.1.0"
__all__ = ["Agent", "__version__", "train"]
_HOME = {"train": "lzcore.engine.starting", "Agent": "lzcore.engine.agent"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
