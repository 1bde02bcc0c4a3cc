"""`lz plugin new`: a distribution with one component, which can be used and tested at once.

What it writes lies in `lzcore/templates`, a folder for each kind: files whose text has `$names`,
and `package` in their paths stands for the name of the package.
"""

import keyword
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from string import Template

import attrs
import click

import lzcore
from lzcore.base.errors import PluginError

KINDS = ("policy", "tree", "model", "buffer", "env", "observer")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_.][A-Za-z0-9]+)*")
_OURS = ("lz", "lzcore", "test", "tests")


@attrs.frozen
class Names:
    """What a plugin is called: my-planner, as a package my_planner, and MyPlanner in classes."""

    dist: str
    package: str
    klass: str

    @classmethod
    def of(cls, name: str, kind: str = "") -> "Names":
        """Spell a name in the three ways; classes get the kind behind it, so it goes if there."""
        words = re.split(r"[-_.]+", name)
        lower = [word.lower() for word in words]
        title = "".join(word[0].upper() + word[1:] for word in words)
        klass = title.removesuffix(kind.title()) or title
        return cls("-".join(lower), "_".join(lower), klass)


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), default="policy", help="What it is [policy].")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder in which the plugin's own is made [.].",
)
def new(name: str, kind: str, into: Path) -> None:
    """Write a plugin NAME that can be installed, used and tested at once.

    Nothing is ever overwritten. Exit status: 0, 1 for an error, 2 for a name that will not do.
    """
    reason = reason_against(name)
    if reason is not None:
        raise click.BadParameter(f"{name!r} {reason}.", param_hint="NAME")
    names = Names.of(name, kind)
    folder = into / names.dist
    written = write(names, kind, folder)
    click.echo(f"Wrote {folder}: {written} files of the {kind} {names.package!r}. What to do next:")
    click.echo(f'  pip install -e "{folder}[test]"  # then `lz list` shows it')
    click.echo(f"  {filled(facts_of(kind)['run'], names)}")
    click.echo(f"  pytest {folder}")


# --- the name -------------------------------------------------------------------------------------


def reason_against(name: str) -> str | None:
    """Return None if a new plugin can have this name, else why not, to follow the name."""
    if not _NAME.fullmatch(name):
        return (
            "is no name of a distribution that is also one of a package; write letters and "
            "digits, a letter first, in words joined by single hyphens, as in my-planner"
        )
    names = Names.of(name)
    if keyword.iskeyword(names.package) or names.package in sys.stdlib_module_names:
        return f"is a name of Python's own ({names.package}); choose another one"
    if names.package in _OURS:
        return f"is kept for this project and for tests ({names.package}); choose another one"
    return _taken(names)


def _taken(names: Names) -> str | None:
    """Say what has the name already, if anything does."""
    owner = _distribution(names.dist) or _provided(names)
    if owner is None and (found := find_spec(names.package)) is not None and found.origin:
        owner = f"the installed package {found.origin}"
    return owner and f"is taken: {owner}. Choose another one"


def _distribution(name: str) -> str | None:
    try:
        return f"{name} {distribution(name).version} is installed"
    except PackageNotFoundError:
        return None


def _provided(names: Names) -> str | None:
    """Say which component has the name, installed or known to be installable."""
    from lzcore.registry import get_registry, installable  # late: `lz --help` looks for no plugin

    registry = get_registry()
    for component in registry.components():
        prefix = getattr(component.spec, "prefix", "")
        if names.package in (_spelt(component.name), _spelt(prefix)):
            return f"{component.label} has the {component.spec.word} {component.name!r}"
    for known in installable(registry.plugins):
        provided = [name for some in known.provides.values() for name in some]
        if names.package in map(_spelt, (known.distribution, *provided)):
            return f"{known.distribution}, which is not installed here, has it"
    return None


def _spelt(name: str) -> str:
    return re.sub(r"[-.]", "_", name).lower()


# --- what is written ------------------------------------------------------------------------------


def write(names: Names, kind: str, folder: Path) -> int:
    """Write a plugin of a kind, and return how many files it has.

    Raises:
        PluginError: the folder exists already, or cannot be written.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError as err:
        raise PluginError(
            f"{folder} exists already, and nothing is overwritten. Choose another name, or another "
            "place with --into."
        ) from err
    except OSError as err:
        raise PluginError(f"{folder} cannot be made: {err.strerror}.") from err
    number = 0
    for path, text in templates(kind):
        target = folder / path.replace("package", names.package)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(filled(text, names, _needs(kind)), encoding="utf-8")
        except OSError as err:
            raise PluginError(
                f"{target} cannot be written: {err.strerror}. Remove {folder} and try again."
            ) from err
        number += 1
    return number


def templates(kind: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of each file: those that all kinds have, then the kind's own."""
    root = files(lzcore) / "templates"
    yield from _texts(root / "common")
    yield from _texts(root / kind)


def facts_of(kind: str) -> dict[str, str]:
    """Return what `kinds.toml` tells of a kind."""
    text = (files(lzcore) / "templates" / "kinds.toml").read_text(encoding="utf-8")
    found: dict[str, str] = tomllib.loads(text)[kind]
    return found


def filled(text: str, names: Names, needs: str = "") -> str:
    """Put the names into a template."""
    return Template(text).substitute(attrs.asdict(names), needs=needs)


def _texts(folder: Traversable, at: str = "") -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda found: found.name):
        if entry.is_dir():
            yield from _texts(entry, f"{at}{entry.name}/")
        else:
            yield at + entry.name.removesuffix(".in"), entry.read_text(encoding="utf-8")


def _needs(kind: str) -> str:
    """Return the requirements of a kind as TOML; lzcore of the minor version that wrote it."""
    major, minor = map(int, lzcore.__version__.split(".")[:2])
    core = f"lzcore>={major}.{minor},<{major}.{minor + 1}"
    return ", ".join(f'"{need}"' for need in [core, *facts_of(kind)["needs"]])
