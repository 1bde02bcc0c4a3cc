"""Carrying a run out: layered settings, playing, learning, the loop, the run directory."""
