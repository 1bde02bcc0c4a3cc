"""What the guides show runs: their Python, their commands, the plugins that they write."""

import importlib
import inspect
import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path

import click
import pytest

sys.path.append(str(Path(__file__).parent))

from doc_blocks import DOCS, blocks, commands, examples, execute, files
from lz_process import Shell

from lzcore.base import ConfigError
from lzcore.base.structure import merge, parse_override
from lzcore.cli.main import main
from lzcore.engine.layers import Layer, Stack, whole_class
from lzcore.registry import get_registry, load

PAGES = sorted(DOCS.rglob("*.md"))
NAMES = [str(page.relative_to(DOCS)) for page in PAGES]
RUNNING = [  # each in a test of its own are those of games.md, search.md and inspect.md
    page for page in PAGES if examples(page) and (page.parent != DOCS or page.stem == "index")
]
SHOWN = [(page, line) for page in PAGES for line in commands(page) if line.startswith("lz ")]
LOOKING = [line for _, line in SHOWN]
SHOWN += [
    (page, line[line.index("lz run") :])
    for page in PAGES
    for line in commands(page)
    if line.startswith("torchrun")
]
# in sentences of the user's guide
SHOWN += [
    (page, line)
    for page in (DOCS / "guide").glob("*.md")
    for line in sorted({*re.findall(r"`(lz [^`\n]+)`", page.read_text(encoding="utf-8"))})
]
CHEAP = (
    "lz list",
    "lz config show",
    "lz config explain",
    "lz config diff",
    "lz check-env",
    "lz plugin check game",
)
WRITTEN = {  # file of a page -> the plugin's name; both are an entry point of one distribution
    "author/index.md": ("returns_log", "patient"),
    "author/policy.md": ("gradient",),
    "author/parts.md": ("hello",),
}
TINY = "-o run.eval_episodes=1 -o run.tensorboard=false"


@pytest.fixture(scope="module")
def shell():
    with Shell() as opened:
        yield opened


@pytest.fixture(scope="module")
def place(shell, tmp_path_factory):
    """A folder with the runs that the guides speak of."""
    folder = tmp_path_factory.mktemp("guides")
    tiny = f"{TINY} -o num_simulations=2 -o batch_size=16 --max-env-steps 100 --quiet"
    line = f"run --policy muzero --env CartPole-v1 --out runs/cart {tiny}"
    assert shell.lz(folder, *line.split()) == (0, "", "")
    shutil.copytree(folder / "runs" / "cart", folder / "runs" / "cart2")
    return folder


# --- Python ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", RUNNING, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run_one_after_another(page, place, monkeypatch):
    monkeypatch.chdir(place)

    execute(page)


def test_the_steps_of_muzero_are_told_with_their_arguments():
    policy = importlib.import_module("lz_muzero.policy").MuZeroPolicy
    page = (DOCS / "author" / "index.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(_\w+)\(([^)]*)\)` \|", page, flags=re.M))
    steps = set(re.findall(r"`(_\w+)`", policy.__doc__))

    assert set(told) == steps
    for name, given in told.items():
        _, *taken = inspect.signature(getattr(policy, name)).parameters
        assert given == ", ".join(taken)


def test_the_run_that_the_guide_reads_was_evaluated(place, monkeypatch):
    monkeypatch.chdir(place)
    [(env_step, mean)] = execute(DOCS / "guide" / "run-directory.md")["returns"]

    assert env_step >= 100
    assert mean > 0


# --- commands -------------------------------------------------------------------------------------


def wrong_with(line):
    """Say what `lz` would refuse in a line before it does anything; "" if nothing."""
    command, words = main, shlex.split(line)[1:]
    context = click.Context(main, info_name="lz", **main.context_settings)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0]) if words else None
        if found is None:
            return f"no command {words[:1]} of {context.command_path}"
        command, words = found, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    try:
        given, left, _ = command.make_parser(context).parse_args(list(words))
    except click.UsageError as err:
        return err.message
    return f"no place for {left}" if left not in ([], ["..."]) else _unknown_settings(given)


def _unknown_settings(given):
    """Say which setting a command names that does not exist; words in capitals stand for any."""
    policy = given.get("policy") or "muzero"
    known = {c.name for c in get_registry().components("policies")}
    if policy not in known:
        written = {name for names in WRITTEN.values() for name in names}
        return "" if policy in written or policy.isupper() else policy
    config = get_registry().resolve("policies", policy, "config")
    kind = load(get_registry().env_for(given.get("env") or "").config)
    told = [override for override in given.get("overrides") or () if override != "KEY=VALUE"]
    asked = Layer("-o", merge(*map(parse_override, told)))
    try:
        Stack.of(whole_class(config, kind), [asked]).settings()
    except ConfigError as err:
        return str(err)
    return ""


