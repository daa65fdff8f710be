"""The invariants of docs/reliability, asked of a simulated world: after every call what must always hold, and after
the faults have healed what must hold again. A broken one comes out as `Violation`, with the invariant's number.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chalicelib.contract.statuses import FOLLOWS, LIVE, Status
from chalicelib.domain import catalogue
from chalicelib.domain.container import Container
from chalicelib.domain.items import frame_body
from infra.hostagent.ports import EngineContainer
from infra.hostagent.warm.pool import BLANK_MB
from tests.faults.doors import NETWORKS_READY, WARM_MEMORY_MB

if TYPE_CHECKING:
    from tests.faults.host import SimHost
    from tests.faults.world import SimWorld

EXPIRY_GRACE = 60.0
"""I20: a container is gone this long after its expiry, if its agent and engine were up."""

DOUBLE_GRACE = 360.0
"""I2, I3: what a partition or a late call left behind is gone after this long."""

_INSIDE = re.compile(r"host-\d|127\.0\.0\.1|/var/lib|/v1/containers|Traceback|berth-[0-9a-f]{8}-|manifest for")
"""I18: what no frame and no answer may contain."""

Key = tuple[str, str]


class Violation(Exception):
    """An invariant is broken."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant


@dataclass
class Tally:
    """What happened in a run, or in many."""

    seeds: int = 0
    calls: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    creates: int = 0
    retries: int = 0
    """Requests sent again because their answer was lost or refused for the moment."""
    replayed: int = 0
    """Of these, answered with the first answer."""
    doubled: int = 0
    """Containers made twice although their request carried a key."""
    duplicates: int = 0
    """Messages delivered twice while the first delivery was good."""
    redelivered: int = 0
    """Messages that came again because their function failed, died or took too long."""
    orphans: int = 0
    """Engine containers left without a record when all is over."""
    removed_strays: int = 0
    """Engine containers that no record wanted where they were, found and removed."""
    frames: int = 0
    repeats: int = 0
    """Frames that a subscriber had already."""
    gaps: int = 0
    """Times a subscriber saw that frames were missing, and fetched them."""
    order_errors: int = 0
    """Frames of a log that a subscriber did not end up with, or with other words."""

    def add(self, other: "Tally") -> None:
        """Count another's in."""
        for name, value in vars(other).items():
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)


