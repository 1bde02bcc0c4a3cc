"""What Stochastic MuZero's networks promise beyond MuZero's: half steps, codes, an encoder."""

import pytest
import torch
from lz_muzero.model_stochastic import StochasticMuZeroModel, StochasticMuZeroModelMLP, code_of
from torch import nn

from lzcore.base import ConfigError

BATCHES = (1, 7)
M = 5  # outcomes
SSL = {"self_supervised_learning_loss": True, "proj_hid": 16, "proj_out": 16, "pred_hid": 8}


@pytest.fixture(autouse=True)
def _fixed_weights():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def vectors(**given):
    settings = {"observation_shape": 4, "action_space_size": 2, "latent_state_dim": 32}
    return StochasticMuZeroModelMLP(
        **{**settings, "support_scale": 10, "chance_space_size": M, **given}
    )


def maps(*shape, **given):
    settings = {"observation_shape": shape, "action_space_size": 6, "num_channels": 8}
    return StochasticMuZeroModel(
        **{**settings, "support_scale": 10, "chance_space_size": M, **given}
    )


def board(**given):
    return maps(3, 4, 4, **given)


FAMILIES = {"mlp": (vectors, (4,)), "conv": (board, (3, 4, 4))}
family = pytest.mark.parametrize(("make", "shape"), FAMILIES.values(), ids=FAMILIES)


