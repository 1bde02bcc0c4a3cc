"""How long an import of a plugin's may take: as long as it likes, unless whoever asks says less."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import attrs


@attrs.frozen
class _Patience:
    seconds: float  # for each import
    stopped: dict[str, TimeoutError] = attrs.Factory(dict)  # by module, what its import raised


_PATIENCE: ContextVar[_Patience | None] = ContextVar("_PATIENCE", default=None)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Inside, stop each import of plugins' hooks and classes that does not end after so long.

    It raises TimeoutError, and does so at once where the same module is asked for again: whoever
    looks at many things would wait for it at each of them.
    """
    held = _Patience(seconds) if hasattr(signal, "SIGALRM") else None  # on Windows one has to wait
    before = _PATIENCE.set(held)
    try:
        yield
    finally:
        _PATIENCE.reset(before)


@contextmanager
def importing(module: str) -> Iterator[None]:
    """Hold the import of a module to the patience that there is for each, if there is a limit.

    Raises:
        TimeoutError: it took too long, now or before. It is raised again after as long once more,
            in case the import itself has caught it.
    """
    held = _PATIENCE.get()
    if held is None:
        yield
        return
    if module in held.stopped:
        raise held.stopped[module]

    def stop(*_: object) -> None:
        said = f"stopped, as its import had taken {held.seconds} seconds"
        held.stopped[module] = TimeoutError(said)
        raise held.stopped[module]

    before = signal.signal(signal.SIGALRM, stop)
    around = signal.setitimer(signal.ITIMER_REAL, held.seconds, held.seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *around)  # an import around it, or somebody else's
