"""Secrets planted at every door and looked for everywhere: in logs, tables, others' frames and errors none is found."""

import base64
import json
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from chalicelib.domain.secrets import TICKET_PREFIX, TOKEN_PREFIX, hash_of, new_secret
from infra.ground.engine import Engine
from infra.local.berth import Berth, BerthSettings, running_berth
from tests.flow.conftest import QUICK, RATES, User

OURS = re.compile(r"/var/lib|Traceback|/infra/|/chalicelib/|site-packages|\.sqlite")
PRIVATE = re.compile(r"\b(?:127|10)(?:\.\d{1,3}){3}\b|\b192\.168\.\d|\b172\.(?:1[6-9]|2\d|3[01])\.\d|\b169\.254\.\d")


@dataclass
class Canaries:
    """Secrets by where they were planted; `kept` ones are their owner's own data, stored and told to nobody else."""

    planted: dict[str, str] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)

    def new(self, door: str, *, kept: bool = False) -> str:
        """A fresh secret that is valid wherever a name is."""
        return self.known(door, f"canary-{secrets.token_hex(12)}", kept=kept)

    def known(self, door: str, value: str, *, kept: bool = False) -> str:
        """A secret that is what it is: a token, a key."""
        self.planted[door] = value
        if kept:
            self.kept.add(door)
        return value

    def found_in(self, text: str, *, kept: bool) -> list[str]:
        """Doors whose secret is in the text, `kept` ones only when asked for."""
        return [door for door, value in self.planted.items() if value in text and (kept or door not in self.kept)]


@dataclass
class Run:
    """One deployment with two users, everything either was sent, and what was planted."""

    berth: Berth
    victim: User
    other: User
    canaries: Canaries = field(default_factory=Canaries)
    answers: list[httpx.Response] = field(default_factory=list)
    heard: dict[str, list[str]] = field(default_factory=lambda: {"victim": [], "other": []})

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request of the victim."""
        answer = self.victim.http.request(method, path, **options)
        self.answers.append(answer)
        return answer

    def bare(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request of somebody without a token."""
        answer = httpx.request(method, self.berth.url + path, trust_env=False, **options)
        self.answers.append(answer)
        return answer

    def refused(self, url: str, **options: Any) -> None:
        """A WebSocket handshake that is not admitted."""
        with suppress(InvalidStatus), connect(url, proxy=None, **options):
            raise AssertionError("it was let in")

    def listen(self, who: str, stack: ExitStack) -> ClientConnection:
        """A subscriber whose every frame is kept."""
        connection = stack.enter_context(getattr(self, who).subscribe())

        def hear() -> None:
            with suppress(ConnectionClosed):
                for frame in connection:
                    self.heard[who].append(str(frame))

        threading.Thread(target=hear, daemon=True).start()
        return connection


def user_of(berth: Berth, stack: ExitStack) -> User:
    made = berth.new_user()
    headers = {"Authorization": f"Bearer {made['token']}"}
    client = httpx.Client(base_url=berth.url, headers=headers, timeout=40, trust_env=False)
    return User(berth, made["user_id"], made["token"], stack.enter_context(client))


