"""Optimisers: which parameters decay, and how the learning rate falls."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lzcore.base import ConfigError
from lzcore.nn.optim import make_optimizer, make_scheduler, parameter_groups


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.LayerNorm(4)
        self.table = nn.Embedding(5, 4)
        self.spread = nn.Parameter(torch.ones(2, 2))


def cfg(**given):
    return SimpleNamespace(
        **{
            "optim_type": "Adam",
            "learning_rate": 0.1,
            "momentum": 0.9,
            "weight_decay": 0.5,
            "lr_piecewise_constant_decay": False,
            "threshold_training_steps_for_final_lr": 4,
            **given,
        }
    )


def test_only_weights_of_layers_decay():
    net = Net()
    decayed, rest = parameter_groups(net, 0.5)

    names = {id(p): name for name, p in net.named_parameters()}
    assert {names[id(p)] for p in decayed["params"]} == {"linear.weight", "conv.weight"}
    assert len(decayed["params"]) + len(rest["params"]) == len(names)
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.5, 0.0)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_each_optimiser_takes_its_settings(name):
    optimizer = make_optimizer(Net(), cfg(optim_type=name))

    group = optimizer.param_groups[0]
    assert type(optimizer).__name__ == name
    assert group["lr"] == 0.1
    assert group["weight_decay"] == 0.5
    assert group.get("momentum") == (0.9 if name == "SGD" else None)


def test_an_unknown_optimiser_is_refused():
    with pytest.raises(ConfigError, match="optim_type is 'Lion'; expected SGD, Adam or AdamW"):
        make_optimizer(Net(), cfg(optim_type="Lion"))


@pytest.mark.parametrize(
    ("decays", "rates"),
    [(True, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]), (False, [0.1] * 6)],
)
def test_the_learning_rate_follows_the_steps(decays, rates):
    optimizer = make_optimizer(Net(), cfg())
    scheduler = make_scheduler(optimizer, cfg(lr_piecewise_constant_decay=decays))
    found = []
    for _ in range(6):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()

    assert found == pytest.approx(rates)
