"""The reference is complete: a hook, command, option, setting or method that nobody has told of
fails a test here, as does a page that is not built.
"""

import re
import subprocess
import sys
import types
from pathlib import Path

import attrs
import click
import pytest

sys.path.append(str(Path(__file__).parent))

from doc_blocks import DOCS, ROOT
from lzdocs import commands, errors, hooks, pictures, protocols, settings, site, text

import lzcore.base
import lzcore.nn
import lzcore.search
from lzcore.base import Settings, setting
from lzcore.engine.config import RunSettings
from lzcore.registry import hookspecs, load
from lzcore.testing.readme import explained

PAGES = dict(site.pages())
CONFIGS = [RunSettings] + [load(s.config) for k in ("policies", "envs") for _, s in site.specs(k)]
TOLD = [thing for chapter in protocols.CHAPTERS for thing in chapter.loaded.values()]


# --- nothing is undocumented ----------------------------------------------------------------------


def test_every_command_and_option_has_help():
    assert commands.undocumented(site.group()) == []


def test_every_hook_and_each_of_its_arguments_is_explained():
    assert hooks.undocumented() == []


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_setting_has_help(config):
    assert settings.undocumented(config) == []


@pytest.mark.parametrize("thing", TOLD, ids=lambda thing: thing.__name__)
def test_every_protocol_and_function_and_each_method_has_a_docstring(thing):
    assert protocols.undocumented(thing) == []


def test_every_error_says_what_it_is_raised_for():
    assert errors.undocumented() == []


# --- and a test would say so if it were -----------------------------------------------------------


def test_a_command_or_option_without_help_is_found():
    @click.command("mute")
    @click.option("--loud")
    @click.option("--told", help="Told.")
    def mute(**_): ...

    group = click.Group("lz", commands=[mute])
    assert commands.undocumented(group) == ["lz mute", "lz mute --loud"]


def test_a_hook_or_argument_that_is_not_explained_is_found(tmp_path):
    path = tmp_path / "specs.py"
    path.write_text(
        "@hookspec\ndef lz_mute(run): ...\n\n"
        '@hookspec\ndef lz_half(run, said):\n    """Told.\n\n    Args:\n        run: it.\n    """\n'
    )
    module = types.ModuleType("specs")
    module.__file__ = str(path)

    assert hooks.undocumented(module) == ["lz_mute", "lz_mute(run)", "lz_half(said)"]


@attrs.frozen(kw_only=True)
class Inner(Settings):
    mute: int = setting(1, "")


@attrs.frozen(kw_only=True)
class Outer(Settings):
    told: int = setting(1, "Told.")
    inner: Inner = setting(attrs.Factory(Inner), "A table.")


def test_a_setting_without_help_is_found():
    assert settings.undocumented(Outer) == ["inner.mute"]


class Mute:
    def told(self):
        """Told."""

    def act(self): ...

    def _state_dict_learn(self): ...

    def _own(self): ...


def test_a_method_without_a_docstring_is_found():
    assert protocols.undocumented(Mute) == ["Mute", "Mute.act", "Mute._state_dict_learn"]


def test_an_error_without_a_docstring_is_found():
    module = types.ModuleType("mine")
    module.MuteError = type("MuteError", (Exception,), {"__module__": "mine"})

    assert errors.undocumented(module) == ["MuteError"]


# --- what is documented stands on a page ----------------------------------------------------------


def test_every_hook_has_a_section_and_says_who_uses_it():
    names = [name for name in vars(hookspecs) if name.startswith("lz_")]
    page = PAGES["reference/hooks.md"]

    assert [hook.name for hook in hooks.hooks()] == names
    assert re.findall(r"^## (lz_\w+)$", page, flags=re.M) == names
    assert page.count("*Used by:*") == len(names)
    assert "`plugins/lz_ptree/lz_ptree/plugin.py`" in page


def test_every_name_of_the_vocabulary_is_explained():
    told = {thing.__name__ for thing in (*TOLD, *errors.classes())}
    types = {"Evaluate", "Size", "State", "Step"}  # which are names for types, without a docstring

    for package in (lzcore, lzcore.base, lzcore.search, lzcore.nn):
        assert set(package.__all__) - told - types - {"__version__"} == set()


def test_every_setting_stands_in_a_table_with_what_it_takes():
    row = "| `td_steps` | `5` | an integer, at least 1 | steps | Rewards before the bootstrapped "
    assert row in PAGES["reference/policies/muzero.md"]
    assert "| `run.seed` | `0` | an integer, at least 0 |" in PAGES["reference/settings.md"]
    assert "| `env.frame_skip` |" in PAGES["reference/settings.md"]


def test_every_option_stands_below_its_command():
    for path, command, _ in commands.commands(site.group()):
        section = PAGES["reference/commands.md"].partition(f"## {' '.join(path)}\n")[2]
        section = section.partition("\n## ")[0]
        assert section
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert f"`{option.opts[0]}`" in section


