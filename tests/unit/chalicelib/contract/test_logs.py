"""Log lines: JSON whatever is logged, with the ids of what is being done, and no secret in any place."""

import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.contract.agent_api import Removal
from chalicelib.contract.commands import Delete
from chalicelib.contract.logs import STRUCK, Lines, log_as_json, log_crashes
from chalicelib.contract.signatures import new_private_key
from chalicelib.contract.tracing import bound, bound_ids, traced
from chalicelib.domain.secrets import TICKET_PREFIX, TOKEN_PREFIX, new_secret

TOKEN = new_secret(TOKEN_PREFIX, b"\x01" * 32)
TICKET = new_secret(TICKET_PREFIX, b"\x02" * 32)
KEY = new_private_key()
JWT = "eyJhbGciOiJFZERTQSJ9.eyJhdWQiOiJob3N0LTEifQ.c2lnbmF0dXJl"


def line(message: str, *arguments: object, error: BaseException | None = None, **extra: Any) -> dict[str, Any]:
    record = logging.LogRecord("berth.test", logging.INFO, "file", 1, message, arguments, None)
    record.__dict__.update(extra)
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    return dict(json.loads(Lines("berth", host="host-1").format(record)))


@pytest.fixture
def as_shipped() -> Iterator[None]:
    """The process's loggers and hooks are as they were afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("berth")
    before = [(each, each.handlers[:], each.level, each.propagate) for each in (root, ours)]
    hook = threading.excepthook
    yield
    logging.captureWarnings(capture=False)
    threading.excepthook = hook
    for each, handlers, level, propagate in before:
        each.handlers[:], each.propagate = handlers, propagate
        each.setLevel(level)


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(each) for each in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_with_its_level_service_time_and_ids() -> None:
    found = line("container placed", container="c-1")

    assert found["message"] == "container placed"
    assert (found["level"], found["service"], found["host"], found["container"]) == ("INFO", "berth", "host-1", "c-1")
    assert found["timestamp"]


def test_what_is_bound_is_in_every_line_until_it_is_over() -> None:
    with bound(trace="request-1", container="c-1"):
        with bound(container="c-2", event=None):
            inner = line("inner")
        outer = line("outer", trace="mine")

    assert (inner["trace"], inner["container"]) == ("request-1", "c-2")
    assert "event" not in inner
    assert (outer["trace"], outer["container"]) == ("mine", "c-1")
    assert bound_ids() == {}


SECRETS = [TOKEN, TICKET, KEY, JWT, f"Bearer {TOKEN}", "Basic dXNlcjpwYXNz", KEY[:60]]


@pytest.mark.parametrize("secret", SECRETS, ids=["token", "ticket", "key", "call", "bearer", "basic", "cut-key"])
def test_what_looks_like_a_secret_is_struck_out_wherever_it_stands(secret: str) -> None:
    error = ValueError(f"cannot use {secret} here")

    found = json.dumps(
        [
            line(f"got {secret}"),
            line("got %s", secret),
            line("got", reason=secret),
            line("got", deep={"list": [secret, {"x": (secret,)}]}),
            line("broke", error=error),
        ]
    )

    assert found.count("struck out") >= 5
    for part in secret.removeprefix("Bearer ").removeprefix("Basic ").strip().split("\n")[1:2] or [secret]:
        assert json.dumps(part)[1:-1] not in found


@pytest.mark.parametrize("key", ["token", "Authorization", "environment", "labels", "ticket", "cookie", "body"])
def test_what_stands_under_a_secrets_name_is_struck_out_whatever_it_is(key: str) -> None:
    assert line("got", **{key: "plain"})[key] == STRUCK
    assert line("got", given={key: {"A": "plain"}})["given"] == {key: STRUCK}


def test_ids_are_left_alone() -> None:
    ids = {"token_id": "3b9", "container": "1f8a2c", "message_id": "m-1", "reason": "no bearer token"}

    found = line("got", **ids)

    assert {name: found[name] for name in ids} == ids


@pytest.mark.usefixtures("as_shipped")
def test_libraries_and_warnings_write_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    log_as_json("berth", host="host-1")

    logging.getLogger("some.library").warning("pool is full: %s", TOKEN)
    logging.getLogger("some.library").info("not worth a line")
    logging.getLogger("berth.test").info("worth a line")
    logging.getLogger("py.warnings").warning("old\nlines")

    lines = written(capsys)
    assert [each["message"] for each in lines] == [f"pool is full: {STRUCK}", "worth a line", "old\nlines"]
    assert {each["host"] for each in lines} == {"host-1"}


@pytest.mark.usefixtures("as_shipped")
def test_a_thread_that_breaks_leaves_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    log_as_json("berth-agent")
    log_crashes()

    def broken() -> None:
        raise ValueError(f"cannot use {TOKEN}")

    thread = threading.Thread(target=broken)
    thread.start()
    thread.join()

    [found] = written(capsys)
    assert (found["level"], found["message"], found["exception_name"]) == ("CRITICAL", "thread broke", "ValueError")
    assert TOKEN not in json.dumps(found)


def test_a_message_carries_the_trace_of_what_it_is_sent_for() -> None:
    command = Delete(container_id="c", user_id="u")
    assert traced(command) is command

    with bound(trace="request-1"):
        assert traced(command).trace == "request-1"
        assert traced(Removal(container_id="c", user_id="u", generation=1, trace="first")).trace == "first"
