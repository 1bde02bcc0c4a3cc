"""From docstrings and signatures to Markdown."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

SECTION = re.compile(r"(Args|Returns|Raises|Yields|Source|Example):")
WIDTH = 88  # of a signature on one line


def escaped(text: str) -> str:
    """Return text in which Markdown changes nothing but `code` and links."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _plain(part) for part in parts)


def _plain(text: str) -> str:
    return re.sub(r"([*_|])", r"\\\1", text.replace("<", "&lt;"))


def markdown(doc: str | None) -> str:
    """Return a Google docstring as Markdown: paragraphs, then its sections as lists."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(doc or ""))
    return "\n\n".join(part for block in blocks for part in _parts(block.splitlines()))


def _parts(lines: Sequence[str]) -> Iterator[str]:
    """Yield what stands before the first section of a block, then each section."""
    starts = [i for i, line in enumerate(lines) if SECTION.fullmatch(line)]
    before = lines[: starts[0]] if starts else lines
    if before:
        yield _paragraph(before)
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=False):
        yield _section(lines[start][:-1], lines[start + 1 : end])


def _paragraph(lines: Sequence[str]) -> str:
    if lines[0].startswith("    "):  # an example
        return "\n".join(lines)
    if lines[0].startswith("* "):
        return "\n".join("* " + escaped(line[2:]) for line in lines)
    return escaped(" ".join(line.strip() for line in lines))


def _section(name: str, lines: Sequence[str]) -> str:
    body = textwrap.dedent("\n".join(lines)).splitlines()
    if name == "Example":
        return "*Example:*\n\n" + "\n".join(f"    {line}" for line in body)
    if name not in ("Args", "Raises"):
        return f"*{name}:* " + escaped(" ".join(line.strip() for line in body))
    items: list[str] = []
    for line in body:
        if line.startswith(" "):
            items[-1] += " " + line.strip()
        else:
            items.append(line)
    return f"*{name}:*\n\n" + "\n".join(_item(item) for item in items)


def _item(text: str) -> str:
    name, _, told = text.partition(": ")
    return f"* `{name}`: {escaped(told)}"


def signature(function: ast.FunctionDef) -> str:
    """Return `name(arguments) -> type` as Python, on several lines where it is long."""
    args = ast.parse(ast.unparse(function.args).join(("def f(", "): ..."))).body[0].args  # type: ignore[attr-defined]
    for given in (args.posonlyargs, args.args):
        given[:] = [arg for arg in given if arg.arg not in ("self", "cls")]
    parts = [_spaced(part) for part in _split(ast.unparse(args)) if part]
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    whole = f"{function.name}({', '.join(parts)}){returns}"
    if len(whole) <= WIDTH:
        return whole
    inner = "".join(f"    {part},\n" for part in parts)
    return f"{function.name}(\n{inner}){returns}"


def _spaced(argument: str) -> str:
    name, equals, default = argument.partition("=")
    name = re.sub(r"'([\w.]+)'", r"\1", name)  # an annotation that is resolved later
    return f"{name} = {default}" if equals and ":" in name else name + equals + default


def _split(told: str) -> Iterator[str]:
    """Cut a list of arguments at its own commas, not at those in brackets."""
    depth, start = 0, 0
    for place, letter in enumerate(told):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            yield told[start:place].strip()
            start = place + 1
    yield told[start:].strip()


def tree_of(thing: Any) -> ast.ClassDef | ast.FunctionDef:
    """Return the syntax tree of a class or function."""
    found = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    assert isinstance(found, ast.ClassDef | ast.FunctionDef)
    return found


def methods(thing: Any) -> list[ast.FunctionDef]:
    """Return what a class itself defines, in order; operators, and a function's own, left out."""
    tree = tree_of(thing)
    return [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and isinstance(tree, ast.ClassDef)
        and (node.name == "__init__" or not node.name.startswith("__"))
    ]
