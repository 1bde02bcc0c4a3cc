"""The layers networks are stacked from: shapes, norms, starting points, safe activations."""

import math

import pytest
import torch
from torch import nn

from lzcore.base.errors import ShapeError
from lzcore.nn import ConvLayer, Dense, DownSample, ResBlock, Style, downsampled, mlp, res_blocks

NORMS = ("BN", "LN", "GN")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 3 + 1


@pytest.fixture(autouse=True)
def _fixed_weights():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


# --- norms ----------------------------------------------------------------------------------------


def test_ln_norms_each_state_over_all_its_numbers():
    y = Style("LN").norm(16, (2, 3))(draw(5, 16, 2, 3)).flatten(1)

    assert torch.allclose(y.mean(1), torch.zeros(5), atol=1e-5)
    assert torch.allclose(y.var(1, unbiased=False), torch.ones(5), atol=1e-3)


def test_ln_has_the_shape_of_the_real_map():
    assert Style("LN").norm(16, (6, 7)).weight.shape == (16, 6, 7)
    assert Style("LN").norm(16).weight.shape == (16,)


def test_gn_norms_groups_of_eight_channels_of_each_state():
    y = Style("GN").norm(16, (2, 3))(draw(5, 16, 2, 3)).view(5, 2, -1)

    assert torch.allclose(y.mean(2), torch.zeros(5, 2), atol=1e-5)
    assert torch.allclose(y.var(2, unbiased=False), torch.ones(5, 2), atol=1e-3)


def test_gn_takes_all_channels_together_where_eight_do_not_divide_them():
    assert Style("GN").norm(12).num_groups == 1


@pytest.mark.parametrize(("size", "over"), [(None, (0,)), ((2, 3), (0, 2, 3))])
def test_bn_norms_each_channel_over_the_batch(size, over):
    y = Style("BN").norm(4, size)(draw(32, 4, *(size or ())))

    assert torch.allclose(y.mean(over), torch.zeros(4), atol=1e-5)
    assert torch.allclose(y.var(over, unbiased=False), torch.ones(4), atol=1e-3)


def test_a_norm_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match=r"'norm_type' must be in \('BN', 'LN', 'GN'\)"):
        Style("IN")


# --- dense layers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_type", NORMS)
def test_a_dense_layer_is_product_norm_activation(norm_type):
    layer = Dense(6, 16, Style(norm_type))
    x = draw(5, 6)
    plain = nn.functional.linear(x, layer.weight, layer.bias)

    got = layer.eval()(x)

    assert torch.allclose(got, layer.norm(plain).clamp_min(0))


def test_gelu_is_the_tanh_approximation():
    x = torch.tensor([1.0])

    got = Style("LN", "gelu").act()(x)

    inner = math.sqrt(2 / math.pi) * (1 + 0.044715)
    assert got.item() == pytest.approx(0.5 * (1 + math.tanh(inner)), abs=1e-6)


def test_an_mlp_has_the_widths_asked_for():
    net = mlp(5, [7, 9], 3, Style("LN"))

    assert [layer.weight.shape for layer in net] == [(7, 5), (9, 7), (3, 9)]
    assert net(draw(2, 5)).shape == (2, 3)


def test_an_mlp_without_an_output_width_ends_in_an_activation():
    assert mlp(5, [7, 7], None, Style("LN"))(draw(4, 5)).min() == 0


@pytest.mark.parametrize("norm_type", NORMS)
def test_a_head_that_starts_at_zero_says_zero_and_still_learns(norm_type):
    net = mlp(5, [8], 3, Style(norm_type), zero_last=True)

    y = net(draw(4, 5))
    y.sum().backward()

    assert not y.any()
    assert net[-1].weight.grad.abs().sum() > 0
    assert net[-1].bias.grad.abs().sum() > 0


# --- convolutions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "biased"), [(3, False), (1, True)])
def test_a_convolution_keeps_the_size_and_only_one_by_one_has_a_bias(kernel, biased):
    layer = ConvLayer(3, 8, (5, 7), Style("LN"), kernel=kernel)

    assert layer(draw(2, 3, 5, 7)).shape == (2, 8, 5, 7)
    assert (layer.bias is not None) == biased


@pytest.mark.parametrize("norm_type", NORMS)
def test_a_residual_block_whose_norm_is_silent_passes_its_input_on(norm_type):
    block = ResBlock(8, 8, (3, 4), Style(norm_type))
    nn.init.zeros_(block.norm.weight)
    x = draw(2, 8, 3, 4)

    assert torch.equal(block(x), x.clamp_min(0))


def test_a_residual_block_that_shrinks_carries_its_input_by_a_convolution():
    block = ResBlock(8, 16, (3, 4), Style("LN"), stride=2)
    nn.init.zeros_(block.norm.weight)
    x = draw(2, 8, 5, 7)

    assert torch.allclose(block(x), block.skip(x).clamp_min(0))
    assert block.skip.bias is None


@pytest.mark.parametrize("norm_type", NORMS)
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_activations_in_place_spoil_neither_input_nor_gradient(norm_type, activation):
    block = ResBlock(2, 2, (2, 3), Style(norm_type, activation)).double()
    x = draw(2, 2, 2, 3).double().requires_grad_()
    before = x.detach().clone()

    assert torch.autograd.gradcheck(block, (x,))
    assert torch.equal(x, before)


def test_blocks_are_as_many_as_asked_for_and_share_nothing():
    first, second = res_blocks(2, 8, (3, 3), Style("LN"))

    assert first.first is not second.first


# --- shrinking pictures ---------------------------------------------------------------------------


@pytest.mark.parametrize("norm_type", NORMS)
@pytest.mark.parametrize(("side", "map_side"), [(96, 6), (84, 6), (64, 8)])
def test_pictures_shrink_to_small_maps(side, map_side, norm_type):
    stem = DownSample(4, 16, (side, side), Style(norm_type))

    assert stem(draw(2, 4, side, side)).shape == (2, 16, map_side, map_side)


@pytest.mark.parametrize("image", [(h, h + 9) for h in range(20, 131, 11)] + [(210, 160), (84, 40)])
def test_the_size_of_the_maps_is_known_beforehand(image):
    stem = DownSample(1, 2, image, Style("LN"))  # LN fails where a size is not the real one

    assert stem(draw(1, 1, *image)).shape[2:] == downsampled(image)


@pytest.mark.parametrize("image", [(16, 16), (96, 30)])
def test_pictures_that_would_vanish_are_refused_with_a_remedy(image):
    with pytest.raises(ShapeError, match=r"at least 3x3\. Enlarge them, or set model\.downsample"):
        downsampled(image)
