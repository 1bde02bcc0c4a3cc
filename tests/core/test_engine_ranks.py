"""A run of two ranks: what they share, what each has for itself, and what happens if one fails."""

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.append(str(Path(__file__).parent))

import attrs
import pytest
import torch
import torch._dynamo  # loads with the first optimizer: once, before the ranks are forked
from engine_fakes import TinyPolicy, Walk
from engine_killing import assert_same, whole

from lzcore.base import CheckpointError, ConfigError, LzError, RankError
from lzcore.base.ranks import Ranks
from lzcore.engine.checkpoint import load_file, numbered
from lzcore.engine.clock import Clock
from lzcore.engine.collector import CollectStats
from lzcore.engine.learner import Learner
from lzcore.engine.metrics import read_lines
from lzcore.engine.ranks import share_of, together
from lzcore.engine.rundir import RunDirectory
from lzcore.engine.starting import train
from lzcore.registry import hookimpl
from lzcore.testing.ranks import Call, one_by_one

pytestmark = pytest.mark.slow

RUN = {"max_env_steps": 120, "eval_episodes": 2, "tensorboard": False, "eval_freq": 8}


def run(out, resume=False, observers=(), **settings):
    """Train `tiny` in this rank; return how it ended, or the line that says why it could not."""
    given = {"resume": out} if resume else {"out": out, "multi_gpu": True, **RUN, **settings}
    policy = () if resume else ("tiny", "engine_fakes:Walk")
    try:
        return train(*policy, quiet=True, observers=observers, **given)
    except LzError as err:
        return err


def killed(out):
    """Train until rank 1 is killed in its 20th learn step."""
    real, calls = TinyPolicy._forward_learn, []

    def learn(self, data):
        calls.append(1)
        if len(calls) == 20 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, data)

    TinyPolicy._forward_learn = learn
    return run(out)


def offline(out):
    """Train with evaluations at the end, which need a second policy."""
    return run(out, eval_offline=True)


def broken(out):
    """Train where the environments of rank 1 cannot be stepped."""

    def step(self, action):
        raise ZeroDivisionError("no way on")

    if os.environ["RANK"] == "1":
        Walk.step = step
    return run(out)


def uneven(out):
    """Train with batches that two ranks cannot share."""
    return run(out, batch_size=5)


class Stopper:
    """Presses Ctrl-C in this process when something has been learned."""

    @hookimpl
    def lz_learned(self):
        os.kill(os.getpid(), signal.SIGINT)


