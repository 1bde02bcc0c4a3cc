"""The reference of commands, from click."""

from collections.abc import Iterator

import click

from lzdocs.text import escaped


def commands(
    group: click.Group, path: tuple[str, ...] = ("lz",), parent: click.Context | None = None
) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    """Yield every command of a group, those of groups inside it too, each with its context."""
    context = click.Context(group, parent=parent, info_name=path[-1])
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, parent=context, info_name=name)
        yield (*path, name), command, inner
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name), context)


def undocumented(group: click.Group) -> list[str]:
    """Return commands without help, and options without one, by the line that names them."""
    found = []
    for path, command, _ in commands(group):
        line = " ".join(path)
        if not command.help:
            found.append(line)
        found += [f"{line} {option.opts[0]}" for option in _options(command) if not option.help]
    return found


def page(group: click.Group) -> str:
    """Return the page of all commands."""
    parts = ["# Commands", INTRODUCTION]
    for path, command, context in commands(group):
        usage = " ".join(command.collect_usage_pieces(context))
        parts += [f"## {' '.join(path)}", f"```\n{' '.join(path)} {usage}\n```"]
        parts += _paragraphs(command.help or "")
        rows = [_row(option, context) for option in _options(command)]
        if rows:
            parts.append("\n".join(["| option | takes | |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


INTRODUCTION = (
    "`lz COMMAND --help` prints the same. Exit status: 0; 1 for an error, told in one line; 2 for "
    "wrong usage. Plugins add commands through the hook [`lz_cli`](hooks.md#lz_cli)."
)


def _options(command: click.Command) -> list[click.Option]:
    return [p for p in command.params if isinstance(p, click.Option) and not p.hidden]


def _paragraphs(text: str) -> list[str]:
    return [escaped(" ".join(part.split())) for part in text.split("\n\n")]


def _row(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    takes = "" if option.is_flag else f"`{option.make_metavar(context)}`".replace("|", "\\|")
    told = option.help or ""
    if option.show_default and option.default is not None:
        told += f" Default: {option.default}."
    return f"| {names} | {takes} | {escaped(told)}{' Required.' * option.required} |"
