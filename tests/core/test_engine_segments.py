"""Collecting by segments: where an iteration ends, what waits, and how a resume goes on."""

from copy import deepcopy

import numpy as np
import pytest
from engine_fakes import Scripted, TinyPolicy, Walk, tiny
from engine_killing import assert_same

from lzcore.base import CheckpointError, Column, EnvError, derive_seed, stream_key
from lzcore.engine.checkpoint import load_file, save_file
from lzcore.engine.rows import RowBlocks
from lzcore.engine.segments import SegmentCollector
from lzcore.envs.gym import GymEnv
from lzcore.replay.buffer import ReplayBuffer

RUN_SEED = 7
WARM = {"temperature": 1.0}


def collector(env, policy=None, length=4, **given):
    policy = policy or tiny()
    columns = policy.columns(policy.cfg, env.spaces)
    return SegmentCollector(env, policy, columns, RUN_SEED, segment_length=length, **given)


class Run:
    """Collects as the trainer does, and remembers everything."""

    def __init__(self, made, iteration=0, episode=0):
        self.made, self.iteration, self.episode = made, iteration, episode
        self.stats, self.segments = [], []

    def collect(self, *counts, mode="collect"):
        for count in counts:
            stats, segments = self.made.collect(
                self.iteration,
                count,
                mode,
                schedule=WARM if mode == "collect" else None,
                first_episode=self.episode,
            )
            self.iteration += 1
            self.episode += stats.begun
            self.stats.append(stats)
            self.segments.append(segments)
        return self.segments[-1]


def run(env, policy=None, **given):
    return Run(collector(env, policy, **given))


def told(segments):
    return [(s.episode, s.offset, s.length, s.ended) for s in segments]


# --- where an iteration ends ----------------------------------------------------------------------


def test_how_many_segments_are_finished_is_told_after_each_step():
    told = []

    collector(Scripted([7, 3]), length=3).collect(0, 3, schedule=WARM, tell=told.append)

    assert told == [0, 0, 2, 2, 2, 4]


def test_an_iteration_ends_with_the_step_that_finishes_the_last_segment_it_needs():
    going = run(Scripted([7, 3]))

    # environment 1 ends after step 3, environment 0 has four rows after step 4
    assert told(going.collect(2)) == [(0, 0, 4, False), (1, 0, 3, True)]
    assert going.stats[0].env_steps == 2 * 4


def test_a_segment_goes_on_where_the_last_one_stopped():
    going = run(Scripted([7, 3]))
    going.collect(2)

    # environment 1 has had a row of episode 2 since step 4; after step 7 both have ended
    assert told(going.collect(2)) == [(0, 4, 3, True), (2, 0, 3, True)]
    assert going.stats[1].env_steps == 2 * 3


def test_segments_that_finish_in_the_same_step_are_all_handed_over():
    going = run(Scripted([9, 9, 9]), length=3)

    assert told(going.collect(2)) == [(0, 0, 3, False), (1, 0, 3, False), (2, 0, 3, False)]
    assert going.stats[0].to_dict()["segments"] == 3


def test_one_iteration_may_bring_several_segments_of_one_environment_in_order_of_time():
    going = run(Scripted([2, 5]), length=3)

    assert told(going.collect(5)) == [
        (0, 0, 2, True),
        (2, 0, 2, True),
        (3, 0, 2, True),
        (1, 0, 3, False),
        (1, 3, 2, True),
    ]


def test_an_episode_that_fills_its_last_segment_ends_with_it():
    _, last = run(Scripted([4]), length=2).collect(2)

    assert (last.offset, last.length, last.ended, last.terminated) == (2, 2, True, True)
    assert {len(values) for values in last.columns.values()} == {3}  # with a closing row


def test_a_segment_that_goes_on_has_no_closing_row():
    (first,) = run(Scripted([4]), length=2).collect(1)

    assert {len(values) for values in first.columns.values()} == {2}
    assert not first.terminated


