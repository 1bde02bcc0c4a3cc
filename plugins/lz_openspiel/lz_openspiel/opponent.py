"""OpenSpiel's own Monte Carlo tree search, to be measured against."""

from collections.abc import Sequence

import numpy as np
import pyspiel

from lz_openspiel.simulator import OpenSpielGame, Position
from lzcore.base.env import Array
from lzcore.base.errors import ConfigError
from lzcore.base.simulator import Simulator

_EXPLORATION = 2.0  # the constant of UCT in OpenSpiel's own examples
_MEGABYTES = 1000  # a tree gets no larger


class MCTS:
    """UCT with one random rollout for each new leaf; finished lines are solved exactly."""

    def __init__(self, simulator: Simulator, argument: str) -> None:
        """Prepare to play.

        Args:
            simulator: of a game of OpenSpiel.
            argument: rollouts for each move; "" for 1000.
        Raises:
            ConfigError: the argument is no such number, or the game is not OpenSpiel's, or has one
                player.
        """
        if not isinstance(simulator, OpenSpielGame):
            raise ConfigError(
                f'The opponent "mcts" plays games of OpenSpiel; got {type(simulator).__name__}. '
                'Use an environment such as "open_spiel/tic_tac_toe".'
            )
        if simulator.spaces.players == 1:
            raise ConfigError(
                f'The opponent "mcts" plays games for two; {simulator.game} is for one.'
            )
        self._game = simulator.game
        self._rollouts = _number(argument)

    def act(self, states: Sequence[Position], seeds: Array) -> Array:
        """Return (n,) int64: what a search of its own finds in each position."""
        pairs = zip(states, (seeds >> np.uint64(33)).tolist(), strict=True)  # it takes an int
        return np.array([self._bot(seed).step(state.game) for state, seed in pairs], np.int64)

    def _bot(self, seed: int) -> pyspiel.MCTSBot:
        return pyspiel.MCTSBot(
            self._game,
            pyspiel.RandomRolloutEvaluator(n_rollouts=1, seed=seed),
            _EXPLORATION,
            self._rollouts,
            _MEGABYTES,
            True,  # solve
            seed,
            False,  # verbose
        )


def _number(argument: str) -> int:
    if not argument:
        return 1000
    if not argument.isdecimal() or int(argument) == 0:
        raise ConfigError(
            f'The opponent "mcts" was told {argument!r}; expected how many rollouts it may make '
            "for a move, such as mcts:1000."
        )
    return int(argument)
