"""What the framework raises. Every message says what was wrong, what would do, how to mend it.

`lz` prints any LzError as one line and exits with status 1; anything else is a bug of ours and
keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class LzError(Exception):
    """The root of all errors that a user can cause and mend."""


class ConfigError(LzError, ValueError):
    """Settings that do not exist, have the wrong type or are out of range."""


class UnknownNameError(LzError, LookupError):
    """A policy, model, tree, buffer, environment or runner that no installed plugin provides."""


class PluginError(LzError):
    """A plugin that cannot be imported, asks for another hook API or returns the wrong type."""


class EnvError(LzError):
    """An environment that cannot be made, or whose spaces the policy cannot work with."""


class UnknownEnvError(EnvError, LookupError):
    """An environment id, without the prefix of a kind, that does not exist."""


class ShapeError(LzError, ValueError):
    """An array whose shape or dtype is not what the other side agreed on."""


class CheckpointError(LzError):
    """A run directory or checkpoint that cannot be read or written."""


class ReplayError(LzError):
    """Replay data that is missing, damaged or does not fit the columns of the policy."""


class DecisionError(LzError, ValueError):
    """Something that no decision can be made from; the message names the environment."""


class DivergedError(LzError, RuntimeError):
    """A loss that is no longer a number; the batch that caused it has been saved."""


class RankError(LzError, RuntimeError):
    """Ranks of one run that were not started together, or that cannot reach each other."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name closest to `name`, or nothing."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {found[0]!r}?" if found else ""
