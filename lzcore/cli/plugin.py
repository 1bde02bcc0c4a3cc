"""`lz plugin`: what authors of plugins need."""

import click

from lzcore.cli.plugin_check import check


@click.group()
def plugin() -> None:
    """Check a plugin of your own."""


plugin.add_command(check)