@pytest.mark.parametrize(("page", "line"), SHOWN, ids=[line for _, line in SHOWN])
def test_a_command_that_is_shown_exists_with_its_options_and_settings(page, line):
    assert wrong_with(line) == ""


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("lz rum", "no command ['rum'] of lz"),
        ("lz config shew", "no command ['shew'] of lz config"),
        ("lz run --policy muzero --steps 4", "No such option '--steps'"),
        ("lz eval runs/cart runs/two", "no place for ['runs/two']"),
        ("lz run --policy", "Option '--policy' requires an argument."),
        ("lz run --policy muzro", "muzro"),
        ("lz run --policy muzero -o num_simulation=4", "num_simulation = 4: there is no such"),
        ("lz run --policy muzero -o env.opening_moves=4", "env.opening_moves = 4: there is no"),
    ],
)
def test_a_command_that_is_wrong_would_be_found(line, wrong):
    assert wrong in wrong_with(line)


@pytest.mark.parametrize(
    "line", sorted({line for line in LOOKING if line.startswith(CHEAP)}), ids=lambda line: line
)
def test_a_command_that_only_looks_does_what_it_says(line, shell, place):
    if "game/nim" in line:
        (place / "nim.py").write_text(files(DOCS / "games.md")["nim.py"])

    done = shell.lz(place, *shlex.split(line)[1:])

    assert done.status == 0, done.err
    assert done.out


def test_the_settings_of_a_run_make_another_one(shell, place):
    line = "run --policy muzero --config runs/cart/config.toml --out runs/again --quiet"
    done = shell.lz(place, *line.split(), "-o", "learning_rate=0.001")

    assert done == (0, "", "")
    assert "learning_rate = 0.001" in (place / "runs" / "again" / "config.toml").read_text()


def test_a_file_of_settings_is_read(shell, place):
    [body] = [b.body for b in blocks(DOCS / "guide" / "settings.md") if b.language == "toml"]
    (place / "my.toml").write_text(body)
    done = shell.lz(place, "config", "diff", "--policy", "muzero", "--config", "my.toml")

    assert done.status == 0, done.err
    assert "run.max_env_steps" in done.out
    assert "latent_state_dim: 256 -> 64  [my.toml]" in done.out


# --- plugins --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder in which the plugins of the author's guide are installed."""
    folder = tmp_path_factory.mktemp("site")
    for page, names in WRITTEN.items():
        for name, body in files(DOCS / page).items():
            (folder / name).write_text(body)
        for name in names:
            info = folder / f"{name}-0.1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
            (info / "entry_points.txt").write_text(f"[lzcore]\n{name} = {name}\n")
    return folder


def test_the_entry_point_of_the_first_plugin_names_its_module():
    written = files(DOCS / "author" / "index.md")
    project = tomllib.loads(written["pyproject.toml"])["project"]

    assert project["entry-points"]["lzcore"] == {"returns_log": "returns_log"}
    assert "returns_log.py" in written


def test_every_plugin_of_the_guide_is_listed_and_works(shell, site, tmp_path):
    done = shell.lz(tmp_path, "list", path=[site])

    assert done.status == 0
    for name in (name for names in WRITTEN.values() for name in names):
        [line] = [line for line in done.out.splitlines() if line.startswith(f"{name} ")]
        assert " ok" in line


@pytest.mark.parametrize(
    "line",
    [
        "run --policy gradient --env CartPole-v1 --max-env-steps 400 -o batch_size=32",
        "run --policy patient --env CartPole-v1 --max-env-steps 200 -o batch_size=16 "
        "-o num_simulations=2 -o fade_in=200",
    ],
)
def test_a_policy_of_the_guide_learns_and_the_first_plugin_logs_it(line, shell, site, tmp_path):
    done = shell.lz(tmp_path, *f"{line} --out run {TINY}".split(), path=[site])

    assert done.status == 0, done.err
    assert '"learned"' in (tmp_path / "run" / "metrics.jsonl").read_text()
    [row] = (tmp_path / "run" / "returns.csv").read_text().splitlines()
    assert row.count(",") == 1


def test_a_command_of_the_guide_is_one_of_lz(shell, site, tmp_path):
    assert shell.lz(tmp_path, "hello", path=[site]).out == "hello world\n"
