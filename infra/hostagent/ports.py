"""What the agent needs of the machine: our words go in, facts or an error of the tree below come out.

EngineError
├── EngineDown        nobody answers on the engine's socket, or not in time; the call may have been done
├── NotThere          no such container
├── ImageMissing      no such image on the host
├── NameInUse         a container of that name exists
└── EngineRefused     the engine said no; `text` is its own and never leaves the host
"""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from infra.hostagent.profile import Limits, Profile, is_blank


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


class NoSuchUser(EngineRefused):
    """A command was to run as somebody whom the container's image does not have."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A running container's place in its network: the hardware address of its card, and its IPv4 address."""

    card: str
    address: str


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
    holder: str | None = None
    """Engine id of the container whose network namespace it shares."""
    finished_at: float | None = None
    """When its first process last ended, by the engine's clock; None when it never has."""
    attachment: Attachment | None = None
    """None while it does not run, and when it has no network of its own."""
    blank: str = ""
    """The name it was made under, if that was ahead (`pool`)."""

    @property
    def unclaimed(self) -> bool:
        """Whether it was made ahead and is nobody's yet."""
        return bool(self.blank) and is_blank(self.container_id)


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image on the host: what it is, whatever its names come to mean, and what it was in its registry."""

    id: str
    digest: str | None
    """None for one that came from no registry."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """The engine and its machine."""

    version: str
    kernel: str
    cores: int
    memory_mb: int
    data_root: str
    runtimes: tuple[str, ...] = ()
    """What containers can be run with, by the engine's names."""
    storage: tuple[str, str] = ("", "")
    """The engine's storage driver, and the file system that it works on."""
    remapped: bool = False
    """Whether root inside a container is another user outside."""


@dataclass(frozen=True, slots=True)
class Writable:
    """Where a container writes, as paths on the engine's file system."""

    layer: str
    """The folder with all that is the container's own of its root file system."""
    volumes: tuple[str, ...]
    running: bool


@dataclass(frozen=True, slots=True)
class EngineSignal:
    """Something happened to one of our containers: `die`, `oom` or `destroy`."""

    action: str
    container_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that was run inside a container."""

    exit_code: int
    output: str
    """Its last words, by whatever the image holds: never more than a hint."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run inside a container, and how."""

    argv: tuple[str, ...]
    user: str
    workdir: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    reads: bool = False
    """Whether it is given something to read."""
    tty: bool = False
    """Whether it is run on a terminal of its own; what it prints is then one stream."""


class Size(NamedTuple):
    """Of a terminal."""

    cols: int
    rows: int


@dataclass(frozen=True, slots=True)
class Tty:
    """The near end of a terminal on which something runs."""

    connection: socket.socket
    """Never blocks. What is printed comes out as it is, what goes in is typed; its end is that of what runs there."""
    ahead: bytes
    """What was printed and taken off the connection already."""
    hang_up: Callable[[], None]
    """Take and give no more; what runs there runs on."""


@dataclass(frozen=True, slots=True)
class Exited:
    """How a command ended."""

    exit_code: int
    started: bool = True
    """False when there was no process at all: no such program, user or folder; `said` is then the engine's text."""
    left: bool = False
    """True when it was given up first; it may still run."""
    said: str = ""


STDOUT, STDERR = 1, 2

Take = Callable[[int, bytes], None]
"""Told of every piece that a command prints: on which of the two, and what."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What a running container holds now, and what it has used since its start; bytes where nothing else is said."""

    at: float
    """Seconds, by a clock that only goes forward."""
    cpu_seconds: float
    """Of all cores together."""
    memory: int
    """Without the files that the kernel keeps in memory only as long as nobody needs it."""
    disk_read: int
    disk_write: int
    net_rx: int
    net_tx: int


class Meter(Protocol):
    """Measures one container, however often it is started again. For one thread at a time."""

    def read(self) -> Counters | None:
        """What it uses; None when it does not run or cannot be measured from here. EngineDown.

        Asks the engine when there is no process yet that is known for the container's, and else nobody.
        """


class Meters(Protocol):
    """Whatever measures containers."""

    def of(self, engine_id: str) -> Meter:
        """The meter of a container; never waits."""


