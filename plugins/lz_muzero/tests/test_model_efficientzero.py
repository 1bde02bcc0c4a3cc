"""What EfficientZero's networks promise beyond MuZero's: value prefixes, and a memory of them."""

from copy import deepcopy

import pytest
import torch
from lz_muzero.config_variants import EfficientZeroModelSettings
from lz_muzero.model_efficientzero import EfficientZeroModel, EfficientZeroModelMLP
from torch import nn

from lzcore.base import ConfigError

SMALL = {"support_scale": 10, "lstm_hidden_size": 12}
SSL_SMALL = {"proj_hid": 16, "proj_out": 16, "pred_hid": 8, "pred_out": 16}


@pytest.fixture(autouse=True)
def _fixed_weights():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def vectors(**given):
    settings = {"observation_shape": 4, "action_space_size": 3, "latent_state_dim": 32}
    return EfficientZeroModelMLP(**{**settings, **SMALL, **SSL_SMALL, **given})


def maps(*shape, **given):
    settings = {"observation_shape": shape or (3, 3, 3), "action_space_size": 3, "num_channels": 8}
    return EfficientZeroModel(**{**settings, **SMALL, **SSL_SMALL, **given})


FAMILIES = {"mlp": (vectors, (4,)), "conv": (maps, (3, 3, 3))}
family = pytest.mark.parametrize(("make", "shape"), FAMILIES.values(), ids=FAMILIES)


