"""A network made fast: with shorter numbers, and compiled where torch can.

Shape letters: B positions, A actions, F one observation.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

# (B, *F) observations to policy logits (B, A) and values (B, 1), float32
Network: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]


def in_bfloat16(network: Network, device: torch.device) -> Network:
    """Multiply with eight bits of mantissa, where torch.autocast finds that safe.

    Args:
        network: whose weights stay float32, and learn as such.
        device: where it is.
    Returns:
        What to call instead; it takes and returns float32.
    """

    def shorter(observation: Tensor) -> tuple[Tensor, Tensor]:
        if observation.dim() == 4:  # the order that such products work in
            observation = observation.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            logits, value = network(observation)
        return logits.float(), value.float()

    return shorter


def compiled(network: Network, model: nn.Module, example: Tensor) -> tuple[Network, str]:
    """Compile a network.

    Args:
        network: what is called.
        model: holds its weights, which it goes on sharing, on its device.
        example: (B, *F) observations to try it with.
    Returns:
        What to call, and how that went; the network itself where it cannot be compiled.
    """
    found = torch.compile(network, dynamic=True)
    training = model.training
    try:
        with torch.inference_mode():
            model.eval()
            found(example)
    except Exception as err:  # a compiler or a header that is missing shows in many ways
        why = " ".join(str(err).split()).partition(". ")[0][:200]
        return network, f"not possible here ({type(err).__name__}: {why})"
    finally:
        model.train(training)
    return found, "in force"
