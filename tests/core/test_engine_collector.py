"""What a collection hands over: rows by column name, whole episodes, and what it counted."""

import attrs
import numpy as np
import pytest
import torch
from engine_fakes import Scripted, TinyPolicy, drawing_from, tiny

from lzcore.base import (
    Column,
    ContractError,
    Decisions,
    EnvError,
    LoopSettings,
    derive_seed,
    stream_key,
)
from lzcore.engine.collector import Collector
from lzcore.engine.rows import RowBlocks
from lzcore.engine.starting import train
from lzcore.replay.buffer import ReplayBuffer

RUN_SEED = 7


def collector(env, policy=None, **given):
    policy = policy or tiny()
    columns = policy.columns(policy.cfg, env.spaces)
    return Collector(env, policy, columns, RUN_SEED, **given)


def collect(env, iteration=0, n_episode=None, policy=None, mode="collect", **given):
    policy = policy or tiny()
    made = collector(env, policy, **given)
    schedule = policy.schedule(0, 0) if mode == "collect" else None
    return made.collect(iteration, n_episode or env.num_envs, mode, schedule=schedule)


def test_each_row_holds_what_was_seen_before_the_action_and_what_the_step_gave():
    env = Scripted([3, 2], players=2)

    _, (first, second) = collect(env)

    rows = first.columns
    assert first.length == 3
    assert rows["observation"].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3]]
    assert rows["reward"][:3].tolist() == [0, 1, 2]
    assert rows["action"][:3].tolist() == env.actions[0]
    assert rows["timestep"].tolist() == [0, 1, 2, 3]
    assert rows["to_play"].tolist() == [1, 2, 1, 2]
    assert rows["action_mask"].tolist() == [[True, True], [True, False]] * 2
    assert second.columns["reward"][:2].tolist() == [10, 11]
    assert {name: values.dtype.name for name, values in rows.items()} == {
        "observation": "float32",
        "action": "int64",
        "reward": "float32",
        "odds": "float32",
        "to_play": "int8",
        "action_mask": "bool",
        "timestep": "int64",
    }


def test_the_closing_row_is_padded_where_nothing_was_decided():
    _, (segment,) = collect(Scripted([2]))

    assert {len(values) for values in segment.columns.values()} == {3}
    assert segment.columns["odds"][2] == -1.0
    assert segment.columns["reward"][2] == 0.0
    assert segment.ended


def test_decided_columns_are_those_of_the_decisions():
    policy = tiny()
    _, (segment,) = collect(Scripted([4]), policy=policy)

    expected = policy._odds(torch.from_numpy(segment.columns["observation"][:4]))
    np.testing.assert_allclose(segment.columns["odds"][:4], expected, rtol=1e-6)


class Gambler(TinyPolicy):
    """Stores what chance did."""

    @classmethod
    def columns(cls, cfg, spaces):
        return (*super().columns(cfg, spaces), Column("chance", (), np.int64))


def gambler():
    with drawing_from(5):
        return Gambler({"width": 3})


def test_row_t_holds_the_outcome_that_led_to_observation_t_the_closing_row_too():
    _, (first, second) = collect(Scripted([3, 1], chance=True), policy=gambler())

    assert first.columns["chance"].tolist() == [0, 1, 2, 3]  # of action t: row t + 1
    assert second.columns["chance"].tolist() == [100, 101]


def test_who_stores_outcomes_is_refused_where_none_are_told():
    with pytest.raises(EnvError, match=r'Gambler learns .* tells none\. .* info\["chance"\]'):
        collect(Scripted([3]), policy=gambler())


def test_outcomes_told_at_the_reset_alone_are_refused_too():
    class AtFirst(Scripted):
        def step(self, env_id, action):
            self.chance = False
            return super().step(env_id, action)

    with pytest.raises(EnvError, match="tells none"):
        collect(AtFirst([3], chance=True), policy=gambler())


def test_an_end_of_the_task_is_told_from_an_end_of_watching():
    _, segments = collect(Scripted([1]), n_episode=2)

    assert [(s.ended, s.terminated) for s in segments] == [(True, True), (True, False)]


def test_with_ignore_done_no_end_is_one_of_the_task():
    _, segments = collect(Scripted([1]), n_episode=2, ignore_done=True)

    assert [(s.ended, s.terminated) for s in segments] == [(True, False), (True, False)]


def test_reset_seeds_derive_from_run_seed_iteration_environment_and_number():
    env = Scripted([1, 1])

    collect(env, iteration=4, n_episode=3)

    key = stream_key(RUN_SEED, "env")  # 4 * 3 % 2 = 0, so environment 0 plays twice
    assert env.seeds == {
        0: [int(derive_seed(key, 4, 0, 0)), int(derive_seed(key, 4, 0, 1))],
        1: [int(derive_seed(key, 4, 1, 0))],
    }


def test_fewer_episodes_than_environments_are_played_by_each_in_turn():
    env = Scripted([1] * 4)
    made = collector(env)

    for iteration in range(4):
        _, segments = made.collect(iteration, 3, schedule={"temperature": 1.0})
        assert len(segments) == 3

    assert [len(seeds) for seeds in env.seeds.values()] == [3] * 4


