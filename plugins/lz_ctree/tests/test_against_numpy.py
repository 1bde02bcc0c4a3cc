"""The C++ tree against the NumPy tree: the same leaves and the same numbers, bit for bit.

Both are given the same evaluations, drawn beforehand, and must name the same leaves in every
simulation, and end with the same results and the same trees. Small whole numbers and all-zero
networks make ties, where the order of the rules shows. Every case is a pure function of its number.

Many more cases: `python plugins/lz_ctree/tests/test_against_numpy.py 10000`.

Shape letters: B roots, R leaves evaluated together, S simulations, A actions, C chance outcomes,
K sampled actions, D numbers of a continuous action.
"""

import sys
from itertools import product
from typing import NamedTuple, get_args

import attrs
import numpy as np
import pytest
from lz_ctree.tree import CTree

from lzcore.base.tree import Evaluation, Reuse
from lzcore.base.treespec import (
    ChanceSelect,
    Fpu,
    PriorMode,
    QTransform,
    Rule,
    SampleMode,
    TieBreak,
    TreeSpec,
)

NumpyTree = pytest.importorskip(
    "lz_ptree.tree",
    reason="lz-ptree, the reference to compare with, is not installed",
).NumpyTree

ACTIONS = ("discrete", "sampled", "vectors")
EXTRAS = ("plain", "chance", "value_prefix")
KINDS = [k for k in product(get_args(Rule), ACTIONS, EXTRAS) if k[1:] != ("vectors", "chance")]
OPTIONS = list(product(get_args(QTransform), get_args(Fpu), get_args(TieBreak)))
CASES_OF_A_KIND = 60
CASES_OF_AN_OPTION = 5


class Search(NamedTuple):
    """What both trees are given in one search."""

    roots: dict  # the arguments of start
    leaves: list[Evaluation]  # one for each select


class Case(NamedTuple):
    """One tree object of either kind, and the searches that it runs one after another."""

    spec: TreeSpec
    searches: list[Search]


# --- drawing a case -------------------------------------------------------------------------------


def pick(rng, options):
    return options[rng.integers(len(options))]


def drawn_case(number, rule=None, actions=None, extra=None, **options):
    """Draw a case; what is not given depends on its number, as does everything else."""
    rng = np.random.default_rng(number)
    kind = pick(rng, KINDS)
    rule, actions, extra = rule or kind[0], actions or kind[1], extra or kind[2]
    if (actions, extra) == ("vectors", "chance"):
        extra = "plain"
    spec = drawn_spec(rng, rule, actions, extra, options)
    sizes = rng.permutation([1, 2, 3, 5])[: rng.integers(1, 3)]
    return Case(spec, [Drawing(rng, spec, int(size)).search() for size in sizes])


def drawn_spec(rng, rule, actions, extra, options):
    spec = {
        "rule": rule,
        "num_simulations": pick(rng, [1, 3, 12, 12, 30]),
        "discount": pick(rng, [1.0, 0.997, 0.5, 0.0]),
        "max_depth": pick(rng, [None, None, None, 1, 3]),
        "range_floor": pick(rng, [0.01, 1e-8]),
        **(drawn_puct(rng) if rule == "puct" else drawn_gumbel(rng)),
        **drawn_actions(rng, rule, actions),
    }
    if extra == "chance":
        spec["num_chance_outcomes"] = pick(rng, [1, 2, 5, 9])
        spec["chance_select"] = pick(rng, get_args(ChanceSelect))
    if extra == "value_prefix":
        spec |= {"value_prefix": True, "lstm_horizon_len": pick(rng, [1, 2, 3, 5])}
    return TreeSpec(**{**spec, **options})


def drawn_puct(rng):
    return {
        "pb_c_init": pick(rng, [1.25, 0.0, 4.0]),
        "pb_c_base": pick(rng, [19652.0, 3.0]),
        "q_transform": pick(rng, get_args(QTransform)),
        "q_bounds": (-2.0, 3.0),
        "fpu": pick(rng, get_args(Fpu)),
        "tie_break": pick(rng, get_args(TieBreak)),
        "root_noise_weight": pick(rng, [0.25, 1.0, 0.0]),
    }


