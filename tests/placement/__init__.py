"""Placement of a million containers on ten thousand hosts, simulated around the real placement code."""
