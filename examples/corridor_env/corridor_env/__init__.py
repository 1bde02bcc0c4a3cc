"""Corridors of any length; `plugin.py` names what it brings."""
