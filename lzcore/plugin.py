"""What the core itself provides, through the same hooks as everybody else."""

from lzcore.registry import BufferSpec, EnvSpec, RunnerSpec, hookimpl

LZ_API = 1


@hookimpl
def lz_register_buffers() -> list[BufferSpec]:
    """The replay that stores whole episodes in columns."""
    return [
        BufferSpec(
            name="replay",
            buffer="lzcore.replay.buffer:ReplayBuffer",
            summary="Whole episodes in columns, drawn uniformly or by priority.",
        )
    ]


@hookimpl
def lz_register_envs() -> list[EnvSpec]:
    """Any environment that Gymnasium can make."""
    return [
        EnvSpec(
            name="gymnasium",
            env="lzcore.envs.gym:GymEnv",
            config="lzcore.envs.config:GymSettings",
            summary="Any Gymnasium id, module:Id or callable, vectors and images.",
        )
    ]


@hookimpl
def lz_register_runners() -> list[RunnerSpec]:
    """The training loop in this process."""
    return [
        RunnerSpec(
            name="local",
            runner="lzcore.engine.trainer:run_local",
            summary="Collects, learns and evaluates in this process.",
        )
    ]
