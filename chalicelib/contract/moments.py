"""Moments on the wire: a moment comes in, its one form as text goes out."""

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """A moment as RFC 3339 UTC with milliseconds and a `Z`, the only time format on our wires."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
