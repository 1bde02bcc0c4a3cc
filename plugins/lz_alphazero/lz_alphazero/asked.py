"""What a policy is asked to decide: positions of a game, by environment.

Shape letters: N environments that are ready, A actions.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from lzcore.base import ConfigError, DecisionError, EnvError, Simulator, State
from lzcore.base.tree import Array
from lzcore.registry import get_registry


class Asked(NamedTuple):
    """N positions that wait for a move; row i belongs to env_id[i]."""

    env_id: Array  # (N,) int64
    states: list[State]
    legal: Array  # (N, A) bool

    @classmethod
    def of(cls, obs: Mapping[int, Mapping[str, Any]], simulator: Simulator) -> "Asked":
        """Read the documented observation dicts, by environment id.

        Args:
            obs: each with a `state`, or with a `board` and a `current_player_index` where the
                simulator has `from_board`.
            simulator: of the game.
        Raises:
            DecisionError: there is no position, or nothing to decide there.
        """
        env_id = np.array(list(obs), np.int64)
        states = [_state(env, shown, simulator) for env, shown in obs.items()]
        seen = simulator.look(states)
        for row in np.flatnonzero(~seen.legal_actions.any(axis=1))[:1]:
            why = "the game is over" if seen.terminal[row] else "chance is to move"
            raise DecisionError(
                f"There is no action to choose in environment {env_id[row]}: {why}. Leave it out."
            )
        return cls(env_id, states, seen.legal_actions)


def _state(env_id: int, shown: Mapping[str, Any], simulator: Simulator) -> State:
    if shown.get("state") is not None:
        return shown["state"]
    from_board: Callable[..., State] | None = getattr(simulator, "from_board", None)
    if from_board is None or not {"board", "current_player_index"} <= shown.keys():
        expected = "'state'"
        if from_board is not None:
            expected += ", or 'board' and 'current_player_index'"
        raise DecisionError(
            f"The observation of environment {env_id} has {sorted(shown)}; expected {expected}, "
            "as this policy searches from the position itself."
        )
    return from_board(shown["board"], int(shown["current_player_index"]))


def simulator_of(env_id: str) -> Simulator:
    """Return the rules of the game that an environment plays.

    Args:
        env_id: as of a run, such as open_spiel/tic_tac_toe.
    Raises:
        ConfigError: no environment is named, or it does not tell its rules.
    """
    if not env_id:
        raise ConfigError(
            "simulation_env_id is not set; name the game, such as open_spiel/tic_tac_toe, to use "
            "the policy without a run."
        )
    registry = get_registry()
    kind = registry.name_of(registry.env_for(env_id))
    settings = registry.resolve("envs", kind, "config")()
    env = registry.resolve("envs", kind)(env_id, 1, settings)
    try:
        found = env.reset(np.zeros(1, np.int64), np.zeros(1, np.uint64)).simulator
    finally:
        env.close()
    if found is None:
        raise ConfigError(f"simulation_env_id = {env_id!r}: {NO_RULES}")
    return found


NO_RULES = (
    "AlphaZero plans with the rules of a game, and this environment does not tell its rules. "
    "Choose a game, such as open_spiel/tic_tac_toe, or a policy that learns a model, such as "
    "muzero."
)


def require_rules(states: Array | None, simulator: Simulator | None) -> Simulator:
    """Return the simulator of an environment.

    Raises:
        EnvError: it tells none.
    """
    if states is None or simulator is None:
        raise EnvError(NO_RULES)
    return simulator
