"""Whether an engine container is wanted where it is: a record and what a host holds come in, a verdict goes out."""

from enum import StrEnum

from chalicelib.contract.agent_api import Held
from chalicelib.contract.causes import Code
from chalicelib.contract.statuses import Status
from chalicelib.domain.container import Container

_WANTED = (Status.CREATING, Status.RUNNING, Status.STOPPED)


class Verdict(StrEnum):
    """What becomes of an engine container that a host has found."""

    KEEP = "keep"
    ADOPT = "adopt"
    """It is wanted, and its host has to be told so, because its journal does not know it."""
    REMOVE = "remove"


def verdict(record: Container | None, host_id: str, generation: int, *, known: bool) -> Verdict:
    """The verdict on a container of this generation on this host; `known` when its journal has it.

    Only what no live record wants on that host is removed (I15). A lower generation beside the wanted one is left to
    the host, which removes it; so is everything of a record that is just being placed, until it is.
    """
    if record is None or record.status not in _WANTED:
        return Verdict.REMOVE
    if record.host_id is None:
        return Verdict.KEEP
    if record.host_id != host_id:
        return Verdict.REMOVE
    return Verdict.KEEP if known or record.generation != generation else Verdict.ADOPT


def wrongly_lost(record: Container, host_id: str, held: Held) -> bool:
    """Whether the record was stopped because its host was thought lost, while its container runs there as wanted."""
    lost = record.stopped_because is not None and record.stopped_because.code is Code.HOST_LOST
    here = (record.host_id, record.generation) == (host_id, held.generation)
    return record.status is Status.STOPPED and lost and here and held.running and held.step is not None
