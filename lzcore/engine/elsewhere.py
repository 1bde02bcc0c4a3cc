"""An environment id that Gymnasium does not know, and another kind may know under its prefix."""

from collections.abc import Iterator
from contextlib import contextmanager

from lzcore.base.errors import UnknownEnvError
from lzcore.registry import EnvSpec, Registry, load
from lzcore.registry.faults import FAULTS


@contextmanager
def looking_elsewhere(env_id: str, registry: Registry) -> Iterator[None]:
    """Let an error of an id that does not exist tell where it does, if it does.

    The other kinds are asked only then, since their answer costs the import of what they wrap.

    Args:
        env_id: that is looked for inside.
        registry: knows the kinds of environments.
    Raises:
        UnknownEnvError: it does not exist; of those that do the message has the full id.
    """
    try:
        yield
    except UnknownEnvError as err:
        kinds = [c.spec for c in registry.components("envs") if c.state == "ok" and c.spec.prefix]
        ids = [repr(f"{kind.prefix}/{env_id}") for kind in kinds if _knows(kind, env_id)]
        if not ids:
            raise
        raise UnknownEnvError(
            f"There is no Gymnasium environment {env_id!r}. Did you mean {' or '.join(ids)}?"
        ) from err


def _knows(kind: EnvSpec, env_id: str) -> bool:
    try:
        load(kind.env)(f"{kind.prefix}/{env_id}", 1, load(kind.config)()).close()
    except FAULTS:  # of a plugin that is asked about what may be none of its
        return False
    return True
