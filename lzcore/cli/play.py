"""`lz play`: a person plays against what a run has learned, in lines of text."""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import click

if TYPE_CHECKING:
    from lzcore.base import Decisions, Simulator
    from lzcore.engine.agent import Trained

Decide: TypeAlias = Callable[[Sequence[Any]], "Thought"]  # the positions of a game so far -> that
HELP = "? what the agent thinks, u take back, q quit"
KEYS = {"help": "?", "undo": "u", "quit": "q"}  # what people also say


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "--first",
    type=click.Choice(["me", "agent", "random"]),
    default="me",
    show_default=True,
    help="Who begins.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of chance.")
@click.option(
    "--simulations", type=click.IntRange(min=1), help="Of each search [those of the run]."
)
@click.option(
    "--checkpoint",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Whose weights, a file of the run's checkpoints [the best evaluation's].",
)
def play(
    run_dir: Path, first: str, seed: int, simulations: int | None, checkpoint: Path | None
) -> None:
    """Play a game against what a run has learned.

    Moves are typed by name, a line each; the legal ones are listed. `?` shows what the agent's
    search finds in the position, `u` takes your last move and the answer back, `q` quits; help,
    undo and quit do the same.
    """
    from lzcore.base.seeding import generator, stream_key  # late, as below: they load torch
    from lzcore.engine.agent import as_both_sides, load_trained, no_match
    from lzcore.engine.assemble import is_match, make_env
    from lzcore.engine.trainer import steady_torch

    trained = as_both_sides(load_trained(run_dir, checkpoint, num_simulations=simulations))
    env: Any = make_env(trained.plan, 1, evaluation=True)
    if not is_match(env):
        env.close()
        raise click.ClickException(
            f"{no_match(trained)}. To see the agent act in it: lz watch {run_dir} --gif FILE"
        )
    key = stream_key(seed, "lz play")
    begins = first == "me" or (first == "random" and generator(key).random() < 0.5)
    limit = trained.plan.resolved.env.get("max_moves")
    game = Game(env.simulator, decider(trained, env), begins, key, limit)
    click.echo(f"{trained.checkpoint}: you move {'first' if begins else 'second'}.")
    with steady_torch(trained.plan.resolved.run.threads):
        for text in dialogue(game, iter(sys.stdin.readline, "")):
            click.echo(text)
    env.close()


# --- what is said, apart from where it is read and written ----------------------------------------


def dialogue(game: "Game", lines: Iterator[str]) -> Iterator[str]:
    """Play a game to its end.

    Args:
        game: that begins, or goes on.
        lines: what the person says; their end ends the game.
    Yields:
        What is shown, before the next line is asked for.
    """
    while not game.over:
        if not game.my_turn:
            yield f"The agent plays {game.let_agent_move()}."
            continue
        yield f"\n{game.board()}\nYour move: {' '.join(game.legal)}  ({HELP})"
        while (said := _said(lines, game.legal)) not in (*game.legal, *KEYS.values()):
            yield f"{said!r} is no legal move here; ? shows the moves."
        if said == "q" and said not in game.legal:
            yield "Good bye; the game is not finished."
            return
        yield from _answer(game, said)
    yield f"\n{game.board()}\n{game.verdict()}"


def _said(lines: Iterator[str], legal: Collection[str]) -> str:
    """Return what is said next, blank lines left out: a key by its short name."""
    said = next(filter(None, map(str.strip, lines)), "q")
    return said if said in legal else KEYS.get(said, said)


def _answer(game: "Game", said: str) -> Iterator[str]:
    if said in game.legal:
        game.move(said)
    elif said == "?":
        yield "\n".join(thoughts(game.ask(), game.legal))
    elif not game.take_back():
        yield "There is no move of yours to take back."


class Game:
    """A game between a person and an agent."""

    def __init__(
        self,
        simulator: "Simulator",
        decide: Decide,
        person_begins: bool,
        key: int,
        max_moves: int | None = None,
    ) -> None:
        """Begin.

        Args:
            simulator: of a game for two.
            decide: asks the agent about the last of some positions.
            person_begins: the person is who moves first.
            key: of the stream that chance is drawn from.
            max_moves: plies after which the game is drawn; None: the game's own end.
        """
        from lzcore.base.seeding import derive_seed

        self._simulator = simulator
        self._decide = decide
        self._key = key
        self._limit = max_moves
        self._line: list[Any] = list(simulator.begin(derive_seed(key, [1])))
        begins = int(self._look().to_play[0])
        self._person = begins if person_begins else 3 - begins

    def _look(self) -> Any:
        return self._simulator.look(self._line[-1:])

    @property
    def over(self) -> bool:
        """Whether nobody moves any more."""
        seen = self._look()
        return bool(seen.terminal[0]) or (self._limit is not None and seen.ply[0] >= self._limit)

    @property
    def my_turn(self) -> bool:
        """Whether it is the person's turn."""
        return bool(self._look().to_play[0] == self._person)

    @property
    def legal(self) -> dict[str, int]:
        """What may be played, by name."""
        actions = self._look().legal_actions[0].nonzero()[0].tolist()
        return {self._simulator.name_of(self._line[-1], action): action for action in actions}

    def board(self) -> str:
        """Return the position as people see it."""
        drawn: str = self._simulator.draw(self._line[-1])
        return drawn

    def move(self, name: str) -> None:
        """Play a legal move, and let chance do its part."""
        import numpy as np

        from lzcore.base.seeding import derive_seed
        from lzcore.engine.openings import settled

        after = self._simulator.play(self._line[-1:], np.array([self.legal[name]]))
        states, _ = settled(self._simulator, after, derive_seed(self._key, [2], len(self._line)))
        self._line += states

    def ask(self) -> "Thought":
        """Return what the agent finds in the position."""
        return self._decide(self._line)

    def let_agent_move(self) -> str:
        """Let the agent move; return the name of its move."""
        chosen = self.ask().action
        name = next(name for name, action in self.legal.items() if action == chosen)
        self.move(name)
        return name

    def take_back(self) -> bool:
        """Go back to where the person moved last; return whether there is such a position."""
        mine = self._simulator.look(self._line).to_play == self._person
        earlier = mine[:-1].nonzero()[0]
        if len(earlier):
            del self._line[int(earlier[-1]) + 1 :]
        return bool(len(earlier))

    def verdict(self) -> str:
        """Say who has won the game that is over."""
        seen = self._look()
        value = float(seen.value[0]) if seen.terminal[0] else 0.0
        worth = value if self.my_turn else -value
        return "You win." if worth > 0 else "The agent wins." if worth < 0 else "A draw."


