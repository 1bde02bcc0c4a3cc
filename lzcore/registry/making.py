"""Making what a component names, so that a class that does not fit is told by its name."""

from collections.abc import Callable, Sequence
from typing import Any

from lzcore.base.errors import ContractError


def made(make: Callable[..., Any], parts: Sequence[str], *given: Any, **named: Any) -> Any:
    """Call a component's class, and look whether what comes has what will be asked of it.

    Args:
        make: the class, or a function in its place.
        parts: names of the methods and attributes that a run cannot do without.
        given: handed to `make`.
        **named: handed to it too.
    Raises:
        ContractError: it takes other arguments, or what it makes lacks some parts.
    """
    try:
        found = make(*given, **named)
    except TypeError as err:
        if err.__traceback__ is None or err.__traceback__.tb_next is not None:
            raise  # from inside
        raise ContractError(make, f"cannot be made: {err}.") from err
    lacking = [part for part in parts if not hasattr(found, part)]
    if lacking:
        raise ContractError(found, f"lacks {', '.join(lacking)}; define what its protocol names.")
    return found
