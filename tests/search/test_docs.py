"""The examples of docs/search.md run and find what they say."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "search.md"


def test_the_example_of_a_game_finds_the_moves_that_it_names(capsys):
    code = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.S)
    exec("\n".join(code), {})

    assert capsys.readouterr().out == "[1 2 3]\n"
