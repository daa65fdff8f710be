"""What a running container uses: a caller comes in, the numbers of its host go out, or a refusal."""

from dataclasses import dataclass
from typing import Any

from chalicelib.contract.agent_api import UsageCall
from chalicelib.contract.moments import rfc3339
from chalicelib.domain.identity import Caller
from chalicelib.ports import Clock
from chalicelib.services.attended import Attended

_UNHEARD = "what it uses is not known"


@dataclass(frozen=True, slots=True)
class Usage:
    """Asks hosts, each time anew; nothing is kept."""

    attended: Attended
    clock: Clock

    def measure(self, caller: Caller, reference: str) -> dict[str, Any]:
        """The numbers of this moment; NotFound, StatusConflict, RateLimited, Busy or HostSilent."""
        container = self.attended.running(caller, reference)
        call = UsageCall(container_id=container.id, user_id=container.user_id, generation=container.generation)
        used = self.attended.ask(container, lambda runner, host: runner.usage(host, call), _UNHEARD)
        ids = {"id": container.id, "container_id": container.engine_id, "at": rfc3339(self.clock.now())}
        return ids | used.model_dump(exclude_none=True)