def drawn_gumbel(rng):
    return {
        "max_num_considered_actions": pick(rng, [1, 2, 4, 16]),
        "maxvisit_init": pick(rng, [50.0, 0.0, 7.5]),
        "value_scale": pick(rng, [0.1, 1.0, 0.0]),
        "rescale_values": bool(rng.random() < 0.7),
        "rescale_illegal": bool(rng.random() < 0.5),
        "use_mixed_value": bool(rng.random() < 0.7),
    }


def drawn_actions(rng, rule, actions):
    expand_all = bool(rule == "puct" and rng.random() < 0.4)
    if actions == "vectors":
        return {
            "action_dim": int(rng.integers(1, 4)),
            "num_sampled_actions": pick(rng, [1, 2, 5, 9]),
            "prior_mode": pick(rng, get_args(PriorMode)),
            "root_expand_all": expand_all,
        }
    chosen = {"num_actions": pick(rng, [1, 2, 5, 9, 20]), "root_expand_all": expand_all}
    if actions == "sampled":
        chosen |= {
            "num_sampled_actions": pick(rng, [1, 3, 8, 25]),
            "sample_mode": pick(rng, get_args(SampleMode)),
            "sample_temperature": pick(rng, [1.0, 0.5, 3.0]),
        }
    return chosen


class Drawing:
    """Draws the arrays of one search of B roots."""

    def __init__(self, rng, spec, num_roots):
        self.rng, self.spec, self.num_roots = rng, spec, num_roots
        self.draw = pick(rng, [normal_numbers, whole_numbers, no_numbers])
        told = ["reward", "to_play", "discount", "terminal"]
        told += ["legal_actions"] * (not spec.is_continuous)
        told += ["is_chance"] * (spec.num_chance_outcomes > 0)
        told += ["actions"] * spec.is_sampled
        self.told = {name for name in told if rng.random() < (0.9 if name == "reward" else 0.4)}
        self.told |= {"reward"} if spec.value_prefix else set()

    def search(self):
        spec, b = self.spec, self.num_roots
        calls = [b * spec.num_edges] * spec.root_expand_all + [b] * spec.num_simulations
        if self.rng.random() < 0.2:  # stopped early
            calls = calls[: self.rng.integers(len(calls) + 1)]
        return Search(self.roots(), [self.leaf_evaluation(rows) for rows in calls])

    def roots(self):
        rng, spec, b = self.rng, self.spec, self.num_roots
        masked = not spec.is_continuous and rng.random() < 0.5
        legal = self.mask(b, spec.num_actions) if masked else None
        evaluation = Evaluation(self.floats(b), self.logits(b))
        if "actions" in self.told:
            evaluation = evaluation._replace(actions=self.actions(b, legal))
        return {
            "evaluation": evaluation,
            "legal_actions": legal,
            "to_play": pick(rng, [None, rng.choice(np.array([-1, 1, 2], np.int8), b)]),
            "seeds": self.seeds(b),
            "noise": self.noise(legal) if rng.random() < 0.5 else None,
            "reuse": self.reuse(legal),
        }

    def seeds(self, b):
        given = self.spec.draws or self.rng.random() < 0.5
        return self.rng.integers(0, 2**64, b, dtype=np.uint64) if given else None

    def leaf_evaluation(self, rows):
        rng, spec = self.rng, self.spec
        legal = self.mask(rows, spec.num_choices) if "legal_actions" in self.told else None
        extra = {
            "reward": self.floats(rows),
            "legal_actions": legal,
            "to_play": rng.choice(np.array([-1, 1, 2], np.int8), rows),
            "discount": rng.choice([0.0, -1.0, 0.9], rows).astype(self.dtype()),
            "terminal": rng.random(rows) < 0.2,
            "is_chance": rng.random(rows) < 0.5,
            "actions": self.actions(rows, legal) if "actions" in self.told else None,
        }
        told = {name: extra[name] for name in extra if name in self.told}
        return Evaluation(self.floats(rows), self.logits(rows), **told)

    def dtype(self):
        return pick(self.rng, [np.float32, np.float64])

    def floats(self, *shape):
        return self.draw(self.rng, shape).astype(self.dtype())

    def logits(self, rows):
        if not self.spec.is_continuous:
            return self.floats(rows, self.spec.num_logits)
        mean, spread = (self.draw(self.rng, (rows, self.spec.action_dim)) for _ in "md")
        return np.hstack([mean, np.exp(np.clip(spread, -3, 3))]).astype(self.dtype())

    def mask(self, rows, width):
        """Allow some, and one at least of the actions and of the outcomes."""
        legal = self.rng.random((rows, width)) < 0.6
        narrow = min(self.spec.num_actions, self.spec.num_chance_outcomes or width)
        legal[np.arange(rows), self.rng.integers(0, narrow, rows)] = True
        return legal

    def actions(self, rows, legal):
        """Choose (R, K, D) vectors, or (R, K) rising ids of allowed actions, -1 behind the last."""
        k, d = self.spec.num_sampled_actions, self.spec.action_dim
        if d:
            return self.rng.uniform(-0.999, 0.999, (rows, k, d)).astype(np.float32)
        given = np.full((rows, k), -1, np.int64)
        for row in range(rows):
            allowed = np.arange(self.spec.num_actions)
            if legal is not None:
                allowed = allowed[legal[row, : len(allowed)]]
            some = self.rng.permutation(allowed)[: self.rng.integers(1, k + 1)]
            given[row, : len(some)] = np.sort(some)
        return given

    def noise(self, legal):
        """Gumbel numbers, or a distribution over the slots or the legal actions of the roots."""
        size = (self.num_roots, self.spec.num_edges)
        if self.spec.rule == "gumbel":
            return self.rng.gumbel(size=size) * self.rng.choice([0.0, 1.0, 10.0, 1e10])
        weights = self.rng.gamma(self.rng.choice([0.03, 0.3, 5.0]), size=size) + 1e-300
        if not self.spec.is_sampled and legal is not None:
            weights[~legal] = 0.0
        if self.rng.random() < 0.2:  # all on one, which may be an empty slot
            weights = (weights == weights.max(axis=1, keepdims=True)).astype(float)
        return weights / weights.sum(axis=1, keepdims=True)

    def reuse(self, legal):
        spec, b = self.spec, self.num_roots
        plain = spec.rule == "puct" and not spec.is_sampled and not spec.root_expand_all
        plain = plain and not spec.num_chance_outcomes
        if not plain or self.rng.random() < 0.5:
            return None
        allowed = np.ones((b, spec.num_actions), bool) if legal is None else legal
        action = np.array([self.rng.choice(np.flatnonzero(row)) for row in allowed])
        action[self.rng.random(b) < 0.2] = -1
        return Reuse(action, np.where(action < 0, np.nan, self.floats(b)))


