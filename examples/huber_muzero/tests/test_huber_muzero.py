import pytest
import torch
from huber_muzero.policy import HuberMuZeroPolicy

from lzcore.base import ConfigError
from lzcore.testing import parametrize_with_checks

SETTINGS = {"model": {"model_type": "mlp", "observation_shape": 4, "action_space_size": 2}}


@parametrize_with_checks("huber_muzero")
def test_huber_muzero_keeps_its_promises(subject, check):
    check(subject)


@parametrize_with_checks("huber-muzero", kind="plugin")
def test_the_distribution_keeps_its_promises(subject, check):
    check(subject)


def test_large_errors_count_linearly():
    policy = HuberMuZeroPolicy({**SETTINGS, "huber_delta": 2.0})
    output, target = torch.tensor([[0.0], [0.0]]), torch.tensor([1.0, 10.0])

    found = policy._head_loss(output, target, policy._model.value_support)

    assert found.tolist() == [0.5, 2.0 * (10.0 - 1.0)]  # e^2 / 2, and d (e - d / 2) beyond d


def test_it_plans_in_its_own_model():
    assert type(HuberMuZeroPolicy(SETTINGS)._model).__name__ == "HuberMuZeroModel"


def test_bins_are_refused():
    with pytest.raises(ConfigError, match="a Huber loss is one of plain numbers"):
        HuberMuZeroPolicy({"model": {**SETTINGS["model"], "categorical_distribution": True}})
