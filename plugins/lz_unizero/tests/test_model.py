"""What UniZero's network promises: shapes, starting point, gradients, independence."""

import pytest
import torch
from lz_unizero.config import UniZeroModelSettings
from lz_unizero.model import UniZeroModel
from small_worlds import KINDS, SHAPES, awake, make_model
from torch import nn

from lzcore.base.errors import ConfigError, ShapeError

kinds = pytest.mark.parametrize("kind", KINDS)
VECTORS = {"outer": {"continuous_action_space": True}, "continuous_action_space": True}


def window(kind="vector", batch=4, steps=5):
    return torch.randn(batch, steps, *SHAPES[kind]), torch.randint(0, 3, (batch, steps))


@kinds
@pytest.mark.parametrize("batch", [1, 7])
def test_shapes(kind, batch):
    model = make_model(kind).eval()
    out = model(*window(kind, batch))

    assert out.latent_state.shape == out.next_latent.shape == (batch, 5, 32)
    assert out.reward.shape == out.value.shape == (batch, 5, 21)
    assert out.policy_logits.shape == (batch, 5, 3)
    alone = model.initial_inference(window(kind, batch)[0][:, 0])
    assert alone.latent_state.shape == (batch, 32)
    assert alone.reward.shape == alone.value.shape == (batch, 21)
    assert alone.policy_logits.shape == (batch, 3)


def test_pictures_from_64_on_are_shrunk():
    outer = {"observation_shape": (3, 64, 64)}
    model = make_model("image", outer).eval()

    assert model.encode(torch.randn(2, 3, 64, 64)).shape == (2, 32)
    assert model.representation[2].in_features == 8 * 8 * 8


def test_stacked_frames_of_vectors_lie_side_by_side():
    model = make_model("vector", {"frame_stack_num": 3}).eval()

    assert model.encode(torch.randn(2, 15)).shape == (2, 32)


@kinds
@pytest.mark.parametrize("norm_type", ["BN", "LN", "GN"])
def test_a_new_network_says_nothing_yet(kind, norm_type):
    model = make_model(kind, {"norm_type": norm_type})
    out = model(*window(kind))

    assert not out.reward.any()
    assert not out.value.any()
    assert not out.policy_logits.any()
    assert (out.next_latent == 1 / 8).all()
    assert model.value_support.decode(out.value).abs().max() < 1e-5


@kinds
def test_latents_are_groups_of_probabilities(kind):
    out = awake(make_model(kind, group_size=4))(*window(kind))

    for latent in (out.latent_state, out.next_latent):
        assert (latent >= 0).all()
        torch.testing.assert_close(latent.unflatten(-1, (-1, 4)).sum(-1), torch.ones(4, 5, 8))


@pytest.mark.parametrize(("given", "std"), [({}, 0.02), ({"init_std": 0.07}, 0.07)])
def test_first_weights_are_those_of_the_paper_or_wider(given, std):
    model = make_model("image", embed_dim=128, **given)

    for layer in (model.transformer.blocks[0].qkv, model.value[0], model.representation[2]):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.1)
        assert layer.bias is None or not layer.bias.any()
    for table in (model.action_tokens.layers, model.transformer.places.vectors):
        assert table.weight.std().item() == pytest.approx(std, rel=0.1)
    assert (model.transformer.norm.weight == 1).all()


@kinds
@pytest.mark.parametrize("gated", [False, True])
def test_gradients_reach_every_parameter(kind, gated):
    model = awake(make_model(kind, gru_gating=gated)).train()
    out = model(*window(kind))

    (sum((part * torch.randn_like(part)).sum() for part in out)).backward()

    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_heads_read_what_follows_their_token():
    model = awake(make_model())
    observation, action = window(batch=1)
    before = model(observation, action)

    action[0, 2] = (action[0, 2] + 1) % 3
    after = model(observation, action)

    same = {"atol": 1e-6, "rtol": 0}
    torch.testing.assert_close(after.value[:, :3], before.value[:, :3], **same)
    torch.testing.assert_close(after.policy_logits[:, :3], before.policy_logits[:, :3], **same)
    torch.testing.assert_close(after.reward[:, :2], before.reward[:, :2], **same)
    assert (after.reward[:, 2:] != before.reward[:, 2:]).any(dim=-1).all()
    assert (after.next_latent[:, 2:] != before.next_latent[:, 2:]).any(dim=-1).all()
    assert (after.value[:, 3:] != before.value[:, 3:]).any(dim=-1).all()


