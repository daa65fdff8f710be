"""The project's rules about packages: `rules.toml` comes in, licences and exceptions go out."""

import datetime as dt
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("rules.toml")


@dataclass(frozen=True, slots=True)
class Waiver:
    """A known vulnerability that is accepted until a day, for a reason."""

    id: str
    package: str
    reason: str
    until: dt.date


@dataclass(frozen=True, slots=True)
class Rules:
    licences: frozenset[str]
    waivers: tuple[Waiver, ...] = ()

    def accepts(self, package: str, ids: set[str], today: dt.date) -> bool:
        """Whether a vulnerability, under any of its names, is waived for this package today."""
        return any(each.package == package and each.id in ids and today <= each.until for each in self.waivers)


def read(file: Path = FILE) -> Rules:
    content: dict[str, Any] = tomllib.loads(file.read_text())
    return Rules(frozenset(content["licences"]), tuple(Waiver(**each) for each in content.get("exceptions", [])))
