"""A subscriber's WebSocket connection as recorded: ids and times come in, a frozen record goes out."""

from dataclasses import dataclass
from datetime import datetime, timedelta

LIFETIME = timedelta(hours=2, minutes=10)
"""Rows outlive API Gateway's 2 h limit a little; `$disconnect` is best effort."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One open connection of one user."""

    id: str
    user_id: str
    tier: str
    token_hash: str
    connected_at: datetime
    expires_at: datetime
    listed: bool = False
    """True once its first frame, the list, is out; before that nothing is pushed to it."""
    strikes: int = 0
    """Bad frames in a row."""
