"""Containers from the intent to the end: the agent's core, which knows the engine by its ports."""
