"""The agent's HTTP interface over a keeper in memory: who gets in, and what is answered to whom."""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.contract.agent_api import ContainerSpec, Holdings, PowerCall, Removal, UsageCall, Used, Verb
from chalicelib.contract.signatures import BadSignature, new_private_key, public_key_of, sign_call
from infra.hostagent.commands.execs import Execs
from infra.hostagent.containers.creation import Creation, Place
from infra.hostagent.containers.keeper import Keeper, Policy
from infra.hostagent.containers.means import Means
from infra.hostagent.guard import ControlKey, Guard
from infra.hostagent.http import BODY_LIMIT, application
from infra.hostagent.images.pulls import Pulls
from infra.hostagent.journal.intents import Step
from infra.hostagent.journal.journal import Journal
from infra.hostagent.profile import profile_of
from infra.hostagent.runtime import ThreadRuntime
from infra.hostagent.terminals.terminals import Terminals
from infra.hostagent.usage.measuring import Measuring
from tests.builders import a_spec
from tests.fakes.disk import MemoryDisk
from tests.fakes.engine import FakeEngine
from tests.fakes.files import MemoryFiles
from tests.fakes.meters import IDLE, FakeMeters

CONTROL = new_private_key()
HOST = "host-1"


class Caller:
    """Makes calls, rightly signed unless told otherwise."""

    def __init__(self, folder: Path, max_containers: int = 10, draining: bool = False) -> None:
        self.engine = FakeEngine(present={"debian:bookworm"})
        runtime = ThreadRuntime()
        self.journal = Journal(folder / "journal", runtime)
        means = Means(self.engine, self.journal, runtime, lambda: None, MemoryFiles(), MemoryDisk())
        pulls = Pulls(self.engine, parallel=1, seconds=5)
        place = Place(HOST, "network", 2, engine_patience_seconds=0.1)
        self.keeper = Keeper(means, Creation(means, pulls, place), Policy(HOST, max_containers, draining))
        guard = Guard(HOST, lambda: public_key_of(CONTROL))
        execs = Execs(self.engine, self.journal, folder / "execs")
        self.meters, self.disk = FakeMeters(self.engine), MemoryDisk()
        measuring = Measuring(self.journal, self.meters, self.disk)
        self.transport = httpx.ASGITransport(
            application(self.keeper, guard, execs, Terminals(execs), measuring), raise_app_exceptions=False
        )

    def token(self, method: str, path: str, body: bytes, changes: dict[str, Any] | None = None) -> str:
        claims: dict[str, Any] = {
            "private_pem": CONTROL,
            "host_id": HOST,
            "method": method,
            "path": path,
            "body": body,
            "call_id": uuid.uuid4().hex,
            "issued_at": int(time.time()),
        }
        return sign_call(**(claims | (changes or {})))

    def send(self, method: str, path: str, body: bytes = b"", token: str | None = None) -> httpx.Response:
        signed = self.token(method, path, body) if token is None else token
        return self.raw(method, path, body, {"Authorization": f"Bearer {signed}"})

    def raw(self, method: str, path: str, body: Any = b"", headers: Any = None) -> httpx.Response:
        """A request as it stands, without a token of ours."""

        async def asked() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="http://agent") as client:
                return await client.request(method, path, content=body, headers=headers)

        return asyncio.run(asked())

    def put(self, spec: ContainerSpec) -> httpx.Response:
        return self.send("PUT", path_of(spec), spec.model_dump_json().encode())


def path_of(spec: ContainerSpec) -> str:
    return f"/v1/containers/{spec.container_id}"


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    caller = Caller(tmp_path_factory.mktemp("guard"))
    yield caller
    caller.keeper.close()


def test_a_rightly_signed_call_is_journalled_before_it_is_answered(caller: Caller) -> None:
    spec = a_spec()

    answer = caller.put(spec)

    assert answer.status_code == 202
    assert answer.json() == {"container_id": spec.container_id, "generation": 1}
    assert caller.journal.get(spec.container_id) is not None


def test_what_a_container_uses_is_answered_while_it_runs_and_can_be_measured(caller: Caller) -> None:
    spec = a_spec(container_id=str(uuid.uuid4()))
    call = UsageCall(container_id=spec.container_id, user_id=spec.user_id, generation=1)
    path = f"{path_of(spec)}/stats"

    def asked(body: bytes = call.model_dump_json().encode()) -> httpx.Response:
        return caller.send("POST", path, body)

    assert (asked().status_code, asked().json()["code"]) == (409, "unknown")
    caller.put(spec)
    while (found := caller.journal.get(spec.container_id)) is None or found.step is not Step.READY:
        time.sleep(0.01)
    caller.meters.used[str(found.engine_id)] = replace(IDLE, memory=7)
    caller.disk.enforced = False
    answer = asked()

    assert answer.status_code == 200
    used = Used.model_validate_json(answer.content)
    assert (used.memory, used.disk_usage) == (7, None)
    assert used.memory_limit == spec.resources.memory_mb * 1024 * 1024
    assert asked(b"{}").status_code == 400
    caller.meters.blind = True
    assert (asked().status_code, asked().json()["code"]) == (503, "engine_down")
    caller.meters.blind, caller.disk.enforced = False, True


