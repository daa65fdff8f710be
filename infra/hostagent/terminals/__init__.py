"""Terminals inside a running container, and the frames that carry them."""
