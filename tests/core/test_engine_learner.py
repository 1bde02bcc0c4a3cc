"""How many learn steps are owed, and what becomes of batches, priorities and lost numbers."""

from fractions import Fraction

import numpy as np
import pytest
from engine_fakes import Scripted, TinyPolicy, loop, tiny

from lzcore.base import DivergedError
from lzcore.engine.checkpoint import load_file
from lzcore.engine.clock import Clock
from lzcore.engine.collector import Collector
from lzcore.engine.learner import Learner, reanalyses_due, steps_allowed, steps_owed
from lzcore.engine.plan import Counters
from lzcore.replay.buffer import ReplayBuffer


def owed(collections, **settings):
    counters = Counters()
    return [steps_owed(loop(**settings), counters, new) for new in collections]


def test_a_fraction_of_a_step_is_carried_to_the_next_collection():
    # 0.25 * (10, 20, 30, 40) = 2.5, 5, 7.5, 10
    assert owed([10, 10, 10, 10], replay_ratio=0.25) == [2, 3, 2, 3]


def test_a_decimal_ratio_is_meant_as_it_is_written():
    assert owed([1] * 10, replay_ratio=0.1) == [0] * 9 + [1]  # in binary, 10 * 0.1 falls short
    assert owed([200], replay_ratio=0.29) == [58]


def test_update_per_collect_overrides_the_ratio():
    assert owed([10, 300], replay_ratio=0.25, update_per_collect=7) == [7, 7]


@pytest.mark.parametrize("ratio", ["0.001", "0.1", "0.25", "0.3", "1.0", "3.7"])
def test_after_any_number_of_collections_the_ratio_is_exact(ratio):
    collections = np.random.default_rng(1).integers(1, 10_000, 300).tolist()

    made = np.cumsum(owed(collections, replay_ratio=float(ratio)))

    assert made.tolist() == [int(Fraction(ratio) * int(n)) for n in np.cumsum(collections)]


def test_the_debt_survives_a_checkpoint():
    counters = Counters()
    first = steps_owed(loop(replay_ratio=0.25), counters, 7)
    again = Counters(ratio_steps=counters.ratio_steps, ratio_updates=counters.ratio_updates)

    assert (first, steps_owed(loop(replay_ratio=0.25), again, 1)) == (1, 1)


def test_steps_beyond_the_limit_are_owed_until_it_is_raised():
    counters = Counters(learn_step=90)

    assert steps_allowed(25, 100, counters) == 10
    counters.learn_step = 100
    assert steps_allowed(5, 112, counters) == 12  # of 15 + 5
    assert steps_allowed(0, None, counters) == 8
    assert steps_allowed(4, None, counters) == 4


# --- reanalyses -----------------------------------------------------------------------------------


def due(freq, transitions=(3000,) * 6):
    counters, settings = Counters(), loop(buffer_reanalyze_freq=freq)
    return [reanalyses_due(settings, counters, number) for number in transitions]


def test_reanalyses_come_as_often_as_asked_for_the_first_at_once():
    assert due(3.0) == [3] * 6
    assert due(1.0) == [1] * 6
    assert due(0.5) == [1, 0, 1, 0, 1, 0]
    assert due(1.5) == [2, 1, 2, 1, 2, 1]
    assert due(0.0) == [0] * 6


def test_a_fraction_of_a_reanalysis_is_exact():
    assert sum(due(0.1, [3000] * 1000)) == 100  # in binary, 0.1 is a bit more than a tenth
    assert due(0.3, [3000] * 10) == [1, 0, 0, 1, 0, 0, 1, 0, 0, 0]


def test_the_buffer_is_left_alone_until_it_holds_enough():
    assert due(0.5, [1999, 2000, 2001, 2001, 2001, 1000, 2001]) == [0, 0, 1, 0, 1, 0, 0]


def test_how_many_iterations_were_counted_survives_a_checkpoint():
    counters, settings = Counters(), loop(buffer_reanalyze_freq=0.5)
    first = reanalyses_due(settings, counters, 3000)
    again = Counters(reanalyze_iterations=counters.reanalyze_iterations)

    assert (first, reanalyses_due(settings, again, 3000)) == (1, 0)


# --- learn steps ----------------------------------------------------------------------------------


def prepared(tmp_path, policy, lengths=(20, 20)):
    env = Scripted(lengths)
    columns = policy.columns(policy.cfg, env.spaces)
    buffer = ReplayBuffer(columns, policy.replay_settings(), 3)
    _, segments = Collector(env, policy, columns, 1).collect(
        0, len(lengths), schedule={"temperature": 1.0}
    )
    buffer.push(segments)
    return buffer, Learner(policy, buffer, 4, tmp_path / "batch.pt")


def test_metrics_are_means_over_the_steps_and_priorities_are_none_of_them(tmp_path, monkeypatch):
    policy = tiny()
    told = iter([{"total_loss": 1.0, "value_priority_orig": np.ones(4)}, {"total_loss": 4.0}])
    monkeypatch.setattr(
        policy, "_forward_learn", lambda _: {"value_priority_orig": np.ones(4)} | next(told)
    )
    _, learner = prepared(tmp_path, policy)

    assert learner.learn(2, Clock()) == {"total_loss": 2.5}