def awake(model, scale=0.1):
    """Move every weight away from its starting point, where heads are silent."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * scale)
    return model


def whole_step(model, observation, action, outcome):
    """The root, the afterstate of an action, and the state after an outcome."""
    root = model.initial_inference(observation)
    after = model.recurrent_inference(root.latent_state, action, afterstate=False)
    then = model.recurrent_inference(after.latent_state, outcome, afterstate=True)
    return root, after, then


def firsts(batch):
    return torch.zeros(batch, dtype=torch.long)


def seen_by(layer):
    """Return a list that fills with the first argument of every call of `layer`."""
    inputs = []
    layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
    return inputs


# --- shapes and the starting point ----------------------------------------------------------------


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(
    ("model", "observation", "latent", "actions"),
    [
        (lambda: vectors(), (4,), (32,), 2),
        (lambda: vectors(frame_stack_num=3), (12,), (32,), 2),
        (lambda: board(), (3, 4, 4), (8, 4, 4), 6),
        (lambda: maps(16, 4, 4, action_space_size=4), (16, 4, 4), (8, 4, 4), 4),
        (lambda: maps(4, 64, 64), (4, 64, 64), (8, 8, 8), 6),
        (lambda: maps(4, 96, 96), (4, 96, 96), (8, 6, 6), 6),
    ],
    ids=["vector", "stack", "board", "2048", "64", "96"],
)
def test_shapes(model, observation, latent, actions, batch):
    model = model().eval()
    root, after, then = whole_step(
        model, torch.randn(batch, *observation), firsts(batch), firsts(batch)
    )

    for out, choices in ((root, actions), (after, M), (then, actions)):
        assert out.latent_state.shape == (batch, *latent)
        assert out.reward.shape == out.value.shape == (batch, 21)
        assert out.policy_logits.shape == (batch, choices)
    scores = model.encode_chance(*torch.randn(2, batch, *observation))
    assert scores.shape == (batch, M)


@pytest.mark.parametrize("model_type", ["conv", "mlp"])
def test_the_default_sizes_are_those_of_muzero_and_its_documented_outcomes(model_type):
    if model_type == "conv":
        model, shape = StochasticMuZeroModel(action_space_size=6), (4, 96, 96)
    else:
        model, shape = StochasticMuZeroModelMLP(action_space_size=6, observation_shape=8), (8,)
    root, after, _ = whole_step(model.eval(), torch.zeros(1, *shape), firsts(1), firsts(1))

    assert root.value.shape == (1, 601)
    assert after.policy_logits.shape == (1, 2)


@family
@pytest.mark.parametrize("norm_type", ["BN", "LN", "GN"])
def test_a_new_network_says_nothing_yet(make, shape, norm_type):
    for out in whole_step(make(norm_type=norm_type), torch.randn(7, *shape), firsts(7), firsts(7)):
        assert not out.reward.any()
        assert not out.value.any()
        assert not out.policy_logits.any()


@family
def test_acting_alone_earns_nothing_the_reward_is_of_the_whole_step(make, shape):
    _, after, then = whole_step(awake(make()), torch.randn(7, *shape), firsts(7), firsts(7))

    assert not after.reward.any()
    assert then.reward.any()


@family
def test_there_is_one_reward_head(make, shape):
    heads = {name.split(".")[0] for name in make().state_dict()}

    assert heads == {
        "representation", "prediction", "reward", "dynamics",
        "afterstate_dynamics", "afterstate_prediction", "chance_encoder",
    }  # fmt: skip


@family
@pytest.mark.parametrize("norm_type", ["BN", "LN"])
def test_a_batch_gives_what_its_rows_give_alone(make, shape, norm_type):
    model = awake(make(norm_type=norm_type)).eval()
    observation, action = torch.randn(5, *shape), torch.tensor([0, 1, 1, 0, 1])
    outcome = torch.arange(5)

    together = whole_step(model, observation, action, outcome)

    for row in range(5):
        one = slice(row, row + 1)
        alone = whole_step(model, observation[one], action[one], outcome[one])
        for out, whole in zip(alone, together, strict=True):
            for part, all_rows in zip(out[:4], whole[:4], strict=True):
                assert torch.allclose(part[0], all_rows[row], atol=1e-5)


# --- actions and outcomes -------------------------------------------------------------------------


def entering(model, part):
    layers = getattr(model, part)
    return seen_by(layers.layers if isinstance(model, StochasticMuZeroModelMLP) else layers.mix)


@family
@pytest.mark.parametrize(
    ("part", "afterstate", "width"), [("afterstate_dynamics", False, 2), ("dynamics", True, M)]
)
def test_actions_and_outcomes_enter_as_indicators_of_whole_maps(
    make, shape, part, afterstate, width
):
    model = make(action_space_size=2)
    entered = entering(model, part)
    latent = model.initial_inference(torch.randn(2, *shape)).latent_state

    model.recurrent_inference(latent, torch.tensor([1, 0]), afterstate=afterstate)

    behind = entered[0].flatten(2)[:, -width:] if latent.ndim == 4 else entered[0][:, -width:, None]
    indicators = nn.functional.one_hot(torch.tensor([1, 0]), width).float()
    assert torch.equal(behind, indicators[:, :, None].expand_as(behind))


def test_actions_that_are_not_one_hot_leave_outcomes_as_they_are():
    model = vectors(discrete_action_encoding_type="not_one_hot")

    assert model.action_encoding.width == 1
    assert model.chance_encoding.width == M


@family
def test_an_outcome_may_be_told_by_number_in_a_column_or_as_its_code(make, shape):
    model = awake(make()).eval()
    latent = model.initial_inference(torch.randn(3, *shape)).latent_state
    number = torch.tensor([0, 3, 4])

    told = [
        model.recurrent_inference(latent, option, afterstate=True)
        for option in (number, number[:, None], nn.functional.one_hot(number, M).float())
    ]

    for other in told[1:]:
        assert torch.equal(other.latent_state, told[0].latent_state)
        assert torch.equal(other.reward, told[0].reward)


@family
def test_every_outcome_leads_somewhere_else(make, shape):
    model = awake(make()).eval()
    latent = model.initial_inference(torch.randn(1, *shape)).latent_state

    out = model.recurrent_inference(latent.repeat(M, *(1,) * len(shape)), torch.arange(M), True)

    for one in range(M):
        for other in range(one):
            assert not torch.allclose(out.latent_state[one], out.latent_state[other])


# --- codes ----------------------------------------------------------------------------------------


def test_a_code_is_exactly_one_hot_at_the_largest_score():
    scores = torch.tensor([[0.1, 0.7, -3.0], [5.5, 1e-3, 5.4]], requires_grad=True)

    assert code_of(scores).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_gradients_pass_through_a_code_as_if_it_were_the_scores():
    scores = torch.randn(4, M, requires_grad=True)
    pull = torch.randn(4, M)

    (code_of(scores) * pull).sum().backward()

    assert torch.equal(scores.grad, pull)


@family
def test_what_the_next_state_is_worth_teaches_the_encoder(make, shape):
    model = awake(make(norm_type="LN"))
    before, after = torch.randn(2, 7, *shape)
    scores = model.encode_chance(before, after)
    latent = model.initial_inference(before).latent_state

    model.recurrent_inference(latent, code_of(scores), afterstate=True).value.sum().backward()

    for name, parameter in model.chance_encoder.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@family
def test_the_encoder_sees_both_observations_in_order(make, shape):
    model = make()
    before, after = torch.randn(2, 3, *shape)

    scores = model.encode_chance(before, after)

    assert not torch.allclose(scores, model.encode_chance(after, before))
    assert not torch.allclose(scores, model.encode_chance(before, before))


def test_the_encoder_halves_large_pictures_twice_and_leaves_boards_whole():
    strides = [
        [layer.stride[0] for layer in model.chance_encoder if isinstance(layer, nn.Conv2d)]
        for model in (maps(3, 16, 16), maps(3, 17, 16, downsample=False))
    ]

    assert strides == [[1, 1], [2, 2]]
    assert maps(4, 96, 96).chance_encoder[5].in_features == 64 * 24 * 24


# --- learning and copies --------------------------------------------------------------------------


@family
@pytest.mark.parametrize("norm_type", ["BN", "LN", "GN"])
@pytest.mark.parametrize("given", [{}, {"state_norm": True}])
def test_the_losses_reach_every_weight(make, shape, norm_type, given):
    model = awake(make(norm_type=norm_type, **SSL, pred_out=16, **given))
    before, after = torch.randn(2, 7, *shape)
    code = code_of(model.encode_chance(before, after))
    outs = whole_step(model, before, torch.arange(7) % 2, code)

    total = sum(part.square().mean() for out in outs for part in out[1:4])
    seen = model.project(model.represent(after), with_grad=False)
    (
        total + (model.project(outs[2].latent_state, with_grad=True) - seen).square().mean()
    ).backward()

    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        in_front_of_batchnorm = norm_type == "BN" or name.startswith("consistency")
        if not (name.endswith("bias") and in_front_of_batchnorm):
            assert parameter.grad.abs().sum() > 0, name


@family
def test_weights_come_back_from_a_state_dict(make, shape):
    model, twin = awake(make()), awake(make())
    given = torch.randn(3, *shape), firsts(3), firsts(3)
    whole_step(model, *given)  # moves BatchNorm's statistics

    twin.load_state_dict(model.state_dict())

    ours, theirs = (whole_step(m.eval(), *given) for m in (model, twin))
    for one, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))
    pair = torch.randn(2, 3, *shape)
    assert torch.equal(model.encode_chance(*pair), twin.encode_chance(*pair))


def test_a_setting_that_the_variant_does_not_have_is_refused():
    with pytest.raises(ConfigError, match="chance_space"):
        vectors(chance_space=3)
    with pytest.raises(ConfigError, match="at least 1"):
        vectors(chance_space_size=0)
