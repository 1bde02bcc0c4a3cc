"""Gradients of a joint batch, each rank having computed its share of it.

The mean over the ranks of the gradients of their means is the gradient of the joint mean, as all
shares are equally large. A parameter without gradient on some rank counts as zero there, and so
has a gradient on all of them; ranks therefore never wait for a message that nobody sends.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lzcore.base.ranks import listening, require_group

Learning: TypeAlias = nn.Module | Iterable[nn.Parameter]  # a model, or parameters without one


class GradientMean:
    """Gives parameters the same start on every rank, and averages their gradients."""

    def __init__(self) -> None:
        self._overlaps: dict[nn.Parameter, Overlap] = {}

    @torch.no_grad()
    def begin(self, learning: Learning, *, overlap: bool) -> None:
        """Take over rank 0's values, and set gradients to zero.

        Args:
            learning: what one backward reaches; of a module the buffers too.
            overlap: exchange gradients while backward goes on, not after it.
        Raises:
            RankError: there is no process group, or another rank has ended.
        """
        require_group()
        parameters = parameters_of(learning)
        for tensor in _tensors_of(learning):
            with listening():
                dist.broadcast(tensor.detach(), src=0)
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        if overlap:
            self._overlaps |= dict.fromkeys(parameters, Overlap(parameters))

    @torch.no_grad()
    def finish(self, learning: Learning) -> None:
        """Replace gradients, after backward, by their means over the ranks.

        Raises:
            RankError: there is no process group, or another rank has ended.
        """
        require_group()
        parameters = parameters_of(learning)
        for overlap in dict.fromkeys(self._overlaps[p] for p in parameters if p in self._overlaps):
            overlap.finish()
        average([p for p in parameters if p not in self._overlaps])


def parameters_of(learning: Learning) -> list[nn.Parameter]:
    """Return the parameters that have gradients, in their order."""
    found = learning.parameters() if isinstance(learning, nn.Module) else learning
    return [parameter for parameter in found if parameter.requires_grad]


def _tensors_of(learning: Learning) -> list[Tensor]:
    if isinstance(learning, nn.Module):
        return [*learning.parameters(), *learning.buffers()]
    return list(learning)


def average(parameters: Sequence[nn.Parameter]) -> None:
    """Replace gradients by their means over the ranks, in one message."""
    if not parameters:
        return
    gradients = [_gradient(parameter) for parameter in parameters]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    with listening():
        dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


class Overlap:
    """Sends each gradient once backward is done with it, in one order on every rank.

    Backward reaches the last layers first, so that is the order. A gradient that is ready early
    waits for those before it: then it does not matter which parameters a rank's loss reached.
    One backward only, then `finish`.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._order = parameters[::-1]
        self._ready: set[int] = set()  # places in that order
        self._sent: list[dist.Work] = []
        for place, parameter in enumerate(self._order):
            hook = partial(self._note, place)
            parameter.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]

    def _note(self, place: int, _: Tensor) -> None:
        self._ready.add(place)
        while len(self._sent) in self._ready:
            self._send()

    def _send(self) -> None:
        gradient = _gradient(self._order[len(self._sent)])
        with listening():
            self._sent.append(dist.all_reduce(gradient, async_op=True))

    def finish(self) -> None:
        """Send what is left, wait for all, and divide the sums."""
        while len(self._sent) < len(self._order):
            self._send()
        for parameter, work in zip(self._order, self._sent, strict=True):
            with listening():
                work.wait()
            _gradient(parameter).div_(dist.get_world_size())
        self._ready.clear()
        self._sent.clear()


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad
