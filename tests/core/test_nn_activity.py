"""A probe finds the neurons of a network that stay silent."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from lzcore.base.errors import ConfigError
from lzcore.nn import ActivityProbe, Style, mlp, res_blocks


class Given(nn.ReLU):
    """A layer of neurons whose activity is what comes in."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def share(*passes: list, threshold: float = 0.1) -> float:
    layer = Given()
    probe = ActivityProbe(layer, threshold)
    for states in passes:
        layer(torch.tensor(states))
    return probe.take().item()


def test_a_neuron_is_dormant_up_to_the_threshold_times_the_mean_of_its_layer():
    # activities 0.2, 1, 3 and 3.8 over two states, whose mean is 2
    states = [[0.0, 1.0, -3.0, 3.8], [0.4, 1.0, 3.0, 3.8]]

    assert share(states, threshold=0.09) == 0.0
    assert share(states, threshold=0.11) == 0.25
    assert share(states, threshold=0.6) == 0.5


def test_a_layer_that_says_nothing_is_dormant_altogether():
    assert share([[0.0, 0.0]]) == 1.0


def test_a_channel_is_one_neuron_and_its_cells_are_averaged():
    maps = torch.zeros(2, 2, 3, 3)
    maps[:, 0] = 1.0
    maps[0, 1, 1, 1] = 9.0  # a mean of 0.5 over states and cells

    assert share(maps.tolist(), threshold=0.6) == 0.0
    assert share(maps.tolist(), threshold=0.7) == 0.5


def test_all_passes_since_the_last_look_count_together():
    layer = Given()
    probe = ActivityProbe(layer, 0.1)
    for states in ([[0.0, 2.0]], [[2.0, 2.0]]):
        layer(torch.tensor(states))

    assert probe.take().item() == 0.0
    layer(torch.tensor([[0.0, 2.0]]))
    assert probe.take().item() == 0.5
    assert probe.take().item() == 0.0  # nothing was seen


def test_the_neurons_of_all_layers_are_counted_together():
    network = nn.Sequential(*mlp(3, [4, 2], 5, Style("LN")), nn.ReLU())
    with torch.no_grad():
        network[1].norm.bias.fill_(-100.0)  # of two neurons, which go silent
        network[2].bias.fill_(1.0)
    probe = ActivityProbe(network, 0.0)
    network(torch.ones(6, 3))

    silent = (network[0](torch.ones(6, 3)).abs().mean(0) == 0).sum().item()
    probe.take()
    network(torch.ones(6, 3))
    assert probe.take().item() == pytest.approx((silent + 2) / (4 + 2 + 5))


def test_blocks_of_maps_are_watched_at_both_activations():
    blocks = nn.Sequential(*res_blocks(1, 4, (3, 3), Style("GN")))
    probe = ActivityProbe(blocks, 0.0)
    with torch.no_grad():
        blocks[0].first.norm.bias.fill_(-100.0)  # 4 of 8 neurons
    blocks(torch.ones(2, 4, 3, 3))

    assert probe.take().item() == pytest.approx(0.5)


def test_passes_without_gradients_leave_it_alone():
    layer = Given()
    probe = ActivityProbe(layer, 0.1)
    with torch.no_grad():
        layer(torch.zeros(1, 2))

    assert probe.take().item() == 0.0


def test_the_copy_of_a_probed_network_leaves_the_probe_alone():
    layer = Given()
    probe = ActivityProbe(layer, 0.1)
    deepcopy(layer)(torch.zeros(1, 2))

    assert probe.take().item() == 0.0


def test_a_network_without_activations_has_nothing_to_watch():
    with pytest.raises(ConfigError, match=r"Linear has no layer .* set cal_dormant_ratio to false"):
        ActivityProbe(nn.Linear(2, 2), 0.1)
