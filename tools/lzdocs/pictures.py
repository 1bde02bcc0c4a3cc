"""The pictures of the documentation: what imports what, and the life of a run.

Both are written to `docs/`, where forges show them; a test says when they are stale. To write
them again: `PYTHONPATH=tools python -m lzdocs.pictures`.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from itertools import pairwise
from pathlib import Path

import attrs

# the floor of each part of the core, which imports lower ones alone
FLOORS = {
    "lzcore.base": 0,
    "lzcore.registry": 1,
    "lzcore.nn": 2,
    "lzcore.search": 2,
    "lzcore.replay": 2,
    "lzcore.envs": 2,
    "lzcore.engine": 3,
    "lzcore.testing": 4,
    "lzcore.cli": 5,
}
FONT = "font-family='sans-serif' font-size='14'"


# --- what is imported -----------------------------------------------------------------------------


def imports(folder: Path) -> set[str]:
    """Return the floors ("lzcore.base") and plugins ("lz_ctree") that the files here import."""
    found = set()
    for path in sorted(folder.rglob("*.py")):
        for module in _modules(ast.parse(path.read_text(encoding="utf-8"))):
            first, *rest = module.split(".")
            if first == "lzcore" and rest:
                found.add(f"lzcore.{rest[0]}")
            elif first.startswith("lz_"):
                found.add(first)
    return found


def _modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def between(names: Iterable[str], imported: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Return the imports among these names, without those that follow from others."""
    known = sorted(names)
    direct = {name: sorted(imported[name] & set(known) - {name}) for name in known}

    def reached(name: str) -> set[str]:
        return {far for near in direct[name] for far in (near, *reached(near))}

    return [
        (name, near)
        for name in known
        for near in direct[name]
        if not any(near in reached(other) for other in direct[name] if other != near)
    ]


# --- drawing --------------------------------------------------------------------------------------


@attrs.frozen
class Box:
    """A rectangle with lines of text."""

    x: int
    y: int
    lines: tuple[str, ...]
    width: int = 150
    fill: str = "#eef3f8"

    @property
    def height(self) -> int:
        """Enough for its lines."""
        return 14 + 18 * len(self.lines)

    def drawn(self) -> str:
        """Return it as SVG."""
        rect = (
            f"<rect x='{self.x}' y='{self.y}' width='{self.width}' height='{self.height}' rx='5' "
            f"fill='{self.fill}' stroke='#456'/>"
        )
        middle = self.x + self.width // 2
        text = (
            f"<text x='{middle}' y='{self.y + 21 + 18 * row}' text-anchor='middle' "
            f"{FONT if row == 0 else SMALL}>{escape(line)}</text>"
            for row, line in enumerate(self.lines)
        )
        return "\n".join([rect, *text])


SMALL = "font-family='sans-serif' font-size='11' fill='#456'"


def arrow(above: Box, below: Box) -> str:
    """Return a line from the foot of one box to the head of another."""
    x1, x2 = above.x + above.width // 2, below.x + below.width // 2
    return (
        f"<line x1='{x1}' y1='{above.y + above.height}' x2='{x2}' y2='{below.y - 2}' "
        "stroke='#456' marker-end='url(#head)'/>"
    )


def svg(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """Return a whole picture."""
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' "
            f"width='{width}' height='{height}' role='img'>",
            f"<title>{escape(title)}</title>",
            "<defs><marker id='head' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='8' "
            "markerHeight='8' orient='auto'><path d='M0 0L8 4L0 8z' fill='#456'/></marker></defs>",
            f"<rect width='{width}' height='{height}' fill='white'/>",
            *parts,
            "</svg>",
            "",
        ]
    )


# --- what imports what ----------------------------------------------------------------------------


def architecture(root: Path) -> str:
    """Return the picture of floors and plugins, from the imports of a checkout."""
    floors = {name: root / name.replace(".", "/") for name in FLOORS}
    found = sorted(root.glob("plugins/*/pyproject.toml"))
    plugins = {path.parent.name: path.parent for path in found}
    imported = {name: imports(folder) for name, folder in floors.items()}
    imported |= {name: imports(folder / name) for name, folder in plugins.items()}
    core, above = _rows(FLOORS, imported), _rows(dict.fromkeys(plugins, 0), imported)
    width = 40 + 170 * max(map(len, (*core, *above)))
    boxes = _plugins(above, imported, width)
    frame = max(box.y + box.height for box in boxes.values()) + 60
    boxes |= _core(core, frame + 40, width)
    links = [*between(plugins, imported), *between(floors, imported)]
    drawn = [box.drawn() for _, box in sorted(boxes.items())]
    lines = [arrow(boxes[upper], boxes[lower]) for upper, lower in links]
    height = max(box.y + box.height for box in boxes.values()) + 30
    parts = [*_frame(frame, height - 12, width), *lines, *drawn]
    return svg(width, height, "What imports what: an arrow leads to what is imported.", parts)


def _rows(least: Mapping[str, int], imported: dict[str, set[str]]) -> list[list[str]]:
    """Return names in rows, the highest first, each name above those of them that it imports."""

    def level(name: str) -> int:
        below = (level(other) + 1 for other in imported[name] & least.keys() - {name})
        return max((least[name], *below))

    levels = {name: level(name) for name in least}
    return [[n for n in least if levels[n] == row] for row in sorted({*levels.values()})[::-1]]


