"""What the agent needs of the machine: our words go in, facts or an error of the tree below come out.

EngineError
├── EngineDown        nobody answers on the engine's socket, or not in time; the call may have been done
├── NotThere          no such container
├── ImageMissing      no such image on the host
├── NameInUse         a container of that name exists
└── EngineRefused     the engine said no; `text` is its own and never leaves the host
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from infra.hostagent.profile import Limits, Profile


class EngineError(Exception):
    """Root of the tree."""


class EngineDown(EngineError):
    """Nobody answers on the engine's socket, or not in time; the call may have been done."""


class NotThere(EngineError):
    """No such container."""


class ImageMissing(EngineError):
    """No such image on the host."""


class NameInUse(EngineError):
    """A container of that name exists."""


class EngineRefused(EngineError):
    """The engine said no."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class EngineContainer:
    """One of our containers as the engine has it."""

    engine_id: str
    container_id: str
    generation: int
    running: bool
    exit_code: int
    created_at: float
    """Seconds since the epoch."""
    user_id: str = ""
    ever_ran: bool = True
    """False when it was created and never started."""
    going: bool = False
    """Somebody is having it removed."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """The engine and its machine."""

    version: str
    kernel: str
    cores: int
    memory_mb: int
    data_root: str


@dataclass(frozen=True, slots=True)
class EngineSignal:
    """Something happened to one of our containers: `die`, `oom` or `destroy`."""

    action: str
    container_id: str
    at: float


class Engine(Protocol):
    """A container engine. Every call has a deadline and may raise EngineDown."""

    def facts(self) -> EngineFacts:
        """What engine and machine this is."""

    def images(self) -> list[str]:
        """References of the images on the host."""

    def has_image(self, reference: str) -> bool:
        """Whether the image is on the host."""

    def pull(self, reference: str) -> Iterator[dict[str, Any]]:
        """Pull it; the engine's progress lines as they come. EngineRefused, or EngineDown when it stays silent."""

    def give_up(self, reference: str) -> None:
        """Have a pull of it that is under way end soon; nothing when there is none. Never waits."""

    def create(self, profile: Profile) -> str:
        """Make a container and return its engine id; ImageMissing, NameInUse or EngineRefused."""

    def start(self, engine_id: str) -> None:
        """Start it; nothing when it runs. NotThere or EngineRefused."""

    def stop(self, engine_id: str, seconds: int) -> None:
        """Ask it to end, and end it after that many seconds; nothing when it does not run. NotThere."""

    def resize(self, engine_id: str, limits: Limits) -> None:
        """Change its limits, running or not. NotThere, or EngineRefused (it uses more): then it has what it had."""

    def answers(self, engine_id: str) -> bool:
        """Whether a process can be started inside."""

    def find(self, name: str) -> EngineContainer | None:
        """The container of that name, if it is one of ours."""

    def of_host(self, host_id: str) -> list[EngineContainer]:
        """All containers that carry this host's label."""

    def remove(self, engine_id: str) -> None:
        """Kill and remove it; nothing when it is not there."""

    def signals(self, host_id: str) -> Iterator[EngineSignal]:
        """What happens to this host's containers from now on; ends when the engine does."""

    def ensure_network(self, name: str, bridge: str) -> bool:
        """Have a network on which containers cannot reach each other; true when it was not there."""

    def drop_network(self, name: str) -> None:
        """Remove the network; nothing when it is not there or in use."""
