"""Evaluations as a CSV file; `plugin.py` names what it brings."""
