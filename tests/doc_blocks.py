"""Documentation as tests read it: the fenced blocks of a page, examples and commands among them.

A block is a file where the comment `<!-- file: NAME -->` stands before it.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FENCED = re.compile(r"^(?:<!-- file: (\S+) -->\n)?```([^\n]*)\n(.*?)^```$", re.M | re.S)

sys.path.append(str(ROOT / "tools"))  # where `lzdocs` is


class Block(NamedTuple):
    """What stands between two fences."""

    file: str  # what the file is called; "" if it is none
    language: str
    body: str


def blocks(page):
    """Return the blocks of a Markdown file in order."""
    return [Block(*found) for found in FENCED.findall(page.read_text(encoding="utf-8"))]


def examples(page):
    """Return the Python that runs one piece after another."""
    return [b.body for b in blocks(page) if b.language == "python" and not b.file]


def files(page):
    """Return what the files of a page hold, by name."""
    return {b.file: b.body for b in blocks(page) if b.file}


def commands(page):
    """Return the lines of shell, without what is said behind them."""
    lines = [line for b in blocks(page) if not b.language for line in b.body.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.split()[:1] != []]


def execute(page):
    """Run the examples of a page in one namespace; return it."""
    names = {"__name__": "example"}
    for body in examples(page):
        exec(compile(body, str(page), "exec"), names)
    return names
