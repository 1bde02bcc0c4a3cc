"""The cross-entropy method; `plugin.py` names what it brings."""
