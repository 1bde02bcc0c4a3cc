"""Settings to start from: a file for an environment's id, or for a kind of observations."""
