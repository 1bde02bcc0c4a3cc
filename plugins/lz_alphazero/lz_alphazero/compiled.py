"""A network that torch compiles, where it can."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

Network: TypeAlias = Callable[[Tensor], Any]


def compiled(model: nn.Module, example: Tensor) -> tuple[Network, str]:
    """Compile a network, which goes on sharing its weights with `model`.

    Args:
        model: on its device.
        example: (B, *O) observations to try it with.
    Returns:
        What to call, and how that went; the model itself where it cannot be compiled.
    """
    found = torch.compile(model, dynamic=True)
    training = model.training
    try:
        with torch.inference_mode():
            model.eval()
            found(example)
    except Exception as err:  # a compiler or a header that is missing shows in many ways
        why = " ".join(str(err).split()).partition(". ")[0][:200]
        return model, f"not possible here ({type(err).__name__}: {why})"
    finally:
        model.train(training)
    return found, "in force"