WRONG: dict[str, dict[str, Any]] = {
    "for another host": {"host_id": "host-2"},
    "of another method": {"method": "DELETE"},
    "of another path": {"path": "/v1/containers"},
    "of another body": {"body": b"{}"},
    "signed by another key": {"private_pem": new_private_key()},
    "expired": {"issued_at": int(time.time()) - 120},
    "of the future": {"issued_at": int(time.time()) + 86_400},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG.keys())
def test_a_call_signed_for_anything_else_is_refused_and_nothing_is_done(
    caller: Caller, changes: dict[str, Any]
) -> None:
    spec = a_spec()
    body = spec.model_dump_json().encode()

    answer = caller.send("PUT", path_of(spec), body, caller.token("PUT", path_of(spec), body, changes))

    assert (answer.status_code, answer.json()) == (401, {"error": "unauthorized"})
    assert caller.journal.get(spec.container_id) is None


def test_a_call_is_let_in_once(caller: Caller) -> None:
    token = caller.token("GET", "/v1/containers", b"")

    answers = [caller.send("GET", "/v1/containers", token=token).status_code for _ in range(3)]

    assert answers == [200, 401, 401]


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    plain: dict[str, Any] = {
        "aud": HOST, "iss": "control-plane", "iat": now, "exp": now + 60, "jti": uuid.uuid4().hex,
        "method": "GET", "path": "/v1/containers", "sha256": empty,
    }  # fmt: skip
    return {name: value for name, value in (plain | changes).items() if value is not None}


FORGED: dict[str, dict[str, Any]] = {
    "living longer than a call may": {"exp": int(time.time()) + 3600},
    "by another issuer": {"iss": "host-1"},
    "without an issuer": {"iss": None},
    "without an id": {"jti": None},
    "without an end": {"exp": None},
    "without a host": {"aud": None},
    "without a beginning": {"iat": None},
    "without a method": {"method": None},
    "without a path": {"path": None},
    "without a body's digest": {"sha256": None},
}


@pytest.mark.parametrize("changes", FORGED.values(), ids=FORGED.keys())
def test_a_token_that_leaves_something_open_is_refused(caller: Caller, changes: dict[str, Any]) -> None:
    token = jwt.encode(claims(**changes), CONTROL, algorithm="EdDSA")

    assert caller.send("GET", "/v1/containers", token=token).status_code == 401


def test_tokens_without_or_with_another_kind_of_signature_are_refused(caller: Caller) -> None:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    unsigned = jwt.encode(claims(), "", algorithm="none")
    symmetric = jwt.encode(claims(), "a-secret-that-is-long-enough-for-hs256", algorithm="HS256")
    relabelled = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{symmetric.split('.', 1)[1]}"

    for token in (unsigned, symmetric, relabelled):
        assert caller.send("GET", "/v1/containers", token=token).status_code == 401


def test_a_call_without_a_bearer_token_is_refused(caller: Caller) -> None:
    token = caller.token("GET", "/v1/containers", b"")
    for headers in ({}, {"Authorization": f"Basic {token}"}, {"Authorization": token}, {"Authorization": "Bearer"}):
        assert caller.raw("GET", "/v1/containers", headers=headers).status_code == 401


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_token_however_broken_is_more_than_a_401(caller: Caller, token: bytes) -> None:
    header = b"Bearer " + bytes(byte for byte in token if byte >= 32 and byte != 127)

    assert caller.raw("GET", "/v1/containers", headers={b"Authorization": header}).status_code == 401


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b'{"container_id": 1}', b'{"a": ' * 5000, b"1e999"]
)
def test_a_signed_call_that_cannot_be_read_is_a_400(caller: Caller, body: bytes) -> None:
    path = f"/v1/containers/{uuid.uuid4()}"

    assert caller.send("PUT", path, body).status_code == 400
    assert caller.send("DELETE", path, body).status_code == 400
    assert caller.send("POST", f"{path}/power", body).status_code == 400


