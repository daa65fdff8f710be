"""The one table of what is expected not to hold: probes and an engine's facts come in, what is excused goes out."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("exceptions.toml")


@dataclass(frozen=True, slots=True)
class Excused:
    """A probe that does not hold on a development engine, or a row that has nothing to be tried on."""

    row: int
    name: str
    reason: str
    production: str
    """What a host of the fleet has instead."""


def excused() -> list[Excused]:
    """Probes that may fail where the agent says `development`, and nowhere else."""
    return _read("excused")


def absent() -> list[Excused]:
    """Rows without a probe, and why."""
    return _read("absent")


def _read(kind: str) -> list[Excused]:
    return [Excused(**entry) for entry in tomllib.loads(TABLE.read_text()).get(kind, [])]
