"""What `lz` and `lz list` show, without a process of their own."""

import json
import types
from importlib.metadata import version

import pytest
from click.testing import CliRunner

import lzcore
from lzcore.cli import list as cli_list
from lzcore.cli.main import COMMANDS, main
from lzcore.registry import ModelSpec, Registry, hookimpl


def plugin(dist, *models, error=None):
    """The entry point of a distribution with these models, or one that raises on import."""
    module = types.ModuleType(dist)
    module.LZ_API = 1
    module.lz_register_models = hookimpl(lambda: list(models))

    def load():
        if error:
            raise error
        return module

    found = types.SimpleNamespace(name=dist, version="1.0")
    return types.SimpleNamespace(name="main", value=dist, dist=found, load=load)


def net(name, path="collections:Counter"):
    return ModelSpec(name=name, model=path, summary=f"The {name} net.")


@pytest.fixture
def listing(monkeypatch):
    """Run `lz list` with these entry points installed and no others."""

    def run(points, *arguments, limit=""):
        registry = Registry(points, limit=limit)
        monkeypatch.setattr(cli_list, "get_registry", lambda: registry)
        return CliRunner().invoke(main, ["list", *arguments])

    return run


def test_every_component_stands_in_a_row_of_its_own_with_where_it_comes_from(listing):
    done = listing([plugin("lz-nets", net("small"), net("deeper"))])

    assert done.exit_code == 0
    assert done.output.splitlines()[:3] == [
        "KIND              NAME        DISTRIBUTION  VERSION  STATE  SUMMARY",
        "model             deeper      lz-nets       1.0      ok     The deeper net.",
        "model             small       lz-nets       1.0      ok     The small net.",
    ]
    assert any(
        row.split()[:5] == ["buffer", "replay", "lzcore", lzcore.__version__, "ok"]
        for row in done.output.splitlines()
    )


def test_a_broken_plugin_is_shown_with_its_cause_and_is_no_failure_of_the_list(listing):
    done = listing([plugin("lz-bad", error=RuntimeError("boom")), plugin("lz-nets", net("small"))])

    assert done.exit_code == 0
    [row] = [row for row in done.output.splitlines() if "lz-bad" in row]
    assert row.split()[:3] == ["main", "lz-bad", "1.0"]
    assert row.split()[3:6:2] == [row.split()[3], "broken"]
    assert "broken  RuntimeError: boom (test_cli_list.py line" in row
    assert "The small net." in done.output


def test_a_conflict_is_shown_at_both_with_the_way_out(listing):
    done = listing([plugin("lz-a", net("x")), plugin("lz-b", net("x"))])

    assert "conflict  lz-b 1.0 claims this name too; write 'lz-a:x'" in done.output
    assert "conflict  lz-a 1.0 claims this name too; write 'lz-b:x'" in done.output


def test_the_core_alone_says_what_could_be_installed(listing):
    lines = listing([]).output.splitlines()

    start = lines.index("Not installed:")
    assert [line.split()[:3] for line in lines[start + 1 :]] == [
        ["pip", "install", name]
        for name in (
            "lz-ctree",
            "lz-ptree",
            "lz-openspiel",
            "lz-alphazero",
            "lz-muzero",
            "lz-unizero",
        )
    ]


def test_what_is_left_out_and_names_that_fit_nothing_are_said(listing):
    done = listing([plugin("lz-nets", net("small"))], limit="lz-typo")

    assert "left out  LZ_PLUGINS does not name it" in done.output
    assert "LZ_PLUGINS names 'lz-typo', which is not installed." in done.output


@pytest.mark.parametrize(
    ("points", "status"),
    [
        ([plugin("lz-a", net("x"), net("y"))], 0),
        ([plugin("lz-a", net("x", "collections:Nope"))], 1),
        ([plugin("lz-a", error=ValueError())], 1),
        ([plugin("lz-a", net("x")), plugin("lz-b", net("x"))], 1),
    ],
)
def test_a_check_fails_if_anything_cannot_be_used(listing, monkeypatch, points, status):
    monkeypatch.setattr(Registry, "check", only_of_plugins(Registry.check))
    done = listing(points, "--check")

    assert done.exit_code == status
    usable = sum(" ok " in row for row in done.output.splitlines() if row.startswith("model"))
    assert f"Checked: {usable} of " in done.output


def only_of_plugins(check):
    """Leave the core's own out, whose classes import torch and gymnasium."""
    return lambda registry: [c for c in check(registry) if c.distribution != "lzcore"]


def test_json_tells_the_same_as_one_object(listing):
    done = listing([plugin("lz-nets", net("small"))], "--json")

    facts = json.loads(done.output)
    [model] = [c for c in facts["components"] if c["kind"] == "models"]
    assert model == {
        "kind": "models",
        "name": "small",
        "spec": {
            "name": "small",
            "summary": "The small net.",
            "model": "collections:Counter",
        },
        "distribution": "lz-nets",
        "version": "1.0",
        "state": "ok",
        "cause": "",
    }
    [ours] = [p for p in facts["plugins"] if p["distribution"] == "lz-nets"]
    assert ours.pop("seconds") >= 0
    assert ours == {
        "heavy": [],
        "slow": "",
        "name": "main",
        "value": "lz-nets",
        "distribution": "lz-nets",
        "version": "1.0",
        "state": "ok",
        "cause": "",
    }
    assert facts["hook_api"] == 1
    assert facts["not_installed"][0]["distribution"] == "lz-ctree"


# --- lz itself -----------------------------------------------------------------------------------


def test_the_version_is_that_of_the_distribution():
    done = CliRunner().invoke(main, ["--version"])

    assert done.output == f"lz {version('lzcore')}\n"


def test_help_names_every_command_with_a_line_and_imports_none_of_them(monkeypatch):
    monkeypatch.setattr("lzcore.cli.main.plugin_commands", lambda ctx: {})
    monkeypatch.setattr("lzcore.cli.main.import_module", None)
    done = CliRunner().invoke(main, ["-h"])

    assert done.exit_code == 0
    for name, (_, text) in COMMANDS.items():
        assert f"  {name:9}  {text}\n" in done.output


def test_an_unknown_command_is_a_usage_error_with_the_nearest_name():
    done = CliRunner().invoke(main, ["lsit"])

    assert done.exit_code == 2
    assert "Error: No such command 'lsit'. Did you mean 'list'?" in done.output


def test_an_unknown_option_is_a_usage_error():
    done = CliRunner().invoke(main, ["list", "--chekc"])

    assert done.exit_code == 2
    assert "No such option" in done.output
    assert "--check" in done.output


def test_the_shell_completes_commands_without_importing_them(monkeypatch):
    monkeypatch.setattr("lzcore.cli.main.plugin_commands", lambda ctx: {})
    monkeypatch.setattr("lzcore.cli.main.import_module", None)
    typed = {"_LZ_COMPLETE": "bash_complete", "COMP_WORDS": "lz wa", "COMP_CWORD": "1"}
    done = CliRunner().invoke(main, [], prog_name="lz", env=typed)

    assert done.output == "plain,watch\n"


def test_every_command_of_the_table_is_there_and_bears_its_name():
    context = main.make_context("lz", [], resilient_parsing=True)

    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help
