"""What every search tree promises of the way back up: rewards, discounts and signs, by hand.

Each node has one edge, so that every tree walks the same line, whatever rule it selects by.

Shape letters: B roots, A actions, W numbers a row of logits.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from lzcore.base.tree import Array, Evaluation, SearchResult
from lzcore.base.treespec import TreeSpec
from lzcore.testing.promises import promise, require, short
from lzcore.testing.subject import Subject

# the line: what the step into node 1, 2, 3 pays, and what the network says of node 0, 1, 2, 3
REWARDS = (2.0, 4.0, 8.0)
VALUES = (1.0, 4.0, 12.0, 32.0)
_DISCOUNT = 0.5
_ROOTS = 2
_ONLY = 1  # the action that is legal, where there are three

_KINDS: tuple[dict[str, int], ...] = (  # searches of one edge a node
    {"num_actions": 1},
    {"num_actions": 3},
    {"num_actions": 1, "num_sampled_actions": 1},
    {"action_dim": 1, "num_sampled_actions": 1},
)


class Line(NamedTuple):
    """Who moves along the line, and what the root is worth then."""

    told: str
    players: tuple[int, ...]  # at node 0, 1, 2, 3
    value: float
    q_value: float
    tells_players: bool = True  # the evaluations do; else the tree has to know
    discount: float | None = None  # that the evaluations tell


# d = 0.5:  returns 2 + 4/2 = 4, 2 + (4 + 12/2)/2 = 7, 2 + (4 + (8 + 32/2)/2)/2 = 10
_KEPT = (1.0 + 4.0 + 7.0 + 10.0) / 4, (4.0 + 7.0 + 10.0) / 3  # value, q_value
# d = -0.5: returns 2 - 4/2 = 0, 2 - (4 - 12/2)/2 = 3, 2 - (4 - (8 - 32/2)/2)/2 = -2
_TURNED = (1.0 + 0.0 + 3.0 - 2.0) / 4, (0.0 + 3.0 - 2.0) / 3
LINES = (
    Line("with one player", (-1,) * 4, *_KEPT),
    Line("where two players take turns", (1, 2, 1, 2), *_TURNED),
    Line("where two players take turns untold", (2, 1, 2, 1), *_TURNED, tells_players=False),
    Line("where one of two players moves on", (2, 2, 2, 2), *_KEPT),
    Line("where discount is told as -0.5", (1, 1, 1, 1), *_TURNED, discount=-0.5),
)


def _specs(subject: Subject) -> Iterator[TreeSpec]:
    """Yield the searches of one edge that the tree says it can run."""
    for rule in ("puct", "gumbel"):
        for kind in _KINDS:
            fixed: Any = {"num_simulations": len(REWARDS), "root_expand_all": False, **kind}
            spec = TreeSpec(rule=rule, discount=_DISCOUNT, **fixed)
            if subject.cls.supports(spec) is None:
                yield spec


def _has_no_line(subject: Subject) -> str | None:
    return None if any(_specs(subject)) else "it runs no search in which a node has one edge"


@promise("tree", left_out=_has_no_line)
def check_returns_are_carried_up_as_worked_by_hand(subject: Subject) -> None:
    """Values, rewards and signed discounts make the root's value, and every visit counts."""
    for spec in _specs(subject):
        for line in LINES:
            _require_worth(_searched(subject, spec, line), spec, line)


def _searched(subject: Subject, spec: TreeSpec, line: Line) -> SearchResult:
    tree = subject.cls(spec)
    legal = _legal(spec)
    players = np.full(_ROOTS, line.players[0], np.int8)
    seeds = np.arange(_ROOTS, dtype=np.uint64)
    tree.start(_seen(spec, 0), legal_actions=legal, to_play=players, seeds=seeds)
    for depth, reward in enumerate(REWARDS, start=1):
        found = tree.select().depth.tolist()
        require(
            found == [depth] * _ROOTS,
            f"simulation {depth} ended at the depths {found} where each node has one edge; "
            f"expected {depth} for each root.",
        )
        tree.backup(_stepped(spec, line, depth, reward))
    return tree.result()  # type: ignore[no-any-return]


def _seen(spec: TreeSpec, node: int) -> Evaluation:
    """What a network says of a node of the line."""
    logits = np.zeros((_ROOTS, spec.num_logits))
    logits[:, spec.action_dim :] = 1.0  # of vectors: the standard deviations
    return Evaluation(np.full(_ROOTS, VALUES[node]), logits)


def _stepped(spec: TreeSpec, line: Line, node: int, reward: float) -> Evaluation:
    """What a model says of the step into a node of the line."""
    players = np.full(_ROOTS, line.players[node], np.int8)
    return _seen(spec, node)._replace(
        reward=np.full(_ROOTS, reward),
        legal_actions=_legal(spec),
        to_play=players if line.tells_players else None,
        discount=None if line.discount is None else np.full(_ROOTS, line.discount),
    )


def _legal(spec: TreeSpec) -> Array | None:
    """(B, A) bool, one action where there are several; None: all."""
    return np.tile(np.arange(spec.num_actions) == _ONLY, (_ROOTS, 1)) if _is_masked(spec) else None


def _is_masked(spec: TreeSpec) -> bool:
    return spec.num_actions > 1


def _require_worth(found: SearchResult, spec: TreeSpec, line: Line) -> None:
    edge = _ONLY if _is_masked(spec) else 0
    wanted = {
        "visit_count": (found.visit_count[:, edge], len(REWARDS)),
        "value": (found.value, line.value),
        "q_value": (found.q_value[:, edge], line.q_value),
    }
    for name, (ours, by_hand) in wanted.items():
        require(
            np.allclose(ours, by_hand, rtol=1e-6),
            f"{name} of the roots is {short(ours.tolist())} {line.told} (rule {spec.rule!r}, "
            f"discount {_DISCOUNT}, rewards {REWARDS}, values {VALUES} along one line); expected "
            f"{by_hand:g} for each.",
        )
