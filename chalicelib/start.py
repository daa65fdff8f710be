"""What Lambda starts: the name of a handler comes in, what its function answers with is made before the first event."""

import gc
from collections.abc import Callable

from chalicelib import wiring


def _messages() -> None:
    """Loaded and no more: what deals with messages is given a key when it is made, and the key is asked for."""
    import chalicelib.edge.queues  # noqa: F401


def _signatures() -> None:
    """The same: for who signs or verifies with every event, and for `$connect`, which sends one for who is admitted."""
    import chalicelib.contract.signatures  # noqa: F401


MADE: dict[str, tuple[Callable[[], object], ...]] = {
    "app.app": (wiring.api,),
    "app.connect": (wiring.doorkeeper, _signatures),
    "app.message": (wiring.subscriptions,),
    "app.disconnect": (wiring.subscriptions,),
    "app.provision": (_messages, _signatures, wiring.containers, wiring.hosts),
    "app.status": (_messages, _signatures, wiring.containers, wiring.hosts, wiring.connections),
    "app.sweep": (wiring.sweep, wiring.dead_letter_watch, wiring.fleet, wiring.leases),
    "app.enrol": (_messages, wiring.hosts),
}
"""By handler, as Lambda names it: what can be made without asking anybody."""


def prepare(handler: str) -> None:
    """Make it while a function starts, when it has a whole processor, whatever its share is later; elsewhere nothing.

    All that is made here stays, so no garbage is looked for in it, now or later.
    """
    if handler not in MADE:
        return
    gc.disable()
    try:
        for make in MADE[handler]:
            make()
    finally:
        gc.freeze()
        gc.enable()