class OnGpu:
    """A number whose every reading is a transfer."""

    transfers = 0

    def __float__(self):
        self.transfers += 1
        return 2.0


def test_a_number_on_a_gpu_is_transferred_once(tmp_path, monkeypatch):
    policy, told = tiny(use_priority=False), {"total_loss": OnGpu(), "cur_lr": OnGpu()}
    monkeypatch.setattr(policy, "_forward_learn", lambda _: told)
    _, learner = prepared(tmp_path, policy)

    assert learner.learn(1, Clock()) == {"total_loss": 2.0, "cur_lr": 2.0}
    assert [number.transfers for number in told.values()] == [1, 1]


def test_the_policy_hears_once_that_the_steps_are_made(tmp_path, monkeypatch):
    policy, heard = tiny(), []
    monkeypatch.setattr(policy, "after_learning", lambda: heard.append(policy._steps))
    _, learner = prepared(tmp_path, policy)

    learner.learn(3, Clock())

    assert heard == [3]


def test_the_buffer_is_told_the_priorities_of_exactly_the_rows_drawn(tmp_path, monkeypatch):
    buffer, learner = prepared(tmp_path, tiny())
    drawn, told = [], []
    make_batch = TinyPolicy.make_batch
    monkeypatch.setattr(
        TinyPolicy, "make_batch", lambda self, w: drawn.append(w) or make_batch(self, w)
    )
    update = buffer.update_priority
    monkeypatch.setattr(
        buffer, "update_priority", lambda *given: told.append(given) or update(*given)
    )

    learner.learn(2, Clock())

    assert [index.tolist() for index, _, _ in told] == [w.index.tolist() for w in drawn]
    assert [stamp.tolist() for _, _, stamp in told] == [w.stamp.tolist() for w in drawn]
    assert all((priorities > 0).all() for _, priorities, _ in told)


def test_without_priorities_the_buffer_is_told_none(tmp_path, monkeypatch):
    buffer, learner = prepared(tmp_path, tiny(use_priority=False))
    monkeypatch.delattr(ReplayBuffer, "update_priority")

    assert learner.learn(1, Clock()).keys() == {"total_loss", "cur_lr"}
    assert not hasattr(buffer, "update_priority")


def test_learning_waits_for_a_whole_batch(tmp_path):
    assert not prepared(tmp_path, tiny(), lengths=(3,))[1].ready()
    assert prepared(tmp_path, tiny(), lengths=(4,))[1].ready()


def test_a_batch_that_the_policy_cannot_learn_from_is_saved_and_named(tmp_path):
    _, learner = prepared(tmp_path, tiny(diverges_at=2))

    with pytest.raises(
        DivergedError, match=r"nan at learn step 2\. The batch .* saved in .*batch\.pt\. Start"
    ):
        learner.learn(3, Clock())

    observation, action, reward = load_file(tmp_path / "batch.pt")["batch"]
    assert observation.shape == (4, 3)
    assert set(action.tolist()) <= {0, 1}
    assert reward.dtype == np.float32


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_a_number_stops_also_policies_that_do_not_check(
    tmp_path, monkeypatch, loss
):
    policy = tiny()
    monkeypatch.setattr(policy, "_forward_learn", lambda _: {"cur_lr": 1.0, "policy_loss": loss})
    _, learner = prepared(tmp_path, policy)

    with pytest.raises(DivergedError, match=f"policy_loss is {loss}"):
        learner.learn(1, Clock())
    assert (tmp_path / "batch.pt").exists()


# --- reanalyses in between ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reanalyses", "steps", "before"),
    [
        (1, 10, [0]),
        (3, 10, [0, 3, 6]),  # three, although 10 // 3 goes into 9 as well
        (4, 8, [0, 2, 4, 6]),
        (3, 2, [0, 0, 1]),
        (0, 5, []),
    ],
)
def test_reanalyses_are_spread_over_the_learn_steps(
    tmp_path, monkeypatch, reanalyses, steps, before
):
    policy, made = tiny(), []
    buffer, learner = prepared(tmp_path, policy)
    monkeypatch.setattr(
        buffer, "revisit", lambda *given: made.append((policy._steps, *given)) or {"odds": 1.0}
    )

    told = learner.learn(steps, Clock(), reanalyses)

    assert made == [(step, 5, 0.75, policy) for step in before]
    assert ("odds" in told) == bool(before)


def test_a_reanalysis_tells_its_numbers_and_takes_time_of_its_own(tmp_path, monkeypatch):
    policy, told = tiny(), iter([{"odds": 1.0}, {"odds": 4.0}])
    monkeypatch.setattr(policy, "reanalyze", lambda windows: next(told))
    _, learner = prepared(tmp_path, policy)
    clock = Clock()

    found = learner.learn(5, clock, 2)

    assert found["odds"] == 2.5  # of two reanalyses, not of five steps
    assert clock.total.keys() == {"sample", "learn", "reanalyze"}


def test_a_policy_that_has_nothing_to_reanalyze_says_so(tmp_path, monkeypatch):
    monkeypatch.delattr(TinyPolicy, "reanalyze")
    _, learner = prepared(tmp_path, tiny())

    with pytest.raises(
        NotImplementedError, match=r"TinyPolicy has nothing to reanalyze; set buffer_reanalyze_f"
    ):
        learner.learn(1, Clock(), 1)
