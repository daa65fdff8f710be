"""An engine in memory, held to the same contract tests as Docker; faults are ordered by name of the call."""

import hashlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infra.hostagent.ports import (
    STDOUT,
    Attachment,
    Command,
    EngineContainer,
    EngineDown,
    EngineFacts,
    EngineImage,
    EngineRefused,
    EngineSignal,
    Exited,
    ImageMissing,
    NameInUse,
    NoSuchUser,
    NotThere,
    Ran,
    Size,
    Take,
    Tty,
    Writable,
)
from infra.hostagent.profile import (
    LABEL_BLANK,
    LABEL_CONTAINER,
    LABEL_GENERATION,
    LABEL_HOST,
    LABEL_USER,
    Limits,
    Profile,
    named,
)
from infra.hostagent.registry.pins import is_pin, local_name, pinned


@dataclass(frozen=True)
class Program:
    """What a command does: prints, and ends or does not."""

    prints: tuple[tuple[int, bytes], ...] = ()
    exit_code: int = 0
    endless: bool = False
    echoes: bool = False
    """Prints what it is given to read."""


@dataclass
class FakeEngine:
    """`present` images are on the host, `remote` ones can be pulled; `down` makes every call fail."""

    present: set[str] = field(default_factory=set)
    remote: set[str] = field(default_factory=set)
    down: bool = False
    rows: dict[str, tuple[Profile, EngineContainer]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    lose_answer_of: set[str] = field(default_factory=set)
    """Calls that are done, but whose answer is lost, once each."""
    used: dict[str, int] = field(default_factory=dict)
    """Bytes of memory that a container uses and will not give back."""
    limits: dict[str, Limits] = field(default_factory=dict)
    tagged: dict[str, str] = field(default_factory=dict)
    """Ids of images that have got other names, by those."""
    outcomes: dict[str, Ran] = field(default_factory=dict)
    """How commands end that hold these words; all others end well and say nothing."""
    networks: set[str] = field(default_factory=set)
    holders: dict[str, bool] = field(default_factory=dict)
    """Containers that hold a network namespace and nothing else, and whether they run."""
    volumes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Of images: the folders for which they ask for a volume."""
    sizes: bool = False
    now: Callable[[], float] = time.time
    users: set[str] = field(default_factory=lambda: {"0"})
    knows_users: bool = False
    """Newer engines look whether there is such a user before anything is run."""
    """Whom every image has."""
    programs: dict[tuple[str, ...], Program] = field(default_factory=dict)
    prepared: dict[str, Command] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)
    """Commands without end that were given up and not killed, and what runs on terminals."""
    terminals: dict[str, socket.socket] = field(default_factory=dict)
    """The far ends of terminals, for whoever plays what runs there."""
    sized: dict[str, list[Size]] = field(default_factory=dict)
    """What sizes terminals were given."""
    _inside: dict[str, str] = field(default_factory=dict)
    """Where commands were prepared."""
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.down:
            raise EngineDown(name)

    def _answered(self, name: str) -> None:
        if name in self.lose_answer_of:
            self.lose_answer_of.discard(name)
            raise EngineDown(f"the answer of {name} was lost")

    def facts(self) -> EngineFacts:
        self._called("facts")
        return EngineFacts("29.5.1", "6.1", 2, 16_000, "/")

    def takes_sizes(self) -> bool:
        self._called("takes_sizes")
        return self.sizes

    def images(self) -> list[str]:
        self._called("images")
        return sorted(name for name in self.present if not is_pin(name))

    def image(self, reference: str) -> EngineImage | None:
        self._called("image")
        found = self.id_of(reference)
        if found is None:
            return None
        names = [name for name in self.present if self.id_of(name) == found]
        return EngineImage(found, reference.partition("@")[2] or pinned(names, reference))

    def id_of(self, reference: str) -> str | None:
        """The id of the image that is meant by a name, an id, or a digest."""
        for name in (local_name(reference), reference):
            if name in self.present:
                return self.tagged.get(name, f"sha256:{_sha256(name)}")
        return reference if reference in map(self.id_of, self.present - {reference}) else None

    def tag(self, reference: str, name: str) -> None:
        self._called("tag")
        found = self.id_of(reference)
        if found is None:
            raise ImageMissing(reference)
        self.present.add(name)
        self.tagged[name] = found

    def untag(self, reference: str) -> None:
        self._called("untag")
        self.present.discard(reference)

    def pull(self, reference: str) -> Iterator[dict[str, Any]]:
        self._called("pull")
        if reference not in self.remote:
            raise EngineRefused(f"manifest for {reference} not found: manifest unknown")
        for current in (0, 50, 100):
            detail = {"current": current, "total": 100}
            yield {"id": "layer", "status": "Downloading", "progressDetail": detail}
        self.present.add(reference)
        yield {"status": "Status: Downloaded newer image"}

    def give_up(self, reference: str) -> None:
        self.calls.append(f"give_up {reference}")

    def create(self, profile: Profile) -> str:
        self._called("create")
        with self._lock:
            if self.id_of(profile.container["image"]) is None:
                raise ImageMissing(profile.container["image"])
            if any(known.name == profile.name for known, _ in self.rows.values()):
                raise NameInUse(profile.name)
            labels = profile.container["labels"]
            said = named(profile.name) if labels.get(LABEL_BLANK) else None
            container_id, generation = said or (labels.get(LABEL_CONTAINER, ""), int(labels.get(LABEL_GENERATION) or 1))
            engine_id = f"{next(self._ids):064x}"
            container = EngineContainer(
                engine_id=engine_id,
                container_id=container_id,
                generation=generation,
                running=False,
                exit_code=0,
                created_at=self.now(),
                user_id=labels.get(LABEL_USER, ""),
                ever_ran=False,
                holder=profile.holder,
                blank=labels.get(LABEL_BLANK, ""),
            )
            self.rows[engine_id] = (profile, container)
            self.limits[engine_id] = Limits(profile.host_config["mem_limit"], profile.host_config["nano_cpus"])
        self._answered("create")
        return engine_id

    def rename(self, engine_id: str, name: str) -> None:
        self._called("rename")
        with self._lock:
            profile, container = self._row(engine_id)
            if any(known.name == name for known, _ in self.rows.values()):
                raise NameInUse(name)
            said = named(name) if container.blank else None
            whose = said or (container.container_id, container.generation)
            now = replace(container, container_id=whose[0], generation=whose[1])
            self.rows[engine_id] = (replace(profile, name=name), now)
        self._answered("rename")

    def discard(self, name: str) -> None:
        self._called("discard")
        with self._lock:
            self.rows = {key: row for key, row in self.rows.items() if row[0].name != name}
        self._answered("discard")

    def _row(self, engine_id: str) -> tuple[Profile, EngineContainer]:
        if engine_id not in self.rows:
            raise NotThere(engine_id)
        return self.rows[engine_id]

    def start(self, engine_id: str) -> None:
        self._called("start")
        with self._lock:
            profile, container = self._row(engine_id)
            if container.holder is not None and container.holder not in self.holders:
                raise NotThere(container.holder)
            if container.holder is not None and not self.holders[container.holder]:
                raise EngineRefused("cannot join network of a non running container")
            at = Attachment(profile.card, self._free_address()) if profile.network and not container.holder else None
            attachment = container.attachment or at
            self.rows[engine_id] = (profile, replace(container, running=True, ever_ran=True, attachment=attachment))
        self._answered("start")

    def _free_address(self) -> str:
        """The lowest that no running container has, as an engine gives them."""
        taken = {container.attachment.address for _, container in self.rows.values() if container.attachment}
        return next(each for n in range(2, 65_000) if (each := f"172.30.{n // 256}.{n % 256}") not in taken)

    def stop(self, engine_id: str, seconds: int) -> None:
        self._called("stop")
        self.die(engine_id, 143)
        self._answered("stop")

    def die(self, engine_id: str, exit_code: int) -> None:
        """Its main process ends."""
        with self._lock:
            profile, container = self._row(engine_id)
            ended = replace(container, running=False, exit_code=exit_code, finished_at=self.now(), attachment=None)
            self.rows[engine_id] = (profile, ended)
        self._end_terminals(engine_id)

    def resize(self, engine_id: str, limits: Limits) -> None:
        self._called("resize")
        with self._lock:
            if self._row(engine_id)[1].running and self.used.get(engine_id, 0) > limits.memory:
                raise EngineRefused("device or resource busy")
            self.limits[engine_id] = limits
        self._answered("resize")

    def answers(self, engine_id: str) -> bool:
        self._called("answers")
        return self._row(engine_id)[1].running

    def volumes_of(self, image: str) -> tuple[str, ...]:
        self._called("volumes_of")
        if image not in self.present:
            raise ImageMissing(image)
        return self.volumes.get(image, ())

    def writable(self, engine_id: str) -> Writable:
        self._called("writable")
        profile, container = self._row(engine_id)
        volumes = self.volumes.get(profile.container["image"], ())
        own = tuple(f"/data/volumes/{engine_id}{number}/_data" for number in range(len(volumes)))
        return Writable(f"/data/layers/{engine_id}", own, container.running)

    def run(
        self, engine_id: str, command: Sequence[str], user: str, environment: Mapping[str, str], seconds: float
    ) -> Ran:
        self._called("run")
        if not self._row(engine_id)[1].running:
            raise EngineRefused("the container is not running")
        return next((ran for words, ran in self.outcomes.items() if words in command[-1]), Ran(0, ""))

    def prepare(self, engine_id: str, command: Command) -> str:
        self._called("prepare")
        with self._lock:
            if not self._row(engine_id)[1].running:
                raise EngineRefused(f"Container {engine_id} is not running")
            exec_id = f"exec{next(self._ids)}"
            self.prepared[exec_id] = command
            if self.knows_users and command.user not in self.users:
                raise NoSuchUser("unable to find user")
            self._inside[exec_id] = engine_id
        return exec_id

    def run_prepared(self, exec_id: str, take: Take, over: Callable[[], bool], given: bytes | None = None) -> Exited:
        self._called("run_prepared")
        command = self.prepared[exec_id]
        if command.user not in self.users:
            return Exited(126, started=False, said="unable to find user")
        program = self.programs.get(command.argv)
        if program is None:
            return Exited(126, started=False, said="exec: executable file not found in $PATH")
        if program.echoes:
            take(STDOUT, given or b"")
        for stream, piece in program.prints:
            take(stream, piece)
        if program.endless:
            self.ran.add(exec_id)
            while not over():
                time.sleep(0.001)
            return Exited(-1, left=True)
        return Exited(program.exit_code)

    def attach(self, exec_id: str, size: Size) -> Tty:
        self._called("attach")
        if exec_id not in self.prepared:
            raise NotThere(exec_id)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.sized[exec_id] = [size]
        self.terminals[exec_id] = theirs
        self.ran.add(exec_id)
        program = self.programs.get(self.prepared[exec_id].argv)
        if program and program.echoes:
            threading.Thread(target=_echo, args=(theirs,), daemon=True).start()
        return Tty(ours, b"", ours.close)

    def resize_tty(self, exec_id: str, size: Size) -> None:
        self._called("resize_tty")
        if exec_id not in self.terminals:
            raise NotThere(exec_id)
        self.sized[exec_id].append(size)

    def end_terminal(self, exec_id: str) -> None:
        """What runs there ends by itself."""
        terminal = self.terminals.pop(exec_id, None)
        self.ran.discard(exec_id)
        if terminal is not None:
            terminal.shutdown(socket.SHUT_RDWR)
            terminal.close()

    def _end_terminals(self, engine_id: str) -> None:
        for exec_id in [each for each in self.terminals if self._inside[each] == engine_id]:
            self.end_terminal(exec_id)

    def end(self, exec_id: str) -> None:
        self._called("end")
        self.ran.discard(exec_id)
        self.end_terminal(exec_id)

    def find(self, name: str) -> EngineContainer | None:
        self._called("find")
        rows = [row for row in self.rows.values() if LABEL_HOST in row[0].container["labels"]]
        return next((container for profile, container in rows if profile.name == name), None)

    def of_host(self, host_id: str) -> list[EngineContainer]:
        self._called("of_host")
        with self._lock:
            return [c for profile, c in self.rows.values() if profile.container["labels"].get(LABEL_HOST) == host_id]

    def remove(self, engine_id: str) -> None:
        self._called("remove")
        with self._lock:
            self.rows.pop(engine_id, None)
        self._end_terminals(engine_id)
        self._answered("remove")

    def signals(self, host_id: str) -> Iterator[EngineSignal]:
        self._called("signals")
        return iter(())

    def ensure_network(self, name: str, bridge: str) -> bool:
        self._called("ensure_network")
        made = name not in self.networks
        self.networks.add(name)
        return made

    def drop_network(self, name: str) -> None:
        self._called("drop_network")
        self.networks.discard(name)


def _echo(terminal: socket.socket) -> None:
    try:
        while piece := terminal.recv(4096):
            terminal.sendall(piece)
    except OSError:
        return


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
