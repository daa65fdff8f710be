"""Clients of the engine's socket: an address comes in, a client goes out; its errors come back as the agent's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3
from docker import APIClient
from docker.errors import APIError, DockerException, NotFound

from infra.hostagent.ports import EngineDown, EngineRefused, NotThere

CALL_SECONDS = 30
"""An engine that takes longer than this is as good as down."""


def connect(url: str, seconds: float | None) -> Any:
    """A client whose calls may take so long (None = for ever); Any, since the SDK is only half typed."""
    client: Any = APIClient
    return client(base_url=url, version="auto", timeout=seconds, num_pools=32)


@contextmanager
def our_errors() -> Iterator[None]:
    """The SDK's errors as the agent's: the only place that knows both."""
    try:
        yield
    except NotFound as error:
        raise NotThere(str(error.explanation)) from error
    except APIError as error:
        raise EngineRefused(str(error.explanation)) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, DockerException, OSError) as error:
        raise EngineDown(type(error).__name__) from error
