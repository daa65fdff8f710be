"""Names that a killed agent left on its engine in mid-pull: the engine's list comes in, they are taken away.

Several agents may share an engine: a name is left alone as long as the gate that it names serves it.
"""

import http.client
import logging
from collections.abc import Iterable
from functools import partial
from urllib.parse import urlsplit

from chalicelib.contract.kept_names import TEMPORARY
from infra.hostagent.ports import Engine, EngineError
from infra.hostagent.registry.gate import LOOPBACK
from infra.hostagent.registry.network import Network
from infra.hostagent.registry.references import parse

log = logging.getLogger("berth.agent.images")

ASK_SECONDS = 2.0


class Leftovers:
    """Names that images have while they are pulled, on one engine."""

    def __init__(self, engine: Engine, network: Network) -> None:
        self._engine = engine
        self._network = network

    def sweep(self, names: Iterable[str] | None = None) -> None:
        """Of these names, or all that the engine has, take those away that nobody serves any more.

        An image that has no other name goes with it.
        """
        try:
            for name in self._engine.images() if names is None else names:
                if temporary(name) and not self._network.run(partial(served, name)):
                    self._engine.untag(name)
                    log.info("name of a broken pull removed", extra={"image": name})
        except EngineError as error:
            log.warning("names of broken pulls stay for now", extra={"reason": type(error).__name__})


def temporary(name: str) -> bool:
    """Whether a gate has given it."""
    where = parse(name)
    return where.registry.startswith(f"{LOOPBACK}:") and where.repository.startswith(TEMPORARY)


def served(name: str) -> bool:
    """Whether there is a gate that the image can be pulled from at this moment, or may be."""
    where = parse(name)
    there = urlsplit(f"//{where.registry}")
    connection = http.client.HTTPConnection(str(there.hostname), there.port, timeout=ASK_SECONDS)
    try:
        connection.request("HEAD", f"/v2/{where.repository}/manifests/{where.tag}")
        return connection.getresponse().status == http.client.OK
    except TimeoutError:
        return True
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