def normal_numbers(rng, shape):
    return rng.normal(size=shape) * rng.choice([0.1, 1.0, 10.0, 1000.0])


def whole_numbers(rng, shape):
    return rng.integers(-1, 2, shape)


def no_numbers(rng, shape):
    return np.zeros(shape)


# --- running it -----------------------------------------------------------------------------------


def assert_alike(case):
    """Run both trees through a case and compare everything they say."""
    trees = CTree(case.spec), NumpyTree(case.spec)
    for search in case.searches:
        for tree in trees:
            tree.start(**search.roots)
        for i, evaluation in enumerate(search.leaves):
            leaves = [tree.select() for tree in trees]
            assert_same(*(found._asdict() for found in leaves), f"leaves {i}, ")
            for tree in trees:
                tree.backup(spoilt(evaluation, leaves[0].needs_evaluation))
        assert_same(*(tree.result()._asdict() for tree in trees))
        assert_same(*(tree.snapshot() for tree in trees))


def spoilt(evaluation, needed):
    """Fill with nonsense what a tree must not read: known leaves, and edges of finished games."""
    unread = ~needed if evaluation.terminal is None else ~needed | evaluation.terminal
    edges = {"logits": np.nan, "legal_actions": False, "actions": -7}
    leaf = {"value": np.nan, "reward": np.inf, "discount": np.nan, "to_play": 0}
    spoilt = {}
    for name, array in evaluation._asdict().items():
        if array is not None and (name in edges or name in leaf):
            spoilt[name] = array.copy()
            spoilt[name][unread if name in edges else ~needed] = {**edges, **leaf}[name]
    return evaluation._replace(**spoilt)


def assert_same(ours, theirs, where=""):
    assert ours.keys() == theirs.keys(), where
    for name, found in ours.items():
        wanted = theirs[name]
        if found is None or wanted is None:
            assert found is wanted, where + name
            continue
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape), where + name
        if found.tobytes() != wanted.tobytes():
            np.testing.assert_array_equal(found, wanted, err_msg=where + name)
            raise AssertionError(f"{where}{name} differs in the sign of a zero")


