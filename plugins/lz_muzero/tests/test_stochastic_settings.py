"""Every setting that is Stochastic MuZero's own changes something."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lz_muzero.config import MuZeroConfig
from lz_muzero.config_variants import StochasticMuZeroConfig, StochasticMuZeroModelSettings

from lzcore.base.config import Only
from lzcore.base.structure import paths_of

K, M = 3, 4  # unroll steps, outcomes
LABELS = {"use_ture_chance_label_in_chance_encoder": True}
SSL = {"model": {"self_supervised_learning_loss": True}, "ssl_loss_weight": 2.0}
GAME = "lz_muzero.games:Small2048-v0"
TOLD = json.loads((Path(__file__).parent / "documented_monitor_names.json").read_text())[
    "stochastic_muzero"
]


@pytest.fixture
def make(make_stochastic):
    return make_stochastic


def rows(*given):
    return torch.tensor(given, dtype=torch.float32)


# --- the settings ---------------------------------------------------------------------------------

CHECKS = {}


def changes(*paths):
    """Enter a check of settings, called as check(kit, path)."""

    def enter(check):
        CHECKS.update(dict.fromkeys(paths, check))
        return check

    return enter


@pytest.fixture
def kit(make, sampled, step, make_episode):
    return SimpleNamespace(make=make, sampled=sampled, step=step, episode=make_episode)


def declared():
    """Settings that MuZero has not, or with another default or meaning, or refuses."""

    def facts(field):
        return field and (field.default, field.metadata, isinstance(field.validator, Only))

    theirs = paths_of(MuZeroConfig)
    for path, ours in paths_of(StochasticMuZeroConfig).items():
        known = path in ("model", "model.model_type") or isinstance(ours.validator, Only)
        if facts(ours) != facts(theirs.get(path)) and not known:
            yield path


@pytest.mark.parametrize("path", list(declared()))
def test_a_setting_of_the_variant_changes_what_it_should(path, kit):
    assert path in CHECKS, f"{path} is read by something, but no check says what it changes"
    CHECKS[path](kit, path)


def test_every_check_is_of_a_setting_of_the_variant():
    assert sorted(CHECKS) == sorted(declared())


@changes("model.chance_space_size")
def _(kit, _):
    assert StochasticMuZeroModelSettings().chance_space_size == 2
    policy = kit.make({"model": {"chance_space_size": 7}})
    assert policy._tree_spec(8).num_chance_outcomes == 7
    assert policy._model.chance_encoding.width == 7


@changes("chance_select")
def _(kit, _):
    assert kit.make(chance_select="sample")._tree_spec(8).draws
    assert not kit.make()._tree_spec(8).draws


@changes("use_ture_chance_label_in_chance_encoder")
def _(kit, _):
    assert len(kit.sampled(kit.make(LABELS))[0]) == 7
    assert len(kit.sampled(kit.make())[0]) == 6


@changes("center_codes")
def _(kit, path):
    def met(centered):
        policy = kit.make({path: centered}, analyze_chance_distribution=True)
        with torch.no_grad():
            policy._model.chance_encoder[-1].bias[2] += 100.0  # one score beats all others
        told = kit.step(policy)
        return [told[f"chance_share/{m}"] for m in range(M)]

    assert met(False) == [0.0, 0.0, 1.0, 0.0]
    assert max(met(True)) < 0.9


@changes("analyze_chance_distribution")
def _(kit, _):
    policy = kit.make(LABELS, analyze_chance_distribution=True)
    current, target = kit.sampled(policy)
    told = policy.learn_mode.forward([current, target])
    met = current.chance[current.mask[:, :K] == 1]

    shares = [told[f"chance_share/{m}"] for m in range(M)]
    assert shares == pytest.approx((np.bincount(met, minlength=M) / len(met)).tolist())
    assert policy.learn_mode.monitor_vars() == [*TOLD, *(f"chance_share/{m}" for m in range(M))]


@changes("afterstate_policy_loss_weight", "afterstate_value_loss_weight", "commitment_loss_weight")
def _(kit, path):
    low, high = (kit.step(kit.make({path: weight})) for weight in (1.0, 3.0))
    expected = 2.0 * low[path.removesuffix("_weight")]

    assert expected > 0
    assert high["total_loss"] - low["total_loss"] == pytest.approx(expected, rel=1e-3)


@changes("update_per_collect")
def _(kit, _):
    assert kit.make().loop_settings().update_per_collect == 100
    assert kit.make(update_per_collect=7).loop_settings().update_per_collect == 7


@changes("use_priority")
def _(kit, _):
    assert kit.make().replay_settings().use_priority
    assert not kit.make(use_priority=False).replay_settings().use_priority


@changes("use_max_priority_for_new_data")
def _(kit, path):
    plain, by_error = kit.make(), kit.make({path: False})
    segment = kit.episode(plain, 1, 6, terminated=True)

    assert plain.initial_priority(segment) is None
    assert by_error.initial_priority(segment).shape == (6,)


@changes("optim_type")
def _(kit, _):
    assert type(kit.make(optim_type="SGD")._optimizer).__name__ == "SGD"


@changes("learning_rate")
def _(kit, _):
    assert kit.make(learning_rate=0.5)._optimizer.param_groups[0]["lr"] == 0.5


@changes("lr_piecewise_constant_decay")
def _(kit, path):
    given = {path: True, "threshold_training_steps_for_final_lr": 2}

    assert kit.step(kit.make(given), 3)["cur_lr"] < kit.step(kit.make(), 3)["cur_lr"]
