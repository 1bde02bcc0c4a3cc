"""The networks: shapes, what they say at first, what they refuse."""

import pytest
import torch
from lz_alphazero.model import AlphaZeroModel, AlphaZeroModelMLP, AlphaZeroNetwork

from lzcore.base import ConfigError

SMALL = {"observation_shape": (3, 6, 7), "num_channels": 8, "action_space_size": 7}
VECTOR = {"model_type": "mlp", "observation_shape": 5, "action_space_size": 3}
MODELS = {"conv": (AlphaZeroModel, SMALL, (4, 3, 6, 7)), "mlp": (AlphaZeroModelMLP, VECTOR, (4, 5))}


@pytest.fixture(params=MODELS)
def found(request):
    """A model, observations of 4 positions, and the number of actions."""
    model_class, given, shape = MODELS[request.param]
    torch.manual_seed(0)
    return model_class(**given).eval(), torch.randn(shape), given["action_space_size"]


def test_a_model_that_has_learned_nothing_says_nothing(found):
    model, seen, actions = found
    logits, value = model(seen)

    assert (logits.shape, value.shape) == ((4, actions), (4, 1))
    assert not logits.any()
    assert not value.any()


def woken(model):
    """Give the last layers weights, as learning does."""
    for head in (model.policy_head, model.value_head):
        torch.nn.init.normal_(list(head.modules())[-1].weight)
    return model


def test_values_of_games_lie_between_a_loss_and_a_win(found):
    model, seen, _ = found
    assert woken(model)(100 * seen)[1].abs().max() <= 1.0


def test_sums_of_rewards_are_not_bounded():
    model = woken(AlphaZeroModelMLP(**VECTOR, value_activation="none"))
    assert (50 * model.eval()(torch.randn(64, 5))[1]).abs().max() > 1.0


def test_probabilities_and_their_logarithms_agree_with_the_logits(found):
    model, seen, _ = found
    logits, value = woken(model)(seen)
    probs, same = model.compute_policy_value(seen)
    logp, _ = model.compute_logp_value(seen)

    assert torch.equal(value, same)
    assert torch.allclose(probs.sum(1), torch.ones(4))
    assert torch.allclose(probs.log(), logp, atol=1e-5)
    assert torch.equal(logits.argmax(1), probs.argmax(1))


@pytest.mark.parametrize("norm_type", ["BN", "LN", "GN"])
def test_norms_can_be_chosen(norm_type):
    names = {"BN": "BatchNorm2d", "LN": "LayerNorm", "GN": "GroupNorm"}
    model = AlphaZeroModel(**SMALL, norm_type=norm_type)
    assert names[norm_type] in {type(module).__name__ for module in model.modules()}


@pytest.mark.parametrize(
    ("model_class", "given", "message"),
    [
        (AlphaZeroModel, {**SMALL, "observation_shape": 5}, r"5; expected planes \(C, H, W\)"),
        (AlphaZeroModelMLP, SMALL, r"\(3, 6, 7\); expected the width of a vector"),
        (AlphaZeroModel, {**SMALL, "action_space_size": None}, "give the number of actions"),
        (AlphaZeroModel, {**SMALL, "num_chanels": 3}, "num_channels"),
    ],
)
def test_what_a_family_cannot_read_is_refused(model_class, given, message):
    with pytest.raises(ConfigError, match=message):
        model_class(**given)


def test_the_network_alone_is_no_family():
    with pytest.raises(NotImplementedError, match="it is not a family"):
        AlphaZeroNetwork(**SMALL)
