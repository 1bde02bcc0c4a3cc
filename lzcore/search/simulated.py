"""Planning with the rules of a game: what is behind an edge is played, not imagined.

Shape letters: B roots, R leaves of one call, n of them that a network is asked about, F an
observation's shape, A actions, W numbers in a row of logits.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from lzcore.base.errors import ConfigError
from lzcore.base.simulator import Positions, Simulator, State
from lzcore.base.tree import Array, Evaluation, Leaves
from lzcore.base.treespec import TreeSpec
from lzcore.search.rows import spread

# (n, *F) observations and (n, A) legal actions -> (n, A) logits, and (n,) values for whose turn it
# is there; positions where chance moves have no legal action
Evaluate: TypeAlias = Callable[[Array, Array], tuple[Array, Array]]


class SimulatedDynamics:
    """Plays the parents' positions on, and asks a network about all new ones in one call.

    A finished game is worth its outcome and is never asked about. A game that has reached
    `max_moves` is over, and worth nothing to either side; a root that has is searched all the same.
    """

    def __init__(
        self,
        simulator: Simulator,
        evaluate: Evaluate,
        spec: TreeSpec,
        max_moves: int | None = None,
    ) -> None:
        """Serve the searches of trees with this spec.

        Args:
            simulator: the rules.
            evaluate: asks the network.
            spec: of the tree.
            max_moves: plies after which a game counts as drawn; None: the game's own end.
        Raises:
            ConfigError: the tree has too few edges for the game's actions or outcomes.
        """
        if simulator.num_outcomes > spec.num_chance_outcomes:
            raise ConfigError(
                f"num_chance_outcomes is {spec.num_chance_outcomes}, but the game has "
                f"{simulator.num_outcomes} outcomes of chance. Make the two equal."
            )
        self._simulator = simulator
        self._evaluate = evaluate
        self._spec = spec
        self._max_moves = max_moves
        self._states: Array = np.empty((0, 0), object)  # of each node, of each root

    def root(self, states: Sequence[State]) -> Evaluation:
        """Evaluate B positions and remember them as node 0."""
        self._states = np.empty((self._spec.num_nodes, len(states)), object)
        self._states[0] = np.fromiter(states, object, len(states))  # some states are tuples
        seen = self._simulator.look(states)
        return self._evaluated(seen, seen.terminal)

    def expand(self, leaves: Leaves) -> Evaluation:
        """Play on from the parents of the leaves that need it; the other rows are 0."""
        needed = np.flatnonzero(leaves.needs_evaluation)
        num_rows, num_roots = len(leaves.parent), self._states.shape[1]
        roots = needed % num_roots
        before = self._states[leaves.parent[needed], roots].tolist()
        after = self._simulator.play(before, leaves.action[needed])
        self._states[leaves.node[needed], roots] = np.fromiter(after, object, len(after))
        seen = self._simulator.look(after)
        found = self._evaluated(seen, self._over(seen))
        return found if len(needed) == num_rows else spread(found, needed, num_rows)

    def _evaluated(self, seen: Positions, over: Array) -> Evaluation:
        value = np.where(seen.terminal, seen.value, 0.0)
        logits = np.zeros((len(over), self._spec.num_logits))
        asked = np.flatnonzero(~over)
        if len(asked):
            told, worth = self._evaluate(seen.observation[asked], seen.legal_actions[asked])
            logits[asked, : told.shape[1]] = told
            value[asked] = worth
        return Evaluation(
            value,
            logits,
            reward=seen.reward,
            terminal=over,
            to_play=seen.to_play,
            **self._choices(seen, logits, over),
        )

    def _over(self, seen: Positions) -> Array:
        if self._max_moves is None:
            return seen.terminal
        beyond: Array = seen.ply >= self._max_moves
        return seen.terminal | beyond

    def _choices(self, seen: Positions, logits: Array, over: Array) -> dict[str, Any]:
        """Return which edges there are; where chance moves, `logits` become its outcomes'."""
        legal = np.zeros((len(logits), self._spec.num_choices), bool)
        legal[:, : seen.legal_actions.shape[1]] = seen.legal_actions
        if seen.chance is None:
            return {"legal_actions": legal, "is_chance": None}
        is_chance = (seen.chance > 0).any(axis=1) & ~over
        outcomes = seen.chance.shape[1]
        legal[is_chance] = False
        legal[is_chance, :outcomes] = seen.chance[is_chance] > 0
        logits[is_chance] = 0.0
        logits[is_chance, :outcomes] = np.log(np.maximum(seen.chance[is_chance], 1e-30))
        return {"legal_actions": legal, "is_chance": is_chance}
