"""Why a creation failed: an error and what was tried come in, a cause of the closed list goes out.

The engine answers most pull errors with the same status, so its text decides; the text itself never leaves.
"""

import re

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.causes import Actor, Cause, Code
from infra.hostagent.ports import EngineDown, EngineError, EngineRefused, ImageMissing, NotThere
from infra.hostagent.registry.errors import ImageFault

SECRET_LENGTH = 3
"""What is shorter hides nothing, and taken out would spoil every other word."""

_CREDENTIALS = re.compile(r"//[^/@\s\"']+@")

_BY_TEXT: tuple[tuple[str, Code], ...] = (
    ("manifest unknown", Code.IMAGE_NOT_FOUND),
    ("not found", Code.IMAGE_NOT_FOUND),
    ("repository does not exist", Code.IMAGE_NOT_FOUND),
    ("name unknown", Code.IMAGE_NOT_FOUND),
    ("no matching manifest", Code.IMAGE_NOT_FOUND),
    ("invalid reference", Code.IMAGE_NOT_FOUND),
    ("unauthorized", Code.IMAGE_DENIED),
    ("no basic auth credentials", Code.IMAGE_DENIED),
    ("access denied", Code.IMAGE_DENIED),
    ("denied:", Code.IMAGE_DENIED),
    ("no space left", Code.DISK_FULL),
    ("disk quota exceeded", Code.DISK_FULL),
    ("no such host", Code.IMAGE_TIMEOUT),
    ("connection refused", Code.IMAGE_TIMEOUT),
    ("dial tcp", Code.IMAGE_TIMEOUT),
    ("timeout", Code.IMAGE_TIMEOUT),
    ("deadline exceeded", Code.IMAGE_TIMEOUT),
    ("connection reset", Code.IMAGE_TIMEOUT),
    ("eof", Code.IMAGE_TIMEOUT),
)

_WORDS: dict[Code, str] = {
    Code.IMAGE_NOT_FOUND: "image {image} was not found: check its name and tag",
    Code.IMAGE_DENIED: "the registry refused image {image}: it is private or does not exist",
    Code.IMAGE_TIMEOUT: "the registry of image {image} did not answer in time: try again, or use another registry",
    Code.IMAGE_TOO_LARGE: "image {image} is too large",
    Code.DISK_FULL: "the host's disk is full: create the container again",
    Code.TIMEOUT: "the container was not ready in time: create it again",
    Code.ENGINE_ERROR: "the container could not be started: create it again, and check that the image has `sleep`",
}


def exited(exit_code: int) -> Cause:
    """A container whose main process has ended."""
    message = f"the container's main process exited with code {exit_code}"
    return Cause(code=Code.EXITED, actor=Actor.CONTAINER, message=message, exit_code=exit_code)


def vanished() -> Cause:
    """A container that somebody has removed from the engine."""
    message = "the container was removed on its host by someone else: delete it and create it again"
    return Cause(code=Code.ENGINE_ERROR, actor=Actor.SYSTEM, message=message)


class TimedOut(Exception):
    """The creation's own deadline has passed."""


class NotPrepared(Exception):
    """The image could not be prepared for what was asked; its words are for the user."""

    def __init__(self, wish: str, what: str) -> None:
        super().__init__(f"{wish} could not be prepared: {what} could not be installed")


class StillPreparing(Exception):
    """The image was not prepared in time, and goes on being prepared; its words are for the user."""

    def __init__(self, wish: str) -> None:
        super().__init__(f"{wish} is still being prepared on this host: create the container again in a few minutes")


class PullTimedOut(Exception):
    """The pull took longer than a pull may."""


def reason_of(error: Exception, spec: ContainerSpec | None) -> str:
    """The error for the log: the engine's words, which may repeat what it was given, without the user's secrets."""
    text = repr(error)
    for value in sorted(spec.environment.values() if spec else (), key=len, reverse=True):
        if len(value) >= SECRET_LENGTH:
            text = text.replace(value, "***").replace(repr(value)[1:-1], "***")
    return _CREDENTIALS.sub("//***@", text)[:500]


def cause_of(error: Exception, image: str, *, pulling: bool) -> Cause:
    """The cause to tell the user of."""
    if isinstance(error, ImageFault):
        return Cause(code=error.code, actor=Actor.SYSTEM, message=error.words.format(image=image))
    if isinstance(error, NotPrepared | StillPreparing):
        code = Code.ROLE_FAILED if isinstance(error, NotPrepared) else Code.TIMEOUT
        return Cause(code=code, actor=Actor.SYSTEM, message=str(error))
    return cause(_code(error, pulling=pulling), image)


def cause(code: Code, image: str) -> Cause:
    """A cause by its code, in words for the user."""
    return Cause(code=code, actor=Actor.SYSTEM, message=_WORDS[code].format(image=image))


def _code(error: Exception, *, pulling: bool) -> Code:
    if isinstance(error, PullTimedOut) or (pulling and isinstance(error, TimedOut)):
        return Code.IMAGE_TIMEOUT
    if isinstance(error, TimedOut):
        return Code.TIMEOUT
    if isinstance(error, ImageMissing) or (pulling and isinstance(error, NotThere)):
        return Code.IMAGE_NOT_FOUND
    if isinstance(error, EngineRefused):
        return _code_of_text(error.text.lower(), pulling=pulling)
    if isinstance(error, EngineDown | EngineError):
        return Code.ENGINE_ERROR
    return Code.ENGINE_ERROR


def _code_of_text(text: str, *, pulling: bool) -> Code:
    for fragment, code in _BY_TEXT:
        if fragment in text and (pulling or code is Code.DISK_FULL):
            return code
    return Code.ENGINE_ERROR
