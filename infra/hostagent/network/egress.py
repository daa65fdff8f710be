"""How far containers reach whose network is held to names: who they are comes in, what they may reach is kept.

Whoever is not admitted reaches nothing. An admission is of one network card and one address together: a container
that gets the address of a deleted one has another card, and thereby none of its rights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.resources import NetworkMode
from infra.hostagent.ports import Attachment, EngineError
from infra.hostagent.profile import engine_name


class EgressFailed(EngineError):
    """Nothing is known to have changed; the text says why."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A container on the held network, and the names it may reach."""

    name: str
    """The engine's name for it."""
    at: Attachment
    domains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Admission:
    """A guest let in, with a number of its own: the same guest let in again is another admission."""

    number: int
    guest: Guest


class Egress(Protocol):
    """Who may reach what; every call may be repeated."""

    def admitted(self) -> list[Admission]:
        """Who is admitted now, by this process."""

    def change(self, come: Sequence[Guest], gone: Sequence[Admission] = ()) -> None:
        """From now on those who come reach what their names resolve to, and nobody else does by their addresses.

        Admissions that are gone end, but no later one of the same guest; so does what an earlier process left. All of
        it is done at once, or EgressFailed.
        """


class ClosedEgress:
    """`Egress` of a host that cannot hold anybody to names: there, nobody is on the held network."""

    def admitted(self) -> list[Admission]:
        return []

    def change(self, come: Sequence[Guest], gone: Sequence[Admission] = ()) -> None:
        if come or gone:
            raise EgressFailed("this host has no held network")


def changed(rows: Sequence[Admission], come: Sequence[Admission], gone: Sequence[Admission]) -> list[Admission]:
    """Who is admitted after a change; whoever has the name, card or address of one who comes is not there any more."""
    over = {each.number for each in gone}
    left = [row for row in rows if row.number not in over]
    return [row for row in left if not any(_excludes(each.guest, row.guest) for each in come)] + list(come)


def _excludes(guest: Guest, other: Guest) -> bool:
    return other.name == guest.name or other.at.address == guest.at.address or other.at.card == guest.at.card


def guest_of(spec: ContainerSpec, at: Attachment | None) -> Guest | None:
    """Who is to be admitted; None for a container that is not held to names, or on no network."""
    if spec.network_mode is not NetworkMode.RESTRICTED or at is None:
        return None
    return Guest(engine_name(spec.container_id, spec.generation), at, tuple(spec.allowed_domains))


def listed(name: str, domains: Sequence[str]) -> bool:
    """Whether a name is one of these, or below one that stands for all below it (`*.example.org`)."""
    return any(name == each or (each.startswith("*.") and name.endswith(each[1:])) for each in domains)
