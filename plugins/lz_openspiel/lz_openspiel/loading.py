"""From a name to a game of OpenSpiel, or one line that says why not."""

from importlib.metadata import version
from typing import Any

import pyspiel

from lzcore.base.errors import EnvError, nearest

_TYPE = pyspiel.GameType


def load_game(name: str) -> Any:
    """Return a `pyspiel.Game` that a search with known rules can play.

    Args:
        name: OpenSpiel's, with parameters in brackets: "connect_four(rows=5)".
    Raises:
        EnvError: there is none, its parameters are wrong, or it is not a game for one player or
            for two of whom one loses what the other wins, with perfect information.
    """
    bare, known = name.partition("(")[0], pyspiel.registered_names()
    if bare not in known:
        raise EnvError(
            f"OpenSpiel {_version()} has no game {bare!r}.{nearest(bare, known)} Its games are "
            "listed at https://openspiel.readthedocs.io/en/latest/games.html."
        )
    try:
        game = pyspiel.load_game(name)
    except (pyspiel.SpielError, RuntimeError, ValueError) as err:
        told = " ".join(str(err).split())[:200].rstrip(".")
        raise EnvError(f"OpenSpiel cannot make {name!r}: {told}.") from err
    reason = _unplayable(game)
    if reason:
        raise EnvError(
            f"{name} cannot be played: {reason}. A search needs a game for one player, or for two "
            "of whom one loses what the other wins, moving in turns and seeing everything."
        )
    return game


def _unplayable(game: Any) -> str:
    """Say why a game is none for a search with known rules; "" if it is one."""
    kind, players = game.get_type(), game.num_players()
    if kind.dynamics != _TYPE.Dynamics.SEQUENTIAL:
        return "its players move at the same time"
    if kind.information != _TYPE.Information.PERFECT_INFORMATION:
        return "its players do not see everything"
    if players > 2:
        return f"it has {players} players"
    if players == 2 and kind.utility != _TYPE.Utility.ZERO_SUM:
        return "one player does not lose what the other wins"
    if players == 2 and kind.reward_model != _TYPE.RewardModel.TERMINAL:
        return "it has two players and rewards before its end"
    if kind.chance_mode == _TYPE.ChanceMode.SAMPLED_STOCHASTIC:
        return "it does not tell how likely the outcomes of chance are"
    if not kind.provides_observation_tensor:
        return "OpenSpiel has no observation tensor of it"
    return ""


def _version() -> str:
    return version("open_spiel")
