"""What MuZero's networks promise: shapes, starting point, independence of rows, gradients."""

import math
from copy import deepcopy

import attrs
import pytest
import torch
from lz_muzero.config import MuZeroModelSettings
from lz_muzero.model import MuZeroModel
from lz_muzero.model_mlp import MuZeroModelMLP
from torch import nn

from lzcore.base import setting
from lzcore.base.errors import ConfigError, ShapeError
from lzcore.nn import Dense

NORMS = ("BN", "LN", "GN")
BATCHES = (1, 7)


@pytest.fixture(autouse=True)
def _fixed_weights():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def vectors(**given):
    """Make the network of a CartPole: 4 numbers, 2 actions; narrow unless said otherwise."""
    settings = {"observation_shape": 4, "action_space_size": 2, "latent_state_dim": 32}
    return MuZeroModelMLP(**{**settings, "support_scale": 10, **given})


def maps(*shape, **given):
    """Make the network of a board or an image; 8 channels unless said otherwise."""
    settings = {"observation_shape": shape, "action_space_size": 6, "num_channels": 8}
    return MuZeroModel(**{**settings, "support_scale": 10, **given})


def tictactoe(**given):
    return maps(3, 3, 3, **{"action_space_size": 9, **given})


def draw(*shape):
    return torch.randn(*shape)