@pytest.fixture(scope="module")
def run(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Everything is planted once; the tests look for it in different places."""
    settings = BerthSettings(
        tmp_path_factory.mktemp("secrets"), environment=RATES, agent_options=QUICK, schedule_speed=20.0
    )
    with running_berth(settings, engine) as berth, ExitStack() as stack:
        made = Run(berth, user_of(berth, stack), user_of(berth, stack))
        with ExitStack() as sockets:
            made.listen("other", sockets)
            frames_of_the_victim = made.listen("victim", sockets)
            plant_at_the_door(made)
            plant_in_requests(made)
            plant_in_frames(made, frames_of_the_victim)
            live_with_secrets(made)
            time.sleep(2)
        yield made


def plant_at_the_door(run: Run) -> None:
    """Credentials good and bad, in every place where one may come."""
    new, known = run.canaries.new, run.canaries.known
    known("the victim's token", run.victim.token)
    known("the other's token", run.other.token)
    unknown = known("an unknown token", new_secret(TOKEN_PREFIX, secrets.token_bytes(32)))
    run.bare("GET", "/containers", headers={"Authorization": f"Bearer {unknown}"})
    run.bare("GET", "/containers", headers={"Authorization": f"Bearer {new('a malformed token')}"})
    basic = known("Basic credentials", base64.b64encode(new("a password").encode()).decode())
    run.bare("GET", "/containers", headers={"Authorization": f"Basic {basic}"})
    run.bare("GET", f"/containers?token={new('a token in a query')}")
    run.bare("GET", "/containers", headers={"Cookie": f"session={new('a cookie')}"})
    url = run.berth.socket_url
    run.refused(f"{url}?token={new('a token in the query of a socket')}")
    run.refused(f"{url}?ticket={new('a malformed ticket')}")
    run.refused(f"{url}?ticket={known('an unknown ticket', new_secret(TICKET_PREFIX, secrets.token_bytes(32)))}")
    offered: Any = ["berth.v1", f"berth.token.{new('a token in a subprotocol')}"]
    run.refused(url, subprotocols=offered)
    run.refused(f"{url}?token={run.victim.token}", origin=f"https://{new('an origin')}.example")
    ticket = known("a used ticket", run.ask("POST", "/tickets").json()["ticket"])
    run.answers.pop()
    with connect(f"{url}?ticket={ticket}", proxy=None):
        pass
    run.refused(f"{url}?ticket={ticket}")
    with connect(f"{url}?token={run.victim.token}", proxy=None):
        pass
    minted = run.ask("POST", "/tokens", json={"name": new("a token's name", kept=True)})
    known("a minted token", minted.json()["token"])
    run.answers.pop()
    guest = run.bare("POST", "/auth/guest", json={"email": f"{new('an email')}@example.org"})
    known("a guest's token", guest.json()["token"])
    run.answers.pop()


def plant_in_requests(run: Run) -> None:
    """Paths, queries, headers and bodies, sound and not."""
    new = run.canaries.new
    json_type = {"Content-Type": "application/json"}
    run.ask("GET", f"/containers/{new('a path')}")
    run.ask("DELETE", f"/tokens/{quote(new('the id of a token') + '/ü')}")
    for name in ("status", "limit", "cursor"):
        run.ask("GET", "/containers", params={name: new(f"the query {name}")})
    run.ask("GET", "/containers", headers={"User-Agent": new("a user agent"), "X-Api-Key": new("a header")})
    run.ask("POST", "/containers", content=f'{{"image": "{new("a cut-off body")}'.encode(), headers=json_type)
    run.ask("POST", "/containers", content=new("a body of another type"), headers={"Content-Type": "text/plain"})
    run.ask("POST", "/containers", json={"image": "debian", "password": new("an unknown field")})
    bad: list[tuple[str, dict[str, Any]]] = [
        ("image", {"image": new("the image")}),
        ("image", {"image": [new("a list for an image")]}),
        ("name", {"name": new("a bad name") + "!"}),
        ("memory_mb", {"memory_mb": new("text for a number")}),
        ("role", {"role": new("the role")}),
        ("shell.theme", {"shell": {"theme": new("a theme")}}),
        ("environment", {"environment": {f"{new('a value for a name')}=x": "y"}}),
        ("environment.X", {"environment": {"X": new("NUL in a value") + "\0"}}),
        ("labels", {"labels": {f"{new('a value for a label')} !": "y"}}),
        ("network_mode", {"network_mode": new("a network mode")}),
        ("allowed_domains", {"network_mode": "restricted", "allowed_domains": [f"http://{new('a domain')}"]}),
        ("custom_image", {"image": "custom", "custom_image": f"user:{new('userinfo')}@ghcr.io/a/b"}),
        ("custom_image", {"image": "custom", "custom_image": f"{new('a registry')}.example/a/b"}),
    ]
    for name, fields in bad:
        answer = run.ask("POST", "/containers", json={"image": "debian"} | fields)
        assert (answer.status_code, answer.json()["field"]) == (400, name)
    run.ask("POST", "/containers", json={"image": "x"}, headers={"Idempotency-Key": new("a key") + "\x01"})
    run.ask("POST", "/tokens", json={"name": "x", "scopes": [new("a scope")]})


def plant_in_frames(run: Run, connection: ClientConnection) -> None:
    for frame in (run.canaries.new("a frame"), json.dumps({"type": run.canaries.new("a frame's type")})):
        connection.send(frame)
    connection.send(json.dumps({"type": "list", "token": run.canaries.new("a member of a frame")}))


def live_with_secrets(run: Run) -> None:
    """A container's life with secrets of its owner in it, and one that fails."""
    new = run.canaries.new
    body = {
        "image": "debian",
        "memory_mb": 256,
        "role": "barebone",
        "name": new("the name", kept=True),
        "environment": {"API_KEY": new("a variable", kept=True)},
        "labels": {"owner": new("a label", kept=True)},
    }
    key = {"Idempotency-Key": new("an idempotency key")}
    created = run.ask("POST", "/containers", json=body, headers=key)
    assert created.status_code == 202, created.text
    assert run.ask("POST", "/containers", json=body | {"role": "node"}, headers=key).status_code == 422
    assert run.ask("POST", "/containers", json=body).status_code == 409
    container_id = created.json()["id"]
    reference = f"ghcr.io/{new('the path of an image', kept=True)}/x:1"
    failing = run.ask("POST", "/containers", json={"image": "custom", "custom_image": reference, "memory_mb": 256})
    assert run.victim.until(container_id, "running", "error")["status"] == "running"
    assert run.victim.until(failing.json()["id"], "running", "error")["status"] == "error"
    run.ask("GET", f"/containers/{failing.json()['id']}")
    command = {"command": f"echo {new('a command')} $WORD", "env": {"WORD": new("a variable of a command")}}
    for more in ({}, {"workdir": f"/{new('a working directory')}"}, {"user": new("a user of a command")}):
        run.ask("POST", f"/containers/{container_id}/exec", json=command | more)
    slow = {"command": f"echo {new('what a slow command prints')}; sleep 50", "timeout_seconds": 1}
    timed_out = run.ask("POST", f"/containers/{container_id}/exec", json=slow)
    assert timed_out.status_code == 504
    run.answers.pop()
    run.ask("GET", f"/containers/{container_id}/events")
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("POST", "/stop")):
        answer = run.other.http.request(method, f"/containers/{container_id}{path}")
        run.heard["other"].append(answer.text)
        assert answer.status_code == 404
    run.heard["other"].append(run.other.http.get("/containers").text)
    run.ask("POST", f"/containers/{container_id}/restart")
    run.ask("DELETE", f"/containers/{container_id}")


