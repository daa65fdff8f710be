"""What this host holds: the engine and the journal come in, inventories for the control plane go out (M9).

The host proposes and the control plane decides: a journal that was lost must not cost a live container (I15).
"""

import json
from collections.abc import Callable, Iterable, Iterator

from chalicelib.contract.agent_api import Held, Holdings
from chalicelib.contract.events import Inventory
from infra.hostagent.containers.means import Means
from infra.hostagent.journal.intents import Intent
from infra.hostagent.ports import EngineContainer

AGAIN_SECONDS = 600.0
"""All that is held is told again after this long, though nothing has changed."""

RETRY_SECONDS = 10.0

PAGE_BYTES = 180_000
"""Of one message, which the queue takes up to 256 KiB."""


class Inventories:
    """Tells what is held and older than grace; nobody else may be on its way with something that young."""

    def __init__(self, means: Means, host_id: str, grace_seconds: float, every_seconds: float) -> None:
        self._engine = means.engine
        self._journal = means.journal
        self._runtime = means.runtime
        self._host_id = host_id
        self._grace = grace_seconds
        self._every = every_seconds
        self.hurry()

    def hurry(self) -> None:
        """Tell all at the next occasion: the control plane may have missed or forgotten what was told."""
        self._next = 0.0
        self._all_told_at: float | None = None
        self._told: frozenset[tuple[object, ...]] | None = None

    def holdings(self) -> Holdings:
        """All that carries this host's label, found just now; EngineError."""
        found = self._engine.of_host(self._host_id)
        known = {intent.container_id: intent for intent in self._journal.intents()}
        now = self._runtime.time()
        held = [self._held(each, known.get(each.container_id), now) for each in found if not each.unclaimed]
        return Holdings(host_id=self._host_id, containers=held)

    def _held(self, found: EngineContainer, intent: Intent | None, now: float) -> Held:
        known = intent if intent is not None and intent.generation == found.generation else None
        return Held(
            container_id=found.container_id,
            user_id=found.user_id or (known.user_id if known else ""),
            generation=found.generation,
            running=found.running,
            age_seconds=max(0.0, now - found.created_at),
            step=known.step.value if known else None,
        )

    def tell(self, send: Callable[[Inventory], None]) -> None:
        """Send what is due, in pages; EngineError, or what `send` raises, and then it is due again soon."""
        now = self._runtime.monotonic()
        if now < self._next:
            return
        self._next = now + RETRY_SECONDS
        old = [each for each in self.holdings().containers if each.age_seconds > self._grace]
        digest = frozenset((each.container_id, each.generation, each.running, each.step) for each in old)
        all_of_it = digest != self._told or self._all_told_at is None or now - self._all_told_at >= AGAIN_SECONDS
        for page in _pages(old if all_of_it else [each for each in old if each.step is None]):
            send(Inventory(host_id=self._host_id, containers=page))
        self._next = now + self._every
        if all_of_it:
            self._all_told_at, self._told = now, digest


def _pages(held: Iterable[Held]) -> Iterator[list[Held]]:
    """Each small enough for one message, in which it is text within text."""
    page: list[Held] = []
    size = 0
    for each in held:
        weight = len(json.dumps(each.model_dump_json())) + 1
        if page and size + weight > PAGE_BYTES:
            yield page
            page, size = [], 0
        page.append(each)
        size += weight
    if page:
        yield page
