"""Containers' files in memory, held to the same contract tests as the folder of a host."""

from dataclasses import dataclass, field

from chalicelib.contract.agent_api import ContainerSpec
from infra.hostagent.containers.files import contents_of, target_of
from infra.hostagent.profile import Bound, engine_name


@dataclass
class MemoryFiles:
    """`files.Files`; what is bound is `name/file`."""

    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    handed_over: dict[str, str] = field(default_factory=dict)
    """Where the files of a container are that was a blank."""

    def write(self, spec: ContainerSpec) -> tuple[Bound, ...]:
        name = engine_name(spec.container_id, spec.generation)
        place = self.handed_over.get(name, name)
        self.rows[place] = contents_of(spec)
        return tuple(Bound(f"{place}/{file}", target_of(file)) for file in self.rows[place])

    def hand_over(self, blank: str, spec: ContainerSpec) -> None:
        name = engine_name(spec.container_id, spec.generation)
        self.handed_over[name] = blank
        self.write(spec)

    def remove(self, name: str) -> None:
        if name in self.handed_over.values():
            return
        place = self.handed_over.pop(name, name)
        self.rows.pop(place, None)

    def names(self) -> list[str]:
        at = {place: name for name, place in self.handed_over.items()}
        return [at.get(place, place) for place in self.rows]