def test_path_and_body_must_name_the_same_container(caller: Caller) -> None:
    spec, other = a_spec(), a_spec()
    bodies = {
        ("PUT", ""): spec.model_dump_json(),
        ("DELETE", ""): Removal(container_id=spec.container_id, user_id="u", generation=1).model_dump_json(),
        ("POST", "/power"): PowerCall(
            container_id=spec.container_id, user_id="u", generation=1, verb=Verb.STOP, action="a"
        ).model_dump_json(),
    }

    for (method, suffix), body in bodies.items():
        assert caller.send(method, path_of(other) + suffix, body.encode()).status_code == 400
    assert caller.journal.get(spec.container_id) is None
    assert caller.journal.get(other.container_id) is None


def test_a_body_beyond_the_limit_is_not_read_to_its_end(caller: Caller) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 100 * BODY_LIMIT:
            read += 65536
            yield b"x" * 65536

    answer = caller.raw("PUT", "/v1/containers/x", endless())

    assert answer.status_code == 413
    assert read < 2 * BODY_LIMIT


def test_health_needs_no_token_and_tells_nothing_of_containers(caller: Caller) -> None:
    caller.put(a_spec())

    answer = caller.raw("GET", "/v1/health")

    assert (answer.status_code, answer.json()) == (200, {"ok": True, "engine_up": True})


def test_what_is_listed_is_what_is_on_the_engine_joined_with_the_journal(tmp_path: Path) -> None:
    caller = Caller(tmp_path)
    spec, unknown = a_spec(environment={"SECRET": "word"}), a_spec()
    caller.put(spec)
    caller.engine.create(profile_of(unknown, HOST, "network", 1))
    ends = time.monotonic() + 5
    while (found := caller.journal.get(spec.container_id)) is None or found.step is not Step.READY:
        assert time.monotonic() < ends
        time.sleep(0.01)

    one = caller.send("GET", path_of(spec))
    everything = caller.send("GET", "/v1/containers")

    assert one.json()["container_id"] == spec.container_id
    holdings = Holdings.model_validate_json(everything.text)
    assert holdings.host_id == HOST
    steps = {held.container_id: held.step for held in holdings.containers}
    assert steps == {spec.container_id: "ready", unknown.container_id: None}
    assert {held.user_id for held in holdings.containers} == {spec.user_id}
    assert "word" not in everything.text
    assert caller.send("GET", "/v1/containers/unknown").status_code == 404
    caller.engine.down = True
    away = caller.send("GET", "/v1/containers")
    assert (away.status_code, away.json()["code"]) == (503, "engine_down")
    caller.keeper.close()


def test_refusals_say_why_for_certain(tmp_path: Path) -> None:
    def refused(answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["code"]

    full = Caller(tmp_path / "full", max_containers=0)
    draining = Caller(tmp_path / "draining", draining=True)
    down = Caller(tmp_path / "down")
    down.engine.down = True
    down.keeper.relist.look()
    assert refused(full.put(a_spec())) == (503, "full")
    assert refused(draining.put(a_spec())) == (503, "draining")
    assert refused(down.put(a_spec())) == (503, "engine_down")

    spec = a_spec(generation=2)
    known = Caller(tmp_path / "known")
    known.put(spec)
    assert refused(known.put(spec.model_copy(update={"generation": 1}))) == (409, "stale_generation")
    removal = Removal(container_id=spec.container_id, user_id=spec.user_id, generation=2)
    known.send("DELETE", path_of(spec), removal.model_dump_json().encode())
    assert refused(known.put(spec)) == (409, "tombstone")
    for caller in (full, draining, down, known):
        caller.keeper.close()


def test_a_key_that_is_replaced_counts_from_the_next_call(tmp_path: Path) -> None:
    file = tmp_path / "control-key.pub"
    key = ControlKey(file)
    with pytest.raises(OSError, match="No such file"):
        key()
    first, second = (public_key_of(new_private_key()) for _ in range(2))
    for pem in (first, first + second, second):
        new = tmp_path / "new"
        new.write_text(pem)
        new.replace(file)
        assert key() == pem


@pytest.mark.parametrize(
    "harm", [lambda file: file.unlink(), lambda file: file.write_text("junk")], ids=["gone", "junk"]
)
def test_a_key_that_cannot_be_read_any_more_leaves_the_one_there_was(
    tmp_path: Path, harm: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    file, pem = tmp_path / "control-key.pub", public_key_of(CONTROL)
    file.write_text(pem)
    key = ControlKey(file)
    assert key() == pem

    harm(file)

    assert key() == pem
    assert "cannot be read" in caplog.text


def test_what_is_no_key_is_none_from_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("junk")

    with pytest.raises(BadSignature):
        ControlKey(tmp_path / "key")()
