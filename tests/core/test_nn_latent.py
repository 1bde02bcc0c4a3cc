"""Latent states stay in range, their norms can be watched, and two of them can be compared."""

import math
from copy import deepcopy

import pytest
import torch
from torch import nn

from lzcore.base.errors import ShapeError
from lzcore.nn import ConsistencyHeads, NormProbe, Renormalize, SimNorm


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- SimNorm --------------------------------------------------------------------------------------


def test_simnorm_is_a_softmax_in_each_group():
    x = torch.tensor([[0.0, math.log(3.0), 5.0, 5.0]])

    assert SimNorm(4, group=2)(x)[0].tolist() == pytest.approx([0.25, 0.75, 0.5, 0.5])


@pytest.mark.parametrize("shape", [(3, 16), (0, 16), (3, 16, 6, 7), (3, 16, 1, 1)])
def test_simnorm_groups_sum_to_one_whatever_the_size_of_the_map(shape):
    y = SimNorm(16)(draw(*shape))

    assert y.shape == shape
    sums = y.view(shape[0], 2, 8, math.prod(shape[2:])).sum(2)
    assert torch.allclose(sums, torch.ones_like(sums))


def test_simnorm_of_a_map_looks_at_each_cell_alone():
    x = draw(2, 8, 3, 3)
    y = SimNorm(8)(x)

    assert torch.allclose(y[:, :, 1, 2], SimNorm(8)(x[:, :, 1, 2]))


def test_simnorm_of_equal_features_is_uniform():
    assert (SimNorm(16)(torch.zeros(2, 16)) == 1 / 8).all()


def test_features_that_groups_do_not_divide_are_refused_with_a_remedy():
    with pytest.raises(ShapeError, match=r"by 8, which does not divide 12\. Use a multiple of 8"):
        SimNorm(12)


# --- renormalising --------------------------------------------------------------------------------


def test_renormalising_scales_each_state_by_its_own_range():
    x = torch.tensor([[[1.0, 3.0], [2.0, 5.0]], [[-1.0, -1.0], [0.0, -1.0]]])

    assert Renormalize()(x).tolist() == [[[0, 0.5], [0.25, 1]], [[0, 0], [1, 0]]]


@pytest.mark.parametrize("shape", [(4, 10), (4, 3, 2, 2)])
def test_renormalised_states_span_zero_to_one(shape):
    y = Renormalize()(draw(*shape)).flatten(1)

    assert torch.equal(y.amin(1), torch.zeros(4))
    assert torch.equal(y.amax(1), torch.ones(4))


def test_a_constant_state_becomes_zero_and_keeps_a_finite_gradient():
    x = torch.full((2, 5), 7.0, requires_grad=True)

    y = Renormalize()(x)
    y.sum().backward()

    assert not y.any()
    assert x.grad.isfinite().all()


# --- watching norms -------------------------------------------------------------------------------


def test_a_probe_remembers_mean_norms_before_and_after():
    layer = SimNorm(2, group=2)
    probe = NormProbe(layer)

    layer(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))

    # norms 5 and 0; softmax (e^-1, 1) / (1 + e^-1) and (1/2, 1/2)
    high = 1 / (1 + math.exp(-1))
    assert probe.before.item() == pytest.approx(2.5)
    assert probe.after.item() == pytest.approx((math.hypot(high, 1 - high) + math.sqrt(0.5)) / 2)


def test_a_probe_remembers_the_norms_of_gradients_once_they_are_there():
    layer = nn.Identity()
    probe = NormProbe(layer)
    x = torch.zeros(2, 2, requires_grad=True)

    (layer(2 * x) * torch.tensor([[3.0, 4.0], [0.0, 0.0]])).sum().backward()

    assert probe.grad_after.item() == pytest.approx(2.5)
    assert probe.grad_before.item() == pytest.approx(2.5)


def test_passes_without_gradients_leave_a_probe_alone():
    layer = nn.Identity()
    probe = NormProbe(layer)
    with torch.no_grad():
        layer(torch.ones(2, 2))

    assert probe.before.item() == 0


def test_the_copy_of_a_probed_model_has_a_probe_of_its_own():
    model = nn.Module()
    model.layer = SimNorm(8)
    model.probe = NormProbe(model.layer)
    twin = deepcopy(model)

    model.layer(torch.ones(1, 8))
    twin.layer(torch.zeros(1, 8))

    assert model.probe.before.item() == pytest.approx(math.sqrt(8))
    assert twin.probe.before.item() == 0


# --- comparing ------------------------------------------------------------------------------------


def heads(features: int = 12) -> ConsistencyHeads:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ConsistencyHeads(features, proj_hid=10, proj_out=6, pred_hid=4, pred_out=6)


@pytest.mark.parametrize("shape", [(5, 12), (5, 3, 2, 2)])
def test_both_sides_have_the_width_of_a_projection(shape):
    compare = heads()

    assert compare(draw(*shape), with_grad=True).shape == (5, 6)
    assert compare(draw(*shape), with_grad=False).shape == (5, 6)


def test_only_the_imagined_side_is_predicted_from_and_has_a_gradient():
    compare = heads().eval()
    x = draw(5, 12).requires_grad_()

    imagined, observed = compare(x, with_grad=True), compare(x, with_grad=False)

    assert not observed.requires_grad
    assert torch.allclose(imagined, compare.predictor(observed))
    imagined.sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is not None for p in compare.parameters())


def test_the_observed_side_still_teaches_the_norms_their_statistics():
    compare = heads()

    compare(draw(5, 12) + 3, with_grad=False)

    assert compare.projector[2].num_batches_tracked == 1
