"""What this distribution brings: ids such as corridor/9."""

from lzcore.registry import EnvSpec, hookimpl

LZ_API = 1


@hookimpl
def lz_register_envs() -> list[EnvSpec]:
    """Corridors."""
    return [
        EnvSpec(
            name="corridor",
            env="corridor_env.kind:CorridorEnv",
            config="lzcore.envs:GymSettings",
            prefix="corridor",
            example="corridor/5",
            summary="A corridor of N places with a key and a door, by corridor/N.",
        )
    ]