def _plugins(rows: list[list[str]], imported: dict[str, set[str]], width: int) -> dict[str, Box]:
    found = {}
    for level, row in enumerate(rows):
        for name, x in zip(row, _spread(len(row), width), strict=True):
            told = sorted(m.removeprefix("lzcore.") for m in imported[name] if m in FLOORS)
            found[name] = Box(x - 80, 20 + 105 * level, (name, "uses", " ".join(told)), 160)
    return found


def _spread(count: int, width: int) -> list[int]:
    """Return the middles of so many boxes in a row."""
    return [width // 2 + 170 * place - 85 * (count - 1) for place in range(count)]


def _core(rows: list[list[str]], top: int, width: int) -> dict[str, Box]:
    return {
        name: Box(x - 75, top + 72 * level, (name.removeprefix("lzcore."),), fill="#f6efe3")
        for level, row in enumerate(rows)
        for name, x in zip(row, _spread(len(row), width), strict=True)
    }


def _frame(top: int, bottom: int, width: int) -> list[str]:
    """Draw what holds the core, and the one arrow by which plugins lean on it."""
    middle = width // 2
    return [
        f"<rect x='8' y='{top}' width='{width - 16}' height='{bottom - top}' rx='8' fill='none' "
        "stroke='#a97' stroke-dasharray='6 4'/>",
        f"<text x='20' y='{top + 22}' {FONT}>lzcore</text>",
        f"<line x1='{middle}' y1='{top - 42}' x2='{middle}' y2='{top - 3}' stroke='#a97' "
        "stroke-width='3' marker-end='url(#head)'/>",
        f"<text x='{middle + 12}' y='{top - 18}' {SMALL}>"
        "plugins import the core, never the other way</text>",
    ]


# --- the life of a run ----------------------------------------------------------------------------

# what happens; the policy's methods in it; the hooks that tell of it. None: a line of the loop
LIFE: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("settle the settings", ("check_spaces", "settings_for"), ()),
    ("build the parts", ("__init__", "columns", "replay_settings", "loop_settings"), ()),
    ("begin, or restore", ("facts", "learn_mode", "collect_mode"), ("lz_run_started",)),
    ("save checkpoint 0", ("_state_dict_learn",), ("lz_checkpoint_saved",)),
    (
        "collect",
        ("begin_iteration", "schedule", "decide", "in_hindsight", "initial_priority"),
        ("lz_working", "lz_collected"),
    ),
    (
        "learn",
        ("make_batch", "reanalyze", "_forward_learn", "after_learning"),
        ("lz_working", "lz_learned"),
    ),
    ("evaluate, if it is due", ("decide",), ("lz_working", "lz_evaluated")),
    ("save", ("_state_dict_learn", "_state_dict_collect"), ("lz_checkpoint_saved",)),
    ("measure the last weights", ("decide",), ("lz_evaluated",)),
    ("save, and finish", ("_state_dict_learn",), ("lz_checkpoint_saved", "lz_run_finished")),
)
LOOP = (4, 7)  # the rows that an iteration consists of


def life() -> str:
    """Return the picture of a run from its beginning to its end."""
    head = (
        f"<text x='{x}' y='24' {FONT} font-weight='bold'>{name}</text>"
        for x, name in ((60, "what happens"), (290, "asks the policy"), (560, "tells observers"))
    )
    boxes = [Box(60, 40 + 62 * row, (told,), 200) for row, (told, *_) in enumerate(LIFE)]
    arrows = (arrow(above, below) for above, below in pairwise(boxes))
    beside = (text for row, box in zip(LIFE, boxes, strict=True) for text in _beside(row, box))
    parts = [*head, *arrows, *(box.drawn() for box in boxes), *beside, *_loop(boxes)]
    return svg(820, 62 * len(LIFE) + 50, "The life of a run.", parts)


def _beside(row: tuple[str, tuple[str, ...], tuple[str, ...]], box: Box) -> Iterator[str]:
    for x, names in ((290, row[1]), (560, row[2])):
        lines = [" ".join(names[start : start + 3]) for start in range(0, len(names), 3)]
        top = box.y + 20 - 8 * (len(lines) - 1)
        for line, told in enumerate(lines):
            yield f"<text x='{x}' y='{top + 16 * line}' {SMALL}>{told}</text>"


def _loop(boxes: list[Box]) -> list[str]:
    first, last = boxes[LOOP[0]], boxes[LOOP[1]]
    y1, y2 = last.y + last.height // 2, first.y + first.height // 2
    middle = (y1 + y2) // 2
    return [
        f"<path d='M60 {y1}H28V{y2}H57' fill='none' stroke='#a97' stroke-width='2' "
        "marker-end='url(#head)'/>",
        f"<text x='22' y='{middle}' {SMALL} text-anchor='middle' "
        f"transform='rotate(-90 22 {middle})'>each iteration</text>",
    ]


PICTURES: dict[str, Callable[[Path], str]] = {  # place in docs/ -> from a checkout to SVG
    "architecture.svg": architecture,
    "author/life.svg": lambda _: life(),
}


def write(root: Path) -> None:
    """Write both pictures into the documentation of a checkout."""
    for place, draw in PICTURES.items():
        (root / "docs" / place).write_text(draw(root), encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parents[2])
