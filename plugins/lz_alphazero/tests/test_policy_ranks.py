"""Two ranks with half a batch each learn what one process learns from the whole batch."""

import runpy
from pathlib import Path

import lz_ctree.tree  # noqa: F401 (loaded once, before the ranks are forked)
import numpy as np
import pytest
import torch
import torch._dynamo  # too: it comes with the first optimizer

from lzcore.engine.ranks import joined
from lzcore.testing.ranks import Call, one_by_one

KIT = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
STEPS = 5
GIVEN = {
    "model.norm_type": "LN",
    "optim_type": "SGD",
    "learning_rate": 0.05,
    "grad_clip_value": 0.5,
    "entropy_weight": 0.1,
}
MEANS = ("total_loss", "policy_loss", "value_loss", "entropy_loss")
KINDS = ("alphazero", "gumbel_alphazero", "sampled_alphazero")


def learned(after):
    """Learn from this rank's own games; return each policy's batches and what came of them."""
    found = {}
    with joined(True) as ranks:
        given = {**GIVEN, "multi_gpu": True, "bp_update_sync": after, "seed": ranks.rank}
        for kind in KINDS:
            policy = KIT["made"](kind, given)
            buffer = KIT["stored"](policy, 3, seed=ranks.rank)
            batches = [buffer.sample(8, policy) for _ in range(STEPS)]
            told = [policy.learn_mode.forward(batch) for batch in batches]
            weights = policy._model.state_dict()
            found[kind] = {"batches": batches, "told": told, "weights": weights}
    return found


@pytest.fixture(scope="module")
def found():
    """What both ranks found, by when they averaged."""
    calls = {"after": Call(learned, (True,)), "during": Call(learned, (False,))}
    told = one_by_one(list(calls.values()))
    for rank in (*told[0], *told[1]):
        assert rank.status == 0, rank.err
    return {when: [rank.value for rank in ranks] for when, ranks in zip(calls, told, strict=True)}


@pytest.fixture(params=["after", "during"])
def both(found, request, kind):
    """What each of two ranks found with one policy."""
    return [rank[kind] for rank in found[request.param]]


def joint(one, other):
    """The batch of which two ranks have drawn a half each."""
    if isinstance(one, dict):
        return {name: joint(one[name], other[name]) for name in one}
    return np.concatenate((one, other))


@pytest.mark.slow
def test_two_ranks_learn_as_one_process_does_from_both_batches(both, kind, make_policy):
    first, second = both
    alone = make_policy(kind, GIVEN)  # its weights are those of rank 0: of seed 0

    for step in range(STEPS):
        halves = first["batches"][step], second["batches"][step]
        assert not np.array_equal(*(half["obs"]["observation"] for half in halves))
        expected = alone.learn_mode.forward(joint(*halves))
        told = first["told"][step], second["told"][step]
        for name in MEANS:
            mean = (told[0][name] + told[1][name]) / 2
            assert mean == pytest.approx(expected[name], rel=1e-5, abs=1e-5), name
        for rank in told:
            norm = rank["total_grad_norm_before_clip"]
            assert norm == pytest.approx(expected["total_grad_norm_before_clip"], rel=1e-4)

    for name, expected in alone._model.state_dict().items():
        torch.testing.assert_close(first["weights"][name], expected, rtol=1e-5, atol=1e-5)


def test_the_weights_of_both_ranks_are_equal_to_the_last_bit(both):
    first, second = (rank["weights"] for rank in both)

    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