def test_more_episodes_than_environments_are_all_finished_and_none_beyond():
    stats, segments = collect(Scripted([5, 1]), n_episode=5)

    assert len(segments) == 5
    assert stats.env_steps == sum(segment.length for segment in segments) == 3 * 5 + 2 * 1


def test_segments_are_numbered_by_environment_and_episode_whichever_ended_first():
    env = Scripted([5, 1])
    _, segments = collector(env).collect(0, 4, schedule={"temperature": 1.0}, first_episode=100)

    assert [s.episode for s in segments] == [100, 101, 102, 103]
    assert [s.columns["observation"][0, :2].tolist() for s in segments] == [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
    ]
    assert segments[1].priority.tolist() == [102.0] * 5  # as `initial_priority` says


def test_an_episode_is_handed_over_in_consecutive_segments():
    _, (whole, short) = collect(Scripted([5, 2]))
    stats, segments = collect(Scripted([5, 2]), segment_length=2)

    *parts, other = segments
    assert [(s.episode, s.offset, s.length) for s in segments] == [
        (0, 0, 2),
        (0, 2, 2),
        (0, 4, 1),
        (1, 0, 2),
    ]
    assert [(s.ended, s.terminated) for s in parts] == [(False, False)] * 2 + [(True, True)]
    for name, values in whole.columns.items():
        assert [len(part.columns[name]) for part in parts] == [2, 2, 2]  # a closing row at the end
        joined = np.concatenate([part.columns[name] for part in parts])
        assert joined.tolist() == values.tolist()
        assert other.columns[name].tolist() == short.columns[name].tolist()
    assert np.concatenate([part.priority for part in parts]).tolist() == whole.priority.tolist()
    assert stats.lengths == (5, 2)


def test_an_episode_that_fills_its_last_segment_ends_with_it():
    _, segments = collect(Scripted([4]), segment_length=2)

    assert [(s.length, len(s.columns["odds"]), s.ended) for s in segments] == [
        (2, 2, False),
        (2, 3, True),
    ]


@pytest.mark.usefixtures("tiny_installed")
def test_a_run_learns_the_same_whatever_the_length_of_segments(tmp_path, monkeypatch):
    lengths, told, push = {}, {}, ReplayBuffer.push
    for at_most in (2, 200):
        pushed = lengths.setdefault(at_most, [])

        def loop_settings(policy, at_most=at_most):
            return attrs.evolve(LoopSettings.of(policy.cfg), game_segment_length=at_most)

        def spy(buffer, segments, pushed=pushed):
            pushed += [segment.length for segment in segments]
            push(buffer, segments)

        monkeypatch.setattr(TinyPolicy, "loop_settings", loop_settings)
        monkeypatch.setattr(ReplayBuffer, "push", spy)
        given = {"max_env_steps": 60, "tensorboard": False, "eval_episodes": 2}
        outcome = train(
            "tiny", "engine_fakes:Walk", out=tmp_path / str(at_most), quiet=True, **given
        )
        told[at_most] = (outcome.directory / "metrics.jsonl").read_bytes()

    assert max(lengths[2]) == 2
    assert max(lengths[200]) > 2
    assert told[2] == told[200]


def test_a_collection_is_a_function_of_weights_seed_and_iteration():
    def actions(iteration, again=False):
        env = Scripted([20, 20])
        made = collector(env)
        if again:  # what was collected before leaves no trace
            made.collect(11, 5, schedule={"temperature": 1.0})
            env.forget()
        made.collect(iteration, 2, schedule={"temperature": 1.0})
        return env.actions

    assert actions(3) == actions(3) == actions(3, again=True)
    assert actions(3) != actions(4)


def test_episodes_longer_than_the_row_buffers_are_kept_whole():
    _, (segment, short) = collect(Scripted([1000, 3]))

    assert segment.columns["observation"][:, 2].tolist() == list(range(1001))
    assert short.length == 3


def test_a_long_episode_takes_pages_for_itself_alone_and_gives_them_back():
    rows = RowBlocks((Column("a", (3,), np.float32), Column("b", (), np.int64)), 4, rows=8)

    def pages():
        return {len(block) for block in rows._blocks.values()}

    rows.place(np.arange(4), np.zeros(4, np.int64))
    assert pages() == {4}
    for _ in range(3):
        for row in range(40):  # five pages instead of one
            rows.write("b", rows.place(np.array([2]), np.array([row])), [row])
        assert pages() == {8}  # 3 + 5, where four times 40 rows are 20
        assert rows.cut(2, 40, {"b": 7})["b"].tolist() == [*range(40), 7]


