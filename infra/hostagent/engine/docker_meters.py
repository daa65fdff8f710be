"""`ports.Meters` over the engine's socket: it is asked which process is a container's, the kernel for all else."""

from typing import Any

from infra.hostagent.engine.docker_client import CALL_SECONDS, connect, our_errors
from infra.hostagent.ports import Meter
from infra.hostagent.usage.process_meter import ProcessMeter


class DockerMeters:
    """`Meters` for an agent that is on the engine's machine."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Any = None

    def of(self, engine_id: str) -> Meter:
        return ProcessMeter(engine_id, self._process)

    def _process(self, engine_id: str) -> int:
        with our_errors():
            if self._client is None:
                self._client = connect(self._url, CALL_SECONDS)
            return int(self._client.inspect_container(engine_id)["State"]["Pid"])
