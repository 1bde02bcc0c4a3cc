"""Which installed tree serves a search."""

from lzcore.base.errors import ConfigError, LzError, UnknownNameError
from lzcore.base.tree import TREE_PARTS, Tree
from lzcore.base.treespec import TreeSpec
from lzcore.registry import get_registry, made
from lzcore.registry.faults import FAULTS, told


def make_tree(name: str, spec: TreeSpec, *, prefer_compiled: bool = True) -> Tree:
    """Make the tree that `choose_tree` names.

    Raises:
        UnknownNameError: no tree is installed, or none of that name.
        ConfigError: the named tree cannot run `spec`.
    """
    chosen, _ = choose_tree(name, spec, prefer_compiled=prefer_compiled)
    return made(get_registry().resolve("trees", chosen), TREE_PARTS, spec)  # type: ignore[no-any-return]


def choose_tree(name: str, spec: TreeSpec, *, prefer_compiled: bool = True) -> tuple[str, str]:
    """Pick an installed tree that can run `spec`.

    Args:
        name: a registered tree, or "auto": compiled ones first if `prefer_compiled`, else last.
        spec: what it must support.
        prefer_compiled: see `name`.
    Returns:
        The tree's registered name, and one line for people where "auto" could not do as wished.
    """
    registry = get_registry()
    if name != "auto":
        missing = registry.resolve("trees", name).supports(spec)
        if missing:
            raise ConfigError(f"The tree {name!r} cannot run this search: {missing}.")
        return name, ""
    known = [c.name for c in registry.components("trees") if c.state == "ok"]
    passed_over: list[str] = []
    for candidate in sorted(
        known, key=lambda n: (registry.spec("trees", n).compiled != prefer_compiled, n)
    ):
        reason = _reason_against(candidate, spec)
        if reason is None:
            return candidate, _note(candidate, prefer_compiled, passed_over)
        passed_over.append(f"{candidate} ({reason})")
    raise UnknownNameError(
        "No installed tree can run this search"
        + (f": {', '.join(passed_over)}." if passed_over else ".")
        + " Install one, for example `pip install lz-ctree`; `lz list` shows why one that is "
        "installed is not used."
    )


def _reason_against(name: str, spec: TreeSpec) -> str | None:
    try:
        return get_registry().resolve("trees", name).supports(spec)  # type: ignore[no-any-return]
    except LzError as err:  # it is installed, but cannot be imported here
        return str(err)
    except FAULTS as err:
        return told(err)


def _note(chosen: str, prefer_compiled: bool, passed_over: list[str]) -> str:
    compiled = get_registry().spec("trees", chosen).compiled
    if prefer_compiled and not compiled:
        why = f"; passed over: {', '.join(passed_over)}" if passed_over else ""
        return f"No compiled tree can be used, so searches run on {chosen}, more slowly{why}."
    return ""
