"""The API under any order of requests, with events in between: a model says what each answer has to be.

After every step: the lists show what the model has (I13), quota and names are exact (I5, I6), and no answer was a 5xx
or an error without `error` and `code`. Idempotency keys give one container (I7); what is another's is not there (I11).
"""

import json
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chalicelib.contract.causes import Code
from chalicelib.contract.commands import Create
from chalicelib.contract.events import AboutContainer, Failed, Ready, Removed, Started, Stopped
from chalicelib.domain.announcements import overdue
from chalicelib.domain.container import Container
from tests.builders import NOW, a_cause, a_report, about
from tests.examples import examples
from tests.fakes.world import World
from tests.machines.served import Answer, Served

DAY, HOUR, CACHED = 86_400, 3_600, 30
LIMITS = {"free": 5, "guest": 1}
ONE, EVENTS = "/containers/{container_id}", "/containers/{container_id}/events"

BODIES: tuple[dict[str, Any], ...] = (
    {"image": "debian"},
    {"image": "debian", "name": "web"},
    {"image": "debian", "name": "db"},
    {"name": " web ", "image": "debian"},
    {"image": "debian", "name": ""},
    {"image": "debian", "memory_mb": 99_999},
    {"image": "debian", "name": "-no"},
    {"image": "nope", "name": "-no"},
    {"image": 5, "name": 7},
    {"image": "debian", "user_id": "me"},
)

CHANGES: tuple[dict[str, Any], ...] = (
    {"name": "web"},
    {"name": "db"},
    {"memory_mb": 256},
    {"name": "db", "memory_mb": 512},
    {"disk_mb": 2048},
    {},
)

any_index = st.integers(0, 1000)
user_names = st.sampled_from(["ann", "bob", "guest"])


@dataclass
class Known:
    """A container as the model has it."""

    id: str
    owner: str
    name: str
    answer: dict[str, Any]
    status: str = "creating"
    engine_id: str | None = None
    pending: str | None = None
    number: int = 0


@dataclass
class Person:
    """A user with a token, and what is known of the spare ones."""

    tier: str
    token: str
    expires: float | None = None
    spare: dict[str, str] = field(default_factory=dict)
    """Secrets of minted tokens by id."""


