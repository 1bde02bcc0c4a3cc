"""Two ranks with half a batch each learn what one process learns from the whole batch."""

import runpy
from pathlib import Path

import lz_ctree.tree  # noqa: F401 (loaded once, before the ranks are forked)
import numpy as np
import pytest
import torch
import torch._dynamo  # too: it comes with the first optimizer
from lz_muzero.policy import MuZeroPolicy
from lz_muzero.policy_efficientzero import EfficientZeroPolicy
from lz_muzero.policy_gumbel_muzero import GumbelMuZeroPolicy
from lz_muzero.policy_sampled import SampledMuZeroPolicy
from lz_muzero.policy_sampled_efficientzero import SampledEfficientZeroPolicy
from lz_muzero.policy_stochastic import StochasticMuZeroPolicy

from lzcore.base.structure import merge
from lzcore.engine.ranks import joined
from lzcore.registry import get_registry
from lzcore.replay.buffer import ReplayBuffer
from lzcore.testing.ranks import Call, one_by_one

KIT = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
STEPS = 5
GIVEN = {
    # whose BatchNorm looks at the samples of a batch together
    "model": {"self_supervised_learning_loss": False},
    "ssl_loss_weight": 0.0,
    "use_priority": True,
    "optim_type": "SGD",
    "learning_rate": 0.05,
    "grad_clip_value": 2.0,
}
LSTM = {"model": {"lstm_hidden_size": 16}}
FEWER = {"model": {"num_of_sampled_actions": 2}, "normalize_prob_of_sampled_actions": True}
VECTORS = {"model": {"continuous_action_space": True, "num_of_sampled_actions": 5}}
CHANCE = {"model": {"chance_space_size": 4}}
LABELS = {"use_ture_chance_label_in_chance_encoder": True}
KINDS = {  # what is tested under which name: the policy, and settings of it
    "muzero": (MuZeroPolicy, {}),
    "muzero with balanced losses": (MuZeroPolicy, {"model": {"harmony_balance": True}}),
    "efficientzero": (EfficientZeroPolicy, LSTM),
    "gumbel_muzero": (GumbelMuZeroPolicy, {}),
    "sampled_muzero": (SampledMuZeroPolicy, FEWER),
    "sampled_muzero of vectors": (SampledMuZeroPolicy, VECTORS),
    "sampled_efficientzero": (SampledEfficientZeroPolicy, merge(LSTM, FEWER)),
    "sampled_efficientzero of vectors": (SampledEfficientZeroPolicy, merge(LSTM, VECTORS)),
    # so do centred codes
    "stochastic_muzero": (StochasticMuZeroPolicy, {**CHANCE, "center_codes": False}),
    "stochastic_muzero with outcomes": (StochasticMuZeroPolicy, {**CHANCE, **LABELS}),
}


def policy_of(kind, **given):
    policy_class, settings = KINDS[kind]
    return policy_class(merge(KIT["SMALL"], GIVEN, settings, given))


def learned(after):
    """Learn from this rank's own replay; return each kind's batches and what came of them."""
    found = {}
    with joined(True) as ranks:
        for kind in KINDS:
            try:
                found[kind] = learned_by(kind, after, ranks)
            except Exception as err:
                err.add_note(f"This was {kind}.")
                raise
    return found


def learned_by(kind, after, ranks):
    policy = policy_of(kind, multi_gpu=True, bp_update_sync=after, seed=ranks.rank)
    columns = policy.columns(policy.cfg, KIT["spaces_of"](policy))
    buffer = ReplayBuffer(columns, policy.replay_settings(), ranks.rank, ranks)
    for number in (0, 1, 2):
        length = 5 + number + 4 * ranks.rank  # the second rank has more
        buffer.push([KIT["episode"](policy, number + 3 * ranks.rank, length, terminated=True)])
    batches, told = [], []
    for _ in range(STEPS):
        batches.append(buffer.sample(4, policy))
        told.append(policy.learn_mode.forward(batches[-1]))
        current = batches[-1][0]
        buffer.update_priority(
            current.index, told[-1]["value_priority_orig"], current.make_time.astype(np.int64)
        )
    state = policy.learn_mode.state_dict()
    weights = state["model"] | state.get("harmony", {})
    batches = [[half._asdict() for half in batch] for batch in batches]
    return {"batches": batches, "told": told, "weights": weights}


