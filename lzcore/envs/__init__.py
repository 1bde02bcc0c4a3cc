"""Environments: any Gymnasium environment as a batch that learning and evaluation can step.

A plugin with environments of its own derives from `GymEnv`, one with games whose rules are known
from `GameEnv`. Names resolve on first use, so `from lzcore.envs import GymSettings` loads no torch.
"""

from importlib import import_module
from typing import Any

_MODULE_OF = {
    "GameEnv": "games",
    "GameSettings": "config",
    "GymEnv": "gym",
    "GymSettings": "config",
}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