def awake(model):
    """Move every weight away from its starting point, where heads are silent."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def unroll(model, observation, actions):
    """Return the outputs of a root and of one step for each column of the actions."""
    outputs = [model.initial_inference(observation)]
    for action in actions.T:
        last = outputs[-1]
        outputs.append(model.recurrent_inference(last.latent_state, action, last.memory))
    return outputs


# --- shapes and the starting point ----------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize(
    ("model", "observation", "latent"),
    [
        (lambda: vectors(), (4,), (32,)),
        (lambda: vectors(frame_stack_num=3), (12,), (32,)),
        (lambda: maps(3, 6, 7), (3, 6, 7), (8, 6, 7)),
        (lambda: maps(4, 64, 64), (4, 64, 64), (8, 8, 8)),
        (lambda: maps(4, 96, 96), (4, 96, 96), (8, 6, 6)),
    ],
    ids=["vector", "stack", "board", "64", "96"],
)
def test_shapes(model, observation, latent, batch):
    actions = torch.zeros(batch, 1, dtype=torch.long)

    for out in unroll(model().eval(), torch.randn(batch, *observation), actions):
        assert out.latent_state.shape == (batch, *latent)
        assert out.reward.shape == out.value.shape == (batch, 21)
        assert out.policy_logits.shape == (batch, 3)
        assert out.memory.shape == (batch, 2, 12)
        assert out.memory.dtype == torch.float32


@family
@pytest.mark.parametrize("norm_type", ["BN", "LN", "GN"])
def test_a_new_network_says_nothing_yet(make, shape, norm_type):
    actions = torch.tensor([[0, 1, 2]]).repeat(7, 1)

    for out in unroll(make(norm_type=norm_type), torch.randn(7, *shape), actions):
        assert not out.reward.any()
        assert not out.value.any()
        assert not out.policy_logits.any()


@family
def test_a_root_begins_with_no_prefix_and_no_memory(make, shape):
    root = awake(make()).initial_inference(torch.randn(3, *shape))

    assert not root.reward.any()
    assert not root.memory.any()


# --- the memory -----------------------------------------------------------------------------------


@family
def test_steps_one_by_one_are_those_of_an_lstm_over_the_sequence(make, shape):
    model = awake(make()).eval()
    outputs = unroll(model, torch.randn(5, *shape), torch.randint(0, 3, (5, 4)))
    prefix = model.reward
    whole = nn.LSTM(prefix.lstm.input_size, 12)
    whole.load_state_dict({f"{k}_l0": v for k, v in prefix.lstm.state_dict().items()})

    features = torch.stack([prefix.trunk(out.latent_state) for out in outputs[1:]])
    said, (hidden, cell) = whole(features)  # (4, 5, 12), from h = c = 0

    for k, out in enumerate(outputs[1:]):
        torch.testing.assert_close(out.reward, prefix.head(said[k]))
        torch.testing.assert_close(out.memory[:, 0], said[k])
    torch.testing.assert_close(outputs[-1].memory, torch.stack((hidden[0], cell[0]), dim=1))
    assert not torch.allclose(hidden, cell)  # so that their order is told apart


@family
def test_the_memory_decides_the_prefix_and_nothing_else(make, shape):
    model = awake(make()).eval()
    *_, last = unroll(model, torch.randn(5, *shape), torch.randint(0, 3, (5, 2)))
    action = torch.zeros(5, dtype=torch.long)

    going_on = model.recurrent_inference(last.latent_state, action, last.memory)
    anew = model.recurrent_inference(last.latent_state, action, torch.zeros_like(last.memory))

    assert not torch.allclose(going_on.reward, anew.reward)
    assert torch.equal(going_on.latent_state, anew.latent_state)
    assert torch.equal(going_on.value, anew.value)
    assert torch.equal(going_on.policy_logits, anew.policy_logits)


@family
def test_without_a_memory_a_sum_begins(make, shape):
    model = awake(make()).eval()
    root = model.initial_inference(torch.randn(3, *shape))
    action = torch.zeros(3, dtype=torch.long)

    given = model.recurrent_inference(root.latent_state, action, root.memory)
    left_out = model.recurrent_inference(root.latent_state, action)

    assert torch.equal(given.reward, left_out.reward)
    assert torch.equal(given.memory, left_out.memory)


@family
def test_the_memory_that_was_given_stays_as_it_is(make, shape):
    model = awake(make())
    *_, last = unroll(model, torch.randn(5, *shape), torch.randint(0, 3, (5, 2)))
    before = last.memory.clone()

    model.recurrent_inference(last.latent_state, torch.zeros(5, dtype=torch.long), last.memory)

    assert torch.equal(last.memory, before)


@family
def test_a_batch_gives_what_its_rows_give_alone(make, shape):
    model = awake(make()).eval()
    observation, actions = torch.randn(5, *shape), torch.randint(0, 3, (5, 3))
    together = unroll(model, observation, actions)

    for row in range(5):
        alone = unroll(model, observation[row : row + 1], actions[row : row + 1])
        for out, whole in zip(alone, together, strict=True):
            for part, all_rows in zip(out, whole, strict=True):
                torch.testing.assert_close(part[0], all_rows[row], rtol=1e-4, atol=1e-5)


# --- layers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norm_type", "maps_have"), [("BN", nn.BatchNorm1d), ("LN", nn.LayerNorm), ("GN", nn.GroupNorm)]
)
def test_what_the_lstm_says_is_normed_in_vectors_always_by_the_layer(norm_type, maps_have):
    of_maps, of_vectors = maps(norm_type=norm_type), vectors(norm_type=norm_type)

    assert type(of_maps.reward.head[0].norm) is maps_have
    assert type(of_vectors.reward.head[0]) is nn.LayerNorm


def test_in_maps_an_activation_follows_the_norm():
    normed = maps(norm_type="LN").reward.head[0]
    x = torch.randn(6, 12)

    assert torch.equal(normed(x), normed.norm(x).clamp_min(0))
    assert normed(x).min() == 0


@family
def test_the_width_of_the_memory_is_set(make, shape):
    assert make(lstm_hidden_size=20).reward.lstm.hidden_size == 20
    root = make(lstm_hidden_size=20).initial_inference(torch.randn(2, *shape))
    assert root.memory.shape == (2, 2, 20)


def test_without_categories_the_prefix_is_a_number():
    model = awake(vectors(categorical_distribution=False))

    _, out = unroll(model, torch.randn(3, 4), torch.zeros(3, 1, dtype=torch.long))

    assert out.reward.shape == (3, 1)


# --- learning and copies --------------------------------------------------------------------------


@family
@pytest.mark.parametrize("norm_type", ["BN", "LN"])
def test_the_losses_reach_every_weight(make, shape, norm_type):
    model = awake(make(norm_type=norm_type))
    observation = torch.randn(7, *shape)
    total = torch.zeros(())
    for out in unroll(model, observation, torch.randint(0, 3, (7, 3))):
        heads = (out.value, out.reward, out.policy_logits)
        total = total + sum(head.square().mean() for head in heads)
        seen = model.project(model.represent(observation), with_grad=False)
        total = total + (model.project(out.latent_state, with_grad=True) - seen).square().mean()

    total.backward()

    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        before_batchnorm = name.endswith("bias") and (
            norm_type == "BN" or name.startswith("consistency")
        )
        assert before_batchnorm or parameter.grad.abs().sum() > 0, name


def test_later_prefixes_teach_what_earlier_steps_remember():
    model = awake(vectors())
    outputs = unroll(model, torch.randn(4, 4), torch.randint(0, 3, (4, 3)))
    latents = [out.latent_state for out in outputs]

    (grad,) = torch.autograd.grad(outputs[3].reward.square().sum(), outputs[1].memory)

    assert grad.abs().sum() > 0
    assert all(latent.requires_grad for latent in latents)


@family
def test_weights_come_back_from_a_state_dict(make, shape):
    model, twin = awake(make()), awake(make())
    observation, actions = torch.randn(4, *shape), torch.randint(0, 3, (4, 2))
    unroll(model, observation, actions)  # moves BatchNorm's statistics

    twin.load_state_dict(model.state_dict())

    ours, theirs = (unroll(m.eval(), observation, actions)[-1] for m in (model, twin))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@family
def test_a_copy_shares_no_weight(make, shape):
    model = awake(make()).eval()
    target = deepcopy(model)
    observation, actions = torch.randn(3, *shape), torch.zeros(3, 1, dtype=torch.long)
    before = unroll(target, observation, actions)[-1].reward

    awake(model)

    assert torch.equal(unroll(target, observation, actions)[-1].reward, before)
    assert not torch.equal(unroll(model, observation, actions)[-1].reward, before)


# --- settings -------------------------------------------------------------------------------------


def test_the_whole_table_of_the_settings_is_accepted():
    table = EfficientZeroModelSettings.of({"observation_shape": 4, "action_space_size": 2})
    root = EfficientZeroModelMLP(**table).initial_inference(torch.randn(2, 4))

    assert root.memory.shape == (2, 2, 512)


def test_by_default_there_are_heads_for_the_consistency_loss():
    assert vectors().consistency is not None
    assert vectors(self_supervised_learning_loss=False).consistency is None


def test_what_cannot_work_is_refused():
    with pytest.raises(ConfigError, match=r"lstm_hidden_size = 0: expected an integer, at least 1"):
        vectors(lstm_hidden_size=0)
