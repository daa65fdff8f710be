"""Containers' files in memory, held to the same contract tests as the folder of a host."""

from dataclasses import dataclass, field

from chalicelib.contract.agent_api import ContainerSpec
from infra.hostagent.files import contents_of
from infra.hostagent.profile import Bound, engine_name


@dataclass
class MemoryFiles:
    """`files.Files`; what is bound is `name/file`."""

    rows: dict[str, dict[str, str]] = field(default_factory=dict)

    def write(self, spec: ContainerSpec) -> tuple[Bound, ...]:
        name = engine_name(spec.container_id, spec.generation)
        self.rows[name] = contents_of(spec)
        return tuple(Bound(f"{name}/{file}", f"/etc/{file}") for file in self.rows[name])

    def remove(self, name: str) -> None:
        self.rows.pop(name, None)

    def names(self) -> list[str]:
        return list(self.rows)
