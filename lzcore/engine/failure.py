"""What others' code raises in a run: one line for people, and the traceback where it is found."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lzcore.base.errors import EnvError, LzError, PluginError
from lzcore.registry import Registry, blamed
from lzcore.registry.faults import FAULTS

SEE = "LZ_TRACEBACK=1 shows its traceback."  # `lz` does; from Python it is always there


@contextmanager
def blaming(registry: Registry, failure: Path | None = None) -> Iterator[None]:
    """Turn what plugins of others raise inside into one line that names the distribution.

    Args:
        registry: knows whose code is whose.
        failure: where the traceback of what others' code raised is kept; None: nowhere yet.
    Raises:
        PluginError: it was a plugin; its note says where the traceback is.
    """
    try:
        yield
    except FAULTS as err:
        told = blamed(err, registry)
        if failure is not None and _from_outside(err, told or err):
            _keep(err, failure, told or err)
        elif told is not None and not isinstance(err, LzError):
            told.add_note(SEE)
        if told is None:
            raise
        raise told from err


def _from_outside(err: BaseException, told: BaseException) -> bool:
    """Whether code that is not ours raised something, which one line does not tell in full."""
    first = err.__cause__ if isinstance(err, LzError) else err
    outside = first is not None and not isinstance(first, LzError)
    return outside and isinstance(told, (EnvError, PluginError))


def _keep(err: BaseException, path: Path, told: BaseException) -> None:
    with suppress(OSError):  # of a full disk; what is to be told is something else
        path.write_text("".join(traceback.format_exception(err)), encoding="utf-8")
        told.add_note(f"Its traceback is in {path}.")
