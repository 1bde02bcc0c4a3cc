"""Searches for people to read: an outline as text, a picture in the language of Graphviz.

Both read a `Tree.snapshot()`, of any tree. `docs/inspect.md` shows them at work.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lzcore.base.tree import Array

_HEAD = ("", "visits", "share", "Q", "prior", "V", "")


def outline(
    snapshot: Mapping[str, Array],
    root: int = 0,
    top: int = 3,
    depth: int = 4,
    names: Sequence[str] | None = None,
) -> str:
    """Tell one search as an indented table: a line for each edge, those with most visits first.

    visits and share: of the edge, and of all visits through its node. Q and prior: for the player
    who chooses the edge. V: for the player who moves where it leads.

    Args:
        snapshot: of a tree with B roots.
        root: which of them.
        top: how many edges of a node to show; one line sums up the rest.
        depth: how many edges to go down from the root.
        names: of the actions; None: their numbers.
    Returns:
        The table, without a line break at its end.
    Raises:
        ValueError: root, top or depth is out of range, or an action has no name.
    """
    tree = _Tree(snapshot, root, names)
    lines = [_HEAD, *(_line(tree, step) for step in _walk(tree, top, depth))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_aligned(line, widths) for line in lines)


def to_dot(
    snapshot: Mapping[str, Array],
    root: int = 0,
    top: int = 3,
    depth: int = 4,
    names: Sequence[str] | None = None,
) -> str:
    """Draw one search in the language of Graphviz, for `dot -Tsvg`.

    Chance nodes are diamonds, finished games double circles, and the line of most visits is thick.
    Arguments, numbers and errors are those of `outline`.
    """
    tree = _Tree(snapshot, root, names)
    lines = [
        "digraph search {",
        '  node [fontname="sans-serif", fontsize=11, shape=box, style=rounded]',
        '  edge [fontname="sans-serif", fontsize=10]',
    ]
    for step in _walk(tree, top, depth):
        lines += _drawn(tree, step)
    return "\n".join([*lines, "}"])


# --- what is shown, in which order ----------------------------------------------------------------


class _Shown(NamedTuple):
    """A node, with the edge that leads to it."""

    level: int
    node: int
    is_principal: bool  # on the line of most visits from the root
    is_cut: bool  # it has children, which lie too deep to be shown


class _LeftOut(NamedTuple):
    """What a node has besides its `top` children."""

    level: int
    parent: int
    num_edges: int
    visits: int


def _walk(tree: "_Tree", top: int, depth: int) -> Iterator[_Shown | _LeftOut]:
    """Go through the tree, a node before its children, most visits first."""
    for name, number in (("top", top), ("depth", depth)):
        if number < 1:
            raise ValueError(f"{name} is {number}; expected 1 or more.")
    todo: list[_Shown | _LeftOut] = [_Shown(0, 0, is_principal=True, is_cut=False)]
    while todo:
        step = todo.pop()
        yield step
        if isinstance(step, _Shown) and step.level < depth:
            todo += reversed(list(_below(tree, step, top, depth)))


def _below(tree: "_Tree", at: _Shown, top: int, depth: int) -> Iterator[_Shown | _LeftOut]:
    children, level = tree.children(at.node), at.level + 1
    for i, child in enumerate(children[:top]):
        on_line = at.is_principal and i == 0 and tree.visits(child) > 0
        yield _Shown(level, child, on_line, level == depth and bool(tree.children(child)))
    rest = children[top:]
    if rest:
        yield _LeftOut(level, at.node, len(rest), sum(map(tree.visits, rest)))


# --- one tree of a snapshot -----------------------------------------------------------------------


class _Tree:
    """One root's tree, with its numbers as people read them.

    Every node but the root stands for the edge that leads to it.
    """

    def __init__(
        self, snapshot: Mapping[str, Array], root: int, names: Sequence[str] | None
    ) -> None:
        if not isinstance(snapshot, Mapping):
            raise TypeError(
                f"snapshot is of type {type(snapshot).__name__}; expected the arrays of a tree. "
                "Pass tree.snapshot()."
            )
        num_roots = len(snapshot["parents"])
        if not 0 <= root < num_roots:
            raise ValueError(f"root is {root}; expected 0 to {num_roots - 1}, as the snapshot has.")
        self._of = {key: values[root] for key, values in snapshot.items()}
        self._names = names
        self._value = self._of["node_values"]
        self.parent = self._of["parents"].tolist()
        self._edge = self._of["action_from_parent"].tolist()
        self._children: dict[int, list[int]] = {}
        for node in np.flatnonzero(self._of["parents"] >= 0).tolist():
            self._children.setdefault(self.parent[node], []).append(node)

    def children(self, node: int) -> list[int]:
        """List those that exist, most visits first, then in the order of their edges."""
        found = self._children.get(node, [])
        return sorted(found, key=lambda child: (-self.visits(child), self._edge[child]))

    def visits(self, node: int) -> int:
        """Count the visits of the edge to the node; of the root, those through its edges."""
        if node == 0:
            return self._through(0)
        return int(self._of["edge_visits"][self.parent[node], self._edge[node]])

    def share(self, visits: int, parent: int) -> str:
        """Say how large a part of all visits through the parent's edges this is."""
        return f"{visits / max(self._through(parent), 1):.0%}"

    def choice(self, node: int) -> tuple[str, str, str]:
        """Tell share, Q and prior of the edge to the node."""
        parent, edge = at = self.parent[node], self._edge[node]
        q = self._of["edge_rewards"][at] + self._of["edge_discounts"][at] * self._value[node]
        share = self.share(self.visits(node), parent)
        return share, _number(q), _number(self._of["prior"][parent, edge])

    def value(self, node: int) -> str:
        """Tell V, for the player to move."""
        return _number(self._value[node])

    def is_chance(self, node: int) -> bool:
        """Tell whether the edges of the node are outcomes."""
        return bool(self._of["is_chance"][node])

    def is_over(self, node: int) -> bool:
        """Tell whether the game is over there."""
        return bool(self._of["terminal"][node])

    def label(self, node: int) -> str:
        """Name of the edge to the node: an action, an outcome, or a sampled vector."""
        if node == 0:
            return "root"
        parent, edge = self.parent[node], self._edge[node]
        if self.is_chance(parent):
            return f"outcome {edge}"
        if "sampled_actions" in self._of:
            sampled = self._of["sampled_actions"][parent, edge]
            if sampled.dtype.kind == "f":
                return f"({', '.join(f'{number:z.2f}' for number in sampled)})"
            edge = int(sampled[0])
        return self._name(edge)

    def reward(self, node: int) -> str:
        """Say the reward on the way to the node, if there is one."""
        if node == 0:
            return ""
        reward = float(self._of["edge_rewards"][self.parent[node], self._edge[node]])
        return f"reward {_number(reward)}" if reward else ""

    def state(self, node: int) -> str:
        """Say what the node is besides a decision, and whose turn it is."""
        if self.is_over(node):
            return "over"
        player = int(self._of["to_play"][node])
        said = ("chance" if self.is_chance(node) else "", f"player {player}" if player > 0 else "")
        return _listed(said)

    def _through(self, node: int) -> int:
        return int(self._of["edge_visits"][node].sum())

    def _name(self, action: int) -> str:
        if self._names is None:
            return f"action {action}"
        if action >= len(self._names):
            raise ValueError(
                f"names has {len(self._names)} entries, but the search took action {action}; "
                "expected a name for every action."
            )
        return " ".join(str(self._names[action]).split())


