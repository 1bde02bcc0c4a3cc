"""The C++ tree against the NumPy tree: the same leaves and the same values, bit for bit.

Both are given the same evaluations, drawn beforehand, and must name the same leaves in every
simulation. Only root noise goes through a logarithm of the C library, so that values are compared
to 1e-9 there. Small whole numbers and all-zero networks make ties, where the order of the rules
shows. Every case is a pure function of its number.

Shape letters: B roots, S simulations, A actions.
"""

from itertools import product
from typing import NamedTuple, get_args

import attrs
import numpy as np
import pytest
from lz_ctree.tree import CTree

from lzcore.base.tree import Array, Evaluation, Fpu, Leaves, QTransform, TieBreak, TreeSpec

NumpyTree = pytest.importorskip(
    "lz_ptree.tree",
    reason="lz-ptree, the reference to compare with, is not installed",
).NumpyTree

OPTIONS = list(product(get_args(QTransform), get_args(Fpu), get_args(TieBreak)))


class Case(NamedTuple):
    """What both trees are given."""

    spec: TreeSpec
    roots: dict[str, Array | Evaluation | None]
    leaves: list[Evaluation]


def drawn_case(number, q_transform, fpu, tie_break):
    """Draw a case with these options; everything else depends on its number."""
    rng = np.random.default_rng(number)
    spec = TreeSpec(
        num_simulations=int(rng.choice([1, 3, 12, 30])),
        num_actions=int(rng.choice([1, 2, 5, 9, 20])),
        discount=float(rng.choice([1.0, 0.997, 0.5, 0.0])),
        max_depth=rng.choice([None, None, 1, 3]),
        pb_c_init=float(rng.choice([1.25, 0.0, 4.0])),
        q_transform=q_transform,
        q_bounds=(-2.0, 3.0),
        range_floor=float(rng.choice([0.01, 1e-8])),
        fpu=fpu,
        tie_break=tie_break,
        root_noise_weight=float(rng.choice([0.25, 1.0])),
    )
    size = (int(rng.choice([1, 3])), spec.num_actions)
    draw = rng.choice([normal_numbers, whole_numbers, no_numbers])
    dtype = rng.choice([np.float32, np.float64])
    told = set(rng.permutation(["legal_actions", "to_play", "discount"])[: rng.integers(4)])
    leaves = [evaluation(rng, size, draw, dtype, told) for _ in range(spec.num_simulations)]
    return Case(spec, drawn_roots(rng, size, draw, dtype), leaves)


def normal_numbers(rng, shape):
    return rng.normal(size=shape) * rng.choice([0.1, 1.0, 10.0])


def whole_numbers(rng, shape):
    return rng.integers(-1, 2, shape)


def no_numbers(rng, shape):
    return np.zeros(shape)


def evaluation(rng, size, draw, dtype, told=()):
    value, reward, logits = (draw(rng, s).astype(dtype) for s in (size[0], size[0], size))
    extra = {
        "legal_actions": mask(rng, size),
        "to_play": rng.choice(np.array([1, 2], np.int8), size[0]),
        "discount": rng.choice([0.0, -1.0, 0.9], size[0]).astype(dtype),
    }
    return Evaluation(value, logits, reward, **{name: extra[name] for name in sorted(told)})


def mask(rng, size):
    legal = rng.random(size) < 0.6
    legal[np.arange(size[0]), rng.integers(0, size[1], size[0])] = True
    return legal


def drawn_roots(rng, size, draw, dtype):
    legal = mask(rng, size) if rng.random() < 0.5 else np.ones(size, bool)
    noise = np.where(legal, rng.gamma(0.3, size=size) + 1e-12, 0.0)
    players = [None, np.array([1, 2, 1], np.int8)[: size[0]]]
    return {
        "evaluation": evaluation(rng, size, draw, dtype),
        "legal_actions": None if legal.all() else legal,
        "to_play": players[rng.integers(2)],
        "seeds": rng.integers(0, 2**64, size[0], dtype=np.uint64),
        "noise": noise / noise.sum(axis=1, keepdims=True) if rng.random() < 0.5 else None,
    }


def assert_alike(case):
    """Run both trees through a case and compare everything they say."""
    trees = CTree(case.spec), NumpyTree(case.spec)
    for tree in trees:
        tree.start(**case.roots)
    for evaluation in case.leaves:
        for name, ours, theirs in zip(Leaves._fields, *(t.select() for t in trees), strict=True):
            assert ours.tolist() == theirs.tolist(), name
        for tree in trees:
            tree.backup(evaluation)
    tolerance = 0.0 if case.roots["noise"] is None else 1e-9
    assert_same(*(tree.result()._asdict() for tree in trees), tolerance)
    assert_same(*(tree.snapshot() for tree in trees), tolerance)


def assert_same(ours, theirs, tolerance):
    assert ours.keys() == theirs.keys()
    for name, found in ours.items():
        wanted = theirs[name]
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape), name
        within = tolerance if found.dtype.kind == "f" else 0.0
        np.testing.assert_allclose(found, wanted, rtol=within, atol=within, err_msg=name)


@pytest.mark.parametrize(("q_transform", "fpu", "tie_break"), OPTIONS)
def test_both_trees_search_alike_under_every_option(q_transform, fpu, tie_break):
    first = 10 * OPTIONS.index((q_transform, fpu, tie_break))
    for number in range(first, first + 6):
        case = drawn_case(number, q_transform, fpu, tie_break)
        try:
            assert_alike(case)
        except AssertionError as err:
            raise AssertionError(f"case {number}, {attrs.asdict(case.spec)}: {err}") from err


def test_the_cases_hold_what_the_comparison_is_for():
    """A choice of cases that never masks, never ties or never deepens would prove little."""
    cases = [drawn_case(10 * i, *options) for i, options in enumerate(OPTIONS)]

    assert sum(case.roots["noise"] is not None for case in cases) > 15
    assert sum(case.roots["legal_actions"] is not None for case in cases) > 15
    assert sum(case.roots["to_play"] is not None for case in cases) > 15
    assert sum(case.leaves[0].legal_actions is not None for case in cases) > 15
    assert sum(case.leaves[0].discount is not None for case in cases) > 15
    assert sum(not case.roots["evaluation"].logits.any() for case in cases) > 10
    assert sum(case.spec.max_depth is not None for case in cases) > 15
