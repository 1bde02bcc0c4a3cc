"""`lz plugin`: what authors of plugins need."""

import click

from lzcore.cli.plugin_check import check
from lzcore.cli.plugin_new import new


@click.group()
def plugin() -> None:
    """Write a plugin of your own, and hold it to what it promises."""


plugin.add_command(new)
plugin.add_command(check)
