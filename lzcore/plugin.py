"""What the core itself provides, through the same hooks as everybody else."""

from lzcore.registry import BufferSpec, EnvSpec, OpponentSpec, RunnerSpec, hookimpl

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
    """Any environment that Gymnasium can make, and games whose rules a class tells."""
    return [
        EnvSpec(
            name="gymnasium",
            env="lzcore.envs.gym:GymEnv",
            config="lzcore.envs.config:GymSettings",
            summary="Any Gymnasium id, module:Id or callable, vectors and images.",
            example="CartPole-v1",
        ),
        EnvSpec(
            name="game",
            env="lzcore.envs.named:NamedGame",
            config="lzcore.envs.config:GameSettings",
            summary="A class with the rules of a game (Simulator), by game/module:Name.",
            prefix="game",
            example="game/lzcore.testing.noughts:Noughts",
        ),
    ]


@hookimpl
def lz_register_opponents() -> list[OpponentSpec]:
    """Opponents that can play every game whose rules are known."""
    return [
        OpponentSpec(
            name="random",
            opponent="lzcore.envs.opponents:RandomOpponent",
            summary="Any legal action, all alike.",
        ),
        OpponentSpec(
            name="minimax",
            opponent="lzcore.envs.opponents:Minimax",
            summary="Perfect play in small games; minimax:N visits at most N positions.",
        ),
        OpponentSpec(
            name="checkpoint",
            opponent="lzcore.engine.earlier:EarlierAgent",
            summary="What a run has learned, with its search: checkpoint:RUN_DIR or :FILE.",
        ),
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
