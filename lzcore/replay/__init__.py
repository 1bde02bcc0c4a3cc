"""The replay: a columnar store of episodes, exact draws, and files that survive the run."""