def test_ends_of_the_task_are_told_from_ends_of_watching_unless_done_is_ignored():
    kept, ignored = run(Scripted([3])), run(Scripted([3]), ignore_done=True)

    assert [s.terminated for s in kept.collect(2)] == [True, False]
    assert [s.terminated for s in ignored.collect(2)] == [False, False]


# --- what is handed over --------------------------------------------------------------------------


def test_segments_of_many_iterations_join_to_what_was_shown_done_and_given():
    env = Scripted([7, 3], players=2)
    going = run(env)
    going.collect(1, 1, 2, 1, 3, 2)

    parts = [s for segments in going.segments for s in segments if s.episode == 0]
    rows = {name: np.concatenate([p.columns[name] for p in parts]) for name in parts[0].columns}
    assert [p.offset for p in parts] == [0, 4]
    assert rows["observation"].tolist() == [[0, 0, t] for t in range(8)]
    assert rows["action"][:7].tolist() == env.actions[0][:7]
    assert rows["reward"][:7].tolist() == list(range(7))
    assert rows["to_play"].tolist() == [1, 2] * 4
    assert rows["timestep"].tolist() == list(range(8))


def test_a_replay_fed_by_segments_sees_rows_that_follow_each_other():
    policy, env = tiny(), Scripted([9, 4, 6])
    columns = policy.columns(policy.cfg, env.spaces)
    buffer = ReplayBuffer(columns, policy.replay_settings(), 1)
    going = Run(collector(env, policy, length=2))
    for _ in range(9):
        buffer.push(going.collect(2))

    class Looks(TinyPolicy):
        def make_batch(self, windows):
            return windows.take("observation", 0, 2)

    now, then = buffer.sample(200, Looks({"width": 3})).swapaxes(0, 1)
    assert (now[:, :2] == then[:, :2]).all()  # environment and episode
    assert (then[:, 2] == now[:, 2] + 1).all()


def test_each_segment_has_the_priority_that_the_policy_gives_it(monkeypatch):
    policy, asked = tiny(), []
    initial = policy.initial_priority

    def spy(segment):
        asked.append(told([segment])[0])
        return initial(segment)

    monkeypatch.setattr(policy, "initial_priority", spy)
    first, second = run(Scripted([7, 3]), policy).collect(2)

    assert sorted(asked) == [(0, 0, 4, False), (1, 0, 3, True)]
    assert (first.priority.tolist(), second.priority.tolist()) == ([1.0] * 4, [2.0] * 3)


class Rewriting(TinyPolicy):
    """Stores a hundred times the step's number in place of the reward."""

    rewrites_transitions = True

    def _process_transition(self, obs, policy_output, timestep):
        return {"reward": 100 * obs["timestep"]}


def test_rows_that_the_policy_returns_replace_those_of_their_own_segment():
    first, second = run(Scripted([5]), Rewriting({"width": 3}), length=3).collect(2)

    assert first.columns["reward"].tolist() == [0, 100, 200]
    assert second.columns["reward"][:2].tolist() == [300, 400]


def test_episodes_have_numbers_of_their_own_in_the_run():
    going = Run(collector(Scripted([7, 3, 2]), length=2), episode=50)
    going.collect(*[3] * 8)

    segments = [s for segments in going.segments for s in segments]
    begun = [s.episode for s in segments if s.offset == 0]
    assert len(set(begun)) == len(begun)
    assert min(begun) == 50
    assert {s.episode for s in segments} <= set(range(50, going.episode))
    assert going.episode == 50 + sum(s.ended for s in segments) + 3  # three are running


# --- what is told ---------------------------------------------------------------------------------