class Engine(Protocol):
    """A container engine. Every call has a deadline and may raise EngineDown."""

    def facts(self) -> EngineFacts:
        """What engine and machine this is."""

    def takes_sizes(self) -> bool:
        """Whether it can hold volumes and layers to a size by itself."""

    def images(self) -> list[str]:
        """References of the images on the host."""

    def image(self, reference: str) -> EngineImage | None:
        """The image of that name, or with that digest, if it is on the host."""

    def tag(self, reference: str, name: str) -> None:
        """Give an image on the host another name. ImageMissing."""

    def untag(self, reference: str) -> None:
        """Take a name from an image that has others; nothing when there is no such name."""

    def pull(self, reference: str) -> Iterator[dict[str, Any]]:
        """Pull it; the engine's progress lines as they come. EngineRefused, or EngineDown when it stays silent."""

    def give_up(self, reference: str) -> None:
        """Have a pull of it that is under way end soon; nothing when there is none. Never waits."""

    def create(self, profile: Profile) -> str:
        """Make a container and return its engine id; ImageMissing, NameInUse or EngineRefused."""

    def rename(self, engine_id: str, name: str) -> None:
        """Give a container another name, at once or not at all. NotThere, NameInUse or EngineRefused."""

    def discard(self, name: str) -> None:
        """Kill and remove the container that has this name; nothing when none has it (any more)."""

    def start(self, engine_id: str) -> None:
        """Start it; nothing when it runs. NotThere or EngineRefused."""

    def stop(self, engine_id: str, seconds: int) -> None:
        """Ask it to end, and end it after that many seconds; nothing when it does not run. NotThere."""

    def resize(self, engine_id: str, limits: Limits) -> None:
        """Change its limits, running or not. NotThere, or EngineRefused (it uses more): then it has what it had."""

    def answers(self, engine_id: str) -> bool:
        """Whether a process can be started inside."""

    def volumes_of(self, image: str) -> tuple[str, ...]:
        """Folders inside for which the image asks for a volume. ImageMissing."""

    def writable(self, engine_id: str) -> Writable:
        """Where the container writes. NotThere, or EngineRefused when the engine does not say."""

    def run(
        self, engine_id: str, command: Sequence[str], user: str, environment: Mapping[str, str], seconds: float
    ) -> Ran:
        """Run a command inside to its end. EngineDown when it takes longer, NotThere, or EngineRefused."""

    def prepare(self, engine_id: str, command: Command) -> str:
        """Have a command ready to run in a running container, once, and return its id; NotThere or EngineRefused.

        Of a user who is not there newer engines say so here (NoSuchUser), older ones when it is to run (`Exited`).
        """

    def run_prepared(self, exec_id: str, take: Take, over: Callable[[], bool], given: bytes | None = None) -> Exited:
        """Run what was prepared to its end, or leave it once `over` says so, which is asked often.

        One that reads has `given`, and then its end.
        """

    def attach(self, exec_id: str, size: Size) -> Tty:
        """Run what was prepared for a terminal on one of this size, once. NotThere or EngineRefused."""

    def resize_tty(self, exec_id: str, size: Size) -> None:
        """Change the size of the terminal that something runs on. NotThere or EngineRefused when it does not run."""

    def end(self, exec_id: str) -> None:
        """Kill it with all it has begun; nothing when it has ended or nobody knows it. EngineRefused if it lives on."""

    def find(self, name: str) -> EngineContainer | None:
        """The container of that name, if it is one of ours."""

    def of_host(self, host_id: str) -> list[EngineContainer]:
        """All containers that carry this host's label, blank ones too."""

    def remove(self, engine_id: str) -> None:
        """Kill and remove it; nothing when it is not there."""

    def signals(self, host_id: str) -> Iterator[EngineSignal]:
        """What happens to this host's containers from now on; ends when the engine does."""

    def ensure_network(self, name: str, bridge: str) -> bool:
        """Have a network on which containers cannot reach each other; true when it was not there."""

    def drop_network(self, name: str) -> None:
        """Remove the network; nothing when it is not there or in use."""
