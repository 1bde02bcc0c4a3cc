"""Two ranks with half a batch each learn what one process learns from the whole batch."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo  # loads with the first optimizer: once, before the ranks are forked
from lz_muzero.policy import MuZeroPolicy

from lzcore.base.structure import merge
from lzcore.engine.ranks import joined
from lzcore.replay.buffer import ReplayBuffer
from lzcore.testing.ranks import Call, one_by_one

STEPS = 5
GIVEN = {"use_priority": True, "optim_type": "SGD", "learning_rate": 0.05, "grad_clip_value": 2.0}
BALANCED = {"model": {"harmony_balance": True}}
MEANS = ("total_loss", "weighted_total_loss", "policy_loss", "value_loss", "reward_loss")


def policy_of(kit, **given):
    return MuZeroPolicy(merge(kit["SMALL"], GIVEN, given))


def learned(**given):
    """Learn from this rank's own replay; return the batches and what came of them."""
    kit = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
    with joined(True) as ranks:
        policy = policy_of(kit, multi_gpu=True, seed=ranks.rank, **given)
        columns = policy.columns(policy.cfg, kit["spaces_of"](policy))
        buffer = ReplayBuffer(columns, policy.replay_settings(), ranks.rank, ranks)
        for number in (0, 1, 2):
            length = 5 + number + 4 * ranks.rank  # the second rank has more
            buffer.push([kit["episode"](policy, number + 3 * ranks.rank, length, terminated=True)])
        batches, told = [], []
        for _ in range(STEPS):
            batches.append(buffer.sample(4, policy))
            told.append(policy.learn_mode.forward(batches[-1]))
            current = batches[-1][0]
            buffer.update_priority(
                current.index, told[-1]["value_priority_orig"], current.make_time.astype(np.int64)
            )
        state = policy.learn_mode.state_dict()
        return {
            "batches": batches,
            "told": told,
            "weights": state["model"],
            "harmony": state.get("harmony"),
        }


def learned_after_backward():
    return learned(bp_update_sync=True)


def learned_during_backward():
    return learned(bp_update_sync=False)


def learned_with_balanced_losses():
    return learned(bp_update_sync=False, **BALANCED)


@pytest.fixture(scope="module")
def both():
    """What both ranks found, by when they averaged, and with learned weights of losses."""
    calls = {
        "after": Call(learned_after_backward),
        "during": Call(learned_during_backward),
        "balanced": Call(learned_with_balanced_losses),
    }
    found = one_by_one(list(calls.values()))
    for rank in (*found[0], *found[1]):
        assert rank.status == 0, rank.err
    return {when: [rank.value for rank in ranks] for when, ranks in zip(calls, found, strict=True)}


def whole_batch(halves):
    """Join what two ranks drew."""
    return [
        one._make(np.concatenate(pair) for pair in zip(one, other, strict=True))
        for one, other in zip(*halves, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["after", "during"])
def test_two_ranks_learn_as_one_process_does_from_both_batches(both, when, make_policy):
    first, second = both[when]
    alone = make_policy(GIVEN)  # its weights are those of rank 0: of seed 0

    for halves, *told in zip(
        zip(first["batches"], second["batches"], strict=True),
        first["told"], second["told"], strict=True,
    ):  # fmt: skip
        expected = alone.learn_mode.forward(whole_batch(halves))
        for name in MEANS:
            mean = (told[0][name] + told[1][name]) / 2
            assert mean == pytest.approx(expected[name], rel=1e-5, abs=1e-5), name
        for rank in told:
            norm = rank["total_grad_norm_before_clip"]
            assert norm == pytest.approx(expected["total_grad_norm_before_clip"], rel=1e-5)

    for name, expected in alone._model.state_dict().items():
        torch.testing.assert_close(first["weights"][name], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("when", ["after", "during"])
def test_the_weights_of_both_ranks_are_equal_to_the_last_bit(both, when):
    first, second = (rank["weights"] for rank in both[when])

    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_both_ways_of_averaging_give_the_same_weights(both):
    after, during = (both[when][0]["weights"] for when in ("after", "during"))

    for name, expected in after.items():
        torch.testing.assert_close(during[name], expected, rtol=1e-5, atol=1e-6)


def test_learned_weights_of_losses_are_those_of_the_joint_batches(both, make_policy):
    first, second = both["balanced"]
    alone = make_policy(GIVEN | BALANCED)
    for halves in zip(first["batches"], second["batches"], strict=True):
        alone.learn_mode.forward(whole_batch(halves))

    expected = alone.learn_mode.state_dict()["harmony"]
    assert any(h.abs() > 1e-3 for h in expected.values())
    for name, h in expected.items():
        assert torch.equal(first["harmony"][name], second["harmony"][name])
        torch.testing.assert_close(first["harmony"][name], h, rtol=1e-5, atol=1e-6)


def test_importance_weights_of_a_joint_batch_have_one_largest_of_1(both):
    for halves in zip(*(rank["batches"] for rank in both["after"]), strict=True):
        weights = [current.weights for current, _ in halves]

        assert max(part.max() for part in weights) == 1.0
    assert any(part.max() < 1.0 for part in weights)  # one rank alone would have made it 1