def test_every_number_that_a_run_logs_by_itself_is_explained():
    from lzcore.engine.collector import CollectStats
    from lzcore.engine.evaluator import EvaluationResult
    from lzcore.engine.match import MatchResult
    from lzcore.engine.observers import PLACE
    from lzcore.engine.progress import SHARES

    stats = CollectStats(
        iteration=0, mode="collect", env_steps=1, begun=1, returns=(1.0,), lengths=(1,), means={},
        segments=1, resigned=(False,),
    )  # fmt: skip
    played = {"returns": (1.0, -1.0), "lengths": (1, 1), "at": {"learn_step": 1, "env_step": 1}}
    match = MatchResult(opponent="random", players=(1, 2), **played)
    told = explained(DOCS / "reference" / "metrics.md")

    logged = [stats.to_dict(), EvaluationResult(**played).to_dict(), match.to_dict()]
    assert {*PLACE, *SHARES, *(name for record in logged for name in record)} <= told


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        ("def f(self): ...", "f()"),
        ("def f(self, a: 'click.Group', *, b=1) -> int: ...", "f(a: click.Group, *, b=1) -> int"),
        ("def f(cls, a: int | None=None): ...", "f(a: int | None = None)"),
        (f"def f({'a' * 50}: int, {'b' * 50}: dict[str, int]): ...",
         f"f(\n    {'a' * 50}: int,\n    {'b' * 50}: dict[str, int],\n)"),
    ],
)  # fmt: skip
def test_a_signature_is_written_as_people_would(function, shown):
    import ast

    [parsed] = ast.parse(function).body
    assert text.signature(parsed) == shown


def test_a_docstring_becomes_paragraphs_and_lists():
    doc = """Do (B, *S) things if a < b, `as *they* do`.

        More of
        that.

        Args:
            one: a number
                on two lines.
            two: another.
        Returns:
            All of
            it.
        """
    assert text.markdown(doc) == (
        "Do (B, \\*S) things if a &lt; b, `as *they* do`.\n\nMore of that.\n\n*Args:*\n\n"
        "* `one`: a number on two lines.\n* `two`: another.\n\n*Returns:* All of it."
    )


def test_every_example_stands_in_the_authors_guide():
    page = (DOCS / "author" / "index.md").read_text()
    assert [name for name in site.EXAMPLES if f"| `{name}` |" not in page] == []


# --- troubleshooting ------------------------------------------------------------------------------


def _messages(path):
    """Yield each text in a file, with `…` for what is put in."""
    import ast

    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
            yield re.sub(r"'?…'?", "…", "".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


TROUBLE = re.findall(r"^> `(.*)`$", (DOCS / "guide" / "troubleshooting.md").read_text(), flags=re.M)


@pytest.fixture(scope="module")
def texts():
    return [message for path in site.sources() for message in _messages(path)]


def is_printed(message, texts):
    """Whether a message, `…` standing for anything, is written somewhere in the code."""
    pattern = ".*".join(re.escape(part.strip()) for part in message.split("…"))
    return any(re.search(pattern, known) for known in texts)


@pytest.mark.parametrize("message", TROUBLE)
def test_a_message_that_is_explained_is_one_that_people_can_see(message, texts):
    assert is_printed(message, texts)


@pytest.mark.parametrize("message", ["…: there is no such sitting.", "not empty … is"])
def test_a_message_that_nobody_prints_would_be_found(message, texts):
    assert not is_printed(message, texts)


# --- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", pictures.PICTURES)
def test_a_picture_is_up_to_date(place):
    stale = "stale: PYTHONPATH=tools python -m lzdocs.pictures draws it again"
    assert (DOCS / place).read_text() == pictures.PICTURES[place](ROOT), stale


def test_the_picture_of_imports_follows_the_imports(tmp_path):
    for place, source in {
        "lzcore/base/a.py": "import attrs",
        "lzcore/cli/b.py": "def late():\n    from lzcore.base import a",
        "plugins/lz_new/lz_new/c.py": "import lzcore.base.a\nimport lz_old.d",
        "plugins/lz_old/lz_old/d.py": "",
        "plugins/lz_new/pyproject.toml": "",
        "plugins/lz_old/pyproject.toml": "",
    }.items():
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    drawn = pictures.architecture(tmp_path)

    assert ">lz_new</text>" in drawn
    assert drawn.count("<line") == 3  # lz_new on lz_old, cli on base, plugins on the core
    assert drawn == pictures.architecture(tmp_path)


def test_imports_that_follow_from_others_are_not_drawn():
    imported = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert pictures.between("abc", imported) == [("a", "b"), ("b", "c")]


def test_the_life_of_a_run_names_methods_and_hooks_that_exist():
    for _, asked, told in pictures.LIFE:
        assert all(hasattr(lzcore.base.Policy, name) for name in asked)
        assert all(hasattr(hookspecs, name) for name in told)
    assert {"decide", "make_batch"} <= {name for _, asked, _ in pictures.LIFE for name in asked}


# --- the site -------------------------------------------------------------------------------------


def build(folder, root=ROOT):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    done = build(tmp_path)

    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    for place in ("index", "guide/running/index", "reference/policies/muzero/index"):
        assert (tmp_path / f"{place}.html").exists()
    html = (tmp_path / "reference" / "hooks" / "index.html").read_text()
    assert 'id="lz_run_started"' in html
    assert not re.search(r'(src|href)="https?://[^"]*\.(js|css)"', html)  # nothing is fetched
