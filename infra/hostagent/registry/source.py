"""Where pulls get images: a reference comes in, the engine's progress goes out, of an image that may be had here.

Manifest first, with the tag pinned to the digest that it names now; then the layers, through the gate; then the image
gets its name on the engine, and a second one by which its digest is known for good (`pins`).
"""

import logging
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from infra.hostagent.ports import Engine, EngineError
from infra.hostagent.registry.client import RegistryClient, Session
from infra.hostagent.registry.errors import Unanswered, Unsupported
from infra.hostagent.registry.gate import Gate, Plan
from infra.hostagent.registry.inflate import Budget
from infra.hostagent.registry.leftovers import Leftovers
from infra.hostagent.registry.manifests import (
    ACCEPT,
    CONFIG_BYTES,
    UNPACKED_BYTES,
    Checked,
    Manifest,
    check_config,
    checked,
    chosen,
    expect,
)
from infra.hostagent.registry.pins import pin_of
from infra.hostagent.registry.references import Reference, parse
from infra.hostagent.registry.refresh import Refresh

log = logging.getLogger("berth.agent.images")


ZSTD_SINCE = 23
"""The first of Docker's releases that unpacks it."""


def reads_zstd(version: str) -> bool:
    """Whether an engine of this version can make images of layers packed with zstd."""
    first = re.match(r"\d+", version)
    return first is not None and int(first[0]) >= ZSTD_SINCE


class GuardedSource:
    """`pulls.Source` over registries: the engine pulls from the gate alone."""

    def __init__(
        self,
        engine: Engine,
        client: RegistryClient,
        gate: Gate,
        room: Callable[[], None],
        refresh_seconds: float = 0.0,
    ) -> None:
        self._engine = engine
        self._client = client
        self._gate = gate
        self._room = room
        self._leftovers = Leftovers(engine, gate.network)
        self.sweep()
        self._refresh = Refresh(engine, self._latest, self._have, refresh_seconds)
        self._unpacked = UNPACKED_BYTES
        self._under_way: dict[str, str] = {}

    def pull(self, reference: str) -> Iterator[dict[str, Any]]:
        """Have it; the engine's lines meanwhile. An ImageFault, or what the engine raises."""
        own: list[str] = []

        def begun(address: str) -> None:
            own.append(address)
            self._under_way[reference] = address

        self._refresh.make_way()
        try:
            yield from self._have(reference, begun)
        finally:
            if self._under_way.get(reference) in own:
                del self._under_way[reference]
            self._refresh.way_is_free()
        self._refresh.asked(reference)

    def give_up(self, reference: str) -> None:
        """Have a pull of it end soon; nothing when there is none."""
        address = self._under_way.get(reference)
        if address is not None:
            self._engine.give_up(address)

    def used(self, reference: str) -> None:
        """The host has it, and a container is made from it: see some time whether it is still what its tag means."""
        self._refresh.used(reference)

    def sweep(self, names: Iterable[str] | None = None) -> None:
        """Take away what a killed agent, or a pull that broke at its very end, has left on the engine.

        Who knows the engine's names already gives them.
        """
        self._leftovers.sweep(names)

    def _have(self, reference: str, begun: Callable[[str], None]) -> Generator[dict[str, Any], None, None]:
        where = parse(reference)
        session = Session(where)
        self.sweep()
        self._room()
        digest, found = self._resolved(session)
        log.info("image pinned", extra={"image": reference, "digest": digest})
        plan = Plan(session, found, Budget(self._unpacked), self._room)
        with self._gate.serving(plan) as address:
            plan.failed = lambda: self._engine.give_up(address)
            begun(address)
            yield from self._lines(plan, address)
            self._name(address, where, digest)

    def _latest(self, reference: str) -> str:
        """What a tag means now, by as few bytes as its registry allows."""
        session = Session(parse(reference))
        return self._client.digest(session, session.where.wanted, ACCEPT) or self._resolved(session)[0]

    def _lines(self, plan: Plan, address: str) -> Iterator[dict[str, Any]]:
        """What the engine says, unless the plan knows better why it failed."""
        try:
            yield from self._engine.pull(address)
        except EngineError:
            if plan.fault is None:
                raise
        if plan.fault is not None:
            raise plan.fault

    def _resolved(self, session: Session) -> tuple[str, Checked]:
        """The digest of what is wanted, and the manifest for this machine that it leads to."""
        where = session.where
        body, kind = self._client.manifest(session, where.wanted, ACCEPT)
        digest = expect(body, where.digest)
        part = chosen(body, kind)
        if part is not None:
            body, kind = self._client.manifest(session, part.digest, ACCEPT)
            expect(body, part.digest)
        found = checked(body, kind)
        self._check_packing(found.manifest)
        if part is None:
            config = found.manifest.config
            text = self._client.small_blob(session, config.digest, CONFIG_BYTES)
            expect(text, config.digest)
            check_config(text)
        return digest, found

    def _check_packing(self, manifest: Manifest) -> None:
        """The engine is asked only when it matters: it is another after an update."""
        if manifest.has_zstd and not reads_zstd(version := self._engine.facts().version):
            raise Unsupported(
                f"its layers are packed with zstd, which this host's engine (Docker {version}) cannot read"
            )

    def _name(self, address: str, where: Reference, digest: str) -> None:
        """Give what was pulled its names, and take away the gate's."""
        if self._engine.image(address) is None:
            raise Unanswered  # the pull was cut off before its end
        self._engine.tag(address, pin_of(digest))
        if where.tag is not None and where.digest is None:
            name = f"{where.local_name}:{where.tag}"
            before = self._engine.image(name)
            self._engine.tag(address, pin_of(digest, name))
            self._engine.tag(address, name)
            if before is not None and before.digest not in (None, digest):
                self._engine.untag(pin_of(str(before.digest), name))  # it may be the same image in another index
        self._engine.untag(address)
