"""Scalars become bins of a squashed scale and come back."""

import math

import pytest
import torch

from lzcore.nn import (
    CategoricalSupport,
    ScalarSupport,
    inverse_scalar_transform,
    scalar_transform,
)

FLOATS = (torch.float32, torch.float64)


def spread(limit: float, dtype: torch.dtype) -> torch.Tensor:
    """Numbers over the whole range and close to 0, of both signs."""
    even = torch.linspace(-limit, limit, 20_001, dtype=dtype)
    small = torch.logspace(-8, math.log10(limit), 2_000, dtype=dtype)
    return torch.cat((even, small, -small, torch.zeros(1, dtype=dtype)))


def textbook_inverse(y: torch.Tensor) -> torch.Tensor:
    eps = 0.001
    root = ((1 + 4 * eps * (y.abs() + 1 + eps)).sqrt() - 1) / (2 * eps)
    return y.sign() * (root.square() - 1)


# --- h and its inverse ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "h"), [(0, 0), (3, 1.003), (8, 2.008), (99, 9.099), (-8, -2.008), (-0.5625, -0.2505625)]
)
def test_h_is_the_signed_root_plus_a_thousandth_of_the_number(x, h):
    got = scalar_transform(torch.tensor(float(x), dtype=torch.float64))

    # sign(x) (sqrt(|x| + 1) - 1) + 0.001 x: for 3 that is 2 - 1 + 0.003
    assert got.item() == pytest.approx(h, abs=1e-7)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
def test_the_inverse_gives_the_number_back(dtype, tolerance):
    x = spread(1e4, dtype)

    error = (inverse_scalar_transform(scalar_transform(x)) - x).abs() / x.abs().clamp_min(1)

    assert error.max() <= tolerance


def test_near_zero_no_digits_are_lost():
    x = torch.logspace(-8, -1, 1_000)

    error = (inverse_scalar_transform(scalar_transform(x)) - x).abs() / x

    assert error.max() <= 1e-6


def test_the_inverse_is_the_published_formula():
    y = torch.linspace(-300, 300, 4_001, dtype=torch.float64)

    assert torch.allclose(inverse_scalar_transform(y), textbook_inverse(y), rtol=1e-10, atol=1e-9)


def test_the_inverse_of_zero_is_exactly_zero():
    assert inverse_scalar_transform(torch.zeros(3)).tolist() == [0, 0, 0]


def test_both_ways_have_the_right_gradient():
    y = torch.tensor([-2.5, -0.3, 0.4, 7.0], dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(scalar_transform, (y,))
    assert torch.autograd.gradcheck(inverse_scalar_transform, (y,))


# --- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scalar", "row"),
    [
        (3.0, [0, 0, 0, 0.997, 0.003]),  # h = 1.003: between bins 1 and 2
        (-3.0, [0.003, 0.997, 0, 0, 0]),  # h = -1.003: between bins -2 and -1
        (0.0, [0, 0, 1, 0, 0]),
        (1e6, [0, 0, 0, 0, 1]),
        (-1e6, [1, 0, 0, 0, 0]),
    ],
)
def test_a_target_lies_on_the_two_bins_around_it(scalar, row):
    got = CategoricalSupport(2).encode(torch.tensor(scalar, dtype=torch.float64))

    assert got.tolist() == pytest.approx(row, abs=1e-12)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_target_sums_to_one_and_touches_two_neighbours_at_most(dtype):
    target = CategoricalSupport(20).encode(spread(1e3, dtype))

    assert target.dtype == dtype
    assert torch.allclose(target.sum(-1), torch.ones((), dtype=dtype))
    assert (target >= 0).all()
    touched = target > 0
    first, last = touched.int().argmax(-1), 40 - touched.flip(-1).int().argmax(-1)
    assert (last - first <= 1).all()


@pytest.mark.parametrize("scale", [1, 10, 300])
def test_the_ends_of_the_range_fall_on_the_outer_bins(scale):
    support = CategoricalSupport(scale)
    ends = inverse_scalar_transform(torch.tensor([-scale, scale], dtype=torch.float64))

    low, high = support.encode(ends)

    assert low[0].item() == pytest.approx(1, abs=1e-9)
    assert high[-1].item() == pytest.approx(1, abs=1e-9)


def test_encoding_leaves_its_argument_alone():
    scalars = torch.tensor([-1e9, 0.5, 1e9])
    before = scalars.clone()

    CategoricalSupport(5).encode(scalars)

    assert torch.equal(scalars, before)


# --- decoding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("scale", [10, 50, 300])
def test_decoding_a_target_gives_the_scalar_back(scale, dtype):
    support = CategoricalSupport(scale).to(dtype)
    x = spread(0.999 * support.limit, dtype)

    error = (support.decode(support.encode(x).log()) - x).abs() / x.abs().clamp_min(1)

    assert error.max() <= 1e-4


def test_decoding_takes_the_mean_bin_under_softmax():
    logits = torch.tensor([0.0, 0.0, math.log(2.0)], dtype=torch.float64)

    got = CategoricalSupport(1).decode(logits)

    # probabilities 1/4, 1/4, 1/2 of -1, 0, 1
    assert got.item() == pytest.approx(textbook_inverse(torch.tensor(0.25).double()).item())


def test_logits_that_happen_to_sum_to_one_are_logits_all_the_same():
    support = CategoricalSupport(1)

    got = support.decode(torch.tensor([0.0, 0.0, 1.0]))

    mean = (math.e - 1) / (math.e + 2)  # softmax (1, 1, e) / (2 + e), not the bin 1 itself
    assert got.item() == pytest.approx(textbook_inverse(torch.tensor(mean)).item(), rel=1e-4)


def test_equal_logits_decode_to_zero():
    assert CategoricalSupport(300).decode(torch.zeros(4, 601)).abs().max() < 1e-4


@pytest.mark.parametrize("lead", [(), (7,), (2, 3, 4)])
def test_any_leading_axes_are_kept(lead):
    support = CategoricalSupport(3)

    target = support.encode(torch.full(lead, 1.5))

    assert target.shape == (*lead, 7)
    assert support.decode(target.log()).shape == lead


def test_stacked_logits_decode_as_they_do_apart():
    support = CategoricalSupport(25)
    logits = torch.randn(2, 8, 51, generator=torch.Generator().manual_seed(0))

    value, reward = support.decode(logits)

    assert torch.allclose(value, support.decode(logits[0]))
    assert torch.allclose(reward, support.decode(logits[1]))


@pytest.mark.parametrize(("scale", "limit"), [(300, 58_705), (50, 2_364), (10, 117)])
def test_the_range_of_a_support(scale, limit):
    support = CategoricalSupport(scale)

    assert support.size == 2 * scale + 1
    assert int(support.limit) == limit


def test_a_support_has_nothing_to_save_but_follows_the_model():
    model = torch.nn.Module()
    model.support = CategoricalSupport(2)

    assert not model.state_dict()
    assert model.double().support.bins.tolist() == [-2, -1, 0, 1, 2]
    assert model.support.bins.dtype == torch.float64


def test_a_scalar_head_is_the_number_itself():
    support = ScalarSupport()
    scalars = torch.tensor([[-1e6, 0.25]])

    assert support.size == 1
    assert support.encode(scalars).shape == (1, 2, 1)
    assert torch.equal(support.decode(support.encode(scalars)), scalars)