def awake(model, scale=0.1):
    """Move every weight away from its starting point, where heads are silent."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * scale)
    return model


def both(model, observation, action):
    root = model.initial_inference(observation)
    return root, model.recurrent_inference(root.latent_state, action)


FAMILIES = {"mlp": (vectors, (4,)), "conv": (tictactoe, (3, 3, 3))}
family = pytest.mark.parametrize(("make", "shape"), FAMILIES.values(), ids=FAMILIES)


def seen_by(layer):
    """Return a list that fills with the first argument of every call of `layer`."""
    inputs = []
    layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
    return inputs


# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(
    ("model", "observation", "latent", "actions"),
    [
        (lambda: vectors(), (4,), (32,), 2),
        (lambda: vectors(frame_stack_num=3), (12,), (32,), 2),
        (lambda: vectors(observation_shape=(3, 3, 3), action_space_size=9), (3, 3, 3), (32,), 9),
        (lambda: tictactoe(num_channels=16), (3, 3, 3), (16, 3, 3), 9),
        (lambda: maps(3, 6, 6, action_space_size=36), (3, 6, 6), (8, 6, 6), 36),
        (lambda: maps(3, 6, 7, action_space_size=7), (3, 6, 7), (8, 6, 7), 7),
        (lambda: maps(12, 64, 64), (12, 64, 64), (8, 8, 8), 6),
        (lambda: maps(4, 84, 84), (4, 84, 84), (8, 6, 6), 6),
        (lambda: maps(4, 96, 96), (4, 96, 96), (8, 6, 6), 6),
    ],
    ids=["vector", "stack", "flat board", "3x3", "6x6", "6x7", "64", "84", "96"],
)
def test_shapes(model, observation, latent, actions, batch):
    outputs = both(model().eval(), draw(batch, *observation), torch.zeros(batch, dtype=torch.long))

    for out in outputs:
        assert out.latent_state.shape == (batch, *latent)
        assert out.reward.shape == out.value.shape == (batch, 21)
        assert out.policy_logits.shape == (batch, actions)


def test_images_are_shrunk_unless_told_otherwise_and_boards_are_not():
    assert maps(3, 64, 70).initial_inference(draw(2, 3, 64, 70)).latent_state.shape[2:] == (8, 9)
    assert maps(3, 63, 70).initial_inference(draw(2, 3, 63, 70)).latent_state.shape[2:] == (63, 70)
    small = maps(3, 24, 24, downsample=True)
    assert small.initial_inference(draw(2, 3, 24, 24)).latent_state.shape[2:] == (3, 3)


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (lambda: vectors(latent_state_dim=128, support_scale=300), 1.7e5),
        (lambda: maps(4, 96, 96, num_channels=64, support_scale=300), 6.0e5),
        (lambda: _consistency_of(maps(4, 96, 96, num_channels=64, **_SSL)), 5.6e6),
    ],
    ids=["CartPole", "Atari", "Atari SSL"],
)
def test_sizes_are_those_that_the_layers_add_up_to(model, count):
    assert sum(p.numel() for p in model().parameters()) == pytest.approx(count, rel=0.02)


_SSL = {"self_supervised_learning_loss": True}


def _consistency_of(model):
    return model.consistency


# --- the starting point ---------------------------------------------------------------------------


@family
@pytest.mark.parametrize("norm_type", NORMS)
def test_a_new_network_says_nothing_yet(make, shape, norm_type):
    model = make(norm_type=norm_type)

    for out in both(model, draw(7, *shape), torch.zeros(7, dtype=torch.long)):
        assert not out.reward.any()
        assert not out.value.any()
        assert not out.policy_logits.any()
        assert model.value_support.decode(out.value).abs().max() < 1e-5


def test_the_first_latents_of_vectors_are_uniform_groups():
    assert (vectors().initial_inference(draw(3, 4)).latent_state == 1 / 8).all()


@family
def test_the_reward_of_a_root_is_zero_for_good(make, shape):
    assert not awake(make()).initial_inference(draw(3, *shape)).reward.any()


# --- rows -----------------------------------------------------------------------------------------


@family
@pytest.mark.parametrize("norm_type", NORMS)
def test_a_batch_gives_what_its_rows_give_alone(make, shape, norm_type):
    model = awake(make(norm_type=norm_type)).eval()
    observation, action = draw(5, *shape), torch.tensor([0, 1, 1, 0, 1])

    together = both(model, observation, action)

    for row in range(5):
        alone = both(model, observation[row : row + 1], action[row : row + 1])
        for out, whole in zip(alone, together, strict=True):
            for part, all_rows in zip(out[:4], whole[:4], strict=True):
                assert torch.allclose(part[0], all_rows[row], atol=1e-5)


@family
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_what_the_network_is_given_stays_as_it_is(make, shape, mode):
    model = awake(make()).train(mode == "train")
    observation, action = draw(4, *shape), torch.tensor([0, 1, 1, 0])
    latent = model.initial_inference(observation).latent_state.detach()
    before = observation.clone(), latent.clone()

    model.initial_inference(observation)
    model.recurrent_inference(latent, action)

    assert torch.equal(observation, before[0])
    assert torch.equal(latent, before[1])


# --- actions --------------------------------------------------------------------------------------


@family
def test_the_action_decides_what_is_imagined(make, shape):
    model = awake(make()).eval()
    latent = model.initial_inference(draw(1, *shape)).latent_state.expand(2, *(-1,) * len(shape))

    out = model.recurrent_inference(latent, torch.tensor([0, 1]))

    assert not torch.allclose(out.latent_state[0], out.latent_state[1])


def test_an_action_enters_maps_as_one_plane_of_ones():
    model = tictactoe()
    mixed = seen_by(model.dynamics.mix)

    model.recurrent_inference(draw(2, 8, 3, 3), torch.tensor([3, 8]))

    planes = mixed[0][:, 8:]
    assert planes.shape == (2, 9, 3, 3)
    assert planes.amax((2, 3)).tolist() == nn.functional.one_hot(torch.tensor([3, 8]), 9).tolist()
    assert torch.equal(planes.amin((2, 3)), planes.amax((2, 3)))


def test_an_action_that_is_not_one_hot_enters_maps_as_one_plane_of_its_share():
    model = tictactoe(discrete_action_encoding_type="not_one_hot")
    mixed = seen_by(model.dynamics.mix)

    model.recurrent_inference(draw(2, 8, 3, 3), torch.tensor([0, 3]))

    assert mixed[0].shape == (2, 9, 3, 3)
    assert mixed[0][:, 8].mean((1, 2)).tolist() == pytest.approx([0, 3 / 9])


@pytest.mark.parametrize(
    ("encoding", "columns"),
    [("one_hot", [[0, 1, 0], [0, 0, 1]]), ("not_one_hot", [[1 / 3], [2 / 3]])],
)
def test_an_action_enters_vectors_behind_the_latent(encoding, columns):
    model = vectors(action_space_size=3, discrete_action_encoding_type=encoding)
    entered = seen_by(model.dynamics.layers)
    latent = draw(2, 32)

    model.recurrent_inference(latent, torch.tensor([1, 2]))

    assert torch.equal(entered[0][:, :32], latent)
    assert torch.allclose(entered[0][:, 32:], torch.tensor(columns, dtype=torch.float32))


@attrs.frozen(kw_only=True)
class FreeActions(MuZeroModelSettings):
    """As a policy for continuous actions declares it."""

    continuous_action_space: bool = setting(True, "Whether actions are vectors.")


@pytest.mark.parametrize("base", [MuZeroModelMLP, MuZeroModel])
def test_an_action_that_is_a_vector_enters_as_it_is(base):
    class Continuous(base):
        settings_class = FreeActions

    model = Continuous(observation_shape=(3, 3, 3), action_space_size=2, num_channels=8)
    entered = seen_by(model.dynamics.layers if base is MuZeroModelMLP else model.dynamics.mix)
    action = torch.tensor([[-0.5, 0.25], [1.0, 0.0]])

    model.recurrent_inference(model.initial_inference(draw(2, 3, 3, 3)).latent_state, action)

    behind_the_latent = entered[0].reshape(*entered[0].shape[:2], -1)[:, -2:]  # a cell at a time
    assert torch.equal(behind_the_latent, action[:, :, None].expand_as(behind_the_latent))


@family
def test_a_single_action_works(make, shape):
    model = awake(make(action_space_size=1))

    _, out = both(model, draw(2, *shape), torch.zeros(2, dtype=torch.long))

    assert out.policy_logits.shape == (2, 1)


@family
def test_a_column_of_actions_is_as_good_as_a_row(make, shape):
    model = awake(make()).eval()
    latent = model.initial_inference(draw(3, *shape)).latent_state
    action = torch.tensor([0, 1, 1])

    row = model.recurrent_inference(latent, action)
    column = model.recurrent_inference(latent, action[:, None])

    assert torch.equal(row.latent_state, column.latent_state)


# --- residuals, trunks ----------------------------------------------------------------------------


def silence(layers):
    """Make norms give 0, so that what they are part of is carried by its skip alone."""
    for layer in layers.modules():
        if isinstance(layer, (nn.LayerNorm, nn.BatchNorm2d)):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


def test_residual_dynamics_of_vectors_add_to_the_latent():
    model = vectors(norm_type="LN")
    silence(model.dynamics)
    latent = draw(3, 32)

    assert torch.equal(
        model.recurrent_inference(latent, torch.zeros(3, dtype=torch.long)).latent_state, latent
    )


def test_plain_dynamics_of_vectors_replace_the_latent_and_reward_reads_it_directly():
    model = vectors(norm_type="LN", res_connection_in_dynamics=False)
    plain, residual = (
        sum(isinstance(layer, Dense) for layer in m.reward.modules()) for m in (model, vectors())
    )

    out = model.recurrent_inference(draw(3, 32), torch.zeros(3, dtype=torch.long))

    assert out.latent_state.min() == 0  # what an activation gives
    assert (plain, residual) == (1, 3)


def test_dynamics_of_maps_carry_the_latent_whatever_the_setting():
    model = tictactoe(res_connection_in_dynamics=False)
    silence(model.dynamics)
    latent = draw(3, 8, 3, 3)

    out = model.recurrent_inference(latent, torch.zeros(3, dtype=torch.long))

    assert torch.equal(out.latent_state, latent.clamp_min(0))


@pytest.mark.parametrize("count", [1, 3])
def test_residual_blocks_are_as_many_as_set_in_each_part(count):
    model = tictactoe(num_res_blocks=count)

    assert len(model.representation) == 1 + count
    assert len(model.dynamics.blocks) == count
    assert len(model.prediction.trunk) == count


@pytest.mark.parametrize(
    ("norm_type", "kind"), [("BN", nn.BatchNorm2d), ("LN", nn.LayerNorm), ("GN", nn.GroupNorm)]
)
def test_the_norm_that_is_set_is_the_only_one_used(norm_type, kind):
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
    used = {
        type(layer)
        for layer in tictactoe(norm_type=norm_type).modules()
        if isinstance(layer, norms)
    }

    assert used - {nn.BatchNorm1d} == {kind}
    assert (nn.BatchNorm1d in used) == (norm_type == "BN")  # in the heads


# --- what keeps latents in range ------------------------------------------------------------------


def group_sums(latent):
    return latent.view(len(latent), latent.shape[1] // 8, 8, -1).sum(2)


@family
@pytest.mark.parametrize("everywhere", [False, True])
def test_simnorm_follows_the_representation_and_if_set_the_dynamics(make, shape, everywhere):
    model = awake(make(use_sim_norm=True, simnorm_dynamics=everywhere))

    root, after = both(model, draw(3, *shape), torch.zeros(3, dtype=torch.long))

    ones = torch.ones(())
    assert torch.allclose(group_sums(root.latent_state), ones)
    assert torch.allclose(group_sums(after.latent_state), ones) == everywhere


@family
def test_without_a_setting_vectors_have_simnorm_and_maps_have_not(make, shape):
    latent = awake(make()).initial_inference(draw(3, *shape)).latent_state

    assert torch.allclose(group_sums(latent), torch.ones(())) == (make is vectors)


def test_simnorm_can_be_switched_off():
    assert not vectors(use_sim_norm=False).initial_inference(draw(3, 4)).latent_state.any()


@family
def test_state_norm_stretches_every_latent_from_zero_to_one(make, shape):
    model = awake(make(state_norm=True))

    for out in both(model, draw(3, *shape), torch.zeros(3, dtype=torch.long)):
        assert torch.equal(out.latent_state.flatten(1).amin(1), torch.zeros(3))
        assert torch.equal(out.latent_state.flatten(1).amax(1), torch.ones(3))


def test_constant_latents_survive_state_norm():
    out = vectors(state_norm=True, use_sim_norm=False).initial_inference(draw(3, 4))

    assert not out.latent_state.any()  # zero before and after, not NaN


@family
def test_the_reward_is_read_before_the_latent_is_normed(make, shape):
    plain = awake(make(norm_type="LN"))
    scaled = make(norm_type="LN", state_norm=True)
    scaled.load_state_dict(plain.state_dict())
    latent = plain.initial_inference(draw(3, *shape)).latent_state
    action = torch.zeros(3, dtype=torch.long)

    one, other = (m.recurrent_inference(latent, action) for m in (plain, scaled))

    assert torch.equal(one.reward, other.reward)
    assert not torch.allclose(one.value, other.value)


def test_norms_around_simnorm_can_be_watched_at_no_cost_to_others():
    model = awake(vectors(analysis_sim_norm=True))

    latent = model.initial_inference(draw(3, 4)).latent_state

    assert model.probe.after.item() == pytest.approx(latent.norm(dim=1).mean().item(), rel=1e-5)
    assert model.probe.before > model.probe.after
    assert vectors().probe is None
    assert not any(layer._forward_hooks for layer in vectors().modules())


# --- supports -------------------------------------------------------------------------------------


def test_the_scale_of_the_supports_sets_the_width_of_the_heads():
    out = vectors(support_scale=300).initial_inference(draw(2, 4))

    assert out.value.shape == out.reward.shape == (2, 601)


@family
def test_without_categories_heads_give_the_number_itself(make, shape):
    model = awake(make(categorical_distribution=False))

    _, out = both(model, draw(3, *shape), torch.zeros(3, dtype=torch.long))

    assert out.value.shape == out.reward.shape == (3, 1)
    assert torch.equal(model.value_support.decode(out.value), out.value[:, 0])


# --- learning -------------------------------------------------------------------------------------


def documented_losses(model, observation, steps=2):
    """Sum something of every head over a short unroll, and the consistency of both sides."""
    out = model.initial_inference(observation)
    action = torch.arange(len(observation)) % 2
    total = out.value.square().mean() + out.policy_logits.square().mean()
    for _ in range(steps):
        out = model.recurrent_inference(out.latent_state, action)
        total = total + sum(
            part.square().mean() for part in (out.value, out.reward, out.policy_logits)
        )
        seen = model.project(model.initial_inference(observation).latent_state, with_grad=False)
        total = total + (model.project(out.latent_state, with_grad=True) - seen).square().mean()
    return total


@family
@pytest.mark.parametrize("norm_type", NORMS)
@pytest.mark.parametrize("given", [{}, {"res_connection_in_dynamics": False}, {"state_norm": True}])
def test_the_losses_reach_every_weight(make, shape, norm_type, given):
    model = awake(
        make(
            norm_type=norm_type,
            self_supervised_learning_loss=True,
            proj_hid=16,
            proj_out=16,
            pred_hid=8,
            pred_out=16,
            **given,
        )
    )

    documented_losses(model, draw(7, *shape)).backward()

    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if not (name.endswith("bias") and in_front_of_batchnorm(name, norm_type)):
            assert parameter.grad.abs().sum() > 0, name


def in_front_of_batchnorm(name, norm_type):
    """Whether a bias may be there, which BatchNorm takes out with the mean."""
    return norm_type == "BN" or name.startswith("consistency")


@family
def test_a_new_network_learns_from_its_silent_start(make, shape):
    model = make(norm_type="LN")
    observation, action = draw(16, *shape), torch.arange(16) % 2
    wanted = observation.flatten(1)[:, 0]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)

    def loss():
        _, out = both(model, observation, action)
        return -(model.value_support.encode(wanted) * out.value.log_softmax(-1)).sum(-1).mean()

    before = loss().item()
    for _ in range(60):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    assert before == pytest.approx(math.log(21), rel=1e-4)  # uniform over the bins
    assert loss().item() < 0.6 * before


def test_the_consistency_heads_have_the_widths_set():
    model = tictactoe(**_SSL, proj_hid=10, proj_out=6, pred_hid=4, pred_out=6)

    assert model.consistency.projector[1].weight.shape == (10, 72)
    assert model.project(draw(5, 8, 3, 3), with_grad=True).shape == (5, 6)
    assert not model.project(draw(5, 8, 3, 3), with_grad=False).requires_grad


def test_without_the_consistency_loss_there_are_no_heads_for_it():
    with pytest.raises(AssertionError, match="self_supervised_learning_loss is off"):
        vectors().project(draw(2, 32), with_grad=True)


# --- copies ---------------------------------------------------------------------------------------


@family
def test_weights_come_back_from_a_state_dict(make, shape):
    model = awake(make())
    both(model, draw(7, *shape), torch.zeros(7, dtype=torch.long))  # moves BatchNorm's statistics
    twin = awake(make())

    twin.load_state_dict(model.state_dict())

    observation, action = draw(3, *shape), torch.zeros(3, dtype=torch.long)
    ours, theirs = (both(m.eval(), observation, action) for m in (model, twin))
    assert all(torch.equal(a, b) for a, b in zip(ours[1][:4], theirs[1][:4], strict=True))
    assert not any("bins" in name or "table" in name for name in model.state_dict())


@family
def test_a_copy_answers_alike_and_shares_no_weight(make, shape):
    model = awake(make()).eval()
    target = deepcopy(model)
    observation, action = draw(3, *shape), torch.zeros(3, dtype=torch.long)
    before = both(target, observation, action)[1].value

    awake(model)

    assert torch.equal(both(target, observation, action)[1].value, before)
    assert not torch.equal(both(model, observation, action)[1].value, before)


# --- settings -------------------------------------------------------------------------------------


class Recorded:
    """Settings that remember which of them were asked for."""

    def __init__(self, settings):
        self.settings, self.read = settings, set()

    def __getattr__(self, name):
        self.read.add(name)
        return getattr(self.settings, name)


def settings_read(base, given):
    record = Recorded(MuZeroModelSettings.of(given))

    class Spied(base):
        settings_class = type("Spy", (), {"of": staticmethod(lambda _: record)})

    Spied(**given)
    return record.read


ELSEWHERE = {  # for the policy and the environment, or without effect
    "model_type",
    "context_length_init",
    "image_channel",
    "bias",
    "analysis_dormant_ratio",
    "harmony_balance",
    "name",
    "reward_support_size",
    "value_support_size",
}


@pytest.mark.parametrize(
    ("base", "shape", "unused"),
    [
        (
            MuZeroModel,
            (3, 3, 3),
            {"frame_stack_num", "latent_state_dim", "res_connection_in_dynamics"},
        ),
        (MuZeroModelMLP, 4, {"num_res_blocks", "num_channels", "downsample"}),
    ],
)
def test_each_family_reads_every_setting_but_those_it_lists(base, shape, unused):
    given = {"observation_shape": shape, "action_space_size": 2, **_SSL}

    read = settings_read(base, given)

    assert set(attrs.fields_dict(MuZeroModelSettings)) - read == ELSEWHERE | unused


def test_the_whole_table_of_the_settings_is_accepted():
    table = MuZeroModelSettings.of({"observation_shape": 4, "action_space_size": 2})

    assert MuZeroModelMLP(**table).initial_inference(draw(2, 4)).latent_state.shape == (2, 256)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: vectors(latent_dim=3), ConfigError, "latent_dim"),
        (
            lambda: vectors(action_space_size=None),
            ConfigError,
            "action_space_size is not set; a run",
        ),
        (
            lambda: vectors(latent_state_dim=12),
            ShapeError,
            "does not divide 12. Use a multiple of 8",
        ),
        (lambda: maps(4), ConfigError, r"is \(4,\); maps need \(channels, height, width\)"),
        (lambda: MuZeroModel(observation_shape=4, action_space_size=2), ConfigError, "is 4; maps"),
        (lambda: tictactoe(downsample=True), ShapeError, "shrink to maps of 1x1"),
    ],
)
def test_what_cannot_work_is_refused_with_a_remedy(make, error, message):
    with pytest.raises(error, match=message):
        make()
