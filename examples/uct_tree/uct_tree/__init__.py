"""A plugin of lzcore; `plugin.py` names what it brings."""
