"""New intents: a call comes in, and what is known of its container; the intent to journal goes out."""

from chalicelib.contract.agent_api import ContainerSpec, Removal
from chalicelib.contract.causes import Cause
from infra.hostagent.journal import Intent, Step


def accepted(spec: ContainerSpec, now: float) -> Intent:
    """A container is wanted; its limits of time are counted from now."""
    return Intent(
        container_id=spec.container_id,
        user_id=spec.user_id,
        generation=spec.generation,
        spec=spec,
        step=Step.ACCEPTED,
        cause=None,
        engine_id=None,
        deadline=now + spec.create_seconds,
        expires_at=now + spec.expires_in_seconds if spec.expires_in_seconds else None,
        number=0,
        changed_at=now,
    )


def removing(removal: Removal, known: Intent | None, cause: Cause, now: float) -> Intent:
    """A container has to go, in this generation and every lower one."""
    return Intent(
        container_id=removal.container_id,
        user_id=removal.user_id,
        generation=max(removal.generation, known.generation if known else 0),
        spec=None,
        step=Step.REMOVING,
        cause=cause,
        engine_id=known.engine_id if known else None,
        deadline=now,
        expires_at=None,
        number=0,
        changed_at=now,
    )
