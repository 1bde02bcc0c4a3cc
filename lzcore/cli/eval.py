"""`lz eval`: measure what a run has learned."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lzcore.engine.agent import Trained
    from lzcore.engine.config import RunSettings
    from lzcore.engine.match import MatchResult


@click.command("eval")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "--episodes", "--games", type=click.IntRange(min=1), help="How many [those of the run]."
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the episodes [that of the run].")
@click.option(
    "--checkpoint",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Whose weights, a file of the run's checkpoints [the best evaluation's].",
)
@click.option(
    "--opponent",
    metavar="NAME",
    help="In a game for two: random, minimax, checkpoint:PATH, ... [that of the run].",
)
@click.option(
    "--openings",
    metavar="PLIES",
    type=click.IntRange(min=0),
    help="Moves that each game for two begins with [those of the run].",
)
@click.option(
    "--all/--random",
    "every",
    default=None,
    help="Every such opening with both colours, --games being the least number; or as many random "
    "ones as --games asks for [as in the run; random if --games is given].",
)
@click.option(
    "--simulations", type=click.IntRange(min=1), help="Of each search [those of the run]."
)
@click.option("--device", metavar="NAME", help="Of torch [that of the run].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(
    run_dir: Path,
    episodes: int | None,
    seed: int | None,
    checkpoint: Path | None,
    opponent: str | None,
    openings: int | None,
    every: bool | None,
    simulations: int | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Play episodes greedily and print the mean, the standard deviation and every return.

    Of a game for two: wins, draws and losses against an opponent, each opening with both colours.

    The episodes are others than those that were played while the run went on.
    """
    from lzcore.base.errors import ConfigError  # late, as below: they load torch
    from lzcore.engine.agent import as_both_sides, load_trained, no_match
    from lzcore.engine.assemble import make_evaluator
    from lzcore.engine.match import MatchEvaluator, MatchResult
    from lzcore.engine.trainer import steady_torch

    kind = {True: "all", False: "random", None: None}[every]
    given = {"opponent": opponent, "opening_plies": openings, "openings": kind}
    asked = any(value is not None for value in given.values())
    if episodes is not None and every is None:
        given["openings"] = "random"  # all of them may be more games than are asked for
    found = load_trained(run_dir, checkpoint, device=device, num_simulations=simulations)
    trained = _against(as_both_sides(found) if asked else found, given)
    settings = trained.plan.resolved.run
    seed = settings.seed if seed is None else seed
    evaluator = make_evaluator(trained.plan, trained.policy, seed, "lz eval")
    if asked and not isinstance(evaluator, MatchEvaluator):
        evaluator.close()
        raise ConfigError(
            f"{no_match(trained)}, so there is nobody to play against. Leave --opponent, "
            "--openings, --all and --random out."
        )
    with steady_torch(settings.threads):
        result = evaluator.evaluate(0, episodes or settings.eval_episodes)
    evaluator.close()
    if as_json:
        about = {"checkpoint": str(trained.checkpoint), "seed": seed}
        click.echo(json.dumps({**about, **result.to_dict()}))
        return
    click.echo(f"{trained.checkpoint}, seed {seed}")
    if isinstance(result, MatchResult):
        click.echo("\n".join(_table(result, settings)))
        return
    click.echo(f"return {result.summary()}")
    click.echo("returns " + " ".join(f"{total:g}" for total in result.returns))


def _against(trained: "Trained", given: Mapping[str, Any]) -> "Trained":
    """Lay what was asked for over the settings of the run."""
    import attrs

    resolved = trained.plan.resolved
    run = attrs.evolve(resolved.run, **{k: v for k, v in given.items() if v is not None})
    plan = attrs.evolve(trained.plan, resolved=attrs.evolve(resolved, run=run))
    return attrs.evolve(trained, plan=plan)


def _table(result: "MatchResult", settings: "RunSettings") -> Iterator[str]:
    """Write a match: a line for each colour, and one for both."""
    from lzcore.engine.match import COLOURS

    count = len(result.returns)
    games = f"{count} game{'' if count == 1 else 's'}"
    yield f"{games} against {result.opponent}, {_begun(settings)}"
    yield f"{'':14}{'wins':>6}{'draws':>7}{'losses':>8}{'score':>8}"
    parts = [(f"moving {name}", result.standing_as(player)) for player, name in COLOURS.items()]
    for name, told in [*parts, ("both", result.standing)]:
        score = f"{told.score:8.3f}" if told.games else f"{'-':>8}"
        yield f"{name:14}{told.wins:6}{told.draws:7}{told.losses:8}{score}"
    yield f"Elo {result.standing.elo_text()} at 95 %"


def _begun(settings: "RunSettings") -> str:
    """Say how the games of a match begin."""
    plies = settings.opening_plies
    if not plies:
        return "each from the first position"
    every = settings.openings == "all"
    word = "ply" if plies == 1 else "plies"
    return f"from every opening of {plies} {word}" if every else f"each from {plies} random {word}"
