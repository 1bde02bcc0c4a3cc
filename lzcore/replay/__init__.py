"""The replay: a columnar store of episodes, exact draws, and files that survive the run.

A buffer that draws in another way derives from `ReplayBuffer` and returns a `Draw` of its own from
`make_draw`. Names resolve on first use, since some who need a file of this folder need no torch.
"""

from importlib import import_module
from typing import Any

_MODULE_OF = {
    "Draw": "draws",
    "Range": "store",
    "Ranking": "draws",
    "ReplayBuffer": "buffer",
    "Store": "store",
}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
