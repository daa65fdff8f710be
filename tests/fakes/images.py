"""Prepared images in memory: an engine in memory comes in, what is committed there can be made containers from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.hostagent.ports import EngineDown, NotThere
from tests.fakes.engine import FakeEngine


@dataclass
class FakeImages:
    """`building.ImageStore` beside a FakeEngine."""

    engine: FakeEngine
    labelled: dict[str, dict[str, str]] = field(default_factory=dict)

    def layers(self, reference: str) -> str | None:
        self._called()
        found = self.engine.image(reference)
        return f"layers of {found.id}" if found else None

    def commit(self, engine_id: str, reference: str, labels: Mapping[str, str]) -> None:
        self._called()
        if engine_id not in self.engine.rows:
            raise NotThere(engine_id)
        self.engine.present.add(reference)
        self.labelled[reference] = dict(labels)

    def labels(self, reference: str) -> dict[str, str]:
        self._called()
        if reference not in self.engine.present:
            raise NotThere(reference)
        return self.labelled.get(reference, {})

    def containers_named(self, prefix: str) -> list[str]:
        self._called()
        return [key for key, (profile, _) in self.engine.rows.items() if profile.name.startswith(prefix)]

    def _called(self) -> None:
        if self.engine.down:
            raise EngineDown("images")
