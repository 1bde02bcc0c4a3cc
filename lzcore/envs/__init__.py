"""Environments: any Gymnasium environment as a batch that learning and evaluation can step."""
