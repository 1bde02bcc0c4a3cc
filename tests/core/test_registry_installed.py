"""Plugins as strangers ship them: modules and metadata on the path of a fresh process."""

import json
import os
import re
import subprocess
import sys
from textwrap import dedent

import pytest

MODEL = """
    from lzcore.registry import ModelSpec, hookimpl

    LZ_API = 1

    @hookimpl
    def lz_register_models():
        return [ModelSpec(name="{name}", model="{module}:Net", summary="A net.")]

    class Net:
        pass
"""


@pytest.fixture
def site(tmp_path):
    """Install a distribution into a folder: `site("lz-foo", "1.0", source)`; lists them all."""
    names = []

    def install(name, version, source):
        module = name.replace("-", "_")
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[lzcore]\nmain = {module}\n")
        (tmp_path / f"{module}.py").write_text(dedent(source))
        names.append(name)

    install.path = tmp_path
    install.names = names
    return install


def python(site, code, *arguments, **environment):
    """Run code in a new process that sees the site's plugins and no others."""
    paths = os.pathsep.join(filter(None, [str(site.path), os.environ.get("PYTHONPATH")]))
    given = {"PYTHONPATH": paths, "LZ_PLUGINS": ",".join([*site.names, "lzcore"])} | environment
    return subprocess.run(
        [sys.executable, "-c", dedent(code), *arguments],
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=60,
    )


def lz(site, *arguments, **environment):
    return python(site, "from lzcore.cli.main import main; main()", *arguments, **environment)


def listed(site, *arguments):
    """What `lz list --json` says: components by name, plugins by distribution."""
    done = lz(site, "list", "--json", *arguments)
    facts = json.loads(done.stdout)
    components = {(c["distribution"], c["name"]): c for c in facts["components"]}
    plugins = {p["distribution"]: p for p in facts["plugins"] if p["state"] != "left out"}
    return components, plugins, done


def test_strangers_of_every_kind_of_brokenness_leave_the_tool_and_each_other_working(site):
    site("lz-good", "1.0", MODEL.format(name="good", module="lz_good"))
    site("lz-raises", "1.1", "raise RuntimeError('boom')")
    site("lz-absent", "1.2", "import no_such_library")
    site("lz-torn", "1.3", "def lz_cli(:\n")
    site("lz-future", "1.4", MODEL.format(name="future", module="x").replace("API = 1", "API = 7"))
    site("lz-silent", "1.5", MODEL.format(name="s", module="x").replace("LZ_API = 1", ""))
    site("lz-mixed", "1.6", MODEL.format(name="kept", module="x").replace("[Mo", "['junk', Mo"))
    site("lz-twin-a", "1.7", MODEL.format(name="twin", module="lz_twin_a"))
    site("lz-twin-b", "1.8", MODEL.format(name="twin", module="lz_twin_b"))

    components, plugins, done = listed(site)

    assert done.returncode == 0
    assert done.stderr == ""
    causes = {name: plugin["cause"] for name, plugin in plugins.items()}
    assert causes["lz-raises"] == "RuntimeError: boom (lz_raises.py line 1)"
    assert causes["lz-absent"] == (
        "ModuleNotFoundError: No module named 'no_such_library' (lz_absent.py line 1)"
    )
    assert causes["lz-torn"].startswith("SyntaxError: invalid syntax (lz_torn.py, line 1)")
    assert "asks for hook API 7, and lzcore 0." in causes["lz-future"]
    assert causes["lz-silent"].endswith("does not state its hook API; write LZ_API = 1 in it")
    assert causes["lz-mixed"] == ("lz_register_models returned str at place 0; expected ModelSpec")
    assert causes["lz-good"] == causes["lz-twin-a"] == causes["lzcore"] == ""
    assert plugins["lz-raises"]["version"] == "1.1"
    assert {place: c["state"] for place, c in components.items() if c["kind"] == "models"} == {
        ("lz-good", "good"): "ok",
        ("lz-mixed", "kept"): "ok",
        ("lz-twin-a", "twin"): "conflict",
        ("lz-twin-b", "twin"): "conflict",
    }


def test_a_check_says_which_class_is_missing_and_exits_with_1(site):
    site("lz-good", "1.0", MODEL.format(name="good", module="lz_good"))
    site("lz-lost", "1.0", MODEL.format(name="lost", module="lz_lost.network"))

    components, _, done = listed(site, "--check")

    assert done.returncode == 1
    assert components["lz-good", "good"]["state"] == "ok"
    assert components["lz-lost", "lost"]["state"] == "broken"
    assert "lz_lost.network:Net cannot be imported" in components["lz-lost", "lost"]["cause"]


