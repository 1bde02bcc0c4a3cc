"""Games of OpenSpiel as environments: the kind that answers to ids like open_spiel/hex."""

from collections.abc import Mapping
from typing import Any

from lz_openspiel.simulator import OpenSpielGame
from lzcore.base.errors import EnvError
from lzcore.envs.config import GameSettings
from lzcore.envs.games import GameEnv


class OpenSpielEnv(GameEnv):
    """A batch of games named by an id: the prefix, OpenSpiel's name, its parameters."""

    def __init__(
        self,
        make_id: str,
        num_envs: int,
        settings: GameSettings | Mapping[str, Any] | None = None,
    ) -> None:
        """Prepare the games.

        Args:
            make_id: such as "open_spiel/hex(board_size=5)".
            num_envs: how many.
            settings: the `env` table, or some of its keys.
        Raises:
            ConfigError, UnknownNameError, PluginError: as for `GameEnv`.
            EnvError: OpenSpiel has no such game, or it is none for a search with known rules.
        """
        if not isinstance(make_id, str):
            raise EnvError(
                f"A game of OpenSpiel is named by an id; got {type(make_id).__name__!r}. "
                'Write one such as "open_spiel/tic_tac_toe".'
            )
        simulator = OpenSpielGame(make_id.removeprefix("open_spiel/"))
        super().__init__(simulator, num_envs, settings, name=make_id)
