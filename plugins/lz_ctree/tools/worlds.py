"""Random worlds, and their search with a tree of ours.

A world is a table of states: where each action leads, what it pays, the signed discount of the
step, and what a network would say of each state; with chance, of afterstates too. Every row of a
batch is a world of its own.

Shape letters: B worlds, X states, Y afterstates, A actions, C outcomes, S simulations.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from lzcore.base.tree import Evaluation
from lzcore.base.treespec import TreeSpec

Array: TypeAlias = np.ndarray[Any, Any]
Tables: TypeAlias = dict[str, Array]

STATES, AFTERSTATES = 12, 9
FILLING = 7.0  # of rows of logits behind what is read


class Case(NamedTuple):
    """What is compiled once and then searched in many worlds."""

    policy: str  # "muzero", "gumbel" or "stochastic"
    roots: int
    actions: int
    simulations: int
    outcomes: int = 0
    max_depth: int | None = None
    masked: bool = False
    pb_c_init: float = 1.25
    pb_c_base: float = 19652.0
    considered: int = 16
    gumbel_scale: float = 1.0
    value_scale: float = 0.1
    maxvisit_init: float = 50.0
    rescale: bool = True
    mixed: bool = True


CASES = [
    Case("muzero", 48, 3, 16),
    Case("muzero", 48, 6, 50, masked=True),
    Case("muzero", 48, 9, 25, max_depth=1, masked=True),
    Case("muzero", 32, 4, 40, max_depth=3, pb_c_init=2.5, pb_c_base=50.0),
    Case("muzero", 16, 40, 100, max_depth=7, masked=True),
    Case("muzero", 8, 2, 200, pb_c_init=0.5),
    Case("muzero", 1, 1, 12),
    Case("gumbel", 48, 4, 16, considered=4),
    Case("gumbel", 48, 6, 50, masked=True),
    Case("gumbel", 48, 9, 25, max_depth=1, masked=True),
    Case("gumbel", 32, 40, 32, max_depth=4, masked=True),
    Case("gumbel", 32, 18, 7, considered=32),
    Case("gumbel", 32, 3, 1),
    Case("gumbel", 32, 5, 25, gumbel_scale=0.0, value_scale=1.0),
    Case("gumbel", 32, 6, 20, considered=1, rescale=False, value_scale=0.5),
    Case("gumbel", 32, 6, 20, considered=5, mixed=False, maxvisit_init=25.0, masked=True),
    Case("gumbel", 16, 9, 100, considered=7, rescale=False, mixed=False, maxvisit_init=5.0),
    Case("gumbel", 8, 2, 200, gumbel_scale=10.0),
    Case("stochastic", 48, 4, 30, outcomes=4),
    Case("stochastic", 48, 6, 50, outcomes=3, masked=True),
    Case("stochastic", 32, 2, 40, max_depth=5, outcomes=9),
    Case("stochastic", 32, 3, 20, max_depth=1, outcomes=2),
    Case("stochastic", 32, 3, 60, max_depth=2, outcomes=1),
    Case("stochastic", 8, 18, 120, outcomes=32, masked=True, pb_c_init=0.5),
]


# --- worlds --------------------------------------------------------------------------------------


def drawn(case: Case, rng: np.random.Generator) -> Tables:
    """Draw B worlds: tables whose first axis is B, the start states and the legal actions."""
    b, a, c = case.roots, case.actions, case.outcomes
    steps = (b, AFTERSTATES, c) if c else (b, STATES, a)
    pays = rng.choice([0.0, 0.1, 3.0], size=(b, 1, 1)) * (rng.random(steps) < 0.6)
    world = {
        "start": rng.integers(STATES, size=b),
        "legal": np.ones((b, a), dtype=np.bool_),
        "next_state": rng.integers(STATES, size=steps),
        "reward": pays * rng.normal(size=steps),
        "discount": _discounts(rng, steps),
        "logits": _logits(rng, (b, STATES, a), ties=case.policy == "gumbel"),
        "value": rng.choice([0.2, 1.0, 5.0], size=(b, 1)) * rng.normal(size=(b, STATES)),
    }
    if c:
        world["next_afterstate"] = rng.integers(AFTERSTATES, size=(b, STATES, a))
        world["chance_logits"] = _logits(rng, (b, AFTERSTATES, c), ties=True)
        world["afterstate_value"] = rng.normal(size=(b, AFTERSTATES))
    if case.masked:
        world["legal"] = rng.random((b, a)) < rng.uniform(0.2, 1.0, size=(b, 1))
        world["legal"][np.arange(b), rng.integers(a, size=b)] = True
    return world


def _discounts(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """One player, two who alternate, or any sign; the game ends here and there."""
    kind = rng.integers(3, size=(shape[0], 1, 1))
    sign = np.where(rng.random(shape) < 0.5, 1.0, -1.0)
    sign = np.select([kind == 0, kind == 1], [1.0, -1.0], sign)
    ends = rng.random(shape) < rng.choice([0.0, 0.2], size=(shape[0], 1, 1))
    return np.where(ends, 0.0, sign * rng.choice([1.0, 0.997, 0.7], size=(shape[0], 1, 1)))


def _logits(rng: np.random.Generator, shape: tuple[int, int, int], ties: bool) -> Array:
    """Flat or sharp; with ties, in a quarter of the worlds whole numbers, of which many are equal.

    mctx breaks ties at random under "puct", and takes the lowest edge elsewhere, as we do.
    """
    logits = rng.choice([0.3, 1.0, 4.0], size=(shape[0], 1, 1)) * rng.normal(size=shape)
    rounded = ties & (rng.random((shape[0], 1, 1)) < 0.25)
    return np.where(rounded, np.rint(logits), logits)


def of_row(world: Tables, row: int) -> Tables:
    """The world of one row."""
    return {name: table[row : row + 1] for name, table in world.items()}


# --- ours ----------------------------------------------------------------------------------------


def spec_of(case: Case) -> TreeSpec:
    """The same search, in our words."""
    return TreeSpec(
        num_simulations=case.simulations,
        num_actions=case.actions,
        num_chance_outcomes=case.outcomes,
        rule="gumbel" if case.policy == "gumbel" else "puct",
        fpu="mctx",
        range_floor=1e-8,
        max_depth=case.max_depth,
        pb_c_init=case.pb_c_init,
        pb_c_base=case.pb_c_base,
        max_num_considered_actions=case.considered,
        value_scale=case.value_scale,
        maxvisit_init=case.maxvisit_init,
        rescale_values=case.rescale,
        use_mixed_value=case.mixed,
    )


def replayed(
    tree: Any, case: Case, world: Tables, noise: Array | None, simulations: int
) -> tuple[Array, Array, Array]:
    """Search with a tree of ours; return (S, B) leaves, their parents and actions.

    Outcomes of chance are numbered behind the actions, as in mctx.
    """
    rows = np.arange(len(world["start"]))
    state = np.zeros((len(rows), case.simulations + 1), dtype=np.int64)  # of each node
    state[:, 0] = start = world["start"]
    logits = np.full((len(rows), max(case.actions, case.outcomes)), FILLING)
    logits[:, : case.actions] = world["logits"][rows, start]
    legal = world["legal"] if case.masked else None
    tree.start(Evaluation(world["value"][rows, start], logits), legal, noise=noise)
    taken = []
    for _ in range(simulations):
        leaves = tree.select()
        taken.append((leaves.node, leaves.parent, leaves.action + case.actions * leaves.is_outcome))
        taken[-1] = tuple(np.array(part) for part in taken[-1])
        here = state[rows, leaves.parent]
        evaluate = _chance_evaluation if case.outcomes else _evaluation
        reached, evaluation = evaluate(world, rows, here, leaves)
        state[rows, leaves.node] = reached
        tree.backup(evaluation)
    return tuple(np.array(part) for part in zip(*taken, strict=True))


def _evaluation(world: Tables, rows: Array, here: Array, leaves: Any) -> tuple[Array, Evaluation]:
    at = rows, here, leaves.action
    reached = world["next_state"][at]
    return reached, Evaluation(
        value=world["value"][rows, reached],
        logits=world["logits"][rows, reached],
        reward=world["reward"][at],
        discount=world["discount"][at],
    )


def _chance_evaluation(
    world: Tables, rows: Array, here: Array, leaves: Any
) -> tuple[Array, Evaluation]:
    """Of decision nodes behind outcomes, and of chance nodes behind actions, row by row."""
    toss = leaves.is_outcome
    act = rows, np.where(toss, 0, here), np.where(toss, 0, leaves.action)
    fall = rows, np.where(toss, here, 0), np.where(toss, leaves.action, 0)
    after, reached = world["next_afterstate"][act], world["next_state"][fall]
    widths = world["logits"].shape[2], world["chance_logits"].shape[2]
    logits = np.full((len(rows), max(widths)), FILLING)
    logits[toss, : widths[0]] = world["logits"][rows, reached][toss]
    logits[~toss, : widths[1]] = world["chance_logits"][rows, after][~toss]
    return np.where(toss, reached, after), Evaluation(
        value=np.where(toss, world["value"][rows, reached], world["afterstate_value"][rows, after]),
        logits=logits,
        reward=np.where(toss, world["reward"][fall], 0.0),
        discount=np.where(toss, world["discount"][fall], 1.0),
    )
