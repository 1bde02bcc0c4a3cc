"""Pages of the documentation that are made from the code, and the pictures in it.

`text` turns docstrings into Markdown; `commands`, `settings`, `hooks`, `protocols` and `errors`
each write a part of the reference and list what of it nobody has documented; `pictures` draws.
"""
