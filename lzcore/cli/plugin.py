"""`lz plugin`: what authors of plugins need."""

import click

from lzcore.cli.plugin_new import new


@click.group()
def plugin() -> None:
    """Write a plugin of your own."""


plugin.add_command(new)