def test_returns_are_those_of_whole_episodes_and_may_be_none():
    going = run(Scripted([6]), length=3)
    going.collect(1, 1)

    first, second = (stats.to_dict() for stats in going.stats)
    for stats in (first, second):
        assert stats.pop("sureness") >= 0.0
    assert first == {
        "mode": "collect",
        "segments": 1,
        "episodes": 0,
        "env_steps": 3,
        "return_mean": None,
        "return_min": None,
        "return_max": None,
        "length_mean": None,
    }
    assert (second["episodes"], second["return_mean"], second["length_mean"]) == (1, 6.0, 6.0)


# --- the policy and the seeds ---------------------------------------------------------------------


def test_the_policy_forgets_an_environment_only_where_its_episode_ends(monkeypatch):
    policy, forgotten = tiny(), []
    monkeypatch.setattr(policy, "_reset_collect", forgotten.append)

    run(Scripted([7, 3]), policy).collect(1, 1, 1, 1)  # seven steps

    assert forgotten == [None, [1], [1], [0]]


def test_the_policy_begins_every_iteration(monkeypatch):
    policy, begun = tiny(), []
    monkeypatch.setattr(policy, "begin_iteration", begun.append)

    run(Scripted([7]), policy).collect(1, 1, 1)

    assert begun == [0, 1, 2]


def test_what_an_environment_plays_does_not_depend_on_the_others():
    one, other = Scripted([30, 9, 30]), Scripted([2, 9, 5])

    run(one, length=30).collect(2)  # eighteen steps
    run(other, length=30).collect(9 + 2 + 3)

    assert one.seeds[1] == other.seeds[1]
    assert one.actions[1] == other.actions[1]
    assert len(one.actions[1]) == 18


def test_an_episode_s_seed_is_made_of_its_environment_and_number_in_whichever_iteration():
    env = Scripted([2, 4])

    run(env, length=9).collect(1, 1)

    key = stream_key(RUN_SEED, "env of live episodes")
    assert env.seeds == {
        0: [int(derive_seed(key, 0, number)) for number in range(3)],
        1: [int(derive_seed(key, 1, number)) for number in range(2)],
    }


def test_random_episodes_are_played_whole_before_live_ones_begin():
    env = Scripted([7, 3])
    going = run(env)

    going.collect(2, mode="random")
    assert told(going.segments[0]) == [(0, 0, 4, False), (0, 4, 3, True), (1, 0, 3, True)]
    assert going.made.state_dict() is None

    assert told(going.collect(2)) == [(2, 0, 4, False), (3, 0, 3, True)]


# --- going on after a resume ----------------------------------------------------------------------


class Stacking(TinyPolicy):
    """Looks at three frames, and counts what each environment has decided since it was reset."""

    frame_stack = 3

    def _init_collect(self):
        self.count = np.zeros(3, np.int64)

    def _forward_collect(self, data, action_mask, to_play, ready_env_id, temperature):
        self.count[ready_env_id] += 1
        return super()._forward_collect(data, action_mask, to_play, ready_env_id, temperature)

    def _reset_collect(self, data_id=None):
        self.count[slice(None) if data_id is None else data_id] = 0

    def _state_dict_collect(self):
        return {**super()._state_dict_collect(), "count": self.count.copy()}

    def _load_state_dict_collect(self, state_dict):
        super()._load_state_dict_collect(state_dict)
        self.count[:] = state_dict["count"]


def walking(policy):
    return run(GymEnv(Walk, 3), policy, length=3)


def resumed(going, policy, path):
    """Another run, other environments included, that goes on from a file that `going` wrote."""
    before = going.made._policy.collect_mode.state_dict()
    save_file(path, {"policy": before, "running": going.made.state_dict()})
    content = load_file(path)
    policy.collect_mode.load_state_dict(content["policy"])
    made = collector(GymEnv(Walk, 3), policy, length=3)
    made.load_state_dict(content["running"])
    return Run(made, going.iteration, going.episode)