def test_pages_are_found_again_in_the_order_of_rows_whoever_took_them():
    rows = RowBlocks((Column("b", (2,), np.int64, pad=5),), 3, rows=2)
    both = np.array([2, 0])
    for row in range(11):
        place = rows.place(both, np.array([row, row // 2]))
        rows.write("b", place, [[row, 2], [row // 2, 0]])

    assert rows.cut(2, 11, {})["b"].tolist() == [[row, 2] for row in range(11)] + [[5, 5]]
    assert rows.cut(0, 6, {"b": [7, 7]})["b"].tolist() == [[row, 0] for row in range(6)] + [[7, 7]]


def test_pages_of_an_ended_episode_are_nobodys_before_they_are_taken_anew():
    rows = RowBlocks((Column("b", (), np.int64),), 2, rows=2)
    for env in (0, 1, 0):  # the first one ends, then the other one, and it plays again
        for row in range(6):
            rows.write("b", rows.place(np.array([env]), np.array([row])), [10 * env + row])
        if env == 0:
            assert rows.cut(0, 6, {"b": -1})["b"].tolist() == [*range(6), -1]

    assert rows.cut(1, 6, {"b": -1})["b"].tolist() == [*range(10, 16), -1]


def test_an_earlier_longer_episode_leaves_nothing_behind():
    env = Scripted([9])
    made = collector(env)
    made.collect(0, 1, schedule={"temperature": 1.0})
    env.lengths[0] = 2

    _, (segment,) = made.collect(1, 1, schedule={"temperature": 1.0})

    assert segment.columns["odds"].shape == (3,)
    assert segment.columns["odds"][2] == -1.0


def test_a_long_episode_is_handed_over_in_segments_of_which_the_last_has_the_end():
    _, parts = collect(Scripted([7]), segment_length=3)

    told = [(p.episode, p.offset, p.length, p.ended, p.terminated) for p in parts]
    assert told == [
        (0, 0, 3, False, False),
        (0, 3, 3, False, False),
        (0, 6, 1, True, True),
    ]
    assert [p.columns["timestep"].tolist() for p in parts] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert [len(p.priority) for p in parts] == [3, 3, 1]


def test_an_episode_of_just_the_segment_s_length_is_one_segment():
    _, parts = collect(Scripted([6, 3]), segment_length=3)

    assert [(p.offset, p.length, p.ended) for p in parts] == [
        (0, 3, False),
        (3, 3, True),
        (0, 3, True),
    ]


def test_random_episodes_ask_for_no_policy_and_have_seeds_of_their_own():
    env, policy = Scripted([30]), tiny()
    policy._model = None

    stats, (segment,) = collect(env, policy=policy, mode="random")

    assert stats.mode == "random"
    assert set(segment.columns["odds"][:30]) == {0.5}
    assert set(env.actions[0]) == {0, 1}
    assert env.seeds[0] != [int(derive_seed(stream_key(RUN_SEED, "env"), 0, 0, 0))]


def test_stats_tell_returns_lengths_and_the_means_of_what_nobody_stores():
    stats, segments = collect(Scripted([4, 2]))

    odds = np.concatenate([s.columns["odds"][:-1] for s in segments])
    told = stats.to_dict()
    assert told.pop("sureness") == pytest.approx(np.abs(odds - 0.5).mean())
    assert told == {
        "mode": "collect",
        "episodes": 2,
        "env_steps": 6,
        "return_mean": 3.0,
        "return_min": 2.0,
        "return_max": 4.0,
        "length_mean": 3.0,
    }


def test_the_policy_begins_the_iteration_once(monkeypatch):
    policy, begun = tiny(), []
    monkeypatch.setattr(policy, "begin_iteration", begun.append)

    collect(Scripted([1, 1]), iteration=6, policy=policy)

    assert begun == [6]


class Rewriting(TinyPolicy):
    """Stores half the reward, and the outcome of the step beside it."""

    rewrites_transitions = True

    def _process_transition(self, obs, policy_output, timestep):
        if obs["timestep"] == 0:
            return None
        assert policy_output["action"] in (0, 1)
        assert timestep.info["terminated"] + timestep.info["truncated"] == timestep.done
        return {"reward": timestep.reward / 2, "odds": timestep.obs[2], "ignored": 1}


def test_rows_that_the_policy_returns_replace_what_was_written():
    _, (segment,) = collect(Scripted([3]), policy=Rewriting({"width": 3}))

    assert segment.columns["reward"][:3].tolist() == [0.0, 0.5, 1.0]
    assert segment.columns["odds"][1:3].tolist() == [2.0, 3.0]  # frames after the step


def test_a_declared_column_that_is_never_decided_is_named():
    policy = tiny()
    columns = (*policy.columns(policy.cfg, Scripted([1]).spaces), Column("extra", (), np.float32))

    made = Collector(Scripted([1]), policy, columns, RUN_SEED)

    with pytest.raises(
        ContractError, match=r"TinyPolicy declares the column 'extra', but .*'odds'"
    ):
        made.collect(0, 1, schedule={"temperature": 1.0})


def test_a_column_of_another_shape_than_declared_is_named(monkeypatch):
    policy = tiny()

    def decide(mode, seen, **_):
        return Decisions(
            seen.env_id, {"action": np.zeros(1, np.int64), "odds": np.zeros((1, 2), np.float32)}
        )

    monkeypatch.setattr(policy, "decide", decide)

    with pytest.raises(
        ContractError, match=r"as float32 with shape \(\), but decides rows of .*\(2,\)"
    ):
        collect(Scripted([1]), policy=policy)
