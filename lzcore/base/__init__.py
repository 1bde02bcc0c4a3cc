"""The vocabulary of the framework: protocols, value records, settings and errors.

Names resolve on first use, so `from lzcore.base import LzError` loads neither torch nor NumPy.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "config": ("LoopSettings", "ModelSettings", "Only", "PolicySettings", "Settings", "setting"),
    "env": ("ActionSpace", "Env", "Observed", "Spaces", "Stepped"),
    "errors": (
        "CheckpointError",
        "ConfigError",
        "ContractError",
        "DecisionError",
        "DivergedError",
        "EnvError",
        "LzError",
        "PluginError",
        "RankError",
        "ReplayError",
        "ShapeError",
        "UnknownEnvError",
        "UnknownNameError",
    ),
    "model": ("ChanceModel", "Model", "NetworkOutput"),
    "opponent": ("Opponent",),
    "policy": ("Decisions", "Policy"),
    "ranks": ("Ranks",),
    "replay": ("Buffer", "Column", "ReplaySettings", "Segment", "Windows"),
    "simulator": ("Positions", "Simulator", "State"),
    "seeding": ("Stream", "derive_seed", "open_uniform", "stream_key", "uniform"),
    "tree": ("Evaluation", "Leaves", "Reuse", "SearchResult", "Tree"),
    "treechecks": ("check_backup", "check_start"),
    "treespec": ("TreeSpec",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
