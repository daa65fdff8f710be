"""Network namespaces in memory, held to the same contract tests as Docker's; the fake engine knows who holds one."""

from dataclasses import dataclass, field

from infra.hostagent.network.namespaces import Holder
from infra.hostagent.ports import EngineRefused, NotThere
from tests.fakes.engine import FakeEngine


@dataclass
class FakeNamespaces:
    """`namespaces.Namespaces`; `reaches` is false on a host whose agent cannot look into containers."""

    engine: FakeEngine
    reaches: bool = True
    hostnames: dict[str, str] = field(default_factory=dict)
    unjoined: set[str] = field(default_factory=set)
    """Holders that somebody has taken from the network."""

    def make(self) -> str:
        self.engine._called("make")
        holder = f"{next(self.engine._ids):064x}"
        self.engine.holders[holder] = True
        self.engine._answered("make")
        return holder

    def all(self) -> list[Holder]:
        self.engine._called("all")
        return [
            Holder(each, running, "" if each in self.unjoined or not running else "192.0.2.2")
            for each, running in self.engine.holders.items()
        ]

    def mend(self, holder: str) -> None:
        self.engine._called("mend")
        if holder not in self.engine.holders:
            raise NotThere(holder)
        self.engine.holders[holder] = True
        self.unjoined.discard(holder)
        self.engine._answered("mend")

    def remove(self, holder: str) -> None:
        self.engine._called("remove holder")
        self.engine.holders.pop(holder, None)
        self.engine._answered("remove holder")

    def name(self, engine_id: str, hostname: str) -> None:
        self.engine._called("name")
        if engine_id not in self.engine.holders and engine_id not in self.engine.rows:
            raise NotThere(engine_id)
        running = (
            self.engine.holders[engine_id]
            if engine_id in self.engine.holders
            else self.engine.rows[engine_id][1].running
        )
        if not running or not self.reaches:
            raise EngineRefused("the container cannot be given its name")
        self.hostnames[engine_id] = hostname
        self.engine._answered("name")