def _number(value: float) -> str:
    return f"{value:z.3f}"


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(filter(None, parts))


# --- as text --------------------------------------------------------------------------------------


def _line(tree: _Tree, step: _Shown | _LeftOut) -> tuple[str, ...]:
    """Tell a step in the columns of `_HEAD`."""
    indent = "  " * step.level
    if isinstance(step, _LeftOut):
        share = tree.share(step.visits, step.parent)
        return f"{indent}{step.num_edges} more", str(step.visits), share, "", "", "", ""
    node = step.node
    notes = _listed((tree.reward(node), tree.state(node), "more below" if step.is_cut else ""))
    choice = tree.choice(node) if node else ("", "", "")
    return (indent + tree.label(node), str(tree.visits(node)), *choice, tree.value(node), notes)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """Join columns: the first and the last begin at the left, numbers end at the right."""
    first, *numbers, last = line
    cells = (number.rjust(width) for number, width in zip(numbers, widths[1:-1], strict=True))
    return "  ".join([first.ljust(widths[0]), *cells, last]).rstrip()


# --- as a picture ---------------------------------------------------------------------------------


def _drawn(tree: _Tree, step: _Shown | _LeftOut) -> list[str]:
    """Statements that draw a step."""
    if isinstance(step, _LeftOut):
        label = _quoted(f"{step.num_edges} more", _visits(step.visits))
        return [
            f"  more{step.parent} [label={label}, shape=plaintext]",
            f"  n{step.parent} -> more{step.parent} [style=dashed, arrowhead=none]",
        ]
    node = step.node
    width = ", penwidth=3" if step.is_principal else ""
    head = ("root", _visits(tree.visits(0))) if node == 0 else ()
    label = _quoted(*head, f"V {tree.value(node)}", tree.state(node), "..." if step.is_cut else "")
    drawn = [f"  n{node} [label={label}{_shape(tree, node)}{width}]"]
    if node:
        drawn.append(f"  n{tree.parent[node]} -> n{node} [label={_edge_label(tree, node)}{width}]")
    return drawn


def _edge_label(tree: _Tree, node: int) -> str:
    share, q, prior = tree.choice(node)
    visits = f"{_visits(tree.visits(node))} ({share})"
    return _quoted(tree.label(node), visits, f"Q {q}, prior {prior}", tree.reward(node))


def _shape(tree: _Tree, node: int) -> str:
    if tree.is_over(node):
        return ", shape=doublecircle"
    return ", shape=diamond" if tree.is_chance(node) else ""


def _visits(number: int) -> str:
    return f"{number} visit{'' if number == 1 else 's'}"


def _quoted(*lines: str) -> str:
    """Write a DOT string of the lines that are not empty."""
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines if line)
    return '"' + "\\n".join(escaped) + '"'
