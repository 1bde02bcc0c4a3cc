"""MuZero with a Huber loss; `plugin.py` names what it brings."""
