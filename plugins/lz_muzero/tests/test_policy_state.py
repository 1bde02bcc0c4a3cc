"""What is kept of a policy, and that it goes on from there as if nothing had happened."""

import io

import pytest
import torch

DATA = torch.tensor([[0.5, -1.0, 0.0, 2.0], [0.0, 0.3, 0.2, -1.0]])


@pytest.fixture
def trained(make_policy, fill):
    """A function that makes a policy and takes learn steps and decisions with it."""

    def make(count=3, **given):
        policy = make_policy({"num_simulations": 20, "target_update_freq": 2}, given)
        buffer = fill(policy)
        for _ in range(count):
            policy.learn_mode.forward(buffer.sample(8, policy))
            policy.collect_mode.forward(DATA)
        return policy, buffer

    return make


def told(policy):
    """What a policy decides next, as plain numbers."""
    found = policy.collect_mode.forward(DATA).columns
    return {name: values.tolist() for name, values in found.items()}


def through_a_file(state):
    """Save and load as a checkpoint does: tensors and plain data only."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_the_documented_entries_are_there_and_ours(trained):
    policy, _ = trained()
    state = policy.learn_mode.state_dict()

    assert list(state) == [
        "model",
        "target_model",
        "optimizer",
        "lr_scheduler",
        "rng",
        "last_iter",
        "collect_env_step",
    ]
    assert list(policy.collect_mode.state_dict()) == ["model"]
    assert list(policy.eval_mode.state_dict()) == ["model"]


def test_a_state_goes_through_a_file_of_plain_data(trained, make_policy):
    policy, _ = trained()
    other = make_policy({"num_simulations": 20}, seed=5)
    other.learn_mode.load_state_dict(through_a_file(policy.learn_mode.state_dict()))

    again = other.learn_mode.state_dict()
    for name, value in policy.learn_mode.state_dict()["model"].items():
        assert torch.equal(again["model"][name], value)


def test_a_state_does_not_follow_later_learning(trained):
    policy, buffer = trained()
    state = policy.learn_mode.state_dict()
    kept = {name: value.clone() for name, value in state["model"].items()}

    policy.learn_mode.forward(buffer.sample(8, policy))

    assert all(torch.equal(state["model"][name], kept[name]) for name in kept)


@pytest.mark.parametrize("optim_type", ["SGD", "Adam", "AdamW"])
def test_resumed_learning_gives_the_same_losses_to_the_last_bit(trained, make_policy, optim_type):
    given = {
        "optim_type": optim_type,
        "lr_piecewise_constant_decay": True,
        "threshold_training_steps_for_final_lr": 10,
        "learning_rate": 0.01,
    }
    policy, buffer = trained(3, **given)
    state = through_a_file(policy.learn_mode.state_dict())
    batches = [buffer.sample(8, policy) for _ in range(4)]
    expected = [policy.learn_mode.forward(data) for data in batches]

    resumed = make_policy({"num_simulations": 20, "target_update_freq": 2}, given, seed=9)
    resumed.learn_mode.load_state_dict(state)
    found = [resumed.learn_mode.forward(data) for data in batches]

    for one, other in zip(expected, found, strict=True):
        for name in ("total_loss", "total_grad_norm_before_clip", "cur_lr"):
            assert one[name] == other[name]
    assert found[0]["cur_lr"] == pytest.approx(0.01)
    assert found[-1]["cur_lr"] == pytest.approx(0.001)


def test_resumed_batches_and_decisions_are_the_same_too(trained, fill, make_policy):
    policy, buffer = trained(3)
    state = through_a_file(policy.learn_mode.state_dict())
    resumed = make_policy({"num_simulations": 20, "target_update_freq": 2})
    resumed.learn_mode.load_state_dict(state)
    other = fill(resumed)
    other._rng.bit_generator.state = buffer._rng.bit_generator.state

    first, second = buffer.sample(8, policy), other.sample(8, resumed)
    for one, two in zip(first[0] + first[1], second[0] + second[1], strict=True):
        assert (one == two).all()
    assert told(policy) == told(resumed)


def test_loading_leaves_answers_bitwise_unchanged(trained):
    policy, _ = trained()
    state = policy.learn_mode.state_dict()
    before = told(policy)

    policy.learn_mode.load_state_dict(state)

    assert told(policy) == before


def test_a_learn_state_serves_collection_and_evaluation(trained, make_policy):
    policy, _ = trained()
    state = policy.learn_mode.state_dict()

    for field in ("collect", "eval"):
        other = make_policy({"num_simulations": 20}, enable_field=[field], seed=3)
        getattr(other, f"{field}_mode").load_state_dict(state)
        weights = other._model.state_dict()
        assert all(torch.equal(weights[name], state["model"][name]) for name in weights)


def test_weights_that_do_not_fit_are_named(trained, make_policy):
    policy, _ = trained()
    state = policy.learn_mode.state_dict()
    wider = make_policy({"model": {"latent_state_dim": 32}})
    state["model"].popitem()

    with pytest.raises(RuntimeError, match="Missing key"):
        policy.learn_mode.load_state_dict(state)
    with pytest.raises(RuntimeError, match="size mismatch for representation"):
        wider.eval_mode.load_state_dict(policy.eval_mode.state_dict())
    with pytest.raises(RuntimeError, match=r"The state has no 'model'; it has \['weights'\]"):
        policy.collect_mode.load_state_dict({"weights": {}})


def test_a_learn_state_needs_the_learn_mode(trained, make_policy):
    policy, _ = trained()

    with pytest.raises(RuntimeError, match=r"The learn mode .* is not enabled"):
        make_policy(enable_field=["eval"]).learn_mode.load_state_dict(
            policy.learn_mode.state_dict()
        )


def test_a_state_with_the_documented_entries_alone_is_enough(trained, make_policy):
    policy, _ = trained()
    state = policy.learn_mode.state_dict()
    bare = {name: state[name] for name in ("model", "target_model", "optimizer")}

    other = make_policy(seed=4)
    other.learn_mode.load_state_dict(bare)

    assert torch.equal(
        other._optimizer.state_dict()["state"][0]["exp_avg"],
        policy._optimizer.state_dict()["state"][0]["exp_avg"],
    )
