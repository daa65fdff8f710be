"""The suite without a mechanism: M1..M10 are switched off in turn, and the invariant that notices comes out.

A mechanism that can be taken away unnoticed is not tested. Each is taken away by building the world of another part.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from chalicelib.contract.causes import Cause
from chalicelib.contract.events import AboutContainer
from chalicelib.contract.statuses import Status
from chalicelib.domain.batches import Applied
from chalicelib.domain.container import NOTHING_PENDING, Container, Frame, PendingPower
from chalicelib.domain.errors import StaleWrite
from chalicelib.domain.host import Host
from chalicelib.services.provisioning import Provisioning
from chalicelib.services.status import StatusWriter
from infra.hostagent.containers.creation import Creation
from infra.hostagent.containers.inventories import Inventories
from infra.hostagent.containers.keeper import Keeper, Policy
from infra.hostagent.containers.means import Means
from infra.hostagent.containers.relist import Relist
from infra.hostagent.journal.intents import Intent, Step
from infra.hostagent.ports import EngineContainer
from tests.fakes.stores import MemoryContainers
from tests.faults import host as hosts
from tests.faults.crashpoints import FLOWS, Flow, cases, run_plain
from tests.faults.doors import SimEngine, SimJournal
from tests.faults.simulation import run
from tests.faults.world import Parts


class LastWriterWins(MemoryContainers):
    """Without M2: whoever writes, writes the whole record as he read it, changed."""

    def _put(self, container: Container, **changes: Any) -> Container:
        written = container.model_copy(update={**changes, "version": container.version + 1})
        self.records[container.user_id, container.id] = written
        return written

    def _give_back(self, container: Container) -> None:
        self.names.pop((container.user_id, container.name), None)
        self.live[container.user_id] -= 1

    def begin_delete(self, container: Container, at: datetime, cause: Cause) -> Container:
        self._give_back(container)
        return self._put(
            container, status=Status.DELETING, due_at=at, attempt=0, deleted_because=cause, **NOTHING_PENDING
        )

    def want(self, container: Container, wanted: Status, pending: PendingPower, due_at: datetime) -> Container:
        return self._put(container, wanted=wanted, pending_power=pending, due_at=due_at, attempt=0)

    def place(self, container: Container, host: Host, at: datetime) -> Container:
        self.hosts.hold(host.id, container, +1)
        return self._put(container, host_id=host.id, reserved=True)

    def postpone(self, container: Container, due_at: datetime, attempt: int) -> Container:
        return self._put(container, due_at=due_at, attempt=attempt)

    def apply(self, before: Container, after: Container, frames: Sequence[Frame], *, release: bool) -> None:
        self.records[before.user_id, before.id] = before
        super().apply(before, after, frames, release=release)


class ClaimAnyTime(MemoryContainers):
    """Without M3: a host is claimed again at every try, whatever was claimed before."""

    def place(self, container: Container, host: Host, at: datetime) -> Container:
        now = self.get(container.user_id, container.id)
        if now.host_id is not None and now.status is Status.CREATING:
            self.hosts.hold(now.host_id, now, -1)
            self.records[now.user_id, now.id] = now.model_copy(update={"host_id": None, "reserved": False})
        return super().place(container, host, at)


class AnyHost(Provisioning):
    """Without M3: a retry goes wherever there is room."""

    __slots__ = ()

    def _placed(self, container: Container, refused: set[str], attempt: int) -> tuple[Container, Host]:
        return Provisioning._placed(self, container.model_copy(update={"host_id": None}), refused, attempt)


class RandomNames(SimEngine):
    """Without M4: names of engine containers say nothing and are never taken."""

    def create(self, profile: Any) -> str:
        name = f"{profile.name}-{self.wire.calls}"
        return super().create(replace(profile, name=name))

    def find(self, name: str) -> EngineContainer | None:
        super().find(name)
        return None


class AnyOrder(StatusWriter):
    """Without M6: every event counts, however old."""

    __slots__ = ()

    def _applied(self, events: Sequence[AboutContainer], signer: str) -> Applied:
        number = self.containers.get(events[0].user_id, events[0].container_id).number
        renumbered = [each.model_copy(update={"number": next_}) for next_, each in enumerate(events, number + 1)]
        return StatusWriter._applied(self, renumbered, signer)


class ReleaseApart(MemoryContainers):
    """Without M7: name and place are given back in a step of their own, whatever the record says."""

    def _give_back(self, container: Container) -> None:
        self.names.pop((container.user_id, container.name), None)
        self.live[container.user_id] -= 1

    def begin_delete(self, container: Container, at: datetime, cause: Cause) -> Container:
        now = self.get(container.user_id, container.id)
        if not now.live:
            self._give_back(now)
            raise StaleWrite("no longer live")
        return super().begin_delete(container, at, cause)

    def apply(self, before: Container, after: Container, frames: Sequence[Frame], *, release: bool) -> None:
        super().apply(before, after, frames, release=after.status is Status.DELETED)


class BlindKeeper(Keeper):
    """Without M5: nobody compares journal and engine."""

    def __init__(self, means: Means, creation: Creation, policy: Policy) -> None:
        super().__init__(means, creation, policy)
        self.relist = _Blind(means, policy.host_id, self._poke)


class _Blind(Relist):
    def look(self) -> None:
        """Nothing."""


class SilentKeeper(Keeper):
    """Without M9: the host tells nobody what it holds."""

    def __init__(self, means: Means, creation: Creation, policy: Policy) -> None:
        super().__init__(means, creation, policy)
        self.inventories = _Silent(means, policy.host_id, policy.grace_seconds, policy.inventory_seconds)


class _Silent(Inventories):
    def tell(self, send: Any) -> None:
        """Nothing."""


class ShortMemory(SimJournal):
    """Without M8: what is removed is forgotten."""

    def advance(self, intent: Intent, tellings: Any, *, expected: Any) -> Intent | None:
        written = super().advance(intent, tellings, expected=expected)
        if intent.step is Step.REMOVED:
            self.forget(float("inf"))
        return written


@dataclass(frozen=True)
class Ablation:
    """A world without one mechanism; `flows` are those that should notice first."""

    mechanism: str
    parts: Callable[[], Parts]
    flows: tuple[str, ...]


ABLATIONS = (
    Ablation("M1 sweep", lambda: Parts(sweeps=False), ("create",)),
    Ablation("M2 conditional writes", lambda: Parts(store=LastWriterWins), ("delete while creating",)),
    Ablation("M3 claim", lambda: Parts(store=ClaimAnyTime, provisioning=AnyHost), ("create",)),
    Ablation("M4 names", lambda: Parts(host=hosts.Parts(engine=RandomNames)), ("create",)),
    Ablation("M5 relist", lambda: Parts(host=hosts.Parts(keeper=BlindKeeper)), ("event apply",)),
    Ablation("M6 numbers", lambda: Parts(status=AnyOrder), ("restart, stop told twice",)),
    Ablation("M7 conditional release", lambda: Parts(store=ReleaseApart), ("delete",)),
    Ablation("M8 tombstones", lambda: Parts(host=hosts.Parts(journal=ShortMemory)), ("late create",)),
    Ablation("M9 inventories", lambda: Parts(host=hosts.Parts(keeper=SilentKeeper)), ("orphan sync",)),
    Ablation("M10 leases", lambda: Parts(leases=False), ("host loss",)),
)


MOST_SEEDS, ENOUGH = 200, 5
"""How far `make ablate` goes: so many seeds, and of every flow and of the seeds so many that break."""


@dataclass
class Finding:
    """What the suite says of a world without a mechanism."""

    mechanism: str
    cases: int = 0
    broken_cases: Counter[str] = field(default_factory=Counter)
    first_case: str = ""
    seeds: int = 0
    broken_seeds: Counter[str] = field(default_factory=Counter)
    first_seed: int | None = None

    @property
    def caught(self) -> bool:
        """Whether an invariant was broken: a part that no longer fits its world only breaks handlers."""
        return bool({*self.broken_cases, *self.broken_seeds} - {"handlers"})


def ablate(ablation: Ablation, flows: Sequence[Flow] = FLOWS, seeds: Sequence[int] = (), enough: int = 1) -> Finding:
    """Run the flows, each until `enough` of its cases break, then the seeds until `enough` of them do."""
    finding = Finding(ablation.mechanism)
    for flow in flows:
        _enumerate(ablation, flow, finding, enough)
    for seed in seeds:
        violation = run(seed, ablation.parts()).violation
        finding.seeds += 1
        if violation is not None:
            finding.broken_seeds[violation.invariant] += 1
            finding.first_seed = seed if finding.first_seed is None else finding.first_seed
        if finding.broken_seeds.total() >= enough:
            break
    return finding


def ablate_fully(number: int) -> Finding:
    """The long form, of one of `ABLATIONS`."""
    return ablate(ABLATIONS[number], seeds=range(MOST_SEEDS), enough=ENOUGH)


def _enumerate(ablation: Ablation, flow: Flow, finding: Finding, enough: int) -> None:
    plain = run_plain(flow, ablation.parts())
    broken = 0
    for case in [plain] if plain.violation else cases(flow, ablation.parts()):
        finding.cases += 1
        if case.violation is not None:
            broken += 1
            finding.broken_cases[case.violation.invariant] += 1
            finding.first_case = finding.first_case or str(case)
        if broken >= enough:
            return


def first_flows(ablation: Ablation) -> list[Flow]:
    """The flows that should notice."""
    return [flow for flow in FLOWS if flow.name in ablation.flows]
