"""LocalStack's image: an engine comes in; it is there, or CannotStart says why nobody gave it."""

import contextlib
import json
import time

import httpx
from docker.errors import DockerException, ImageNotFound

from infra.ground.engine import Engine
from infra.ground.packages import Say
from infra.localstack.errors import CannotStart
from infra.localstack.server import VERSION

REPOSITORY = "localstack/localstack"
IMAGE = f"{REPOSITORY}:{VERSION}"
QUIET_SECONDS = 30.0
"""A registry of which the engine has nothing to tell for so long does not answer."""
PULL_SECONDS = 900.0


def ensure_image(engine: Engine, say: Say, repository: str = REPOSITORY, quiet: float = QUIET_SECONDS) -> None:
    """Have it on the engine, as it is or pulled."""
    try:
        if not _present(engine, repository):
            say(f"pulling {repository}:{VERSION}")
            _pull(engine, repository, quiet)
    except httpx.ReadTimeout as error:
        raise CannotStart(f"no registry answers for {repository}:{VERSION} (no word in {quiet:.0f} s)") from error
    except (DockerException, httpx.HTTPError, OSError) as error:
        raise CannotStart(f"no registry answers for {repository}:{VERSION} ({error})") from error


def _present(engine: Engine, repository: str) -> bool:
    with contextlib.closing(engine.client()) as client:
        try:
            client.images.get(f"{repository}:{VERSION}")
        except ImageNotFound:
            return False
    return True


def _pull(engine: Engine, repository: str, quiet: float) -> None:
    """By hand, since docker's client waits for ever; an engine whose caller goes away ends its pull."""
    ends, wanted = time.monotonic() + PULL_SECONDS, {"fromImage": repository, "tag": VERSION}
    with _engine_http(engine, quiet) as http, http.stream("POST", "/images/create", params=wanted) as answer:
        if answer.is_error:
            raise DockerException(json.loads(answer.read())["message"])
        for line in answer.iter_lines():
            if "error" in (told := json.loads(line or "{}")):
                raise DockerException(told["error"])
            if time.monotonic() > ends:
                raise DockerException(f"not all of it came within {PULL_SECONDS:.0f} seconds")


def _engine_http(engine: Engine, quiet: float) -> httpx.Client:
    scheme, _, place = engine.url.partition("://")
    if scheme == "unix":
        transport = httpx.HTTPTransport(uds=place)
        return httpx.Client(transport=transport, base_url="http://engine", timeout=quiet)
    return httpx.Client(base_url=f"http://{place}", timeout=quiet, trust_env=False)
