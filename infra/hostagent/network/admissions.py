"""`Egress` by packet rules: guests and what their names resolved to come in, elements of the table's sets go out."""

import hashlib
import itertools
import logging
import threading
import time
from collections.abc import Sequence

from infra.hostagent.network.egress import Admission, EgressFailed, Guest, changed
from infra.hostagent.network.nft import Nft, NoFirewall

log = logging.getLogger("berth.agent.admissions")

ADDRESSES = 1000
"""Most addresses that one container may begin connections to at a time."""

SLACK_SECONDS = 30
"""Given beyond what is asked for: the same answer again soon costs nothing."""


class Admissions:
    """Written by the keeper's threads, read and extended by the name server."""

    def __init__(self, nft: Nft) -> None:
        self._nft = nft
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._rows: list[Admission] = []
        self._written = False
        self._reach: dict[int, dict[str, float]] = {}
        """By a guest's number: addresses, and until when (monotonic)."""

    def admitted(self) -> list[Admission]:
        with self._lock:
            return list(self._rows)

    def change(self, come: Sequence[Guest], gone: Sequence[Admission] = ()) -> None:
        with self._lock:
            rows = changed(self._rows, [Admission(next(self._numbers), guest) for guest in come], gone)
            if rows != self._rows or not self._written:
                self._write(rows)
        for guest in come:
            log.info("container admitted to its names", extra={"engine_name": guest.name})

    def again(self) -> None:
        """Write all once more: the table was made anew. EgressFailed."""
        with self._lock:
            self._reach.clear()
            self._write(self._rows)

    def who(self, address: str) -> Guest | None:
        """Whose address that is."""
        with self._lock:
            return next((row.guest for row in self._rows if row.guest.at.address == address), None)

    def reach(self, guest: Guest, addresses: Sequence[str], seconds: int) -> None:
        """For so long it may begin connections to these. EgressFailed: also when it has too many already."""
        number = mark_of(guest.name)
        now = time.monotonic()
        with self._lock:
            known = {each: until for each, until in self._reach.get(number, {}).items() if until > now}
            fresh = [each for each in addresses if known.get(each, 0.0) < now + seconds]
            if not fresh:
                return
            if len(known | dict.fromkeys(fresh, 0.0)) > ADDRESSES:
                raise EgressFailed("too many addresses")
            given = seconds + SLACK_SECONDS
            self._run(_reaching(self._nft.table, number, fresh, given))
            self._reach[number] = known | dict.fromkeys(fresh, now + given)

    def _write(self, rows: list[Admission]) -> None:
        self._run(_owning(self._nft.table, [row.guest for row in rows]))
        self._rows, self._written = rows, True
        kept = {mark_of(row.guest.name) for row in rows}
        self._reach = {number: rows for number, rows in self._reach.items() if number in kept}

    def _run(self, script: str) -> None:
        try:
            self._nft.run(script)
        except NoFirewall as error:
            raise EgressFailed(str(error)) from error


def mark_of(name: str) -> int:
    """The number that the kernel knows a container by: its own for good, so the agent's next process knows it too."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") | 1


def _owning(table: str, guests: Sequence[Guest]) -> str:
    """All of them and nobody else."""
    lines = [f"flush map inet {table} owner", f"flush set inet {table} owners"]
    for guest in guests:
        who, number = f"{guest.at.card} . {guest.at.address}", mark_of(guest.name)
        lines.append(f"add element inet {table} owner {{ {who} : {number} }}")
        lines.append(f"add element inet {table} owners {{ {who} . {number} }}")
    return "\n".join(lines) + "\n"


def _reaching(table: str, number: int, addresses: Sequence[str], seconds: int) -> str:
    """An element that is there keeps its time: it is taken out and put in again, as one."""
    lines = []
    for address in addresses:
        element = f"element inet {table} reach {{ {number} . {address}"
        put = f"add {element} timeout {seconds}s }}"
        lines += [put, f"delete {element} }}", put]
    return "\n".join(lines) + "\n"
