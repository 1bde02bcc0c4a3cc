"""From ids such as corridor/9 to batches of environments."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from corridor_env.corridor import Corridor
from lzcore.base import UnknownEnvError
from lzcore.envs import GymEnv, GymSettings


class CorridorEnv(GymEnv):
    """A batch of corridors, as long as their id says."""

    def __init__(
        self,
        make_id: str,
        num_envs: int,
        settings: GymSettings | Mapping[str, Any] | None = None,
    ) -> None:
        """Make the environments.

        Args:
            make_id: such as "corridor/9".
            num_envs: how many.
            settings: the `env` table, or some of its keys.
        Raises:
            UnknownEnvError: the id names no length.
        """
        length = make_id.removeprefix("corridor/")
        if not length.isdecimal() or not 2 <= int(length) <= 1000:
            raise UnknownEnvError(
                f"There is no environment {make_id!r}; expected a length from 2 to 1000, as in "
                "corridor/9."
            )
        super().__init__(partial(Corridor, int(length)), num_envs, settings)