@kinds
def test_windows_do_not_see_each_other(kind):
    model = awake(make_model(kind))
    observation, action = window(kind)
    whole = model(observation, action)

    for row in range(4):
        alone = model(observation[row : row + 1], action[row : row + 1])
        for part, expected in zip(alone, whole, strict=True):
            torch.testing.assert_close(part[0], expected[row], atol=1e-5, rtol=1e-5)


def test_the_first_step_of_a_window_is_a_state_without_a_history():
    model = awake(make_model())
    observation, action = window()

    whole, alone = model(observation, action), model.initial_inference(observation[:, 0])

    torch.testing.assert_close(alone.value, whole.value[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone.latent_state, whole.latent_state[:, 0])
    assert not alone.reward.any()


def test_vectors_of_actions_have_a_gaussian_policy():
    model = awake(make_model(**VECTORS))
    out = model(torch.randn(4, 5, 5), torch.rand(4, 5, 3) * 2 - 1)

    assert out.policy_logits.shape == (4, 5, 6)
    assert (out.policy_logits[..., 3:] > 0).all()
    token = model.action_tokens(torch.rand(2, 3))
    torch.testing.assert_close(token.unflatten(-1, (-1, 8)).sum(-1), torch.ones(2, 4))


def test_vectors_that_differ_have_tokens_that_differ_from_the_start():
    model = make_model(**VECTORS, embed_dim=256)
    one, other = model.action_tokens(torch.tensor([[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]]))

    assert model.action_tokens.layers[0].weight.std().item() == pytest.approx(3**-0.5, rel=0.1)
    assert (one - other).std() > 0.5 * one.std()


@pytest.mark.parametrize("settings", [{}, VECTORS], ids=["numbered", "vectors"])
def test_actions_of_the_other_kind_are_refused(settings):
    model = make_model(**settings)
    wrong = torch.zeros(2, dtype=torch.int64) if settings else torch.zeros(2, 3)

    with pytest.raises(ConfigError, match=r"model\.continuous_action_space is"):
        model.action_tokens(wrong)


def test_a_window_that_is_too_long_is_refused():
    with pytest.raises(
        ShapeError, match=r"window of 7 steps is longer than .*max_blocks, 6\. Shorten it"
    ):
        make_model()(*window(steps=7))


@kinds
def test_a_state_dict_makes_another_model_the_same(kind):
    model, other = awake(make_model(kind)), awake(make_model(kind))
    other.load_state_dict(model.state_dict())

    given = window(kind)
    for part, expected in zip(other(*given), model(*given), strict=True):
        assert torch.equal(part, expected)


def test_plain_numbers_instead_of_bins():
    out = make_model("vector", {"categorical_distribution": False})(*window())

    assert out.value.shape == out.reward.shape == (4, 5, 1)


def test_sizes_are_those_that_the_layers_add_up_to():
    model = UniZeroModel()  # as documented: 768 wide, 2 blocks, pictures of 64 x 64

    def count(part):
        return sum(p.numel() for p in part.parameters())

    heads = nn.ModuleList([model.policy, model.value, model.reward, model.next_latent])
    assert count(model.transformer.blocks) == pytest.approx(1.42e7, rel=0.01)
    assert count(model.representation[2]) == pytest.approx(3.1e6, rel=0.02)
    assert count(heads) == pytest.approx(3e6, rel=0.1)


def test_settings_come_as_an_object_too():
    cfg = UniZeroModelSettings.of({"model_type": "mlp", "observation_shape": 5,
                                   "world_model_cfg": {"obs_type": "vector"}})  # fmt: skip

    assert UniZeroModel(**cfg).cfg == cfg
