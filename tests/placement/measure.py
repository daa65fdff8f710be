"""Measuring: a rule of choice and the size of a fleet come in, one run's figures and its cost go out."""

import math
import time
from dataclasses import dataclass
from random import Random
from typing import Any

from chalicelib.adapters.dynamodb.hosts import DynamoHosts
from chalicelib.contract.signatures import new_private_key, public_key_of
from chalicelib.domain import catalogue
from chalicelib.domain.host import brief
from chalicelib.services.leases import PAGE
from tests.builders import NOW, a_report
from tests.placement.fleet import Fleet
from tests.placement.leasing import Leasing
from tests.placement.load import Load
from tests.placement.policies import (
    LeastLoaded,
    Policy,
    best_fit,
    one_group,
    power_of_choices,
    random_host,
    two_choices,
)
from tests.placement.simulation import Figures, Simulation

RULES: dict[str, Policy] = {
    "**of four, in two groups**": power_of_choices,
    "of two, in two groups": two_choices,
    "of four, in one group": one_group,
    "random": random_host,
    "best fit of eight": best_fit,
    "least loaded of all": LeastLoaded(),
}
OURS = next(iter(RULES))


@dataclass(frozen=True)
class Measured:
    """One run and what it cost."""

    rule: str
    hosts: int
    figures: Figures
    seconds: float
    reads_each: float
    beat_units: float
    leasing: Leasing

    @property
    def settled(self) -> int | None:
        """Seconds from the death of the rack until none of its records was left as if it lived."""
        at = self.leasing.settled_at
        return at and at - self.leasing.rack_at

    @property
    def rack_records(self) -> int:
        return self.leasing.rack_records

    @property
    def wrongly(self) -> int:
        return self.leasing.wrongly

    @property
    def due_reads(self) -> int:
        return self.leasing.due_reads

    @property
    def swept(self) -> int:
        return self.leasing.swept

    @property
    def most_of_host(self) -> int:
        return max(self.leasing.writes_of_host.values(), default=0)

    @property
    def writes(self) -> str:
        of_group, of_all = self.leasing.writes_of_group, self.leasing.writes
        return f"{self.most_of_host}, {max(of_group.values(), default=0)}, {max(of_all.values(), default=0)}"


def measured(rule: str, hosts: int, containers: int, seed: int = 1) -> Measured:
    """Run it."""
    began = time.process_time()
    fleet = Fleet(hosts, seed)
    simulation = Simulation(fleet, Load(containers, Random(seed + 1)), RULES[rule])
    figures = simulation.run()
    return Measured(
        rule=rule,
        hosts=hosts,
        figures=figures,
        seconds=time.process_time() - began,
        reads_each=fleet.reads / max(1, figures.placed),
        beat_units=fleet.beats / fleet.second * units_of_a_beat(),
        leasing=simulation.leasing,
    )


def broken(run: Measured) -> list[str]:
    """The promises of reliability §5.5 that this run did not keep; a small fleet's percentiles jump more."""
    figures = run.figures
    kept = {
        "bounced": figures.bounced(0.85) < 0.001,
        "even": figures.spread <= (0.06 if run.hosts >= 1000 else 0.07) and figures.widest <= 0.1,
        "room": figures.overfull == figures.given_up == 0 and figures.fullest <= 1.0,
        "reads": run.reads_each < 2.05,
        "lost rack": run.settled is not None and run.settled <= 120 and run.most_of_host <= PAGE,
        "live hosts": run.wrongly == run.leasing.overdue == 0,
        "sweeper": run.due_reads < 10 * figures.unanswered,
        "heartbeats": run.beat_units * 10_000 / run.hosts < 1100,
    }
    return [name for name, held in kept.items() if not held]


def units_of_a_beat() -> int:
    """Write units of one heartbeat: the size of the row as the real adapter writes it, in whole kilobytes.

    The host has every image of the catalogue and hundreds more.
    """
    row: dict[str, Any] = {}

    class Recorder:
        def update_item(self, **call: Any) -> dict[str, Any]:
            row.update(call["ExpressionAttributeValues"])
            return {}

    hosts = DynamoHosts(Recorder(), "hosts", shards=160)
    hosts.enrol("host-00001", public_key_of(new_private_key()))
    images = [known.reference for known in catalogue.images().images]
    images += [f"registry.example.com/team/image-{number}" for number in range(300)]
    hosts.heartbeat("host-00001", brief(a_report(images=images, endpoint="https://10.20.30.40:7070")), NOW)
    return math.ceil(_size(hosts_row(row)) / 1024)


def hosts_row(values: dict[str, Any]) -> dict[str, str]:
    """The whole row: what a beat writes, and what enrolment, placing and failing have written before."""
    written = {"report": ":report", "received_at": ":at", "public_key": ":key", "state_shard": ":shard"}
    texts = {name: str(values[value]["S"]) for name, value in written.items()}
    counts = {f"reserved_{name}": "1234" for name in ("memory_mb", "cpu_shares", "disk_mb", "containers")}
    return (
        texts | counts | {"host_id": "host-00001", "failed_at": texts["received_at"], "placeable": "1", "draining": "1"}
    )


def _size(row: dict[str, str]) -> int:
    """As DynamoDB counts it: names and values, and a hundred for the item."""
    return 100 + sum(len(name) + len(text) for name, text in row.items())