class ApiMachine(RuleBasedStateMachine):
    """Two users and a guest; the clock says seconds since the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.served = Served(World(hosts=3))
        self.world = self.served.world
        self.known: dict[str, Known] = {}
        self.keys: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any], float]] = {}
        self.revoked: dict[str, tuple[str, float]] = {}
        self.guests: Counter[str] = Counter()
        self.people = {name: Person("free", self.served.user()) for name in ("ann", "bob")}

    @property
    def now(self) -> float:
        return (self.world.clock.now() - NOW).total_seconds()

    def ask(self, method: str, route: str, token: str | None, **request: Any) -> Answer:
        with self.served.on():
            answer = self.served(method, route, token, **request)
        assert answer.status < 500
        if answer.status >= 400:
            assert isinstance(answer.body["error"], str)
            assert isinstance(answer.body["code"], str)
        return answer

    def expired(self, who: str) -> bool:
        expires = self.people[who].expires
        return expires is not None and expires <= self.now

    def by(self, who: str, method: str, route: str, **request: Any) -> Answer | None:
        """The answer to this person; None after a 401 that the model expects."""
        answer = self.ask(method, route, self.people[who].token, **request)
        assert (answer.status == 401) == self.expired(who)
        return None if answer.status == 401 else answer

    def of(self, who: str) -> list[Known]:
        return [each for each in self.known.values() if each.owner == who]

    def some(self, index: int) -> Known:
        return list(self.known.values())[index % len(self.known)]

    def record(self, known: Known) -> Container:
        return self.world.containers.get(str(known.answer["user_id"]), known.id)

    # Who is there.

    @initialize()
    def begin(self) -> None:
        self.a_guest_comes()

    @rule()
    def a_guest_comes(self) -> None:
        day = self.world.clock.now().strftime("%F")
        answer = self.ask("POST", "/auth/guest", None)
        if self.guests[day] == 5:
            assert answer.status == 429
            assert answer.headers["Retry-After"] == str(answer.body["retry_after"])
            return
        self.guests[day] += 1
        assert answer.status == 200
        for each in self.of("guest"):
            each.owner = "an earlier guest"
        self.keys = {key: value for key, value in self.keys.items() if key[0] != "guest"}
        self.people["guest"] = Person("guest", answer.body["token"], expires=self.now + HOUR)

    @rule(seconds=st.sampled_from([1, 31, 1800, DAY + HOUR]))
    def time_goes_by(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @rule(who=user_names)
    def mint(self, who: str) -> None:
        answer = self.by(who, "POST", "/tokens", body={"name": "t"})
        if answer is None or who == "guest":
            assert answer is None or (answer.status, answer.body["required"]) == (403, "admin")
            return
        assert answer.status == 201
        self.people[who].spare[answer.body["id"]] = answer.body["token"]
        assert self.ask("GET", "/containers", answer.body["token"]).status == 200

    @precondition(lambda self: any(person.spare for person in self.people.values()))
    @rule(index=any_index)
    def revoke(self, index: int) -> None:
        """Everyone tries; its owner does, once."""
        spares = [(owner, token_id) for owner, person in self.people.items() for token_id in person.spare]
        owner, token_id = spares[index % len(spares)]
        for who in [*(each for each in self.people if each != owner), owner, owner]:
            answer = self.by(who, "DELETE", "/tokens/{token_id}", path={"token_id": token_id})
            first = who == owner and token_id in self.people[owner].spare
            assert answer is None or answer.status == (200 if first else 404)
            if first:
                self.revoked[token_id] = (self.people[owner].spare.pop(token_id), self.now)

    @precondition(lambda self: self.revoked)
    @rule(index=any_index, seconds=st.sampled_from([0, 29, CACHED]))
    def a_revoked_token_is_used(self, index: int, seconds: int) -> None:
        self.world.clock.advance(seconds)
        secret, since = list(self.revoked.values())[index % len(self.revoked)]
        allowed = {200, 401} if self.now - since < CACHED else {401}
        assert self.ask("GET", "/containers", secret).status in allowed

    # Creating.

    @rule(
        who=user_names,
        body=st.sampled_from(BODIES),
        key=st.sampled_from([None, None, "k1", "k2"]),
        lost=st.booleans(),
    )
    def create(self, who: str, body: dict[str, Any], key: str | None, lost: bool) -> None:
        """Once, or, when the reply is lost, twice."""
        for _ in range(1 + lost):
            answer = self.by(who, "POST", "/containers", body=body, headers={"Idempotency-Key": key} if key else None)
            if answer is not None:
                self.check_created(who, body, key, answer)

    def check_created(self, who: str, body: dict[str, Any], key: str | None, answer: Answer) -> None:
        status, told = self.expected(who, body, key)
        assert answer.status == status
        assert told.items() <= answer.body.items()
        assert ("Idempotent-Replayed" in answer.headers) == (key is not None and status == 202 and bool(told))
        if status == 202 and not told:
            self.note(who, body, key, answer)

    def expected(self, who: str, body: dict[str, Any], key: str | None) -> tuple[int, dict[str, Any]]:
        """The status and what has to be in the body; a 202 without a body is that of a new container."""
        fault = _fault(body)
        if fault:
            return 400, fault
        kept = self.keys.get((who, key)) if key else None
        if kept is not None and self.now < kept[2]:
            return (202, kept[1]) if kept[0] == body else (422, {"code": "idempotency_key_reused"})
        limit = LIMITS[self.people[who].tier]
        if len(self.of(who)) == limit:
            return 403, {"code": "container_limit_reached", "current": limit, "limit": limit}
        name = body.get("name", "").strip()
        if name and name in [each.name for each in self.of(who)]:
            return 409, {"code": "name_taken", "name": name}
        return 202, {}

    def note(self, who: str, body: dict[str, Any], key: str | None, answer: Answer) -> None:
        told = answer.body
        assert told["id"] == told["db_id"] not in self.known
        assert (told["status"], told["async"]) == ("creating", True)
        assert told["name"] == (body.get("name", "").strip() or told["name"])
        assert told.get("guest", False) == (who == "guest")
        assert ("adjusted" in told) == ("memory_mb" in body)
        assert answer.headers["Location"] == f"/api/containers/{told['id']}"
        self.known[told["id"]] = Known(told["id"], who, told["name"], told)
        if key:
            self.keys[who, key] = (body, told, self.now + DAY)

    # Reading and managing.

    @precondition(lambda self: self.known)
    @rule(who=user_names, index=any_index, method=st.sampled_from(["GET", "EVENTS", "DELETE", "start", "stop"]))
    def what_is_anothers_is_not_there(self, who: str, index: int, method: str) -> None:
        known = self.some(index)
        if known.owner == who:
            return
        verb, route = _route(method)
        references = [known.id, str(uuid.UUID(int=0))]
        references += [known.engine_id, known.engine_id[:12]] if known.engine_id else []
        before = self.served.written()
        answers = [self.by(who, verb, route, path={"container_id": each}) for each in references]
        assert all(answer is None or answer.status == 404 for answer in answers)
        assert len({json.dumps(answer.alike) for answer in answers if answer}) <= 1
        assert self.served.written() == before

    @precondition(lambda self: self.known)
    @rule(index=any_index, cut=st.integers(12, 64))
    def it_is_found_by_every_name_it_has(self, index: int, cut: int) -> None:
        known = self.some(index)
        if known.owner not in self.people or self.expired(known.owner):
            return
        references = [known.id, known.id.upper(), *([known.engine_id[:cut]] if known.engine_id else [])]
        items = [self.by(known.owner, "GET", ONE, path={"container_id": each}) for each in references]
        for item in items:
            assert item is not None
            assert (item.status, item.body["id"], item.body["status"]) == (200, known.id, known.status)
            assert item.body.get("container_id") == known.engine_id

    @precondition(lambda self: self.known)
    @rule(index=any_index)
    def delete(self, index: int) -> None:
        known = self.some(index)
        if known.owner not in self.people or self.expired(known.owner):
            return
        path = {"container_id": known.id}
        first, second, read = (self.by(known.owner, method, ONE, path=path) for method in ("DELETE", "DELETE", "GET"))
        assert first is not None
        assert second is not None
        assert read is not None
        assert (first.status, first.body["name"]) == (200, known.name)
        assert second.alike == read.alike
        assert second.status == 404
        del self.known[known.id]

    @precondition(lambda self: self.known)
    @rule(index=any_index, verbs=st.lists(st.sampled_from(["start", "stop", "restart"]), min_size=1, max_size=4))
    def power(self, index: int, verbs: list[str]) -> None:
        known = self.some(index)
        if known.owner in self.people:
            for verb in verbs:
                self.ask_power(known, verb)

    def ask_power(self, known: Known, verb: str) -> None:
        sent = len(self.world.commands.sent)
        answer = self.by(known.owner, "POST", f"{ONE}/{verb}", path={"container_id": known.id})
        if answer is None:
            return
        if known.status not in ("running", "stopped"):
            assert (answer.status, answer.body["status"]) == (409, known.status)
            return
        target = "stopped" if verb == "stop" else "running"
        assert (answer.status, answer.body["status"]) == (200, target)
        settled = known.status == target if known.pending is None else known.pending == verb
        asked = verb == "restart" or not settled
        assert len(self.world.commands.sent) - sent == asked
        known.pending = verb if asked else known.pending

    @precondition(lambda self: self.known)
    @rule(index=any_index, body=st.sampled_from(CHANGES))
    def change(self, index: int, body: dict[str, Any]) -> None:
        known = self.some(index)
        if known.owner not in self.people:
            return
        answer = self.by(known.owner, "PATCH", f"{ONE}/settings", path={"container_id": known.id}, body=body)
        if answer is None:
            return
        status, told = self.expected_of_change(known, body)
        assert answer.status == status
        assert told.items() <= answer.body.items()
        if status == 200:
            known.name = body.get("name", known.name)
            assert answer.body["container"]["name"] == known.name
            asked = {amount: value for amount, value in body.items() if amount != "name"}
            assert asked.items() <= (answer.body["container"]["resources"] | answer.body.get("adjusted", {})).items()

    def expected_of_change(self, known: Known, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if "disk_mb" in body or not body:
            return 400, {"code": "invalid_request"}
        if "memory_mb" in body and known.status not in ("running", "stopped"):
            return 409, {"code": "status_conflict", "status": known.status}
        if body.get("name") in [each.name for each in self.of(known.owner) if each is not known]:
            return 409, {"code": "name_taken", "name": body["name"]}
        return 200, {"restarted": False}

    # What happens meanwhile.

    @precondition(lambda self: self.known)
    @rule(index=any_index, goes=st.sampled_from(["well", "well", "well", "wrong"]))
    def a_creation_ends(self, index: int, goes: str) -> None:
        known = self.some(index)
        if known.status != "creating":
            return
        if self.placed(known) is None:
            self.world.from_control_plane(overdue(self.record(known), self.world.clock.now()))
            known.status = "error"
        elif goes == "well":
            known.engine_id = uuid.uuid5(uuid.NAMESPACE_OID, known.id).hex * 2
            self.happens(known, Ready, engine_id=known.engine_id, started_at=NOW)
            known.status = "running"
        else:
            self.happens(known, Failed, cause=a_cause(Code.ENGINE_ERROR))
            known.status = "error"

    def placed(self, known: Known) -> str | None:
        """Its host; None when it is too late to give it one."""
        for host_id in self.world.hosts.rows:
            self.world.hosts.heartbeat(host_id, a_report(), self.world.clock.now())
        record = self.record(known)
        self.world.provisioning.carry_out(Create(container_id=record.id, user_id=record.user_id), 1)
        return self.record(known).host_id

    @precondition(lambda self: self.known)
    @rule(index=any_index)
    def it_stops_or_starts(self, index: int) -> None:
        """As asked, or by itself."""
        known = self.some(index)
        if known.status == "running":
            self.happens(known, Stopped, cause=a_cause(Code.EXITED))
            known.status = "stopped"
            known.pending = None if known.pending == "stop" else known.pending
        elif known.status == "stopped":
            self.happens(known, Started, started_at=NOW)
            known.status = "running"
            known.pending = None if known.pending in ("start", "restart") else known.pending

    @precondition(lambda self: self.known)
    @rule(index=any_index)
    def it_is_removed_by_its_host(self, index: int) -> None:
        known = self.some(index)
        if known.status in ("running", "stopped"):
            self.happens(known, Removed, cause=a_cause(Code.EXPIRED))
            del self.known[known.id]

    def happens(self, known: Known, kind: type[Any], **fields: Any) -> None:
        known.number += 1
        record = self.record(known)
        event: AboutContainer = kind(**about(record, known.number), **fields)
        for _ in range(2):
            self.world.from_host(event, str(record.host_id))

    # What holds.

    @invariant()
    def everyone_sees_their_own(self) -> None:
        for who, person in self.people.items():
            answer = self.by(who, "GET", "/containers")
            if answer is None:
                continue
            shown = answer.body["containers"]
            assert {item["id"]: (item["name"], item["status"]) for item in shown} == {
                each.id: (each.name, each.status) for each in self.of(who)
            }
            assert answer.body["count"] == len(shown) <= answer.body["limit"] == LIMITS[person.tier]
            born = [(item["created_at"], item["id"]) for item in shown]
            assert born == sorted(born, reverse=True)

    @invariant()
    def counts_and_names_are_exact(self) -> None:
        live = [container for container in self.world.containers.records.values() if container.live]
        assert {each.id for each in live} == set(self.known)
        counted = {user: count for user, count in self.world.containers.live.items() if count}
        assert counted == Counter(container.user_id for container in live)
        assert self.world.containers.names == {(each.user_id, each.name): each.id for each in live}


def _fault(body: dict[str, Any]) -> dict[str, Any]:
    """What the 400 says of this body: the image before the name before the rest; nothing of a good one."""
    if body["image"] == 5:
        return {"field": "image"}
    if body["image"] == "nope":
        return {"error": "unsupported image type"}
    if body.get("name") == "-no":
        return {"field": "name"}
    return {"field": "user_id"} if "user_id" in body else {}


def _route(method: str) -> tuple[str, str]:
    if method in ("start", "stop"):
        return "POST", f"{ONE}/{method}"
    return ("GET", EVENTS) if method == "EVENTS" else (method, ONE)


ApiMachine.TestCase.settings = settings(max_examples=examples(200), stateful_step_count=50, deadline=None)


class TestApi(ApiMachine.TestCase):
    """Run by pytest."""
