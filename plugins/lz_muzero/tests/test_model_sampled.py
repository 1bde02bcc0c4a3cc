"""Sampled MuZero's networks: shapes, starting point, Gaussian heads, gradients."""

import pytest
import torch
from lz_muzero.model_sampled import SampledMuZeroModel, SampledMuZeroModelMLP
from torch import nn

from lzcore.base import ConfigError
from lzcore.nn import Dense
from lzcore.nn.optim import parameter_groups

VECTORS = {"continuous_action_space": True, "action_space_size": 2}
SSL = {"proj_hid": 16, "proj_out": 16, "pred_hid": 16, "pred_out": 16}


@pytest.fixture(autouse=True)
def _fixed_weights():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def vectors(**given):
    settings = {"observation_shape": 4, "action_space_size": 3, "latent_state_dim": 16, **SSL}
    return SampledMuZeroModelMLP(**{**settings, "support_scale": 10, **given})


def maps(**given):
    settings = {"observation_shape": (3, 5, 6), "action_space_size": 3, "num_channels": 8, **SSL}
    return SampledMuZeroModel(**{**settings, "support_scale": 10, **given})


FAMILIES = {"mlp": (vectors, (4,), (16,)), "conv": (maps, (3, 5, 6), (8, 5, 6))}
family = pytest.mark.parametrize(("make", "shape", "latent"), FAMILIES.values(), ids=FAMILIES)
kinds = pytest.mark.parametrize("given", [{}, VECTORS], ids=["discrete", "continuous"])


def actions(batch, given):
    return torch.rand(batch, 2) * 2 - 1 if given else torch.arange(batch) % 3


def both(model, observation, action):
    root = model.initial_inference(observation)
    return root, model.recurrent_inference(root.latent_state, action)


@family
@kinds
@pytest.mark.parametrize("batch", [1, 7])
def test_shapes(make, shape, latent, given, batch):
    outputs = both(make(**given).eval(), torch.randn(batch, *shape), actions(batch, given))

    for out in outputs:
        assert out.latent_state.shape == (batch, *latent)
        assert out.reward.shape == out.value.shape == (batch, 21)
        assert out.policy_logits.shape == (batch, 4 if given else 3)


def test_the_documented_default_is_of_a_picture_and_six_actions():
    out = SampledMuZeroModel().eval().initial_inference(torch.rand(1, 4, 96, 96))

    assert out.latent_state.shape == (1, 64, 6, 6)
    assert out.value.shape == (1, 601)
    assert out.policy_logits.shape == (1, 6)


@family
@kinds
def test_a_new_network_knows_nothing_and_would_try_anything(make, shape, latent, given):
    for out in both(make(**given), torch.randn(7, *shape), actions(7, given)):
        assert not out.reward.any()
        assert not out.value.any()
        if given:
            mu, sigma = out.policy_logits.chunk(2, dim=1)
            assert mu.abs().max() < 0.1
            assert sigma.flatten().tolist() == pytest.approx([1.0] * 14, abs=0.1)
        else:
            assert not out.policy_logits.any()


@family
def test_hidden_layers_are_smooth_and_heads_wide(make, shape, latent):
    model = make()
    value = model.prediction.value[-2]

    assert isinstance(value, Dense)
    assert value.out_features == 256
    x = torch.tensor([-1.0])
    assert value.act(x.clone()).item() == pytest.approx(-0.1588, abs=1e-4)  # GELU by tanh
    assert isinstance(value.norm, nn.LayerNorm)


@family
@kinds
def test_weights_go_through_a_state_dict(make, shape, latent, given):
    first, other = make(**given).eval(), make(**given).eval()
    observation, action = torch.randn(3, *shape), actions(3, given)
    other.load_state_dict(first.state_dict())

    for a, b in zip(
        both(first, observation, action), both(other, observation, action), strict=True
    ):
        assert torch.equal(a.policy_logits, b.policy_logits)
        assert torch.equal(a.latent_state, b.latent_state)


