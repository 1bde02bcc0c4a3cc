"""Searches that two trees are given alike, drawn at random, each a pure function of its number.

Small whole numbers and all-zero networks make ties, where the order of the rules shows.

Shape letters: B roots, R leaves evaluated together, S simulations, A actions, C chance outcomes,
K sampled actions, D numbers of a continuous action.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple, TypeAlias, get_args

import numpy as np

from lzcore.base.tree import Array, Evaluation, Reuse, Tree
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

ACTIONS = ("discrete", "sampled", "vectors")
EXTRAS = ("plain", "chance", "value_prefix")
KINDS = [k for k in product(get_args(Rule), ACTIONS, EXTRAS) if k[1:] != ("vectors", "chance")]


Rng: TypeAlias = np.random.Generator


class Search(NamedTuple):
    """What both trees are given in one search."""

    roots: dict[str, Any]  # the arguments of start
    leaves: list[Evaluation]  # one for each select


class Case(NamedTuple):
    """One tree object of either kind, and the searches that it runs one after another."""

    spec: TreeSpec
    searches: list[Search]


# --- drawing a case -------------------------------------------------------------------------------


def pick(rng: Rng, options: Sequence[Any]) -> Any:
    """Return one of some options, all alike."""
    return options[int(rng.integers(len(options)))]


def drawn_case(
    number: int,
    rule: str | None = None,
    actions: str | None = None,
    extra: str | None = None,
    **options: Any,
) -> Case:
    """Draw a case; what is not given depends on its number, as does everything else.

    Args:
        number: of the case.
        rule: "puct" or "gumbel".
        actions: one of ACTIONS.
        extra: one of EXTRAS.
        options: further settings of the TreeSpec.
    """
    rng = np.random.default_rng(number)
    kind = pick(rng, KINDS)
    rule, actions, extra = rule or kind[0], actions or kind[1], extra or kind[2]
    if (actions, extra) == ("vectors", "chance"):
        extra = "plain"
    spec = _drawn_spec(rng, rule, actions, extra, options)
    sizes = rng.permutation([1, 2, 3, 5])[: rng.integers(1, 3)]
    return Case(spec, [Drawing(rng, spec, int(size)).search() for size in sizes])


def _drawn_spec(
    rng: Rng, rule: str, actions: str, extra: str, options: Mapping[str, Any]
) -> TreeSpec:
    spec: dict[str, Any] = {
        "rule": rule,
        "num_simulations": pick(rng, [1, 3, 12, 12, 30]),
        "discount": pick(rng, [1.0, 0.997, 0.5, 0.0]),
        "max_depth": pick(rng, [None, None, None, 1, 3]),
        "range_floor": pick(rng, [0.01, 1e-8]),
        **(_drawn_puct(rng) if rule == "puct" else _drawn_gumbel(rng)),
        **_drawn_actions(rng, rule, actions),
    }
    if extra == "chance":
        spec["num_chance_outcomes"] = pick(rng, [1, 2, 5, 9])
        spec["chance_select"] = pick(rng, get_args(ChanceSelect))
    if extra == "value_prefix":
        spec |= {"value_prefix": True, "lstm_horizon_len": pick(rng, [1, 2, 3, 5])}
    return TreeSpec(**{**spec, **options})


def _drawn_puct(rng: Rng) -> dict[str, Any]:
    return {
        "pb_c_init": pick(rng, [1.25, 0.0, 4.0]),
        "pb_c_base": pick(rng, [19652.0, 3.0]),
        "q_transform": pick(rng, get_args(QTransform)),
        "q_bounds": (-2.0, 3.0),
        "fpu": pick(rng, get_args(Fpu)),
        "tie_break": pick(rng, get_args(TieBreak)),
        "root_noise_weight": pick(rng, [0.25, 1.0, 0.0]),
    }


def _drawn_gumbel(rng: Rng) -> dict[str, Any]:
    return {
        "max_num_considered_actions": pick(rng, [1, 2, 4, 16]),
        "maxvisit_init": pick(rng, [50.0, 0.0, 7.5]),
        "value_scale": pick(rng, [0.1, 1.0, 0.0]),
        "rescale_values": bool(rng.random() < 0.7),
        "rescale_illegal": bool(rng.random() < 0.5),
        "use_mixed_value": bool(rng.random() < 0.7),
    }


def _drawn_actions(rng: Rng, rule: str, actions: str) -> dict[str, Any]:
    expand_all = bool(rule == "puct" and rng.random() < 0.4)
    if actions == "vectors":
        return {
            "action_dim": int(rng.integers(1, 4)),
            "num_sampled_actions": pick(rng, [1, 2, 5, 9]),
            "prior_mode": pick(rng, get_args(PriorMode)),
            "root_expand_all": expand_all,
        }
    chosen: dict[str, Any] = {
        "num_actions": pick(rng, [1, 2, 5, 9, 20]),
        "root_expand_all": expand_all,
    }
    if actions == "sampled":
        chosen |= {
            "num_sampled_actions": pick(rng, [1, 3, 8, 25]),
            "sample_mode": pick(rng, get_args(SampleMode)),
            "sample_temperature": pick(rng, [1.0, 0.5, 3.0]),
        }
    return chosen


class Drawing:
    """Draws the arrays of one search of B roots."""

    def __init__(self, rng: Rng, spec: TreeSpec, num_roots: int) -> None:
        """Choose what kind of numbers there are, and which arrays are told."""
        self.rng, self.spec, self.num_roots = rng, spec, num_roots
        self._draw: Callable[[Rng, Any], Array] = pick(
            rng, [_normal_numbers, _whole_numbers, _no_numbers]
        )
        told = ["reward", "to_play", "discount", "terminal"]
        told += ["legal_actions"] * (not spec.is_continuous)
        told += ["is_chance"] * (spec.num_chance_outcomes > 0)
        told += ["actions"] * spec.is_sampled
        self.told = {name for name in told if rng.random() < (0.9 if name == "reward" else 0.4)}
        self.told |= {"reward"} if spec.value_prefix else set()

    def search(self) -> Search:
        """Draw what a search is given; one in five is stopped early."""
        spec, b = self.spec, self.num_roots
        calls = [b * spec.num_edges] * spec.root_expand_all + [b] * spec.num_simulations
        if self.rng.random() < 0.2:
            calls = calls[: self.rng.integers(len(calls) + 1)]
        return Search(self.roots(), [self.leaf_evaluation(rows) for rows in calls])

    def roots(self) -> dict[str, Any]:
        """Draw the arguments of `start`."""
        rng, spec, b = self.rng, self.spec, self.num_roots
        masked = not spec.is_continuous and rng.random() < 0.5
        legal = self._mask(b, spec.num_actions) if masked else None
        evaluation = Evaluation(self._floats(b), self._logits(b))
        if "actions" in self.told:
            evaluation = evaluation._replace(actions=self._actions(b, legal))
        return {
            "evaluation": evaluation,
            "legal_actions": legal,
            "to_play": pick(rng, [None, rng.choice(np.array([-1, 1, 2], np.int8), b)]),
            "seeds": self._seeds(b),
            "noise": self._noise(legal) if rng.random() < 0.5 else None,
            "reuse": self._reuse(legal),
        }

    def _seeds(self, b: int) -> Array | None:
        given = self.spec.draws or self.rng.random() < 0.5
        return self.rng.integers(0, 2**64, b, dtype=np.uint64) if given else None

    def leaf_evaluation(self, rows: int) -> Evaluation:
        """Draw the evaluation of some leaves."""
        rng, spec = self.rng, self.spec
        legal = self._mask(rows, spec.num_choices) if "legal_actions" in self.told else None
        extra = {
            "reward": self._floats(rows),
            "legal_actions": legal,
            "to_play": rng.choice(np.array([-1, 1, 2], np.int8), rows),
            "discount": rng.choice([0.0, -1.0, 0.9], rows).astype(self._dtype()),
            "terminal": rng.random(rows) < 0.2,
            "is_chance": rng.random(rows) < 0.5,
            "actions": self._actions(rows, legal) if "actions" in self.told else None,
        }
        told = {name: extra[name] for name in extra if name in self.told}
        return Evaluation(self._floats(rows), self._logits(rows), **told)

    def _dtype(self) -> Any:
        return pick(self.rng, [np.float32, np.float64])

    def _floats(self, *shape: int) -> Array:
        found: Array = self._draw(self.rng, shape).astype(self._dtype())
        return found

    def _logits(self, rows: int) -> Array:
        if not self.spec.is_continuous:
            return self._floats(rows, self.spec.num_logits)
        mean, spread = (self._draw(self.rng, (rows, self.spec.action_dim)) for _ in "md")
        both = np.hstack([mean, np.exp(np.clip(spread, -3, 3))])
        return both.astype(self._dtype())

    def _mask(self, rows: int, width: int) -> Array:
        """Allow some, and one at least of the actions and of the outcomes."""
        legal = self.rng.random((rows, width)) < 0.6
        narrow = min(self.spec.num_actions, self.spec.num_chance_outcomes or width)
        legal[np.arange(rows), self.rng.integers(0, narrow, rows)] = True
        return legal

    def _actions(self, rows: int, legal: Array | None) -> Array:
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

    def _noise(self, legal: Array | None) -> Array:
        """Gumbel numbers, or a distribution over the slots or the legal actions of the roots."""
        size = (self.num_roots, self.spec.num_edges)
        if self.spec.rule == "gumbel":
            drawn: Array = self.rng.gumbel(size=size)
            return drawn * self.rng.choice([0.0, 1.0, 10.0, 1e10])  # type: ignore[no-any-return]
        weights: Array = self.rng.gamma(self.rng.choice([0.03, 0.3, 5.0]), size=size) + 1e-300
        if not self.spec.is_sampled and legal is not None:
            weights[~legal] = 0.0
        if self.rng.random() < 0.2:  # all on one, which may be an empty slot
            weights = (weights == weights.max(axis=1, keepdims=True)).astype(float)
        return weights / weights.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]

    def _reuse(self, legal: Array | None) -> Reuse | None:
        spec, b = self.spec, self.num_roots
        plain = spec.rule == "puct" and not spec.is_sampled and not spec.root_expand_all
        plain = plain and not spec.num_chance_outcomes
        if not plain or self.rng.random() < 0.5:
            return None
        allowed = np.ones((b, spec.num_actions), bool) if legal is None else legal
        action = np.array([self.rng.choice(np.flatnonzero(row)) for row in allowed])
        action[self.rng.random(b) < 0.2] = -1
        return Reuse(action, np.where(action < 0, np.nan, self._floats(b)))


def _normal_numbers(rng: Rng, shape: Any) -> Array:
    return rng.normal(size=shape) * rng.choice([0.1, 1.0, 10.0, 1000.0])  # type: ignore[no-any-return]


def _whole_numbers(rng: Rng, shape: Any) -> Array:
    found: Array = rng.integers(-1, 2, shape)
    return found


def _no_numbers(rng: Rng, shape: Any) -> Array:
    return np.zeros(shape)


# --- running it -----------------------------------------------------------------------------------


def spoilt(evaluation: Evaluation, needed: Array) -> Evaluation:
    """Fill with nonsense what a tree must not read: known leaves, and edges of finished games."""
    unread = ~needed if evaluation.terminal is None else ~needed | evaluation.terminal
    edges: dict[str, Any] = {"logits": np.nan, "legal_actions": False, "actions": -7}
    leaf: dict[str, Any] = {"value": np.nan, "reward": np.inf, "discount": np.nan, "to_play": 0}
    wasted: dict[str, Array] = {}
    for name, array in evaluation._asdict().items():
        if array is not None and (name in edges or name in leaf):
            wasted[name] = array.copy()
            wasted[name][unread if name in edges else ~needed] = {**edges, **leaf}[name]
    return evaluation._replace(**wasted)


def assert_same(ours: Mapping[str, Any], theirs: Mapping[str, Any], where: str = "") -> None:
    """Compare arrays by name, bit for bit."""
    assert ours.keys() == theirs.keys(), where
    for name, found in ours.items():
        wanted = theirs[name]
        if found is None or wanted is None:
            assert found is wanted, where + name
            continue
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape), where + name
        if found.tobytes() != wanted.tobytes():
            _require_equal(found, wanted, where + name)
            raise AssertionError(f"{where}{name} differs in the sign of a zero")


def _require_equal(found: Array, wanted: Array, what: str) -> None:
    differ = (found != wanted) & ~((found != found) & (wanted != wanted))
    if differ.any():
        at = tuple(np.argwhere(differ)[0].tolist())
        raise AssertionError(f"{what}{list(at)}, which is {found[at]} and there {wanted[at]}.")


def run_alike(ours: Tree, reference: Tree, case: Case) -> None:
    """Run two trees through a case and compare every leaf, result and node."""
    for search in case.searches:
        for tree in (ours, reference):
            tree.start(**search.roots)
        for i, evaluation in enumerate(search.leaves):
            leaves = ours.select(), reference.select()
            assert_same(leaves[0]._asdict(), leaves[1]._asdict(), f"leaves {i}, ")
            for tree in (ours, reference):
                tree.backup(spoilt(evaluation, leaves[1].needs_evaluation))
        assert_same(ours.result()._asdict(), reference.result()._asdict())
        assert_same(ours.snapshot(), reference.snapshot())


def plain_cases() -> Iterator[Case]:
    """Yield a case of every kind whose other settings are the defaults."""
    choices: dict[str, dict[str, Any]] = {
        "discrete": {"num_actions": 4},
        "sampled": {"num_actions": 6, "num_sampled_actions": 3},
        "vectors": {"action_dim": 2, "num_sampled_actions": 4},
    }
    extras: dict[str, dict[str, Any]] = {
        "plain": {},
        "chance": {"num_chance_outcomes": 2},
        "value_prefix": {"value_prefix": True},
    }
    for place, (rule, actions, extra) in enumerate(KINDS):
        given = {"rule": rule, "num_simulations": 8, **choices[actions], **extras[extra]}
        spec, rng = TreeSpec(**given), np.random.default_rng(place)
        yield Case(spec, [Drawing(rng, spec, roots).search() for roots in (3, 2)])


def cases(count: int, first: int = 0) -> Iterator[Case]:
    """Yield `count` cases of every kind, the same ones in each call."""
    for place, (rule, actions, extra) in enumerate(KINDS):
        for number in range(first + 10_000 * place, first + 10_000 * place + count):
            yield drawn_case(number, rule=rule, actions=actions, extra=extra)
