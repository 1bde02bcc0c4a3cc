"""Plain data and tensors: all that a checkpoint may hold.

What is read back with torch's `weights_only` runs no code, and it knows no NumPy; arrays travel as
tensors with a mark.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lzcore.base.errors import CheckpointError

_ARRAY = "__numpy__"  # the only key of a dict that stands for an array
_TABLES = (dict, OrderedDict, Counter)
_ATOMS = (bool, int, float, str, bytes, torch.Tensor)


def to_plain(value: Any, path: str = "state") -> Any:
    """Return `value` with arrays as marked tensors, ready for torch.save.

    Args:
        value: nested dicts, lists and tuples of numbers, text, None, tensors and arrays.
        path: what messages call it.
    Raises:
        CheckpointError: something else is in it; the message says where.
    """
    if value is None or type(value) in _ATOMS or isinstance(value, torch.Tensor):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        contiguous = np.require(value, requirements=["C", "W"])
        return {_ARRAY: torch.from_numpy(contiguous)}
    if type(value) in _TABLES:
        items = {key: to_plain(inner, f"{path}[{key!r}]") for key, inner in value.items()}
        return type(value)(items)
    if type(value) in (list, tuple, torch.Size):
        parts = [to_plain(inner, f"{path}[{i}]") for i, inner in enumerate(value)]
        return parts if isinstance(value, list) else tuple(parts)
    raise CheckpointError(
        f"{path} is a {type(value).__module__}.{type(value).__qualname__}; a checkpoint holds "
        "only tensors, numeric arrays, numbers, text, None and dicts, lists or tuples of them. "
        "Return those from state_dict."
    )


def from_plain(value: Any) -> Any:
    """Undo `to_plain`."""
    if isinstance(value, Mapping):
        if value.keys() == {_ARRAY}:
            return value[_ARRAY].numpy()
        return type(value)({key: from_plain(inner) for key, inner in value.items()})  # type: ignore[call-arg]
    if isinstance(value, (list, tuple)):
        return type(value)(from_plain(inner) for inner in value)
    return value


def loosely(value: Any) -> Any:
    """Return what can be kept of any value for a person to look at: the rest becomes text."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(key): loosely(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [loosely(inner) for inner in value]
    if isinstance(value, torch.Tensor):
        return value.detach()
    try:
        return to_plain(value)
    except CheckpointError:
        return repr(value)