@family
def test_a_batch_gives_what_its_rows_give_alone(make, shape, latent):
    model = make(**VECTORS).eval()
    observation, action = torch.randn(5, *shape), actions(5, VECTORS)
    together = both(model, observation, action)

    for row in range(5):
        alone = both(model, observation[row : row + 1], action[row : row + 1])
        for out, whole in zip(alone, together, strict=True):
            assert torch.allclose(out.policy_logits[0], whole.policy_logits[row], atol=1e-5)


def test_an_action_enters_maps_as_planes_of_its_raw_numbers():
    model, inputs = maps(**VECTORS), []
    model.dynamics.mix.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))

    both(model, torch.randn(1, 3, 5, 6), torch.tensor([[0.25, -0.5]]))

    planes = inputs[0][0, 8:]
    assert planes.shape == (2, 5, 6)
    assert (planes[0] == 0.25).all()
    assert (planes[1] == -0.5).all()


# --- the Gaussian head ----------------------------------------------------------------------------


def head(**given):
    return vectors(**VECTORS, **given).prediction.policy


def spread(policy, x):
    return policy(x).chunk(2, dim=1)[1]


def test_a_fixed_spread_is_the_one_that_is_set():
    policy = head(sigma_type="fixed", fixed_sigma_value=0.7)

    assert spread(policy, torch.randn(3, 16)).flatten().tolist() == pytest.approx([0.7] * 6)
    assert "sigma" not in policy.state_dict()


def test_an_independent_spread_is_one_learned_number_for_each_component():
    policy = head(sigma_type="independent")
    x = torch.randn(3, 16)

    assert (spread(policy, x) == 1.0).all()
    policy.log_sigma.data = torch.tensor([0.5, -1.0]).log()[:1].repeat(2) * torch.tensor([1.0, 2.0])
    assert spread(policy, x)[2].tolist() == pytest.approx([0.5, 0.25])


def test_a_conditioned_spread_depends_on_the_state():
    policy = head(sigma_type="conditioned")
    policy.set_init_range(1.0)

    assert spread(policy, torch.randn(3, 16)).std(dim=0).min() > 1e-3


@pytest.mark.parametrize("sigma_type", ["conditioned", "independent"])
def test_a_spread_has_limits(sigma_type):
    policy = head(sigma_type=sigma_type, log_sigma_min=-5.0)
    learned = policy.log_sigma_layer.bias if sigma_type == "conditioned" else policy.log_sigma
    for far, log_sigma in ((-100.0, -5.0), (100.0, 2.0)):
        learned.data.fill_(far)
        found = spread(policy, torch.randn(3, 16)).log()
        assert found.flatten().tolist() == pytest.approx([log_sigma] * 6, abs=1e-5)


def test_means_are_bounded_only_if_asked_for():
    x = torch.randn(3, 16)
    for bound, largest in ((None, 50.0), ("tanh", 1.0)):
        policy = head(bound_type=bound)
        policy.mu.bias.data.fill_(50.0)
        mu = policy(x).chunk(2, dim=1)[0]
        assert mu.max().item() == pytest.approx(largest, abs=0.1)


def test_the_first_weights_lie_within_their_range():
    policy = vectors(**VECTORS).prediction.policy
    for limit in (3e-3, 0.5):
        policy.set_init_range(limit)
        for layer in (policy.mu, policy.log_sigma_layer):
            largest = max(p.abs().max().item() for p in layer.parameters())
            assert 0.5 * limit < largest <= limit


def test_no_decay_pulls_at_an_independent_spread():
    model = vectors(**VECTORS, sigma_type="independent")
    _, rest = parameter_groups(model, 0.1)

    assert any(p is model.prediction.policy.log_sigma for p in rest["params"])


@family
@pytest.mark.parametrize(
    "given",
    [{}, VECTORS, VECTORS | {"sigma_type": "independent"}],
    ids=["discrete", "conditioned", "independent"],
)
def test_gradients_reach_every_parameter(make, shape, latent, given):
    model = make(**given)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    root, then = both(model, torch.randn(4, *shape), actions(4, given))
    seen = model.project(then.latent_state, with_grad=True)
    parts = (root.value, root.policy_logits, then.value, then.policy_logits, then.reward, seen)
    sum(part.square().sum() for part in parts).backward()

    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_an_unknown_kind_of_spread_is_refused():
    with pytest.raises(ConfigError, match="sigma_type"):
        vectors(sigma_type="learned")
