"""Randomness that is passed in: one run seed, spread to named streams.

A stream is a 64-bit key. Numbers are a pure function of (key, counters), so what an environment
draws does not depend on which others are ready, on their order, or on threads. The mixer is
splitmix64 (Steele, Lea, Flood, OOPSLA 2014), which the C++ tree computes with the same bits.

Shape letters: N streams drawn from together.
"""

import zlib
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Seeds: TypeAlias = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def stream_key(run_seed: int, purpose: str) -> int:
    """Return the 64-bit key of one purpose ("collect", "env", "torch", ...) of a run.

    Args:
        run_seed: the seed of the run, any non-negative integer.
        purpose: a short name; different names give independent streams.
    """
    sequence = np.random.SeedSequence(run_seed, spawn_key=(zlib.crc32(purpose.encode()),))
    return int(sequence.generate_state(1, np.uint64)[0])


def derive_seed(key: int | Seeds, *counters: npt.ArrayLike) -> Seeds:
    """Mix counters into a key one after another, such as iteration, env_id and move.

    Args:
        key: a scalar or (N,) uint64.
        counters: non-negative integers, scalars or (N,), broadcast against each other.
    Returns:
        (N,) uint64, or a 0-d array when everything is scalar.
    """
    state = np.asarray(key, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for counter in counters:
            state = _splitmix(state ^ _splitmix(np.asarray(counter).astype(np.uint64)))
    return state


def uniform(seeds: Seeds, *counters: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Draw from [0, 1) with 53 random bits, one number for each mixed seed."""
    return (derive_seed(seeds, *counters) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def open_uniform(seeds: Seeds, *counters: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Draw from (0, 1), neither end included, with 52 random bits: safe to take logarithms of."""
    bits = derive_seed(seeds, *counters) >> np.uint64(12)
    return (bits.astype(np.float64) + 0.5) * 2.0**-52


def generator(key: int, *counters: int) -> np.random.Generator:
    """Return a NumPy generator for draws that no other stream may share or disturb."""
    return np.random.Generator(np.random.PCG64(int(derive_seed(key, *counters))))


def _splitmix(x: Seeds) -> Seeds:
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


class Stream:
    """Seeds for decisions: one number per (iteration, environment, decision in that iteration).

    `begin(iteration)` restarts the counters, so collection of iteration i draws the same numbers
    whether the run was stopped before it or not.
    """

    def __init__(self, key: int) -> None:
        self._key = key
        self._iteration = 0
        self._moves: dict[int, int] = {}

    def begin(self, iteration: int) -> None:
        """Start iteration `iteration`: every environment counts its decisions from 0 again."""
        self._iteration = iteration
        self._moves.clear()

    def next(self, env_id: npt.NDArray[np.int64]) -> Seeds:
        """Return (N,) fresh seeds, one for the next decision of each environment."""
        moves = [self._moves.get(i, 0) for i in env_id.tolist()]
        self._moves.update((i, m + 1) for i, m in zip(env_id.tolist(), moves, strict=True))
        return derive_seed(self._key, self._iteration, env_id, np.asarray(moves, dtype=np.uint64))

    def state_dict(self) -> dict[str, object]:
        """Return plain data that `load_state_dict` restores the stream from."""
        return {"iteration": self._iteration, "moves": dict(self._moves)}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Continue exactly where the stream that wrote `state` stood."""
        self._iteration = int(state["iteration"])  # type: ignore[call-overload]
        self._moves = {int(k): int(v) for k, v in dict(state["moves"]).items()}  # type: ignore[call-overload]
