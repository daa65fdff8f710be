"""Probes of reliability §4.4 (those of limits are in `tests/limits`): hostile programs in a real agent's container."""
