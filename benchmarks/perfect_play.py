"""Hold a trained agent against perfect play everywhere it can get to, in a small game for two.

    python benchmarks/perfect_play.py RUN_DIR [--plies 2] [--simulations 200]

From every line of `--plies` moves and with both colours: the agent makes its move, the opponent
every one of its moves, and so on to the end, so that nothing is left to chance. A mistake is a move
of the agent after which exhaustive minimax can get more than before; none means that the agent
never loses what is not lost already. Counted apart: positions that the agent meets while its
opponent makes no mistake either ("perfect"), and all that it meets ("any").
"""

import argparse

import harness
import numpy as np

from lzcore.engine.agent import load_trained
from lzcore.engine.assemble import make_env
from lzcore.engine.match import observed
from lzcore.engine.openings import all_openings
from lzcore.envs.opponents import SAME, Minimax

AT_ONCE = 512  # positions that the agent decides in one call


class Walk:
    """All games of one agent with one colour."""

    def __init__(self, policy, simulator):
        self._policy, self._simulator = policy, simulator
        self._perfect = Minimax(simulator, "")

    def count(self, states, colour, replies):
        """Return how many positions the agent met with this colour, and its mistakes there.

        Args:
            states: where the games begin.
            colour: 1 or 2, the agent's.
            replies: the opponent's moves that are followed, "perfect" or "any".
        """
        met, mistakes = 0, []
        while states:
            seen = self._simulator.look(states)
            on = ~seen.terminal
            mine = self._taken(states, on & (seen.to_play == colour))
            theirs = self._taken(states, on & (seen.to_play != colour))
            action = self._decided(mine)
            met += len(mine)
            mistakes += self._mistakes(mine, action)
            states = self._distinct(self._played(mine, action) + self._replied(theirs, replies))
        return met, mistakes

    def _decided(self, states):
        parts = [states[at : at + AT_ONCE] for at in range(0, len(states), AT_ONCE)]
        return np.array([action for part in parts for action in self._decide(part)], np.int64)

    def _decide(self, states):
        seen = self._simulator.look(states)
        self._policy.eval_mode.reset(None)
        shown = observed(self._simulator, states, seen, np.arange(len(states)), seen.observation)
        return self._policy.decide("eval", shown).columns["action"].tolist()

    def _mistakes(self, states, action):
        if not states:
            return []
        worth = self._perfect.worth_of_actions(states)
        lost = worth.max(axis=1) - worth[np.arange(len(states)), action]
        return [
            {"position": self._simulator.draw(states[row]), "move": int(action[row])}
            for row in np.flatnonzero(lost > SAME).tolist()
        ]

    def _replied(self, states, replies):
        if not states:
            return []
        worth = self._perfect.worth_of_actions(states)
        least = worth.max(axis=1, keepdims=True) - SAME if replies == "perfect" else -np.inf
        rows, actions = np.nonzero((worth > -np.inf) & (worth >= least))
        return self._played([states[row] for row in rows.tolist()], actions)

    def _played(self, states, action):
        return list(self._simulator.play(states, action)) if states else []

    def _distinct(self, states):
        """Leave out positions that look alike, however they came about."""
        if not states:
            return []
        seen = self._simulator.look(states)
        keys = zip(map(bytes, seen.observation), seen.to_play.tolist(), strict=True)
        return list(dict(zip(keys, states, strict=True)).values())

    @staticmethod
    def _taken(states, rows):
        return [states[row] for row in np.flatnonzero(rows).tolist()]


def main():
    """Parse, walk through all games, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run_dir")
    parser.add_argument("--plies", type=int, default=2, help="of the openings")
    parser.add_argument("--simulations", type=int, default=None, help="default: as in the run")
    asked = parser.parse_args()
    trained = load_trained(asked.run_dir, num_simulations=asked.simulations)
    env = make_env(trained.plan, 1, evaluation=True)
    walk, found = Walk(trained.policy, env.simulator), {}
    starts = [line[-1] for line in all_openings(env.simulator, asked.plies)]
    for replies in ("perfect", "any"):
        told = [walk.count(starts, colour, replies) for colour in (1, 2)]
        mistakes = [mistake for _, made in told for mistake in made]
        found[replies] = {
            "positions": [met for met, _ in told],
            "mistakes": [len(made) for _, made in told],
            "examples": mistakes[:3],
        }
    harness.report("perfect_play", vars(asked), found)


if __name__ == "__main__":
    main()
