"""The reference of protocols: what each kind of component promises, method by method."""

import ast
import inspect
import re
from importlib import import_module
from types import FunctionType
from typing import Any

import attrs

import lzcore.base
import lzcore.nn
import lzcore.search
from lzcore.base import errors
from lzcore.registry import load
from lzdocs.text import markdown, methods, signature, tree_of

# private names that are part of what a class promises: the steps of a policy, and constructors
STEP = re.compile(
    r"__init__|_(init|forward|reset|process|get|set|monitor|state_dict|load_state_dict)_\w+"
)


@attrs.frozen
class Chapter:
    """One page: the classes and functions that belong together."""

    name: str  # of the page
    title: str
    names: tuple[str, ...]  # "module:Name" each, in reading order; names of types are left out
    see: str = ""  # Markdown, where to read on

    @property
    def loaded(self) -> dict[str, Any]:
        """The classes and functions themselves, by name."""
        found = {path: load(path) for path in self.names}
        return {path: x for path, x in found.items() if isinstance(x, type | FunctionType)}


def _of(module: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{module}:{name}" for name in names)


_CHAPTERS = (
    Chapter(
        "policy",
        "Policy",
        (
            *_of("lzcore.base.policy", "Policy", "Decisions"),
            *_of("lzcore.base.config", "LoopSettings", "Settings", "PolicySettings"),
            *_of("lzcore.base.config", "ModelSettings", "LearnSettings"),
        ),
        "[A policy](../../author/policy.md) tells the order of the calls.",
    ),
    Chapter(
        "model",
        "Model",
        _of("lzcore.base.model", "Model", "NetworkOutput", "Support", "ChanceModel"),
        "[The other parts](../../author/parts.md#a-model) has what else is asked of one.",
    ),
    Chapter(
        "dynamics",
        "Dynamics",
        (
            "lzcore.search.dynamics:Dynamics",
            *_of("lzcore.search.dynamics", "LearnedDynamics", "ChanceDynamics"),
            "lzcore.search.simulated:SimulatedDynamics",
            "lzcore.search.inference:Inference",
        ),
        "[Looking into a search](../../inspect.md) begins with dynamics of 20 lines.",
    ),
    Chapter(
        "tree",
        "Tree",
        (
            *_of("lzcore.base.tree", "Tree", "Evaluation", "Leaves", "Reuse", "SearchResult"),
            "lzcore.base.treespec:TreeSpec",
        ),
        "[Search](../../search.md) is the law that the trees here keep to.",
    ),
    Chapter(
        "buffer",
        "Buffer",
        _of("lzcore.base.replay", "Buffer", "Windows", "Column", "Segment", "ReplaySettings"),
        "[The other parts](../../author/parts.md#a-buffer) says when which method is called.",
    ),
    Chapter(
        "env",
        "Env",
        _of("lzcore.base.env", "Env", "Spaces", "ActionSpace", "Observed", "Stepped"),
        "Most environments need none of this: [Environments](../../guide/environments.md).",
    ),
    Chapter(
        "simulator",
        "Simulator",
        _of("lzcore.base.simulator", "Simulator", "Positions"),
        "[A game of your own](../../games.md) writes one.",
    ),
    Chapter("opponent", "Opponent", ("lzcore.base.opponent:Opponent",)),
    Chapter(
        "run",
        "Runner and run",
        (
            *_of("lzcore.engine.plan", "Plan", "Outcome", "Run", "Counters"),
            "lzcore.engine.evaluator:EvaluationResult",
            "lzcore.engine.match:MatchResult",
        ),
        "A runner is a function `run(plan) -> outcome`; `lzcore.engine.trainer:run_local` is the "
        "first. Observers see the `Run`.",
    ),
    Chapter(
        "python",
        "From Python",
        ("lzcore.engine.starting:train", "lzcore.engine.agent:Agent"),
        "Both are in `lzcore`. [From Python](../../guide/python.md) shows them at work.",
    ),
    Chapter(
        "searching",
        "Searching",
        _of("lzcore.search", *lzcore.search.__all__),
        "[Looking into a search](../../inspect.md) uses some of them.",
    ),
    Chapter("networks", "Parts of networks", _of("lzcore.nn", *lzcore.nn.__all__)),
)


def _chapters() -> tuple[Chapter, ...]:
    """Add a chapter of what else there is in `lzcore.base`: errors have a page of their own."""
    told = {path.partition(":")[2] for chapter in _CHAPTERS for path in chapter.names}
    told |= {name for name in vars(errors) if not name.startswith("_")}
    rest = _of("lzcore.base", *(name for name in lzcore.base.__all__ if name not in told))
    return (*_CHAPTERS, Chapter("base", "Settings, randomness, and else", rest))


CHAPTERS = _chapters()


def undocumented(thing: Any) -> list[str]:
    """Return what has no docstring: a function or class, or a promised method of a class.

    The docstring of a class speaks for its constructor.
    """
    own = [] if ast.get_docstring(tree_of(thing)) else [thing.__name__]
    return own + [
        f"{thing.__name__}.{method.name}"
        for method in promised(thing)
        if not ast.get_docstring(method) and method.name != "__init__"
    ]


def promised(thing: Any) -> list[ast.FunctionDef]:
    """Return the methods of a class that others call or write: the public ones, and steps."""
    return [m for m in methods(thing) if STEP.fullmatch(m.name) or not m.name.startswith("_")]


def page(chapter: Chapter) -> str:
    """Return the page of a chapter."""
    module = import_module(chapter.names[0].partition(":")[0])
    parts = [f"# {chapter.title}", markdown(inspect.getdoc(module)), chapter.see]
    for path, thing in chapter.loaded.items():
        parts += [f"## {thing.__name__}", f"`{path.partition(':')[0]}`", *_told(thing)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _told(thing: Any) -> list[str]:
    """Return what is told of a function, or of a class: a record as it stands, else by method."""
    tree = tree_of(thing)
    if _is_record(thing):
        return [f"```python\n{inspect.getsource(thing).strip()}\n```"]
    if isinstance(tree, ast.FunctionDef):
        return [f"```python\n{signature(tree)}\n```", markdown(ast.get_docstring(tree))]
    parts = [markdown(ast.get_docstring(tree))]
    fields = [node for node in tree.body if isinstance(node, ast.AnnAssign)]
    if fields:
        parts.append(f"```python\n{_source_of(thing, fields)}\n```")
    for method in promised(thing):
        parts += [f"### {thing.__name__}.{method.name}", f"```python\n{_signed(method)}\n```"]
        parts.append(markdown(ast.get_docstring(method)))
    return parts


def _is_record(thing: Any) -> bool:
    return (hasattr(thing, "_fields") or attrs.has(thing)) and len(methods(thing)) <= 3


def _source_of(cls: Any, fields: list[ast.AnnAssign]) -> str:
    """Return the lines of these fields with the comments behind them."""
    lines = inspect.cleandoc("\n" + inspect.getsource(cls)).splitlines()
    return "\n".join(
        line.strip() for f in fields for line in lines[f.lineno - 1 : f.end_lineno or f.lineno]
    )


def _signed(method: ast.FunctionDef) -> str:
    marks = [ast.unparse(d) for d in method.decorator_list]
    if "property" in marks:
        return signature(method).replace("() ->", ":")
    shown = [f"@{mark}\n" for mark in marks if mark in ("classmethod", "staticmethod")]
    return "".join(shown) + signature(method)
