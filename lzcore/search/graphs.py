"""What a network computes on a GPU, recorded once and replayed.

A search asks about few states at a time, so starting its kernels one by one takes a GPU longer than
running them. A CUDA graph starts those of a whole call at once. Only the work on the GPU is
recorded: weights are read where they lie, so a replay sees what was learned in between.

Shape letters: B rows of a call, P rows that a recording has room for.
"""

import warnings
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

# tensors of B rows each to tensors of B rows each
Step: TypeAlias = Callable[..., tuple[Tensor, ...]]


class Recording(Protocol):
    """A step with memory of its own: reads `inputs`, writes `outputs`."""

    inputs: Sequence[Tensor]  # of P rows each
    outputs: Sequence[Tensor]

    def replay(self) -> None:
        """Compute the outputs anew."""


class Replayed:
    """A step of a network that is recorded once for each size of its inputs.

    Batches are filled up to the next of a few sizes. What cannot be recorded, such as a step that
    asks the CPU what to do next, is called as it is, after one warning.
    """

    def __init__(
        self,
        step: Step,
        module: nn.Module,
        record: Callable[[Step, Sequence[Tensor]], Recording] | None = None,
    ) -> None:
        """Record nothing yet.

        Args:
            step: what is computed; on the GPU alone, and from its inputs and the module's weights.
            module: holds the weights, in eval mode whenever this is called.
            record: makes a recording; None: a CUDA graph.
        """
        self._step = step
        self._module = module
        self._record = record or CudaGraph
        self._recordings: dict[tuple[object, ...], Recording] = {}
        self._weights: tuple[Tensor, ...] = ()
        self._places: list[int] = []  # where in memory the recordings look for the weights
        self._is_refused = False

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what the step returns, B rows each, in memory that stays the caller's.

        Args:
            inputs: of B rows each, all on the device of the module.
        """
        if self._is_refused:
            return self._step(*inputs)
        if self._places != [weight.data_ptr() for weight in self._weights]:
            self._recordings.clear()
        rows = len(inputs[0])
        recording = self._recording(room_for(rows), inputs)
        if recording is None:
            return self._step(*inputs)
        _fill(recording.inputs, inputs)
        recording.replay()
        return tuple(output[:rows].clone() for output in recording.outputs)

    def _recording(self, room: int, inputs: tuple[Tensor, ...]) -> Recording | None:
        key = (room, *((given.shape[1:], given.dtype) for given in inputs))
        if key in self._recordings:
            return self._recordings[key]
        if not self._recordings:
            self._weights = (*chain(self._module.parameters(), self._module.buffers()),)
            self._places = [weight.data_ptr() for weight in self._weights]
        held = [given.new_zeros(room, *given.shape[1:]) for given in inputs]
        _fill(held, inputs)
        try:
            self._recordings[key] = self._record(self._step, held)
        except RuntimeError as err:
            self._refuse(err)
            return None
        return self._recordings[key]

    def _refuse(self, err: RuntimeError) -> None:
        self._is_refused = True
        self._recordings.clear()
        why = " ".join(str(err).split()).partition(". ")[0][:200]
        warnings.warn(
            f"{type(self._module).__name__} cannot be recorded as a CUDA graph ({why}), and is "
            "called step by step, which is slower. record_network = false says so from the start.",
            stacklevel=4,
        )


class CudaGraph:
    """A recording of all kernels that a step starts."""

    def __init__(self, step: Step, inputs: Sequence[Tensor]) -> None:
        """Run the step twice, so that libraries get ready, and record it.

        Args:
            step: what is computed.
            inputs: (P, ...) on a GPU; every replay reads them where they are.
        Raises:
            RuntimeError: the step cannot be recorded.
        """
        self.inputs: Sequence[Tensor] = inputs
        self.outputs: Sequence[Tensor] = ()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(inputs[0].device):
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(2):
                    step(*inputs)
            torch.cuda.current_stream().wait_stream(aside)
            # other threads may go on using the GPU meanwhile
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self.outputs = step(*inputs)

    def replay(self) -> None:
        """Start all kernels at once; they run in order with what the stream does besides."""
        self._graph.replay()


def room_for(rows: int) -> int:
    """Return the first of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that is enough for so many rows."""
    power = 1 << (rows - 1).bit_length()
    less = 3 * power // 4
    return less if rows <= less else power


def _fill(held: Sequence[Tensor], inputs: Sequence[Tensor]) -> None:
    for room, given in zip(held, inputs, strict=True):
        room[: len(given)].copy_(given)