@pytest.fixture(scope="module")
def found():
    """What both ranks found, by when they averaged."""
    calls = {"after": Call(learned, (True,)), "during": Call(learned, (False,))}
    told = one_by_one(list(calls.values()))
    for rank in (*told[0], *told[1]):
        assert rank.status == 0, rank.err
    return {when: [rank.value for rank in ranks] for when, ranks in zip(calls, told, strict=True)}


@pytest.fixture(params=KINDS)
def kind(request):
    """The name of each kind in turn."""
    return request.param


@pytest.fixture(params=["after", "during"])
def both(found, request, kind):
    """What each of two ranks found with one kind."""
    return [rank[kind] for rank in found[request.param]]


def whole_batch(policy, halves):
    """Join what two ranks drew."""
    classes = policy.current_class, policy.target_class
    return [
        made(**{name: np.concatenate((one[name], other[name])) for name in one})
        for made, one, other in zip(classes, *halves, strict=True)
    ]


def test_all_policies_of_this_distribution_are_tested_here():
    registry = get_registry()
    ours = {c.name for c in registry.components("policies") if c.distribution == "lz-muzero"}

    assert {registry.resolve("policies", name) for name in ours} == {p for p, _ in KINDS.values()}


@pytest.mark.slow
def test_two_ranks_learn_as_one_process_does_from_both_batches(both, kind):
    first, second = both
    alone = policy_of(kind)  # its weights are those of rank 0: of seed 0

    for step in range(STEPS):
        halves = first["batches"][step], second["batches"][step]
        told = first["told"][step], second["told"][step]
        expected = alone.learn_mode.forward(whole_batch(alone, halves))
        means = [name for name in expected if name.endswith("_loss")]
        assert {"weighted_total_loss", *alone._loss_weights()} - {"policy_entropy"} <= {*means}
        for name in means:
            mean = (told[0][name] + told[1][name]) / 2
            assert mean == pytest.approx(expected[name], rel=1e-5, abs=1e-5), name
        for rank in told:
            norm = rank[alone.norm_name]
            assert norm == pytest.approx(expected[alone.norm_name], rel=1e-5)

    state = alone.learn_mode.state_dict()
    for name, expected in (state["model"] | state.get("harmony", {})).items():
        torch.testing.assert_close(first["weights"][name], expected, rtol=1e-5, atol=1e-5)


def test_the_weights_of_both_ranks_are_equal_to_the_last_bit(both):
    first, second = (rank["weights"] for rank in both)

    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_both_ways_of_averaging_give_the_same_weights(found, kind):
    after, during = (found[when][0][kind]["weights"] for when in ("after", "during"))

    for name, expected in after.items():
        torch.testing.assert_close(during[name], expected, rtol=1e-5, atol=1e-6)


def test_the_weights_of_balanced_losses_are_learned(found):
    """So that their being equal says something."""
    weights = found["after"][0]["muzero with balanced losses"]["weights"]
    balanced = weights.keys() - found["after"][0]["muzero"]["weights"].keys()

    assert any(weights[name].abs() > 1e-3 for name in balanced)


def test_importance_weights_of_a_joint_batch_have_one_largest_of_1(found):
    ranks = [rank["muzero"]["batches"] for rank in found["after"]]
    for halves in zip(*ranks, strict=True):
        weights = [current["weights"] for current, _ in halves]

        assert max(part.max() for part in weights) == 1.0
    assert any(part.max() < 1.0 for part in weights)  # one rank alone would have made it 1
