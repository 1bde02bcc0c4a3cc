"""The reference of hooks and of the records that they return."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from lzcore.registry import hookspecs
from lzcore.registry.specs import SPECS, Spec
from lzdocs.text import markdown, signature


def hooks(module: ModuleType = hookspecs) -> list[ast.FunctionDef]:
    """Return the functions of a module that are marked as hooks, in order."""
    return _marked(Path(inspect.getfile(module)), "hookspec")


def undocumented(module: ModuleType = hookspecs) -> list[str]:
    """Return hooks, and arguments of hooks, that nothing is said of."""
    found = []
    for hook in hooks(module):
        doc = ast.get_docstring(hook) or ""
        found += [] if doc else [hook.name]
        named = [arg.arg for arg in hook.args.args]
        found += [f"{hook.name}({name})" for name in named if f"{name}: " not in doc]
    return found


def users(sources: list[Path], root: Path) -> dict[str, list[str]]:
    """Return hook -> the files of these sources that implement it."""
    found: dict[str, list[str]] = {}
    for path in sources:
        for name in sorted({function.name for function in _marked(path, "hookimpl")}):
            found.setdefault(name, []).append(str(path.relative_to(root)))
    return found


def page(used_by: dict[str, list[str]]) -> str:
    """Return the page of all hooks.

    Args:
        used_by: hook -> files that implement it.
    """
    parts = ["# Hooks", markdown(hookspecs.__doc__), INTRODUCTION]
    for hook in hooks():
        parts += [f"## {hook.name}", f"```python\n{signature(hook)}\n```"]
        parts.append(markdown(ast.get_docstring(hook)))
        files = ", ".join(f"`{path}`" for path in used_by.get(hook.name, ()))
        parts.append(f"*Used by:* {files or 'plugins of others; none of ours needs it'}.")
    parts += ["## Specs", SPECS_TOLD, *_specs()]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = (
    "[The plugin author's guide](../author/index.md) says how to begin. An observer of one run "
    "alone is an object with such methods, each marked `@hookimpl`, and is given to "
    "`lzcore.train(observers=[...])`."
)
SPECS_TOLD = (
    "What the registering hooks return. Every spec has a `name` and a one-line `summary`, and "
    'names classes as `"package.module:Class"`. All fields are keywords.'
)


def _specs() -> Iterator[str]:
    classes: tuple[type[Spec], ...] = (Spec, *SPECS)
    for spec in classes:
        yield f"### {spec.__name__}"
        yield f"```python\n{inspect.getsource(spec).strip()}\n```"


def _marked(path: Path, marker: str) -> list[ast.FunctionDef]:
    return [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and any(_is(d, marker) for d in node.decorator_list)
    ]


def _is(decorator: ast.expr, marker: str) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Name) and called.id == marker
