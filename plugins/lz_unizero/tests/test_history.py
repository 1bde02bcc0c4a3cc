"""What roots look back on: whose steps, how many, and what is kept of them."""

import numpy as np
import pytest
import torch
from lz_unizero.history import Histories
from small_worlds import PICTURES, batch_of, every_policy, make_policy

from lzcore.base import Observed
from lzcore.engine.plain import from_plain, to_plain


def shown(*values):
    """Observations (N, 4) of these values."""
    return torch.tensor(values)[:, None].expand(-1, 4).clone()


def ask(histories, ready, *values, actions=None):
    """Ask for roots and follow them; return the history of each environment."""
    history = histories.roots(np.array(ready), shown(*values))
    seen = {
        env: (history.observation[row, :n, 0].tolist(), history.action[row, : n - 1].tolist())
        for row, (env, n) in enumerate(zip(ready, history.length.tolist(), strict=True))
    }
    if actions is not None:
        histories.follow(np.array(ready), np.array(actions))
    return seen


# --- the memory -----------------------------------------------------------------------------------


def test_a_root_looks_back_on_the_last_steps_and_what_was_done_there():
    histories = Histories(3)

    assert ask(histories, [7], 1.0, actions=[0]) == {7: ([1.0], [])}
    assert ask(histories, [7], 2.0, actions=[1]) == {7: ([1.0, 2.0], [0])}
    assert ask(histories, [7], 3.0, actions=[2]) == {7: ([1.0, 2.0, 3.0], [0, 1])}
    assert ask(histories, [7], 4.0) == {7: ([2.0, 3.0, 4.0], [1, 2])}


def test_a_context_of_one_step_remembers_nothing():
    histories = Histories(1)
    ask(histories, [0], 1.0, actions=[2])

    assert ask(histories, [0], 2.0) == {0: ([2.0], [])}


def test_each_environment_has_its_own_whatever_the_order_and_subset():
    histories, rng = Histories(4), np.random.default_rng(0)
    truth = {env: ([], []) for env in range(6)}
    for t in range(40):
        ready = rng.permutation(6)[: rng.integers(1, 7)].tolist()
        actions = rng.integers(0, 3, len(ready)).tolist()
        values = [100.0 * t + env for env in ready]
        found = ask(histories, ready, *values, actions=actions)
        for env, value, action in zip(ready, values, actions, strict=True):
            seen, done = truth[env]
            seen.append(value)
            steps = min(4, len(seen))
            assert found[env] == (seen[-steps:], done[len(done) - steps + 1 :])
            done.append(action)
        if t % 7 == 3:
            histories.forget([ready[0]])
            truth[ready[0]] = ([], [])


def test_asking_alone_remembers_nothing():
    histories = Histories(3)
    ask(histories, [0], 1.0)

    assert ask(histories, [0], 2.0) == {0: ([2.0], [])}


def test_frames_that_are_overwritten_later_change_nothing():
    histories, data = Histories(3), shown(1.0)
    histories.roots(np.array([0]), data)
    histories.follow(np.array([0]), np.array([2]))
    data.fill_(99.0)

    assert ask(histories, [0], 2.0) == {0: ([1.0, 2.0], [2])}


def test_what_is_kept_is_plain_and_goes_on_alike():
    histories, other = Histories(3), Histories(3)
    ask(histories, [3, 5], 1.0, 2.0, actions=[0, 1])
    ask(histories, [5], 3.0, actions=[2])
    other.load_state_dict(from_plain(to_plain(histories.state_dict())), torch.device("cpu"))

    assert ask(other, [3, 5], 7.0, 8.0) == ask(histories, [3, 5], 7.0, 8.0)
    other.load_state_dict(Histories(3).state_dict(), torch.device("cpu"))
    assert ask(other, [3], 7.0) == {3: ([7.0], [])}


# --- in the policy --------------------------------------------------------------------------------


def told(policy, seen, mode="collect", **given):
    found = getattr(policy, f"{mode}_mode").forward(seen, None, **given)
    return {name: values.tolist() for name, values in found.columns.items()}


def moves(count=8, rows=3):
    return torch.randn(count, rows, 4, generator=torch.Generator().manual_seed(0))


@every_policy
@pytest.mark.parametrize("mode", ["collect", "eval"])
def test_the_root_is_what_the_window_says_of_its_last_step(kind, mode):
    policy, seen, actions = make_policy(kind=kind), moves(6, 1), []
    for t, now in enumerate(seen):
        found = getattr(policy, f"{mode}_mode").forward(now, None)[0]
        first = max(0, t - 2)  # context_length 6: three steps
        taken = [*actions[first:], found["action"]]
        action = torch.from_numpy(np.array([taken]))
        with torch.no_grad():
            out = policy._model(seen[None, first : t + 1, 0], action)
        assert found["predicted_policy_logits"] == pytest.approx(
            out.policy_logits[0, -1].tolist(), abs=1e-5
        )
        actions.append(found["action"])


