"""What ranks tell each other, and the gradients of a batch that each has computed a part of."""

import numpy as np
import pytest
import torch

from lzcore.base import RankError
from lzcore.base.gradients import GradientMean
from lzcore.base.ranks import ALONE, Ranks
from lzcore.base.replay import Column, ReplaySettings, Segment
from lzcore.engine.ranks import joined
from lzcore.replay.buffer import ReplayBuffer
from lzcore.testing.ranks import Call, one_by_one


class Weights:
    """Stands for a policy: a batch is its rows and their weights."""

    def make_batch(self, windows):
        return {
            int(reward): float(weight)
            for (reward,), weight in zip(windows.take("reward", 0, 1), windows.weights, strict=True)
        }


PRIORITIES = ([1.0, 3.0], [1.0, 1.0, 6.0])  # of the rows that each rank has


def joint_weights(ranks):
    """Draw every row of this rank's replay, with alpha and beta 1."""
    priority = np.array(PRIORITIES[ranks.rank])
    settings = ReplaySettings(
        capacity=9, unroll_steps=0, lookahead=0, use_priority=True, priority_alpha=1.0,
        priority_beta=1.0,
    )  # fmt: skip
    buffer = ReplayBuffer([Column("reward", (), np.float32)], settings, 1, ranks)
    rewards = np.arange(len(priority) + 1, dtype=np.float32)
    buffer.push(
        [
            Segment(
                episode=0, offset=0, columns={"reward": rewards}, length=len(priority), ended=True,
                priority=priority,
            )
        ]
    )  # fmt: skip
    return buffer.sample(len(priority), Weights())


def exchange(ranks):
    mine = ranks.rank + 1.0  # 1 and 2
    return {
        "sum": ranks.sum(mine),
        "largest": ranks.largest(-mine),
        "every": (ranks.every(True), ranks.every(ranks.first)),
        "mean": ranks.mean({"loss": mine, "rate": 0.5}),
        "from_first": ranks.from_first([mine]),
        "gathered": ranks.gathered(mine),
        "to_first": ranks.to_first(mine),
    }


class Two(torch.nn.Module):
    """Two layers and a buffer, of which rank 1 never uses the second layer."""

    def __init__(self, start):
        super().__init__()
        self.first = torch.nn.Parameter(torch.tensor([start, 2.0 * start]))
        self.second = torch.nn.Parameter(torch.tensor([[start]]))
        self.register_buffer("seen", torch.tensor(start))


def gradients(ranks, overlap):
    """Average what d/dx says: rank r's loss is 2 (r + 1) sum(first), and rank 0 adds 8 second."""
    model, extra, mean = Two(ranks.rank + 1.0), torch.nn.Parameter(torch.zeros(2)), GradientMean()
    mean.begin(model, overlap=overlap)
    mean.begin([extra], overlap=False)
    taken = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    begun = [parameter.grad.clone() for parameter in model.parameters()]
    for _ in range(2):  # the second backward begins anew
        model.zero_grad()
        extra.grad = None
        loss = 2.0 * (ranks.rank + 1.0) * model.first.sum() + 10.0 * ranks.rank * extra[0]
        (loss + 8.0 * model.second.sum() if ranks.first else loss).backward()
        mean.finish([*model.parameters(), extra])
    made = [parameter.grad for parameter in (model.first, model.second, extra)]
    return {"taken": taken, "begun": begun, "made": made}


def all_of_it():
    with joined(True) as ranks:
        return {
            "ranks": (ranks.rank, ranks.count, ranks.first),
            "told": exchange(ranks),
            "weights": joint_weights(ranks),
            "after": gradients(ranks, overlap=False),
            "during": gradients(ranks, overlap=True),
        }


def leave_alone():
    """Rank 1 leaves; rank 0 wants to hear of it."""
    try:
        with joined(True) as ranks:
            if not ranks.first:
                raise ValueError("something else is broken")
            ranks.sum(1.0)
    except (RankError, ValueError) as err:
        return str(err)


@pytest.fixture(scope="module")
def told():
    """How two ranks ended, by the name of what they did."""
    calls = {"all of it": Call(all_of_it), "leave alone": Call(leave_alone)}
    return dict(zip(calls, one_by_one(list(calls.values())), strict=True))


@pytest.fixture
def both(told):
    """What each of two ranks found."""
    for rank in told["all of it"]:
        assert rank.status == 0, rank.err
    return [rank.value for rank in told["all of it"]]


def test_ranks_are_numbered_and_the_first_one_knows_it(both):
    assert [rank["ranks"] for rank in both] == [(0, 2, True), (1, 2, False)]


def test_what_ranks_tell_each_other_is_the_same_on_both(both):
    expected = {
        "sum": 3.0,
        "largest": -1.0,
        "every": (True, False),
        "mean": {"loss": 1.5, "rate": 0.5},
        "from_first": [1.0],
        "gathered": [1.0, 2.0],
    }
    assert both[0]["told"] == {**expected, "to_first": [1.0, 2.0]}
    assert both[1]["told"] == {**expected, "to_first": []}


def test_a_process_alone_tells_itself_the_same_without_a_group():
    assert (ALONE.sum(3), ALONE.largest(-2.0), ALONE.every(False)) == (3, -2.0, False)
    assert ALONE.mean({"loss": 0.1}) == {"loss": 0.1}
    assert (ALONE.from_first("x"), ALONE.gathered("x"), ALONE.to_first("x")) == ("x", ["x"], ["x"])


def test_importance_weights_are_those_of_the_joint_batch(both):
    # N = 5 rows; P = priority / sum of the rank / 2: 1/8 and 3/8, 1/16, 1/16 and 6/16.
    # 1 / (N P) = 8/5 and 8/15, 16/5, 16/5 and 8/15; the largest of both is 16/5.
    assert both[0]["weights"] == pytest.approx({0: 0.5, 1: 1 / 6})
    assert both[1]["weights"] == pytest.approx({0: 1.0, 1: 1.0, 2: 1 / 6})


@pytest.mark.parametrize("how", ["after", "during"])
def test_every_rank_begins_with_the_values_of_the_first_and_zero_gradients(both, how):
    for rank in both:
        taken = {name: tensor.tolist() for name, tensor in rank[how]["taken"].items()}
        assert taken == {"first": [1.0, 2.0], "second": [[1.0]], "seen": 1.0}
        assert [gradient.tolist() for gradient in rank[how]["begun"]] == [[0.0, 0.0], [[0.0]]]


@pytest.mark.parametrize("how", ["after", "during"])
def test_gradients_are_means_over_ranks_and_none_counts_as_zero(both, how):
    for rank in both:
        made = [gradient.tolist() for gradient in rank[how]["made"]]
        assert made == [[3.0, 3.0], [[4.0]], [5.0, 0.0]]  # (2 + 4) / 2, (8 + 0) / 2, (0 + 10) / 2


def test_a_rank_that_ends_is_noticed_by_the_others_at_once(told):
    first, other = told["leave alone"]

    assert other.value == "something else is broken"
    assert first.value.startswith("Rank 0 cannot reach the others any more (")
    assert first.value.endswith(
        "). One of them has ended: look at what it printed. Checkpoints of the run stand."
    )


def test_without_a_process_group_there_are_no_ranks():
    for ask in (Ranks.of_group, lambda: GradientMean().begin([], overlap=False)):
        with pytest.raises(RuntimeError, match="torchrun --no-python --nproc-per-node N lz run"):
            ask()