@pytest.mark.parametrize("iterations", range(1, 6))
def test_a_resumed_collector_goes_on_as_if_it_had_never_stopped(iterations, tmp_path):
    never = walking(Stacking({"width": 6}))
    never.collect(*[2] * iterations)
    policy = Stacking({"width": 6})
    again = resumed(never, policy, tmp_path / "state.pt")
    start = len(never.segments)
    never.collect(2, 3, 1, 4)
    again.collect(2, 3, 1, 4)

    assert policy.count.tolist() == never.made._policy.count.tolist()
    assert again.stats == never.stats[start:]
    assert_same(again.made.state_dict(), never.made.state_dict())
    for one, other in zip(again.segments, never.segments[start:], strict=True):
        assert told(one) == told(other)
        assert_same([dict(s.columns) for s in one], [dict(s.columns) for s in other])


def test_a_state_does_not_change_while_the_episodes_go_on():
    going = walking(tiny(width=2))
    going.collect(2)
    state = going.made.state_dict()
    before = deepcopy(state)

    going.collect(9)

    assert_same(state, before)


def test_a_resumed_policy_is_neither_asked_nor_reset(tmp_path, monkeypatch):
    going = walking(tiny(width=2))
    going.collect(2, 2)
    policy, calls = tiny(width=2), []
    monkeypatch.setattr(policy, "_reset_collect", calls.append)
    monkeypatch.setattr(policy, "decide", lambda *_, **__: calls.append("decide"))

    resumed(going, policy, tmp_path / "state.pt")

    assert calls == []


def stopped(going, env):
    """What is said when another environment is to go on from where `going` stands."""
    with pytest.raises(EnvError, match="does not repeat itself") as err:
        collector(env, length=3).load_state_dict(going.made.state_dict())
    assert "\n" not in str(err.value)
    return str(err.value)


def test_an_environment_that_shows_something_else_after_the_same_actions_is_named():
    going = run(Scripted([9, 2]), length=3)
    going.collect(3)  # four steps

    text = stopped(going, Scripted([9, 2]))  # it shows how often it was reset
    assert text.startswith("Environment 1 does not repeat itself: ")
    assert "after the same 0 actions than when the checkpoint was taken" in text
    assert 'set num_segments = "none" in config.toml' in text


def test_an_environment_that_ends_an_episode_which_went_on_is_named():
    going = run(Scripted([9, 9]), length=3)
    going.collect(2)

    assert "Environment 1 " in stopped(going, Scripted([9, 3]))


def test_an_environment_whose_rewards_add_up_to_something_else_is_named(monkeypatch):
    going = walking(tiny(width=2))
    going.collect(2)
    state = going.made.state_dict()
    state["live"]["shown"]["return"][2] += 1e-9

    with pytest.raises(EnvError, match="Environment 2 does not repeat itself"):
        collector(GymEnv(Walk, 3), tiny(width=2), length=3).load_state_dict(state)


def test_another_number_of_environments_than_before_is_refused_in_one_line():
    going = run(Scripted([9, 9]))
    going.collect(1)

    with pytest.raises(CheckpointError, match=r"of 2 environments, and collector_env_num is 3\. "):
        collector(Scripted([9, 9, 9])).load_state_dict(going.made.state_dict())


def test_rows_that_fill_more_than_a_page_are_put_back():
    columns = (Column("a", (2,), np.uint8), Column("b", (), bool))
    rows, again = RowBlocks(columns, 2, rows=4), RowBlocks(columns, 2, rows=4)
    for row in range(11):
        place = rows.place(np.array([0, 1]), np.array([row, row]))
        rows.write("a", place, [[row, 0], [row, 1]])
        rows.write("b", place, [row % 2, True])

    for env_id, length in ((0, 11), (1, 9)):
        again.put(env_id, length, rows.read(env_id, length))

    for env_id, length in ((0, 11), (1, 9)):
        assert_same(again.cut(env_id, length), rows.read(env_id, length))
        assert rows.read(env_id, length)["a"].tolist() == [[row, env_id] for row in range(length)]
