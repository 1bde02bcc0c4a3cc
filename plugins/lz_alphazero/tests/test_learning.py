"""Games to replay, replay to better weights, and what is kept of it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lzcore.base import DivergedError, ShapeError
from lzcore.base.replay import Segment

ENTROPY = {"sampled_alphazero": "policy_entropy_loss"}


# --- batches --------------------------------------------------------------------------------------


def test_a_batch_has_the_documented_entries(make_policy, fill, kind):
    policy = make_policy(kind)
    batch = fill(policy).sample(5, policy)

    assert batch["obs"]["observation"].shape == (5, 3, 3, 3)
    assert batch["reward"].shape == (5,)
    assert set(np.unique(batch["reward"])) <= {-1.0, 0.0, 1.0}
    shapes = {
        "alphazero": {"probs": (5, 9)},
        "gumbel_alphazero": {"improved_probs": (5, 9)},
        "sampled_alphazero": {
            "probs": (5, 2),
            "root_sampled_actions": (5, 2),
            "valid_action_lengths": (5,),
        },
    }[kind]
    assert {name: batch[name].shape for name in shapes} == shapes
    assert batch.keys() == {"obs", "reward", "index", *shapes}


def test_what_is_sampled_belongs_together(make_policy, fill):
    """Replay rows are those of the game: stones of the winner, his outcome, his visits."""
    policy = make_policy()
    batch = fill(policy).sample(40, policy)
    own, other, first = (batch["obs"]["observation"][:, plane] for plane in range(3))
    taken = (own + other).reshape(40, 9) > 0

    assert not batch["probs"][taken].any()
    assert batch["probs"].sum(1) == pytest.approx(np.ones(40))
    behind = own.sum((1, 2)) < other.sum((1, 2))
    assert (behind == (first[:, 0, 0] == 0)).all()


def test_the_value_learns_from_outcome_and_search_in_the_shares_that_are_set(make_policy, fill):
    policy = make_policy("alphazero", {"search_value_weight": 0.25})
    replay = fill(policy)
    batch = replay.sample(30, policy)
    rows = replay._store.rows
    outcome, searched = (rows.get(name, batch["index"]) for name in ("outcome", "searched_value"))

    assert batch["reward"] == pytest.approx(0.75 * outcome + 0.25 * searched)
    assert len(set(outcome.tolist())) > 1
    assert searched.any()


def test_a_truncated_game_is_stored_as_drawn(make_policy, play):
    policy = make_policy()
    won = next(game for game in play(policy, 12) if game.columns["reward"].any())
    for terminated in (True, False):
        cut = Segment(
            episode=0,
            offset=0,
            columns=won.columns,
            length=won.length,
            ended=True,
            terminated=terminated,
        )
        found = policy.in_hindsight(cut)["outcome"]
        assert found.shape == (won.length + 1,)
        assert found.any() == terminated


def test_replay_forgets_by_transitions_and_draws_all_alike(make_policy):
    policy = make_policy("alphazero", {"other.replay_buffer.replay_buffer_size": 70})
    settings = policy.replay_settings()

    assert (settings.capacity, settings.use_priority) == (70, False)
    assert (settings.unroll_steps, settings.lookahead) == (0, 0)


# --- learning -------------------------------------------------------------------------------------


def test_learning_the_same_batch_lowers_the_loss(make_policy, fill, kind):
    policy = make_policy(kind)
    batch = fill(policy).sample(16, policy)
    told = [policy.learn_mode.forward(batch) for _ in range(60)]

    assert told[-1]["policy_loss"] < told[0]["policy_loss"] - 0.1
    assert told[-1]["value_loss"] < 0.2 * told[0]["value_loss"]


def test_everything_monitored_is_told(make_policy, fill, kind):
    policy = make_policy(kind)
    told = policy.learn_mode.forward(fill(policy).sample(16, policy))
    documented = [
        "cur_lr",
        "total_loss",
        "policy_loss",
        "value_loss",
        ENTROPY.get(kind, "entropy_loss"),
        "total_grad_norm_before_clip",
        "collect_mcts_temperature",
    ]

    assert policy.learn_mode.monitor_vars() == documented
    assert {*documented, "entropy_loss"} == told.keys()
    assert all(type(value) is float for value in told.values())


def by_hand(**given):
    """Two positions, of which a network that has learned nothing makes log 9 and a value of 0."""
    probs = np.zeros((2, 9), np.float32)
    probs[:, 3] = 1.0
    return {
        "obs": {"observation": np.zeros((2, 3, 3, 3), np.float32)},
        "probs": probs,
        "reward": np.array([1.0, -0.5], np.float32),
        **given,
    }


def test_the_loss_is_the_documented_sum(make_policy):
    policy = make_policy("alphazero", {"value_weight": 2.0, "entropy_weight": 0.1})
    told = policy.learn_mode.forward(by_hand())

    assert told["policy_loss"] == pytest.approx(np.log(9))
    assert told["value_loss"] == pytest.approx((1 + 0.25) / 2)
    assert told["entropy_loss"] == pytest.approx(-np.log(9))
    assert told["total_loss"] == pytest.approx(0.9 * np.log(9) + 2 * 0.625)


def test_gumbel_learns_the_improved_policy(make_policy):
    improved = np.full((2, 9), 1 / 9, np.float32)
    policy = make_policy("gumbel_alphazero")
    told = policy.learn_mode.forward(by_hand(improved_probs=improved))

    assert told["policy_loss"] == pytest.approx(0.0, abs=1e-6)


def test_sampled_rows_of_several_lengths_are_padded(make_policy):
    """One row of two slots, one of one; of 9 equally likely actions each costs log 9."""
    rows = {"probs": [[0.25, 0.75], [1.0]], "root_sampled_actions": [[0, 4], [7]]}
    told = make_policy("sampled_alphazero").learn_mode.forward(by_hand(**rows))
    shares = make_policy("sampled_alphazero", {"normalize_prob_of_sampled_actions": True})

    assert told["policy_loss"] == pytest.approx(np.log(9))
    halves = shares.learn_mode.forward(by_hand(**rows))["policy_loss"]
    assert halves == pytest.approx((np.log(2) + 0) / 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"probs": np.zeros((2, 7))}, r"probs of the batch has shape \(2, 7\); expected \(2, 9\)"),
        ({"reward": np.zeros(3)}, r"reward of the batch has shape \(3,\); expected \(2,\)"),
        (
            {"obs": {"observation": np.zeros((2, 3, 6, 6))}},
            r"obs.observation of the batch has shape \(2, 3, 6, 6\); expected \(2, 3, 3, 3\)",
        ),
    ],
)
def test_a_batch_of_another_game_is_refused(make_policy, given, message):
    with pytest.raises(ShapeError, match=message):
        make_policy().learn_mode.forward(by_hand(**given))


def test_a_loss_that_is_no_number_leaves_the_weights_alone(make_policy):
    policy = make_policy()
    before = [p.detach().clone() for p in policy._model.parameters()]
    reward = np.array([0.0, np.nan], np.float32)
    with pytest.raises(DivergedError, match=r"Replay rows with a broken loss: \[12\]"):
        policy.learn_mode.forward(by_hand(reward=reward, index=np.array([11, 12])))

    assert all(
        torch.equal(old, new) for old, new in zip(before, policy._model.parameters(), strict=True)
    )


def test_after_learning_the_network_is_asked_as_it_is_in_use(make_policy, ask, position):
    """BatchNorm counts what is learned from, never what is searched."""
    policy = make_policy()
    policy.learn_mode.forward(by_hand())
    counted = {k: v.clone() for k, v in policy._model.state_dict().items() if "running" in k}
    ask(policy, position("x../.../..."))

    assert counted
    assert all(torch.equal(policy._model.state_dict()[k], v) for k, v in counted.items())


# --- the documented transition --------------------------------------------------------------------


def test_a_transition_has_the_documented_entries(make_policy, ask, position, kind):
    policy = make_policy(kind)
    told = ask(policy, position("x../.../..."), mode="collect")[0]
    step = SimpleNamespace(obs="then", reward=1, done=False, info={})
    found = policy.collect_mode.process_transition("now", told, step)
    extra = {"gumbel_alphazero": {"improved_probs"}, "sampled_alphazero": {"root_sampled_actions"}}

    names = {"obs", "next_obs", "action", "probs", "reward", "done"} | extra.get(kind, set())
    assert found.keys() == names
    assert (found["obs"], found["next_obs"], found["done"]) == ("now", "then", False)
    assert found["action"].shape == ()
    assert (found["reward"].shape, found["reward"].dtype) == ((1,), torch.float32)
    assert policy.collect_mode.get_train_sample([found]) == [found]


# --- what is kept ---------------------------------------------------------------------------------


def test_a_run_goes_on_where_its_state_was_written(make_policy, fill, ask, position, kind):
    policy = make_policy(kind)
    batches = [fill(policy).sample(16, policy) for _ in range(4)]
    for batch in batches[:2]:
        policy.learn_mode.forward(batch)
    ask(policy, position("x../.../..."), mode="collect")
    state = policy.learn_mode.state_dict()
    other = make_policy(kind, {"seed": 0})
    other.learn_mode.load_state_dict(state)

    assert {"model", "optimizer", "lr_scheduler", "rng", "last_iter"} <= state.keys()
    for batch in batches[2:]:
        assert policy.learn_mode.forward(batch) == other.learn_mode.forward(batch) | {
            "collect_mcts_temperature": 1.0
        }
    one, two = (
        ask(p, position("x../.../..."), mode="collect").columns["probs"] for p in (policy, other)
    )
    assert one.tolist() == two.tolist()


@pytest.mark.parametrize("mode", ["collect", "eval"])
def test_the_state_of_learning_serves_every_mode(make_policy, mode):
    learned, other = make_policy(), make_policy("alphazero", {"seed": 5}, enable_field=[mode])
    getattr(other, f"{mode}_mode").load_state_dict(learned.learn_mode.state_dict())

    for one, two in zip(learned._model.parameters(), other._model.parameters(), strict=True):
        assert torch.equal(one, two)
    assert getattr(other, f"{mode}_mode").state_dict().keys() == {"model"}


def test_states_that_do_not_fit_are_refused(make_policy):
    policy = make_policy()
    with pytest.raises(RuntimeError, match="no 'optimizer'"):
        policy.learn_mode.load_state_dict({"model": policy._model.state_dict()})
    with pytest.raises(RuntimeError, match=r"The learn mode .* is not enabled"):
        make_policy(enable_field=["eval"]).learn_mode.load_state_dict({})
    with pytest.raises(RuntimeError, match="trunk"):
        policy.eval_mode.load_state_dict({"model": {}})


def test_initial_weights_follow_from_the_seed(make_policy):
    weights = [
        next(make_policy("alphazero", {"seed": seed})._model.parameters()) for seed in (1, 1, 2)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
