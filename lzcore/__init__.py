"""Planning with tree search and deep learning: the core that finds and runs plugins."""

__version__ = "0.1.0"
