"""Containers started ahead, and claimed."""
