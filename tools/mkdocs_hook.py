"""What mkdocs calls while it builds the site: adds the pages that are made from the code."""

from lzdocs import site
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pygments.formatters import HtmlFormatter

STYLE = "assets/code.css"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the made pages into the table of contents, before what is told of the project."""
    config.nav[-1:-1] = site.navigation()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages, and the colours of code."""
    for place, text in site.pages():
        files.append(File.generated(config, place, content=text))
    css = HtmlFormatter(style="default").get_style_defs(".codehilite")
    files.append(File.generated(config, STYLE, content=css))
    return files
