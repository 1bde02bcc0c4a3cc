"""The reference of protocols: what each kind of component promises, method by method."""

import ast
import inspect
import re
from typing import Any

import attrs

from lzcore.registry import load
from lzdocs.text import class_tree, markdown, methods, signature

# private names that are part of what a class promises: the steps of a policy, and constructors
STEP = re.compile(
    r"__init__|_(init|forward|reset|process|get|set|monitor|state_dict|load_state_dict)_\w+"
)


@attrs.frozen
class Chapter:
    """One page: the classes of one kind of component."""

    name: str  # of the page
    title: str
    classes: tuple[str, ...]  # "module:Class", in reading order
    see: str = ""  # Markdown, where to read on

    @property
    def loaded(self) -> list[Any]:
        """The classes themselves."""
        return [load(path) for path in self.classes]


def _of(module: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{module}:{name}" for name in names)


CHAPTERS = (
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
)


def undocumented(cls: Any) -> list[str]:
    """Return methods of a class, and the class itself, that have no docstring."""
    own = [] if ast.get_docstring(class_tree(cls)) else [cls.__name__]
    return own + [
        f"{cls.__name__}.{method.name}" for method in promised(cls) if not ast.get_docstring(method)
    ]


def promised(cls: Any) -> list[ast.FunctionDef]:
    """Return the methods of a class that others call or write: the public ones, and steps."""
    return [m for m in methods(cls) if STEP.fullmatch(m.name) or not m.name.startswith("_")]


def page(chapter: Chapter) -> str:
    """Return the page of a chapter."""
    module = inspect.getmodule(chapter.loaded[0])
    parts = [f"# {chapter.title}", markdown(inspect.getdoc(module)), chapter.see]
    for path, cls in zip(chapter.classes, chapter.loaded, strict=True):
        parts += [f"## {cls.__name__}", f"`{path.partition(':')[0]}`", *_class(cls)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _class(cls: Any) -> list[str]:
    """Return what is told of a class: a record as it stands, else method by method."""
    if _is_record(cls):
        return [f"```python\n{inspect.getsource(cls).strip()}\n```"]
    parts = [markdown(ast.get_docstring(class_tree(cls)))]
    fields = [node for node in class_tree(cls).body if isinstance(node, ast.AnnAssign)]
    if fields:
        parts.append(f"```python\n{_source_of(cls, fields)}\n```")
    for method in promised(cls):
        parts += [f"### {cls.__name__}.{method.name}", f"```python\n{_signed(method)}\n```"]
        parts.append(markdown(ast.get_docstring(method)))
    return parts


def _is_record(cls: Any) -> bool:
    return (hasattr(cls, "_fields") or attrs.has(cls)) and len(methods(cls)) <= 3


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