def stopped(out):
    """Train until rank 0 alone hears Ctrl-C: it alone calls observers."""
    return run(out, observers=[Stopper()])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def ended(place, fake_site):
    """How the ranks of each run ended."""
    calls = {
        "whole": Call(run, (place / "whole",)),
        "killed": Call(killed, (place / "killed",)),
        "resumed": Call(run, (place / "killed", True)),
        "one rank": Call(run, (place / "whole", True), ranks=1),
        "stopped": Call(stopped, (place / "stopped",)),
        "offline": Call(offline, (place / "offline",)),
        "broken": Call(broken, (place / "broken",)),
        "uneven": Call(uneven, (place / "uneven",)),
        "alone": Call(run, (place / "alone",), ranks=1),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(fake_site)
        patch.setenv("LZ_PLUGINS", "tiny")
        return dict(zip(calls, one_by_one(list(calls.values())), strict=True))


@pytest.fixture
def both(ended):
    """The outcomes of the run of two ranks that nobody disturbed."""
    for rank in ended["whole"]:
        assert rank.status == 0, rank.err
    return [rank.value for rank in ended["whole"]]


def latest(directory):
    return load_file(numbered(directory / "checkpoints")[-1])


# --- together -------------------------------------------------------------------------------------


def test_env_steps_and_learn_steps_are_those_of_all_ranks(both, place):
    lines = list(read_lines(place / "whole" / "metrics.jsonl"))
    collected = [line for line in lines if line["kind"] == "collected"]
    learned = [line for line in lines if line["kind"] == "learned"]

    assert both[0].ended_by == both[1].ended_by == "max_env_steps"
    assert both[0].env_steps == both[1].env_steps == sum(line["env_steps"] for line in collected)
    assert both[0].env_steps - collected[-1]["env_steps"] < 120 <= both[0].env_steps
    assert [line["episodes"] for line in collected] == [6] * len(collected)  # 3 of each rank
    steps = sum(line["env_steps"] for line in collected)
    assert learned[-1]["learn_step"] == both[1].learn_steps == int(0.25 * steps)


def test_weights_are_the_same_on_both_ranks_and_written_once(both, place):
    content = latest(place / "whole")
    one, other = (
        part["policy"]["learn"]["model"]["line.weight"] for part in (content, *content["ranks"])
    )

    assert one.data_ptr() == other.data_ptr()
    assert not torch.equal(one, torch.zeros_like(one))


def test_rank_0_alone_evaluates_and_keeps_the_logs(both, place):
    files = {p.name for p in (place / "whole").iterdir()}
    assert files == {
        "checkpoints", "config.toml", "metrics.jsonl", "replay", "run.json", "times.jsonl",
    }  # fmt: skip
    assert both[0].best_return is not None
    assert both[1].best_return is None


def test_rank_0_alone_measures_weights_put_aside(ended, place):
    outcomes = [rank.value for rank in ended["offline"]]
    lines = list(read_lines(place / "offline" / "metrics.jsonl"))

    assert [outcome.ended_by for outcome in outcomes] == ["max_env_steps"] * 2
    assert sum(line["kind"] == "evaluated" for line in lines) > 1


def test_learning_waits_for_all_ranks_and_tells_their_mean():
    asked = []
    others = SimpleNamespace(
        every=lambda fact: asked.append(fact) or False,
        mean=lambda told: {name: value / 2 for name, value in told.items()},
    )
    policy = SimpleNamespace(
        replay_settings=lambda: SimpleNamespace(use_priority=False),
        loop_settings=lambda: None,
        learn_mode=SimpleNamespace(forward=lambda batch: {"total_loss": 3.0}),
        after_learning=lambda: None,
    )
    buffer = SimpleNamespace(can_sample=lambda size: size <= 4, sample=lambda size, policy: size)
    learner = Learner(policy, buffer, 4, Path("diverged"), others)

    assert not learner.ready()
    assert asked == [True]
    assert learner.learn(2, Clock()) == {"total_loss": 1.5}


# --- apart ----------------------------------------------------------------------------------------


def test_each_rank_has_a_replay_of_its_own_that_holds_other_episodes(both, place):
    found = whole(place / "whole")
    first, second = (
        {name.rpartition("/")[2]: file for name, file in found.items() if f"/rank{rank}/" in name}
        for rank in (0, 1)
    )

    assert first.keys() == second.keys()
    assert any(
        len(file["column.reward"]) != len(second[name]["column.reward"])
        for name, file in first.items()
    )


def test_rank_0_draws_as_a_run_of_one_process(both, ended, place):
    assert ended["alone"][0].value.ended_by == "max_env_steps"
    first = next(iter(read_lines(place / "alone" / "metrics.jsonl")))
    joint = next(iter(read_lines(place / "whole" / "metrics.jsonl")))

    mine = whole(place / "whole")["replay/rank0/000000.npz"]
    assert_same(mine, whole(place / "alone")["replay/000000.npz"])
    assert joint["env_steps"] > first["env_steps"]


def test_collections_are_joined_in_the_order_of_ranks():
    def stats(env_steps, returns, sureness):
        given = {"returns": returns, "lengths": (env_steps,) * len(returns)}
        means = {"sureness": sureness}
        given |= {"begun": len(returns), "segments": len(returns)}
        return CollectStats(iteration=4, mode="collect", env_steps=env_steps, means=means, **given)

    joint = together([stats(30, (1.0, 2.0), 0.5), stats(10, (3.0,), 0.1)])

    assert attrs.asdict(joint) == {
        "iteration": 4, "mode": "collect", "env_steps": 40, "returns": (1.0, 2.0, 3.0),
        "lengths": (30, 30, 10), "begun": 3, "segments": 3,
        "means": {"sureness": pytest.approx(0.4)},  # (15 + 1) / 40
        "resigned": (), "wrong": (),
    }  # fmt: skip


# --- ending and going on --------------------------------------------------------------------------


def test_two_ranks_killed_and_resumed_equal_two_that_were_not(both, ended, place):
    first, second = ended["killed"]
    assert second.status == -signal.SIGKILL
    assert isinstance(first.value, RankError), first.err

    assert [rank.value.ended_by for rank in ended["resumed"]] == ["max_env_steps"] * 2
    assert_same(whole(place / "killed"), whole(place / "whole"))


def test_what_rank_0_alone_hears_ends_the_run_on_both(ended):
    outcomes = [rank.value for rank in ended["stopped"]]

    assert [outcome.ended_by for outcome in outcomes] == ["interrupted"] * 2
    assert outcomes[0].iterations == outcomes[1].iterations > 0


def test_a_rank_that_fails_ends_the_others_and_leaves_a_checkpoint(ended, place):
    first, second = (rank.value for rank in ended["broken"])

    assert "no way on" in str(second)
    assert isinstance(first, RankError)
    assert latest(place / "broken")["counters"]["env_step"] == 0


def test_how_to_go_on_names_torchrun_where_there_are_several_ranks(tmp_path):
    directory = RunDirectory(tmp_path)

    assert directory.of_rank(Ranks()).go_on == f"lz run --resume {tmp_path}"
    assert directory.of_rank(Ranks(0, 3)).go_on == (
        f"torchrun --no-python --nproc-per-node 3 lz run --resume {tmp_path}"
    )


# --- what cannot be -------------------------------------------------------------------------------


def test_another_number_of_ranks_cannot_resume_a_run(ended):
    (only,) = ended["one rank"]

    assert isinstance(only.value, CheckpointError)
    assert str(only.value).endswith(
        "is of 2 ranks and this run has 1. Resume with as many as wrote it: "
        "torchrun --no-python --nproc-per-node 2 lz run ..."
    )


def test_without_torchrun_there_is_no_run_of_ranks(tiny_installed, tmp_path):
    with pytest.raises(RuntimeError, match="torchrun --no-python --nproc-per-node N lz run"):
        train("tiny", "engine_fakes:Walk", out=tmp_path / "run", quiet=True, multi_gpu=True)
    assert not (tmp_path / "run").exists()


def test_ranks_of_torchrun_that_the_settings_do_not_know_of_are_refused(
    tiny_installed, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"2 ranks, but multi_gpu is false, .* multi_gpu=true"):
        train("tiny", "engine_fakes:Walk", out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_batch_that_ranks_cannot_share_equally_is_refused(ended, place):
    for rank in ended["uneven"]:
        assert isinstance(rank.value, ConfigError), rank.err
    assert not (place / "uneven").exists()
    assert share_of(12, Ranks(2, 3)) == 4
    with pytest.raises(ConfigError, match="batch_size is 13, which 3 ranks cannot share equally"):
        share_of(13, Ranks(2, 3))
