"""What a network computes on a CPU, traced once and run without Python.

For the few states that a search asks about, half the time of a small network is Python's way from
layer to layer. A trace is the same chain of the same operations, so it gives the same numbers bit
for bit; it is made with TorchScript, and where that is not to be had, nothing changes but the time.

Shape letters: B rows of a call.
"""

import warnings
from typing import TypeAlias

import torch
from torch import Tensor, nn

from lzcore.search.graphs import Step

WORTH = 1000  # calls after which a trace is made: about as many as take as long as making it
CHECKED_SIZES = 8  # so many sizes of batches are tried before a trace is trusted with any
RUNS = 3  # TorchScript watches two runs before it settles how to go on
AGAIN = 1000  # every so many calls a trace is compared once more

# shapes and dtypes of the inputs
Kind: TypeAlias = tuple[tuple[torch.Size, torch.dtype], ...]


class Traced:
    """A step of a network that runs from a trace, wherever that answers what the step answers.

    It is traced when it has been called a number of times. A step that looks at numbers, to decide
    what to do next, is called as it is; so is one whose trace is found to answer otherwise. Where
    the trace had been believed before, a warning says so.
    """

    def __init__(self, step: Step, module: nn.Module) -> None:
        """Trace nothing yet.

        Args:
            step: what is computed, from its inputs and the module's weights alone.
            module: holds the weights, in eval mode whenever this is called.
        """
        self._step = step
        self._module = module
        self._calls: dict[Kind, int] = {}  # by what a row looks like
        self._programs: dict[Kind, Step | None] = {}  # None: refused
        self._sizes: dict[Kind, set[int]] = {}  # of batches for which a trace has been checked

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what the step returns.

        Args:
            inputs: of B rows each.
        """
        kind = tuple([(given.shape[1:], given.dtype) for given in inputs])
        calls = self._calls[kind] = self._calls.get(kind, 0) + 1
        if calls <= WORTH:
            return self._step(*inputs)
        if kind not in self._programs:
            self._programs[kind], self._sizes[kind] = self._trace(inputs), set()
        program, sizes = self._programs[kind], self._sizes[kind]
        if program is None:
            return self._step(*inputs)
        rows = len(inputs[0])
        if calls % AGAIN and (rows in sizes or len(sizes) >= CHECKED_SIZES):
            return program(*inputs)
        # copies: an answer may be a part of an input, where the program would write its own
        found = tuple([answer.clone() for answer in self._step(*inputs)])
        if _agrees(program, inputs, found, runs=1 if sizes else RUNS):
            sizes.add(rows)
        else:
            self._refuse(kind, rows in sizes or len(sizes) >= CHECKED_SIZES)
        return found

    def _refuse(self, kind: Kind, was_believed: bool) -> None:
        self._programs[kind] = None
        if was_believed:
            warnings.warn(
                f"{type(self._module).__name__} answers otherwise than when it was recorded, and "
                "is called as it is from now on. In eval mode its answers have to follow from "
                "weights and arguments alone; record_network = false always calls it as it is.",
                stacklevel=3,
            )

    def _trace(self, inputs: tuple[Tensor, ...]) -> Step | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # a step that depends on numbers may be another next time; sizes are checked later
            warnings.simplefilter("error", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            warnings.filterwarnings("ignore", "Using len")
            try:
                holder = _Holder(self._step, self._module)
                return torch.jit.trace(holder, inputs, check_trace=False)  # type: ignore
            except Exception:  # it fails in many ways, or is gone from torch
                return None


class _Holder(nn.Module):
    """A module whose forward is the step, as a trace is one of a module."""

    def __init__(self, step: Step, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.step = step
        self.training = module.training

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self.step(*inputs)


def _agrees(
    program: Step, inputs: tuple[Tensor, ...], wanted: tuple[Tensor, ...], runs: int
) -> bool:
    """Whether a trace answers the same, bit for bit."""
    try:
        answers = [program(*inputs) for _ in range(runs)]
    except RuntimeError:  # such as a size that it has taken for a constant
        return False
    return all(
        len(found) == len(wanted) and all(map(torch.equal, found, wanted)) for found in answers
    )
