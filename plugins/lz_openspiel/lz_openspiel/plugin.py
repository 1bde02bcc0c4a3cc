"""What this distribution registers; imports no OpenSpiel."""

from lzcore.registry import EnvSpec, OpponentSpec, hookimpl

LZ_API = 1


@hookimpl
def lz_register_envs() -> list[EnvSpec]:
    """Ids such as open_spiel/connect_four, with parameters in brackets."""
    return [
        EnvSpec(
            name="open_spiel",
            env="lz_openspiel.env:OpenSpielEnv",
            config="lzcore.envs.config:GameSettings",
            summary='Games of OpenSpiel, such as "open_spiel/connect_four(rows=5)".',
            prefix="open_spiel",
            example="open_spiel/tic_tac_toe",
        )
    ]


@hookimpl
def lz_register_opponents() -> list[OpponentSpec]:
    """OpenSpiel's own search."""
    return [
        OpponentSpec(
            name="mcts",
            opponent="lz_openspiel.opponent:MCTS",
            summary="OpenSpiel's search with random rollouts; mcts:N makes N of them a move.",
        )
    ]
