"""The machine's clock and randomness: nothing comes in, instants and unguessable values go out."""

import secrets
import time
import uuid
from datetime import UTC, datetime


class SystemClock:
    """`ports.Clock` by the machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SystemIds:
    """`ports.Ids` by the machine's randomness."""

    def uuid(self) -> str:
        return str(uuid.uuid4())

    def secret(self) -> bytes:
        return secrets.token_bytes(32)

    def choice(self, upto: int) -> int:
        return secrets.randbelow(upto)
