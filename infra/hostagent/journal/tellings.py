"""Events in the making: an intent and what happened to it come in, an event goes out once its number is known."""

from datetime import UTC, datetime

from chalicelib.contract.events import AboutContainer
from infra.hostagent.journal.intents import Intent
from infra.hostagent.journal.journal import Telling


def telling(kind: type[AboutContainer], intent: Intent, at: float, **fields: object) -> Telling:
    """What makes an event of this kind about this intent; `at` in seconds since the epoch."""
    about = {
        "container_id": intent.container_id,
        "user_id": intent.user_id,
        "generation": intent.generation,
        "at": moment(at),
        "trace": intent.trace,
    }
    return lambda number: kind.model_validate(about | fields | {"number": number})


def moment(at: float) -> datetime:
    """Seconds since the epoch as the contract writes them."""
    return datetime.fromtimestamp(at, UTC)