class Auditor:
    """Watches one world."""

    def __init__(self, world: "SimWorld") -> None:
        self._world = world
        self.tally = Tally()
        self.unruly = False
        """Whether a call may have come late or a host been cut off: then two generations may overlap for a while."""
        self.broken: Violation | None = None
        self._known: dict[Key, Container] = {}
        self._doubles: dict[str, float] = {}
        self.deleted_for_users: dict[str, float] = {}
        """Containers whose deletion was accepted, and when."""
        self.accepted: dict[str, float] = {}
        """Containers whose creation was accepted, and when."""

    # --- always ---

    def after(self, call: str) -> None:
        """After every call that was done."""
        if call.startswith("containers."):
            self._records()
        elif call in ("engine.create", "engine.start", "engine.remove", "engine.rename"):
            self._engines()

    def check(self) -> None:
        """What was found broken, raised where it stops the run."""
        if self.broken is not None:
            raise self.broken

    def find(self, invariant: str, text: str) -> None:
        """Keep the first violation; the run is stopped at its next step."""
        if self.broken is None:
            self.broken = Violation(invariant, text)
            self._world.wire.note(f"VIOLATION {self.broken}")

    def _records(self) -> None:
        records = self._world.records
        live: Counter[str] = Counter()
        names: dict[Key, str] = {}
        for key, record in records.records.items():
            before = self._known.get(key)
            if before is not record:
                self._moved(before, record)
                self._known[key] = record
            if record.live:
                live[record.user_id] += 1
                if (record.user_id, record.name) in names:
                    self.find("I6", f"two live containers are called {record.name}")
                names[record.user_id, record.name] = record.id
        for user, count in records.live.items():
            limit = max(tier.containers for tier in catalogue.tiers().values())
            if count != live[user] or not 0 <= count <= limit:
                self.find("I5", f"{user}: counted {count}, live {live[user]}")
        if records.names != names:
            self.find("I6", f"names {records.names} but live {names}")

    def _moved(self, before: Container | None, after: Container) -> None:
        if before is None:
            return
        if after.status is not before.status and after.status not in FOLLOWS[before.status]:
            self.find("I8", f"{after.id}: {before.status} -> {after.status}")
        if after.seq < before.seq:
            self.find("I8", f"{after.id}: seq {before.seq} -> {after.seq}")
        if after.id in self.deleted_for_users and after.live:
            self.find("I13", f"{after.id} is {after.status} after its deletion was accepted")
        log = self._world.records.log.get(after.id, [])
        if [frame.seq for frame in log] != list(range(1, after.seq + 1)):
            self.find("I8", f"{after.id}: log {[frame.seq for frame in log]} but seq {after.seq}")
        if self._world.scheduler.current in self._world.forged:
            self.find("I16", f"a forged event changed {after.id}")

    def record_of(self, container_id: str) -> Container | None:
        """The record, whatever its status."""
        for (_, known), record in self._world.records.records.items():
            if known == container_id:
                return record
        return None

    def engine_containers(self) -> "list[tuple[SimHost, EngineContainer]]":
        """What exists on every host that lives and is somebody's."""
        return [
            (host, container)
            for host in self._world.hosts.values()
            if not host.weather.dead
            for _, container in host.engine.rows.values()
            if not container.unclaimed
        ]

    def _engines(self) -> None:
        """I2: one engine container per container over all hosts; two only for a while, behind a partition.

        I17: nothing runs whose disk has no limit.
        """
        for host, container in self.engine_containers():
            if container.running and container.engine_id not in host.disk.limits:
                self.find("I17", f"{container.container_id} runs on {host.id} without a limit to its disk")
        counts = Counter(container.container_id for _, container in self.engine_containers())
        now = self._world.scheduler.now
        for container_id in [known for known in self._doubles if counts[known] < 2]:
            del self._doubles[container_id]
        for container_id, count in counts.items():
            if count < 2:
                continue
            since = self._doubles.setdefault(container_id, now)
            places = [(h.id, c.generation) for h, c in self.engine_containers() if c.container_id == container_id]
            if len(set(places)) < len(places):
                self.find("I2", f"{container_id} twice in one generation on one host: {places}")
            elif not self.unruly or now - since > DOUBLE_GRACE:
                self.find("I2", f"{container_id} at {places}")

    def removing(self, host_id: str, container: EngineContainer) -> None:
        """I15: nobody removes a live container of a live record, unless its session is over."""
        record = self.record_of(container.container_id)
        here = record is not None and (record.host_id, record.generation) == (host_id, container.generation)
        if record is None or not here:
            self.tally.removed_strays += 1
            return
        expired = record.expires_at is not None and record.expires_at.timestamp() <= self._world.scheduler.now
        if record.status in (Status.RUNNING, Status.STOPPED) and not expired:
            self.find("I15", f"{container.container_id} is {record.status} and was removed on {host_id}")

    def pushed(self, _connection_id: str, text: str) -> None:
        """I10 and I18, of every frame: what is pushed is committed, and tells nothing of the inside."""
        frame = json.loads(text)
        if _INSIDE.search(text):
            self.find("I18", f"frame tells of the inside: {text[:200]}")
        if "seq" not in frame:
            return
        self.tally.frames += 1
        log = self._world.records.log.get(frame["container"]["id"], [])
        if not any(each.seq == frame["seq"] and frame_body(each) == frame for each in log):
            self.find("I10", f"pushed before it was committed: {text[:200]}")

    def answered(self, body: Any) -> None:
        """I18, of every answer."""
        if _INSIDE.search(json.dumps(body)):
            self.find("I18", f"answer tells of the inside: {str(body)[:200]}")

    def tick(self) -> None:
        """Now and then: I20, and what grows."""
        now = self._world.scheduler.now
        for host, container in self.engine_containers():
            record = self.record_of(container.container_id)
            if record is None or record.expires_at is None or not host.up or host.engine.down:
                continue
            since = max(record.expires_at.timestamp(), host.up_since, self._world.engine_up_since.get(host.id, 0.0))
            if container.running and now - since > EXPIRY_GRACE:
                self.find("I20", f"{container.container_id} has outlived its session on {host.id}")

    # --- when all is healed ---

    def audit(self) -> list[Violation]:
        """What does not hold now; empty when everything does."""
        return [Violation(*each) for each in [*self._ends(), *self._strays(), *self._backing(), *self._bounds()]]

    def _ends(self) -> list[tuple[str, str]]:
        found = []
        for record in self._world.records.records.values():
            if record.status is Status.CREATING:
                found.append(("I1", f"{record.id} is still creating, on {record.host_id}"))
            if record.status is Status.DELETING and not self._host_gone(record):
                found.append(("I13", f"{record.id} is still deleting, on {record.host_id}"))
            if record.status in (Status.RUNNING, Status.STOPPED) and record.pending and not self._host_gone(record):
                found.append(("I1", f"{record.id}: what was asked of it is still pending"))
        known = {container_id for _, container_id in self._world.records.records}
        found += [("I1", f"{lost} was accepted and is nowhere") for lost in self.accepted.keys() - known]
        return found

    def _host_gone(self, record: Container) -> bool:
        host = self._world.hosts.get(record.host_id or "")
        return host is not None and host.weather.dead

    def orphans(self) -> int:
        """Engine containers that no live record, nor one being deleted, names with their host and generation (I3)."""
        return sum(not self._explained(*each) for each in self.engine_containers())

    def outliving(self) -> int:
        """Engine containers that run although the record that names them is in error."""
        found = ((self.record_of(each.container_id), each) for _, each in self.engine_containers())
        return sum(record is not None and record.status is Status.ERROR and each.running for record, each in found)

    def _explained(self, host: "SimHost", container: EngineContainer) -> bool:
        record = self.record_of(container.container_id)
        wanted = record is not None and record.status in LIVE | {Status.DELETING}
        return wanted and (record.host_id, record.generation) == (host.id, container.generation)

    def _strays(self) -> list[tuple[str, str]]:
        found = []
        for host, container in self.engine_containers():
            record = self.record_of(container.container_id)
            if record is None or not self._explained(host, container):
                status = record.status if record else "unknown"
                found.append(
                    ("I3", f"{container.container_id} ({status}) generation {container.generation} on {host.id}")
                )
            elif record.status is Status.ERROR and container.running:
                found.append(("I3", f"{container.container_id} runs on {host.id}, but its record is in error"))
            elif record.status is Status.STOPPED and container.running:
                found.append(("I4", f"{container.container_id} runs on {host.id}, but its record is stopped"))
        return found

    def _backing(self) -> list[tuple[str, str]]:
        running = {
            (host.id, container.container_id, container.generation)
            for host, container in self.engine_containers()
            if container.running
        }
        nothing = [
            ("I4", f"{record.id} is running, but nothing runs on {record.host_id}")
            for record in self._world.records.records.values()
            if record.status is Status.RUNNING and (record.host_id, record.id, record.generation) not in running
        ]
        return nothing + self._amounts()

    def _amounts(self) -> list[tuple[str, str]]:
        """What the engine grants is what the record says."""
        found = []
        for host, container in self.engine_containers():
            record = self.record_of(container.container_id)
            granted = host.engine.limits[container.engine_id].memory // 2**20
            if record is not None and record.status is Status.RUNNING and record.resources.memory_mb != granted:
                found.append(("I4", f"{record.id} should have {record.resources.memory_mb} MiB, but has {granted}"))
        return found

    def _holders(self, host: "SimHost") -> list[tuple[str, str]]:
        """Nobody shares a network namespace with another, and none is kept for nobody."""
        shared = [container.holder for _, container in host.engine.rows.values() if container.holder is not None]
        found = [("I15", f"{host.id} has given {each} twice") for each in set(shared) if shared.count(each) > 1]
        blanks = [container for _, container in host.engine.rows.values() if container.unclaimed]
        if host.up and len(blanks) * BLANK_MB > WARM_MEMORY_MB:
            found.append(("I17", f"{host.id} keeps {len(blanks)} containers for nobody"))
        spare = host.engine.holders.keys() - set(shared)
        if host.up and len(spare) > NETWORKS_READY:
            found.append(("I17", f"{host.id} keeps {len(spare)} holders for nobody"))
        return found

    def _bounds(self) -> list[tuple[str, str]]:
        """I5's other half, and I17: reservations are those of records, and nothing waits for ever."""
        found: list[tuple[str, str]] = []
        world = self._world
        for host_id, row in world.host_rows.rows.items():
            held = [r for r in world.records.records.values() if r.reserved and r.host_id == host_id]
            wanted = (sum(r.resources.memory_mb for r in held), len(held))
            if (row.reserved.memory_mb, row.reserved.containers) != wanted:
                found.append(("I5", f"{host_id} holds {row.reserved}, its records {wanted}"))
        for host in world.hosts.values():
            if host.up and (waiting := host.peek().outgoing(1)):
                found.append(("I17", f"{host.id} has not sent {waiting[0].identity}"))
            used = {profile.name for profile, _ in host.engine.rows.values()}
            if host.up and (left := set(host.files.names()) - used):
                found.append(("I17", f"{host.id} keeps files of {min(left)}"))
            found += self._holders(host)
        return found