class Thought(NamedTuple):
    """What an agent finds in a position in which somebody moves."""

    action: int  # its choice
    value: float | None  # of the position, for who moves; None: not told
    columns: dict[str, dict[int, float]]  # visits, Q, prior: number by action, what is told of


def thoughts(found: Thought, legal: Mapping[str, int]) -> Iterator[str]:
    """Show a search: a line for each move, the best first; a dash where nothing is known."""
    if found.value is not None:
        yield f"value for who moves: {found.value:+.3f}"
    yield f"{'move':10}" + "".join(f"{name:>9}" for name in found.columns)
    first = next(iter(found.columns.values()), {})
    for name, action in sorted(legal.items(), key=lambda item: -first.get(item[1], 0.0)):
        numbers = (_number(column, rows.get(action)) for column, rows in found.columns.items())
        yield f"{name:10}" + "".join(f"{number:>9}" for number in numbers)


def _number(column: str, value: float | None) -> str:
    if value is None:
        return "-"
    if column == "visits":
        return f"{value:g}"
    return f"{value:+.3f}" if column == "Q" else f"{value:.3f}"


def thought_of(decisions: "Decisions", legal: Sequence[int]) -> Thought:
    """Take what a policy decided for one position.

    Where the policy does not hand its search out, its documented dict has to do.

    Args:
        decisions: of one position.
        legal: the actions that are allowed there, in order.
    """
    told, search = decisions[int(decisions.env_id[0])], decisions.search
    action = int(told["action"])
    if search is None:
        return Thought(action, told.get("searched_value"), _told_columns(told, legal))
    slots = search.sampled_actions
    edges = range(search.visit_count.shape[1]) if slots is None else slots[0, :, 0].tolist()
    visits = dict(zip(edges, search.visit_count[0].tolist(), strict=True))
    worth = dict(zip(edges, search.q_value[0].tolist(), strict=True))
    columns = {
        "visits": visits,
        "Q": {edge: q for edge, q in worth.items() if visits[edge]},
        "prior": _prior(search.prior_logits[0].tolist(), legal),
    }
    return Thought(action, float(search.value[0]), columns)


def _told_columns(told: Mapping[str, Any], legal: Sequence[int]) -> dict[str, dict[int, float]]:
    """Take the columns from a documented dict, whose rows are of all actions or the legal ones."""
    columns = {}
    for key, name in (("visit_count_distributions", "visits"), ("probs", "share")):
        row = list(told.get(key, ()))
        actions = range(len(row)) if len(row) > max(legal) else legal
        if len(row) == len(actions):
            columns[name] = {action: float(row[place]) for place, action in enumerate(actions)}
    logits = told.get("predicted_policy_logits", ())
    return columns | ({"prior": _prior(logits, legal)} if len(logits) > max(legal) else {})


def _prior(logits: Sequence[float], legal: Sequence[int]) -> dict[int, float]:
    most = max(logits[action] for action in legal)
    weights = {action: exp(logits[action] - most) for action in legal}
    total = sum(weights.values())
    return {action: weight / total for action, weight in weights.items()}


def decider(trained: "Trained", env: Any) -> Decide:
    """Return what asks a policy about the last of some positions, as an evaluation does.

    Args:
        trained: the policy.
        env: the environment it has learned in, of known rules.
    """
    import numpy as np

    from lzcore.base import ContractError
    from lzcore.engine.answers import decided
    from lzcore.engine.match import observed, stacked

    policy, simulator = trained.policy, env.simulator

    def decide(line: Sequence[Any]) -> Thought:
        env_id, seen = np.zeros(1, np.int64), simulator.look(line[-1:])
        stack = stacked(simulator, policy.frame_stack, [tuple(line)], env.spaces.frame_dtype)
        policy.begin_iteration(len(line))  # equal positions of a game get equal answers
        policy.eval_mode.reset(None)
        shown = observed(simulator, line[-1:], seen, env_id, stack.observation(env_id))
        legal = seen.legal_actions[0].nonzero()[0].tolist()
        found = policy.decide("eval", shown)
        (action,) = decided(policy, found, env_id, env.spaces.action).tolist()
        if action not in legal:
            raise ContractError(
                policy, f"decided the action {action}, which is not legal; expected one of {legal}."
            )
        return thought_of(found, legal)

    return decide
