"""An earlier agent as an opponent: what a run has learned plays, with its search.

Shape letters: n positions of one call.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lzcore.base.env import Array
from lzcore.base.errors import ConfigError
from lzcore.base.simulator import Simulator, State
from lzcore.engine.agent import load_trained
from lzcore.engine.assemble import make_env
from lzcore.engine.match import observed


class EarlierAgent:
    """Plays greedily with the weights of a checkpoint; it is shown positions, and no history."""

    def __init__(self, simulator: Simulator, argument: str) -> None:
        """Load it.

        Args:
            simulator: of the game.
            argument: a run directory, or one of its checkpoints.
        Raises:
            CheckpointError: there is none.
            ConfigError: no path is given, or it learned another game, or looks at several frames.
        """
        if not argument:
            raise ConfigError(
                'The opponent "checkpoint" needs a run directory or one of its checkpoints: '
                '"checkpoint:runs/mine".'
            )
        path = Path(argument)
        trained = load_trained(*((path.parent.parent, path) if path.is_file() else (path,)))
        env = make_env(trained.plan, 1, evaluation=True)
        learned = env.spaces
        env.close()
        here = simulator.spaces
        if (learned.frame_shape, learned.action) != (here.frame_shape, here.action):
            raise ConfigError(
                f"{path} has learned a game with {learned.action.size} actions that shows "
                f"{learned.frame_shape}; this one has {here.action.size} and shows "
                f"{here.frame_shape}. Choose an agent of the same game."
            )
        self._policy = trained.policy
        if self._policy.frame_stack > 1:
            raise ConfigError(
                f"{path} looks at {self._policy.frame_stack} frames, but opponents are shown a "
                "single position. Choose an agent that looks at one frame."
            )
        self._simulator = simulator
        self._dtype = learned.frame_dtype
        self._alone = learned.players == 1  # a bot played the other side while it learned

    def act(self, states: Sequence[State], seeds: Array) -> Array:
        """Return (n,) int64, what the agent chooses in each position."""
        action = np.zeros(len(states), np.int64)
        for rows in _without_equals(seeds):
            action[rows] = self._decided([states[row] for row in rows.tolist()], seeds[rows])
        return action

    def _decided(self, states: Sequence[State], seeds: Array) -> Array:
        """Decide for positions with unlike seeds, which go by them as environments do by ids."""
        self._policy.begin_iteration(0)
        self._policy.eval_mode.reset(None)
        env_id = (seeds >> np.uint64(1)).astype(np.int64)
        seen = self._simulator.look(states)
        if self._alone:
            seen = seen._replace(to_play=np.full(len(states), -1, np.int8))
        frames = seen.observation.astype(self._dtype, copy=False)
        shown = observed(self._simulator, states, seen, env_id, frames)
        action: Array = self._policy.decide("eval", shown).columns["action"]
        return action


def _without_equals(seeds: Array) -> list[Array]:
    """Divide the rows of (n,) seeds into groups in which the upper 63 bits differ."""
    groups: list[Array] = []
    left = np.arange(len(seeds))
    while len(left):
        _, first = np.unique(seeds[left] >> np.uint64(1), return_index=True)
        groups.append(left[np.sort(first)])
        left = np.delete(left, first)
    return groups
