"""`lz watch`: record an episode of a run as a moving picture."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from PIL.Image import Image

    from lzcore.engine.agent import Trained


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "--gif",
    metavar="FILE",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the picture goes.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the episode [that of the run].")
@click.option(
    "--checkpoint",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Whose weights, a file of the run's checkpoints [the best evaluation's].",
)
@click.option(
    "--fps", type=click.IntRange(1, 50), default=30, show_default=True, help="Pictures a second."
)
@click.option(
    "--every", type=click.IntRange(min=1), default=1, show_default=True, help="Show each Nth step."
)
def watch(
    run_dir: Path, gif: Path, seed: int | None, checkpoint: Path | None, fps: int, every: int
) -> None:
    """Play one episode greedily and write it as an animated GIF.

    It is the first episode of `lz eval` with the same seed.
    """
    from lzcore.engine.agent import load_trained  # late, as below: they load torch
    from lzcore.engine.files import write_atomically, writing

    with writing(gif):
        gif.parent.stat()  # before an episode is played for nothing
    trained = load_trained(run_dir, checkpoint)
    seed = trained.plan.resolved.run.seed if seed is None else seed
    pictures, total, length = _record(trained, seed, every)
    data = BytesIO()
    pictures[0].save(
        data,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 / fps),
        loop=0,
    )
    write_atomically(gif, data.getbuffer())
    click.echo(f"return {total:g} after {length} steps; {len(pictures)} pictures in {gif}")


def _record(trained: "Trained", seed: int, every: int) -> tuple[list["Image"], float, int]:
    """Play one episode; return pictures of every so many steps, its return and length."""
    import numpy as np
    from PIL import Image

    from lzcore.base.seeding import stream_key
    from lzcore.engine.assemble import make_env
    from lzcore.engine.play import play
    from lzcore.engine.trainer import steady_torch

    env = make_env(trained.plan, 1, evaluation=True)
    pictures, total, length = [], 0.0, 0
    once, key = np.ones(1, np.int64), stream_key(seed, "lz eval")
    with steady_torch(trained.plan.resolved.run.threads):
        for step in play(env, trained.policy, "eval", once, key, 0):
            if length % every == 0 or step.ended[0]:
                pictures.append(Image.fromarray(env.render(0)).convert("P"))
            total, length = float(step.stepped.episode_return[0]), length + 1
    env.close()
    return pictures, total, length
