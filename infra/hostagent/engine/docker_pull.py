"""One pull on a connection of its own: a reference comes in, lines go out until another thread cuts it off.

The SDK waits for ever for a pull's next word, and the engine for a registry's; and an engine that waits so for three
layers pulls nothing for anybody else. Closing the connection is how the engine is told to give a pull up.
"""

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import Any

import requests
from docker import APIClient


class PullConnection(APIClient):
    """A client of the engine for one pull; no silence is longer than `seconds`."""

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(base_url=url, version="auto", timeout=math.ceil(seconds))
        self._cut = threading.Event()
        self._response: requests.Response | None = None

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """As the SDK, but never without a limit of time."""
        response = super().send(request, **(options | {"timeout": self.timeout}))
        self._response = response
        return response

    def lines(self, reference: str) -> Iterator[dict[str, Any]]:
        """What the engine says of the pull, until its end or until it is cut off."""
        for line in self.pull(*_name_and_tag(reference), stream=True, decode=True):
            if self._cut.is_set():
                return
            yield line

    def cut(self) -> None:
        """Have the lines end now, from whatever thread; before the first one, at the latest after the silence."""
        self._cut.set()
        if self._response is not None:
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                self._response.raw.shutdown()


def _name_and_tag(reference: str) -> tuple[str, str | None]:
    """What the SDK's pull takes; without a tag it would pull them all."""
    if "@" in reference:
        return reference, None
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")