@every_policy
def test_the_past_matters(kind):
    fresh, policy = make_policy(kind=kind), make_policy(kind=kind)
    policy.eval_mode.forward(moves()[0], None)

    ours, theirs = (told(p, moves()[1], "eval")["predicted_value"] for p in (policy, fresh))
    assert ours != theirs


@every_policy
def test_a_reset_forgets_the_environments_it_names_and_no_other(kind):
    policy, fresh = make_policy(kind=kind), make_policy(kind=kind)
    policy.eval_mode.forward(moves()[0], None)
    before = {env: past.action.tolist() for env, past in policy._contexts["eval"]._pasts.items()}
    policy.eval_mode.reset([1])
    assert policy._contexts["eval"]._pasts.keys() == {0, 2}
    policy.eval_mode.reset(2, current_steps=200)
    assert policy._contexts["eval"]._pasts.keys() == {0}
    policy.eval_mode.reset([0], reset_init_data=False)
    assert policy._contexts["eval"]._pasts[0].action.tolist() == before[0]
    policy.eval_mode.reset(None)
    ours, theirs = (told(p, moves()[1], "eval")["predicted_value"] for p in (policy, fresh))
    assert ours == theirs


@every_policy
def test_collection_and_evaluation_do_not_disturb_each_other(kind):
    both, collecting = make_policy(kind=kind), make_policy(kind=kind)
    for now in moves():
        both.eval_mode.forward(now + 1.0, None)
        assert told(both, now) == told(collecting, now)


@every_policy
def test_acting_without_a_search_starts_from_the_same_roots(kind):
    searching, policy = (
        make_policy(kind=kind, collect_with_pure_policy=pure) for pure in (False, True)
    )
    for now in moves():
        ours, theirs = policy.collect_mode.forward(now), searching.collect_mode.forward(now)
        assert ours[0]["pred_value"] == pytest.approx(theirs[0]["pred_value"], abs=1e-6)
        searching._contexts["collect"].load_state_dict(
            policy._contexts["collect"].state_dict(), torch.device("cpu")
        )


@every_policy
def test_random_decisions_begin_new_histories(kind):
    policy, one = make_policy(kind=kind), np.array([1])
    policy.collect_mode.forward(moves()[0])
    policy.decide("random", Observed(one, shown(0.0).numpy(), None, np.int8([-1]), one))

    assert policy._contexts["collect"]._pasts.keys() == {0, 2}


@every_policy
def test_a_decision_that_fails_leaves_histories_as_they_were(kind):
    policy = make_policy(kind=kind)
    policy.collect_mode.forward(moves()[0])
    before = policy._contexts["collect"].state_dict()
    with pytest.raises(ValueError, match="environment 1 is not finite"):
        policy.collect_mode.forward(shown(1.0, torch.nan, 2.0))

    after = policy._contexts["collect"].state_dict()
    assert all(map(torch.equal, before["observation"], after["observation"]))


@every_policy
def test_a_resumed_collection_goes_on_from_the_same_roots(kind):
    policy, resumed = make_policy(kind=kind), make_policy(kind=kind)
    for now in moves()[:4]:
        policy.collect_mode.forward(now)
    collect = from_plain(to_plain(policy.collect_mode.state_dict()))
    resumed.learn_mode.load_state_dict(policy.learn_mode.state_dict())
    resumed.collect_mode.load_state_dict(collect)

    assert list(collect) == ["model", "context"]
    assert list(policy.eval_mode.state_dict()) == ["model"]
    for now in moves()[4:]:
        assert told(resumed, now) == told(policy, now)


@every_policy
def test_new_weights_are_never_mixed_with_what_older_ones_made(kind):
    """After a learn step, a root is what a policy of those weights makes of the same history."""
    policy = make_policy(kind=kind)
    policy.collect_mode.forward(moves()[0])
    policy.learn_mode.forward(batch_of(policy))
    policy.recompute_pos_emb_diff_and_clear_cache()
    other = make_policy(kind=kind)
    other.learn_mode.load_state_dict(policy.learn_mode.state_dict())
    other.collect_mode.load_state_dict(policy.collect_mode.state_dict())

    assert told(policy, moves()[1]) == told(other, moves()[1])


def test_pictures_are_remembered_as_stacked_frames():
    policy = make_policy(PICTURES)
    seen = torch.rand(5, 2, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    for now in seen:
        assert len(policy.collect_mode.forward(now)) == 2

    assert policy._contexts["collect"]._pasts[0].observation.shape == (2, 2, 8, 8)