def test_an_observer_that_raises_is_dropped_and_the_run_goes_on(site):
    source = """
        from lzcore.registry import hookimpl

        LZ_API = 1

        @hookimpl
        def lz_learned(run, metrics):
            {body}
    """
    site("lz-bad", "3.0", source.format(body="metrics['nope']"))
    site("lz-fine", "1.0", source.format(body="print('saw', metrics)"))
    loop = """
        from lzcore.registry import get_registry
        hook = get_registry().observers()
        for step in range(2):
            hook.lz_learned(run=None, metrics={"step": step})
    """
    done = python(site, loop)

    assert done.returncode == 0
    assert done.stdout == "saw {'step': 0}\nsaw {'step': 1}\n"
    assert done.stderr == (
        "lz: lz-bad 3.0 failed in lz_learned and is left out from here on: "
        "KeyError: 'nope' (lz_bad.py line 8)\n"
    )


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_a_run_names_the_plugins_that_it_goes_without(site, quiet):
    site("lz-bad", "3.0", "raise OSError('no licence')")
    run = f"""
        from lzcore.cli.main import main
        from lzcore.engine import starting
        starting.plan_run = lambda *given, **named: None
        starting.carry_out = lambda plan: print("it runs")
        main(["run", "--policy", "any", *{quiet}])
    """
    done = python(site, run)

    told = "lz: lz-bad 3.0 is broken and may be missed: OSError: no licence (lz_bad.py line 1).\n"
    assert (done.stdout, done.stderr) == ("it runs\n", "" if quiet else told)


def test_a_registry_is_made_once_a_process_and_anew_when_asked(site):
    site("lz-good", "1.0", MODEL.format(name="good", module="lz_good"))
    code = """
        import os
        from lzcore.registry import get_registry
        first = get_registry()
        assert get_registry() is first
        os.environ["LZ_PLUGINS"] = "lzcore"
        assert get_registry().components("models")
        assert not get_registry(reload=True).components("models")
        assert get_registry() is not first
    """
    done = python(site, code)

    assert done.returncode == 0, done.stderr


# --- commands ------------------------------------------------------------------------------------

COMMANDS = """
    import click

    from lzcore.base import ConfigError
    from lzcore.registry import hookimpl

    LZ_API = 1

    @click.command("{name}")
    def command():
        '''Say hello.'''
        raise ConfigError("hello is not configured")

    @hookimpl
    def lz_cli(group):
        group.add_command(command)
"""


def test_a_plugin_adds_a_command_and_its_errors_are_one_line(site):
    site("lz-hello", "1.0", COMMANDS.format(name="hello"))
    site("lz-again", "1.0", COMMANDS.format(name="run"))

    shown = lz(site, "--help")
    assert "  hello      Say hello." in shown.stdout
    assert shown.stdout.count("  run ") == 1
    assert shown.stderr == (
        "lz: lz-again 1.0 failed in lz_cli and is left out from here on: "
        "PluginError: the command 'run' exists already; choose another name (lz_again.py line 16)\n"
    )
    done = lz(site, "hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "Error: hello is not configured"
    assert "Did you mean 'hello'?" in lz(site, "helo").stderr


def test_something_that_is_no_command_is_refused(site):
    odd = COMMANDS.format(name="odd").replace("add_command(command)", "add_command(print, 'odd')")
    site("lz-odd", "1.0", odd)
    done = lz(site, "--help")

    assert done.returncode == 0
    assert "'odd' is of type builtin_function_or_method; expected a click.Command" in done.stderr


# --- plugins that everybody waits for ------------------------------------------------------------


def test_a_plugin_that_is_slow_to_import_is_shown_with_what_it_loads(site):
    site("lz-good", "1.0", MODEL.format(name="good", module="lz_good"))
    (site.path / "jax.py").write_text("import time\ntime.sleep(0.6)\n")
    site("lz-heavy", "1.2", "import jax\nLZ_API = 1\n")

    _, plugins, _ = listed(site)
    assert plugins["lz-heavy"]["state"] == "ok"
    assert plugins["lz-heavy"]["seconds"] >= 0.6
    assert (plugins["lz-good"]["slow"], plugins["lz-good"]["heavy"]) == ("", [])
    [row] = [row for row in lz(site, "list").stdout.splitlines() if "lz-heavy" in row]
    assert re.search(r"  ok +slow to import: \d\.\d s in every command \(it loads jax\)$", row)
    told = lz(site, "--help").stderr
    assert re.fullmatch(r"lz: lz-heavy 1\.2 is slow to import: .* \(it loads jax\)\.\n", told)


# --- being stopped -------------------------------------------------------------------------------


def test_a_reader_that_stops_reading_gets_no_traceback(site):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from lzcore.cli.main import main; main()", "list"]
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, timeout=60)

    assert done.stderr == b""


def test_ctrl_c_while_a_plugin_is_loaded_ends_without_a_traceback(site):
    site("lz-slow", "1.0", "raise KeyboardInterrupt")
    done = lz(site, "list")

    assert (done.returncode, done.stdout, done.stderr.strip()) == (1, "", "Aborted!")


# --- importing does nothing ----------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["--version"], ["list", "--json"]])
def test_help_and_list_import_nothing_heavy(site, arguments):
    code = """
        import atexit, sys
        heavy = {"torch", "numpy", "gymnasium", "cattrs", "tensorboard", "lz_good_net"}
        atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))
        from lzcore.cli.main import main
        main()
    """
    site("lz-good", "1.0", MODEL.format(name="good", module="lz_good_net"))
    done = python(site, code, *arguments, LZ_PLUGINS="")  # whatever is installed beside it, too

    assert done.returncode == 0
    assert done.stderr == "[]\n"
