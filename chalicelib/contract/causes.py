"""Why a container ended: one of a closed list of codes comes in, a machine-readable cause goes out (api-contract)."""

from enum import StrEnum

from chalicelib.contract.model import Message


class Code(StrEnum):
    """The closed list of causes. Adding one is a change of the wire contract."""

    USER = "user"
    EXPIRED = "expired"
    OOM = "oom"
    EXITED = "exited"
    DISK_FULL = "disk_full"
    HOST_LOST = "host_lost"
    IMAGE_NOT_FOUND = "image_not_found"
    IMAGE_DENIED = "image_denied"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_TIMEOUT = "image_timeout"
    ROLE_FAILED = "role_failed"
    NO_CAPACITY = "no_capacity"
    TIMEOUT = "timeout"
    ENGINE_ERROR = "engine_error"


class Actor(StrEnum):
    """Who brought the end about."""

    USER = "user"
    SYSTEM = "system"
    CONTAINER = "container"


class Cause(Message):
    """A cause for people (`message` says what to do) and programs (`code`). Never engine text, host or path."""

    code: Code
    actor: Actor
    message: str
    exit_code: int | None = None
