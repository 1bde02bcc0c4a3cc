"""The command group `lz`: which commands there are, and how errors become one line.

A command's module is imported when that command is asked for. Plugins' commands are looked for
when help is shown or a name is not one of the core's.
"""

import os
import traceback
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

import lzcore
from lzcore.base.errors import ContractError, LzError, PluginError, nearest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS: dict[str, tuple[str, str]] = {  # name -> ("module:command", what help says of it)
    "run": ("lzcore.cli.run:run", "Train a policy on an environment, or resume a run."),
    "eval": ("lzcore.cli.eval:evaluate", "Measure what a run has learned."),
    "watch": ("lzcore.cli.watch:watch", "Record an episode of a run as a moving picture."),
    "play": ("lzcore.cli.play:play", "Play a game against what a run has learned."),
    "list": ("lzcore.cli.list:list_components", "List what is installed, and what is broken."),
    "config": ("lzcore.cli.config:config", "Show, explain and compare settings."),
    "plugin": ("lzcore.cli.plugin:plugin", "Write a plugin, and check what it promises."),
    "check-env": ("lzcore.cli.check_env:check_env", "Say whether an environment can be used."),
}


_NO_FAULTS = (click.ClickException, click.exceptions.Exit, click.Abort, EOFError, BrokenPipeError)


class PluginCommands(click.Group):
    """The commands that plugins add: the group that `lz_cli` is handed."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command; PluginError if its name is taken."""
        name = name or cmd.name or ""
        if not isinstance(cmd, click.Command):
            raise PluginError(f"{name!r} is of type {type(cmd).__name__}; expected a click.Command")
        if name in COMMANDS or name in self.commands:
            raise PluginError(f"the command {name!r} exists already; choose another name")
        super().add_command(cmd, name)


def plugin_commands(ctx: click.Context) -> dict[str, click.Command]:
    """Return what plugins add, asking them once for each invocation of `lz`."""
    if __name__ not in ctx.meta:
        from lzcore.registry import get_registry  # late: the core's commands may not need it

        group = PluginCommands()
        registry = get_registry()
        for plugin in registry.plugins:
            if plugin.slow:
                click.echo(f"lz: {plugin.label} is {plugin.slow}.", err=True)
        registry.hook.lz_cli(group=group)
        ctx.meta[__name__] = group.commands
    found: dict[str, click.Command] = ctx.meta[__name__]
    return found


class LzGroup(click.Group):
    """Imports commands late, and shows our own errors as one line with exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for; a bug of ours keeps its traceback."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _in_one_line
                return super().invoke(ctx)
        except _NO_FAULTS:
            raise
        except Exception as err:  # the one place where errors become messages
            told = _told(err)
            if told is None:
                raise
            raise click.ClickException(told) from err

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the core's commands in the order of their table, then those of plugins."""
        return [*COMMANDS, *sorted(plugin_commands(ctx))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one of the core's commands, or take one from a plugin."""
        if cmd_name not in COMMANDS:
            return plugin_commands(ctx).get(cmd_name)
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a usage error with the nearest name if there is none."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            ctx.fail(f"No such command {name!r}.{nearest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(self._short_helps(ctx))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Complete a command's name without importing it, or an option of `lz` itself."""
        from click.shell_completion import CompletionItem  # late: only a shell asks

        commands = self._short_helps(ctx)
        options = click.Command.shell_complete(self, ctx, incomplete)
        return options + [
            CompletionItem(name, help=text)
            for name, text in commands
            if name.startswith(incomplete)
        ]

    def _short_helps(self, ctx: click.Context) -> list[tuple[str, str]]:
        added = sorted(plugin_commands(ctx).items())
        return [(name, text) for name, (_, text) in COMMANDS.items()] + [
            (name, command.get_short_help_str(80)) for name, command in added if not command.hidden
        ]


def _told(err: Exception) -> str | None:
    """Return the line for an error, and before it, if asked, the traceback; None: a bug of ours."""
    found = _of_plugin(err) or err
    if not isinstance(found, LzError):
        return None
    if os.environ.get("LZ_TRACEBACK", "0") not in ("", "0"):
        traceback.print_exception(err)
    return " ".join([str(found), *getattr(found, "__notes__", ())])


def _of_plugin(err: Exception) -> LzError | None:
    """Say which plugin of others an error comes from; None: none, or it says so itself."""
    if isinstance(err, LzError) and not isinstance(err, ContractError):
        return None
    from lzcore.registry import blamed, get_registry  # late: most commands raise nothing

    found = blamed(err, get_registry())
    if found is not None and not isinstance(err, ContractError):
        found.add_note("LZ_TRACEBACK=1 shows its traceback.")
    return found


def _in_one_line(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning to people who have no use for the line of code that it comes from."""
    click.echo(f"Warning: {' '.join(str(message).split())}", err=True)


@click.group(cls=LzGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(lzcore.__version__, prog_name="lz", message="%(prog)s %(version)s")
def main() -> None:
    """Plan with tree search and deep learning: train, measure and watch policies."""
