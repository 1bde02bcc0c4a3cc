"""Games of one's own without a plugin: ids like game/module:Name, of a class with the rules."""

from collections.abc import Mapping
from typing import Any

from lzcore.base.errors import EnvError, nearest
from lzcore.envs.build import imported, one_line
from lzcore.envs.config import GameSettings
from lzcore.envs.games import GameEnv

PREFIX = "game/"
_METHODS = ("begin", "play", "look", "draw", "name_of")  # of a Simulator


class NamedGame(GameEnv):
    """A batch of games whose rules a `lzcore.base.Simulator` tells, found by where it stands."""

    def __init__(
        self,
        make_id: str,
        num_envs: int,
        settings: GameSettings | Mapping[str, Any] | None = None,
    ) -> None:
        """Prepare the games.

        Args:
            make_id: "game/module:Name"; Name() returns the simulator.
            num_envs: how many.
            settings: the `env` table, or some of its keys.
        Raises:
            EnvError: there is no such module or name, or it makes no simulator.
            ConfigError, UnknownNameError, PluginError: as for `GameEnv`.
        """
        super().__init__(_simulator(make_id), num_envs, settings, name=make_id)


def _simulator(make_id: str) -> Any:
    if not isinstance(make_id, str):
        raise EnvError(
            f"A game is named by where its class stands; got {type(make_id).__name__!r}. Write "
            "game/module:Name, as in game/nim:Nim."
        )
    module, colon, name = make_id.removeprefix(PREFIX).partition(":")
    if not (module and colon and name):
        raise EnvError(f"{make_id!r} names no game; write game/module:Name, as in game/nim:Nim.")
    found = imported(module, make_id)
    if not hasattr(found, name):
        known = [key for key in vars(found) if not key.startswith("_")]
        raise EnvError(f"The module {module!r} has no {name!r}.{nearest(name, known)}")
    try:
        made = getattr(found, name)()
    except Exception as err:  # a user's class may raise anything
        raise EnvError(f"{make_id!r} cannot be made ({one_line(err)}).") from err
    missing = [part for part in (*_METHODS, "spaces", "num_outcomes") if not hasattr(made, part)]
    if missing:
        raise EnvError(
            f"{make_id!r} makes {type(made).__name__!r}, which is no Simulator: it lacks "
            f"{', '.join(missing)}. See lzcore.base.Simulator."
        )
    return made
