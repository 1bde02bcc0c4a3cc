"""Plans in a batch of toy games: the dynamics of a simulator, and a search run with it.

Shape letters: B games searched together, R states evaluated together, A actions, C chance outcomes,
D numbers of a continuous action, W numbers in a row of logits.
"""

from functools import lru_cache

import numpy as np
from toy_games import Maze

from lzcore.base.tree import Evaluation
from lzcore.search import search


def look(make, spec, games, *, guess=None, tells=None, visited=None, root_actions=None, **given):
    """Search from B games at once; return the result and the tree.

    Args:
        make: the class of a tree.
        spec: a TreeSpec; all its simulations are run.
        games: B states at which a player moves.
        guess: game -> (value, logits); None: 0 and uniform.
        tells: names of the optional fields of the evaluations; None: all that apply.
        root_actions: `Evaluation.actions` of the roots; None: the tree samples them, if any.
        visited: a list that gets the (R,) node of each select; None: not asked for.
        given: further arguments of `lzcore.search.search`.
    """
    tree, dynamics = make(spec), GameDynamics(spec, guess, tells, root_actions)
    if dynamics.tells("legal_actions"):
        legal = [[a in game.moves for a in range(spec.num_actions)] for game in games]
        given.setdefault("legal_actions", np.array(legal))
    if dynamics.tells("to_play"):
        given.setdefault("to_play", np.array([game.to_play for game in games], np.int8))
    watched = tree if visited is None else Watched(tree, visited)
    return search(watched, dynamics, games, num_simulations=spec.num_simulations, **given), tree


class Watched:
    """A tree that notes which nodes it selects."""

    def __init__(self, tree, visited):
        """Stand before `tree` and write to `visited`."""
        self._tree, self._visited = tree, visited

    def __getattr__(self, name):
        return getattr(self._tree, name)

    def select(self):
        """Select, and note the nodes."""
        leaves = self._tree.select()
        self._visited.append(leaves.node.copy())
        return leaves


def chosen(result):
    """Return the (B,) moves that searches decide for."""
    return result.visit_count.argmax(axis=1) if result.best_edge is None else result.best_edge


class GameDynamics:
    """Makes the move of each edge that is to be evaluated, and keeps the state of every node.

    Rows that need no evaluation are filled with nonsense, which no tree may read.
    """

    def __init__(self, spec, guess=None, tells=None, root_actions=None):
        """Serve searches of this kind; arguments as of `look`."""
        self._spec, self._root_actions = spec, root_actions
        self._guess = guess or no_opinion
        self._tells = fields_that_apply(spec) if tells is None else set(tells)
        self._states = {}  # (node, b) -> game
        self._prefix = {}  # (node, b) -> rewards since the last reset; None: reset here

    def tells(self, name):
        """Say whether evaluations bring this optional field."""
        return name in self._tells

    def root(self, games):
        """Evaluate B games."""
        self._num_roots = len(games)
        self._states = {(0, b): game for b, game in enumerate(games)}
        self._prefix = {(0, b): 0.0 for b in range(len(games))}
        assert all(game.chances is None and not game.is_over for game in games)
        evaluation = self._evaluation(games, [(0.0, 1.0)] * len(games))
        return evaluation._replace(actions=self._root_actions)

    def expand(self, leaves):
        """Evaluate where the edges of the leaves lead."""
        games, steps = [], []
        for row, needed in enumerate(leaves.needs_evaluation.tolist()):
            game, step = self._step(leaves, row) if needed else (None, (np.nan, np.nan))
            games.append(game)
            steps.append(step)
        return self._evaluation(games, steps)

    def _step(self, leaves, row):
        parent = int(leaves.parent[row]), row % self._num_roots
        node = int(leaves.node[row]), row % self._num_roots
        before = self._states[parent]
        assert bool(leaves.is_outcome[row]) == (before.chances is not None)
        has_vectors = leaves.vector is not None
        move = leaves.vector[row].tobytes() if has_vectors else int(leaves.action[row])
        assert has_vectors or move in before.moves
        after, reward = played(before, move)
        self._states[node] = after
        if self._spec.value_prefix:
            reward += self._prefix[parent] or 0.0
            is_reset = leaves.depth[row] % self._spec.lstm_horizon_len == 0
            self._prefix[node] = None if is_reset else reward
        discount = 1.0 if after.chances is not None else self._spec.discount
        return after, (reward, discount if after.to_play == before.to_play else -discount)

    def _evaluation(self, games, steps):
        rows = [self._row(game) for game in games]
        reward, discount = np.array(steps).T
        value, logits, legal, player, terminal, chance = (
            np.array(x) for x in zip(*rows, strict=True)
        )
        told = {
            "legal_actions": legal,
            "to_play": player.astype(np.int8),
            "terminal": terminal,
            "is_chance": chance,
            "discount": discount,
        }
        told = {name: told[name] for name in told if name in self._tells}
        return Evaluation(value, logits, reward, **told)

    def _row(self, game):
        """Value, logits, mask, player, and whether the game is over or at a chance node."""
        spec = self._spec
        legal = np.zeros(spec.num_choices, bool)
        if game is None or game.is_over:
            nothing = np.full(spec.num_logits, np.nan)
            if game is None:
                return np.nan, nothing, legal, 0, False, False
            return game.outcome, nothing, legal, game.to_play, True, False
        if not spec.is_continuous:
            legal[list(game.moves)] = True
        value, logits = self._guess(game)
        padded = np.zeros(spec.num_logits)
        if game.chances is None:
            padded[: len(logits)] = logits
        else:
            padded[list(game.moves)] = np.log(game.chances)
        return value, padded, legal, game.to_play, False, game.chances is not None


def fields_that_apply(spec):
    """Name what a simulator knows and a learned model does not."""
    told = {"to_play", "terminal"}
    if not spec.is_continuous:
        told.add("legal_actions")
    if spec.num_chance_outcomes:
        told.add("is_chance")
    return told


@lru_cache(maxsize=100_000)
def played(game, move):
    """`game.play(move)`, remembered."""
    return game.play(move)


def no_opinion(game):
    """Value nothing, prefer nothing."""
    return 0.0, ()


def drawn_opinion(game: Maze):
    """What a maze drew for itself."""
    return game.outcome, game.drawn["logits"][: game.num_moves]


def drawn_vectors(game: Maze):
    """Means and deviations of as many numbers as the maze drew, by halves."""
    mean, spread = np.split(game.drawn["logits"], 2)
    return game.outcome, np.hstack([mean, np.exp(spread / 2)])


def mazes(count, first=0, **settings):
    """Return so many mazes that begin with a decision."""
    found, key = [], first
    while len(found) < count:
        maze = Maze(key, **settings)
        if maze.chances is None and not maze.is_over:
            found.append(maze)
        key += 1
    return found