def check(number, **fixed):
    case = drawn_case(number, **fixed)
    try:
        assert_alike(case)
    except Exception as err:
        raise AssertionError(f"case {number}, {fixed}, {attrs.asdict(case.spec)}: {err}") from err


@pytest.mark.parametrize(("rule", "actions", "extra"), KINDS)
def test_both_trees_search_alike_under_every_rule(rule, actions, extra):
    first = 10_000 * KINDS.index((rule, actions, extra))
    for number in range(first, first + CASES_OF_A_KIND):
        check(number, rule=rule, actions=actions, extra=extra)


@pytest.mark.parametrize(("q_transform", "fpu", "tie_break"), OPTIONS)
def test_both_trees_search_alike_under_every_option_of_puct(q_transform, fpu, tie_break):
    first = 10**6 + 10 * OPTIONS.index((q_transform, fpu, tie_break))
    for number in range(first, first + CASES_OF_AN_OPTION):
        check(number, rule="puct", q_transform=q_transform, fpu=fpu, tie_break=tie_break)


# --- what the cases hold --------------------------------------------------------------------------


def all_cases():
    for i, (rule, actions, extra) in enumerate(KINDS):
        for number in range(10_000 * i, 10_000 * i + CASES_OF_A_KIND):
            yield drawn_case(number, rule=rule, actions=actions, extra=extra)


def marks_of(case):
    """Name what happens in a case, as far as one tree can tell."""
    spec, tree = case.spec, CTree(case.spec)
    for search in case.searches:
        tree.start(**search.roots)
        yield from (name for name, given in search.roots.items() if given is not None)
        for evaluation in search.leaves:
            needed = tree.select().needs_evaluation.copy()
            tree.backup(spoilt(evaluation, needed))
            told = (name for name, given in evaluation._asdict().items() if given is not None)
            yield from (f"leaf {name}" for name in told)
            if not needed.all():
                yield "a known leaf"
        nodes = tree.snapshot()
        found = {
            "a chance node": nodes["is_chance"].any(),
            "a finished game": nodes["terminal"].any(),
            "a node evaluated again": spec.max_depth and (nodes["node_visits"][:, 1:] == 0).any(),
            "three levels": (nodes["parents"] > spec.num_edges).any(),
            "a reset": spec.value_prefix and nodes["is_reset"].any(),
            "an empty slot": spec.is_sampled and (nodes["sampled_actions"][:, 0] == -1).any(),
            "a tree used again": search is not case.searches[0],
            "all edges of the roots": spec.root_expand_all,
            "a search that ends early": len(search.leaves) < spec.num_simulations,
            "outcomes that are drawn": nodes["is_chance"].any() and spec.chance_select == "sample",
            "draws with replacement": spec.is_sampled and spec.sample_mode == "with_replacement",
            "densities": spec.is_continuous and spec.prior_mode == "density",
            "an all-zero network": not any(leaf.value.any() for leaf in search.leaves),
            "single precision": search.roots["evaluation"].logits.dtype == np.float32,
        }
        yield from (name for name, is_so in found.items() if is_so)


def test_the_cases_hold_what_the_comparison_is_for():
    """A choice of cases that never masks, never ties or never deepens would prove little."""
    counts = {}
    for case in all_cases():
        for mark in set(marks_of(case)):
            counts[mark] = counts.get(mark, 0) + 1

    given = {"legal_actions", "to_play", "seeds", "noise", "reuse"}
    leaf = {f"leaf {name}" for name in Evaluation._fields}
    happens = {
        "a known leaf", "a chance node", "a finished game", "a node evaluated again",
        "three levels", "a reset", "an empty slot", "a tree used again", "all edges of the roots",
        "a search that ends early", "outcomes that are drawn", "draws with replacement",
        "densities", "an all-zero network", "single precision",
    }  # fmt: skip
    rare = {name: counts.get(name, 0) for name in given | leaf | happens}
    assert min(rare.values()) >= 10, rare


if __name__ == "__main__":
    for case_number in range(int(sys.argv[1])):
        check(10**8 + case_number)
    print(f"{sys.argv[1]} cases: both trees say the same.")