def logs_of(run: Run) -> dict[str, str]:
    return {path.name: path.read_text() for path in (run.berth.cloud.settings.data / "logs").iterdir()}


def private_keys(run: Run) -> list[str]:
    """The secret line of every private key of the deployment."""
    keys = [path.read_text() for path in run.berth.cloud.settings.data.rglob("*key*") if path.is_file()]
    return [key.splitlines()[1] for key in keys if "PRIVATE KEY" in key]


def tables(run: Run) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    client = run.berth.cloud.client("dynamodb")
    return {
        name: [row for page in client.get_paginator("scan").paginate(TableName=name) for row in page["Items"]]
        for name in client.list_tables()["TableNames"]
    }


def test_there_were_many_doors(run: Run) -> None:
    assert len(run.canaries.planted) >= 40
    assert len(set(run.canaries.planted.values())) == len(run.canaries.planted)
    assert len(private_keys(run)) == 2


def test_no_log_has_a_secret_nor_any_value_of_a_user(run: Run) -> None:
    logs = logs_of(run)

    assert "container removed" in "".join(logs.values())
    for name, text in logs.items():
        assert (name, run.canaries.found_in(text, kept=True)) == (name, [])
        assert not any(key in text for key in private_keys(run)), name


def test_tables_have_tokens_and_tickets_as_hashes_and_nothing_else_that_was_planted(run: Run) -> None:
    dump = json.dumps(tables(run))

    assert run.canaries.found_in(dump, kept=False) == []
    assert not any(key in dump for key in private_keys(run))
    for door in ("the victim's token", "the other's token", "a minted token", "a guest's token"):
        assert hash_of(run.canaries.planted[door]) in dump, door
    assert hash_of(run.canaries.planted["a used ticket"]) not in dump


def test_no_error_repeats_what_was_sent(run: Run) -> None:
    errors = [answer for answer in run.answers if answer.status_code >= 400]

    assert len(errors) >= 25
    assert {answer.status_code for answer in errors} <= {400, 401, 403, 404, 409, 415, 422}
    for answer in errors:
        text = answer.text + json.dumps(dict(answer.headers))
        found = run.canaries.found_in(text, kept=True)
        assert found in ([], ["the name"] if answer.status_code == 409 else []), (answer.request.url, answer.text)


def test_the_other_user_heard_nothing_of_it(run: Run) -> None:
    text = "".join(run.heard["other"])

    assert '"type":"list"' in text
    assert run.canaries.found_in(text, kept=True) == []


def test_the_owner_heard_what_is_its_own_and_no_secret(run: Run) -> None:
    text = "".join(run.heard["victim"])

    assert {"the name", "a variable", "a label"} <= set(run.canaries.found_in(text, kept=True))
    assert run.canaries.found_in(text, kept=False) == []


def test_the_agents_journal_has_no_credentials(run: Run) -> None:
    for path in run.berth.cloud.settings.data.rglob("*.sqlite*"):
        assert run.canaries.found_in(path.read_bytes().decode(errors="replace"), kept=False) == [], path.name


def test_nothing_sent_to_clients_tells_of_hosts_addresses_paths_or_traces(run: Run) -> None:
    sent = [answer.text + json.dumps(dict(answer.headers)) for answer in run.answers]
    sent += run.heard["victim"] + run.heard["other"]

    names = [*run.berth.hosts, socket.gethostname()]
    assert len(sent) >= 50
    for text in sent:
        assert not OURS.search(text), text
        assert not PRIVATE.search(text), text
        assert not any(re.search(rf"\b{re.escape(name)}\b", text) for name in names), text


def test_a_planted_secret_would_be_found(tmp_path: Path) -> None:
    canaries = Canaries()
    (tmp_path / "a.log").write_text(f'{{"message":"{canaries.new("here")}"}}')

    assert canaries.found_in((tmp_path / "a.log").read_text(), kept=False) == ["here"]
    assert PRIVATE.search("at 10.1.2.3:80")
    assert OURS.search("Traceback (most recent call last)")
