"""What a network computes, recorded once and replayed: the way that fits its device."""

import torch
from torch import nn

from lzcore.search.graphs import Replayed, Step
from lzcore.search.traced import Traced


def recorded(step: Step, module: nn.Module, device: torch.device) -> Step:
    """Return what to call in place of a step: a trace on a CPU, a CUDA graph on a GPU.

    Args:
        step: what is computed, from its inputs and the module's weights alone.
        module: holds the weights, in eval mode whenever the step is called.
        device: where they are; what is computed elsewhere is called as it is.
    """
    if device.type == "cpu":
        return Traced(step, module)
    return Replayed(step, module) if device.type == "cuda" else step
