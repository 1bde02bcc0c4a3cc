"""State dicts that outlive the device they were made on."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def on_cpu(state: Any) -> Any:
    """Copy nested plain data, with every tensor in host memory and shared with nobody."""
    if isinstance(state, Tensor):
        return state.detach().cpu().clone()
    if isinstance(state, Mapping):
        return {key: on_cpu(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(on_cpu(value) for value in state)
    return state


def need(state: Mapping[str, Any], name: str) -> Any:
    """Return an entry that must be there.

    Raises:
        RuntimeError: it is missing; the message says what there is.
    """
    if name not in state:
        raise RuntimeError(f"The state has no {name!r}; it has {sorted(state)}.")
    return state[name]
