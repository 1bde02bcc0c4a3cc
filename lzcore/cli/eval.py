"""`lz eval`: measure what a run has learned."""

import json
from pathlib import Path

import click


@click.command("eval")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--episodes", type=click.IntRange(min=1), help="How many [those of the run].")
@click.option("--seed", type=click.IntRange(min=0), help="Of the episodes [that of the run].")
@click.option(
    "--checkpoint",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Whose weights [the best evaluation's].",
)
@click.option("--device", metavar="NAME", help="Of torch [that of the run].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(
    run_dir: Path,
    episodes: int | None,
    seed: int | None,
    checkpoint: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Play episodes greedily and print the mean, the standard deviation and every return.

    The episodes are others than those that were played while the run went on.
    """
    from lzcore.engine.agent import load_trained  # late, as below: they load torch
    from lzcore.engine.assemble import make_evaluator
    from lzcore.engine.trainer import steady_torch

    trained = load_trained(run_dir, checkpoint, device=device)
    settings = trained.plan.resolved.run
    seed = settings.seed if seed is None else seed
    evaluator = make_evaluator(trained.plan, trained.policy, seed, "lz eval")
    with steady_torch(settings.threads):
        result = evaluator.evaluate(0, episodes or settings.eval_episodes)
    evaluator.close()
    if as_json:
        about = {"checkpoint": str(trained.checkpoint), "seed": seed}
        click.echo(json.dumps({**about, **result.to_dict()}))
        return
    click.echo(f"{trained.checkpoint}, seed {seed}")
    click.echo(f"mean {result.mean:g}  std {result.std:g}  episodes {len(result.returns)}")
    click.echo("returns " + " ".join(f"{total:g}" for total in result.returns))
