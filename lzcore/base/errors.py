"""What the framework raises. Every message says what was wrong, what would do, how to mend it.

`lz` prints any LzError as one line and exits with status 1; anything else is a bug of ours and
keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class LzError(Exception):
    """The root of all errors that a user can cause and mend."""


class ConfigError(LzError, ValueError):
    """Settings that do not exist, have the wrong type or are out of range."""


class UnknownNameError(LzError, LookupError):
    """A policy, model, tree, buffer, environment or runner that no installed plugin provides."""


class PluginError(LzError):
    """A plugin that cannot be imported, asks for another hook API or returns the wrong type."""


class ContractError(PluginError):
    """Something that a component does and may not do, or does not do and has to.

    Where it is known what is installed, the message names the component and its distribution.
    """

    def __init__(self, by: Any, what: str) -> None:
        """Say what is wrong with a component.

        Args:
            by: the component, its class, or the spec that describes it.
            what: goes on with the sentence that begins with its name, and ends it.
        """
        super().__init__(f"{_name_of(by)} {what}")
        self.by, self.what = by, what


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


def _name_of(component: Any) -> str:
    if hasattr(component, "word"):  # a spec
        return f"The {component.word} {component.name!r}"
    kind = component if isinstance(component, type) else type(component)
    return f"{kind.__module__}.{kind.__qualname__}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the known name closest to `name`, or nothing."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {found[0]!r}?" if found else ""
