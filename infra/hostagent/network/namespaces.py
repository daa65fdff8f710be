"""Network namespaces of a host's own, each held by a tiny container: what is asked of whoever makes them."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Holder:
    """A container that has a network namespace and nothing else."""

    engine_id: str
    running: bool
    address: str
    """Its IPv4 address on the host's network; empty when it is not on it."""

    @property
    def usable(self) -> bool:
        """Whether what joins it has a network."""
        return self.running and bool(self.address)


class Namespaces(Protocol):
    """Holders of one host. Every call has a deadline and may raise EngineDown."""

    def make(self) -> str:
        """A new holder, running; its engine id. EngineRefused or NotThere where there can be none."""

    def all(self) -> list[Holder]:
        """All there are."""

    def mend(self, holder: str) -> None:
        """Have it run and be on the host's network. NotThere or EngineRefused."""

    def remove(self, holder: str) -> None:
        """Kill and remove it; nothing when it is not there."""

    def name(self, engine_id: str, hostname: str) -> None:
        """Give a running container this name inside. NotThere, or EngineRefused where the agent cannot reach it."""
