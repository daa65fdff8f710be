"""The agent's parts that need no engine: progress, causes, journal and the guard."""

import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.causes import Code
from chalicelib.contract.events import Progress
from chalicelib.contract.resources import NetworkMode, Resources
from chalicelib.contract.statuses import Stage
from infra.hostagent import report
from infra.hostagent.failures import PullTimedOut, TimedOut, cause_of, reason_of
from infra.hostagent.images.pull_progress import PullProgress
from infra.hostagent.journal.intents import Intent, Step
from infra.hostagent.journal.journal import Journal
from infra.hostagent.journal.tellings import telling
from infra.hostagent.network.name_server import resolvers_of
from infra.hostagent.ports import EngineDown, EngineFacts, EngineRefused, ImageMissing, NotThere
from infra.hostagent.profile import profile_of
from infra.hostagent.report import Offer, below_floor
from infra.hostagent.runtime import ThreadRuntime
from tests.builders import a_spec


def layer(name: str, status: str, current: int = 0, total: int = 0) -> dict[str, Any]:
    detail = {"current": current, "total": total} if total else {}
    return {"id": name, "status": status, "progressDetail": detail}


PULL = [
    {"id": "latest", "status": "Pulling from library/x"},
    layer("base", "Already exists"),
    layer("a", "Pulling fs layer"),
    layer("b", "Pulling fs layer"),
    layer("a", "Downloading", 50, 100),
    layer("b", "Downloading", 300, 300),
    layer("b", "Verifying Checksum"),
    layer("b", "Download complete"),
    layer("a", "Downloading", 100, 100),
    layer("a", "Extracting", 100, 100),
    layer("a", "Pull complete"),
    layer("b", "Extracting", 150, 300),
    layer("b", "Pull complete"),
    {"status": "Digest: sha256:x"},
    {"status": "Status: Downloaded newer image"},
]


def test_a_pull_counts_bytes_and_never_goes_back() -> None:
    progress = PullProgress()

    percents = [progress.take(line) for line in PULL]

    assert percents == sorted(percents)
    assert percents[:4] == [15, 15, 15, 15]
    assert percents[-1] == 59
    assert len(set(percents)) >= 6


@given(st.lists(st.sampled_from(PULL), max_size=40))
def test_in_any_order_of_lines_it_stays_within_its_stage(lines: list[dict[str, Any]]) -> None:
    progress = PullProgress()
    percents = [progress.take(line) for line in lines]

    assert percents == sorted(percents)
    assert all(15 <= percent < 60 for percent in percents)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("manifest for x:1 not found: manifest unknown: manifest unknown", Code.IMAGE_NOT_FOUND),
        ("pull access denied for x, repository does not exist or may require 'docker login'", Code.IMAGE_NOT_FOUND),
        ("Head https://r/v2/: unauthorized: authentication required", Code.IMAGE_DENIED),
        ("Head https://r/v2/: no basic auth credentials", Code.IMAGE_DENIED),
        ("write /var/lib/x: no space left on device", Code.DISK_FULL),
        ("Get https://r/v2/: dial tcp: lookup r: no such host", Code.IMAGE_TIMEOUT),
        ("Get https://r/v2/: net/http: TLS handshake timeout", Code.IMAGE_TIMEOUT),
        ("dial tcp 127.0.0.1:1: connect: connection refused", Code.IMAGE_TIMEOUT),
        ("something nobody has seen", Code.ENGINE_ERROR),
    ],
)
def test_pull_errors_are_told_by_the_closed_list_without_the_engines_text(text: str, code: Code) -> None:
    cause = cause_of(EngineRefused(text), "img:1", pulling=True)

    assert cause.code is code
    assert text not in cause.message


def test_other_errors_have_their_causes() -> None:
    assert cause_of(PullTimedOut(), "i", pulling=True).code is Code.IMAGE_TIMEOUT
    assert cause_of(TimedOut(), "i", pulling=True).code is Code.IMAGE_TIMEOUT
    assert cause_of(TimedOut(), "i", pulling=False).code is Code.TIMEOUT
    assert cause_of(NotThere(), "i", pulling=True).code is Code.IMAGE_NOT_FOUND
    assert cause_of(ImageMissing(), "i", pulling=False).code is Code.IMAGE_NOT_FOUND
    assert cause_of(EngineDown(), "i", pulling=False).code is Code.ENGINE_ERROR
    assert cause_of(EngineRefused("manifest unknown"), "i", pulling=False).code is Code.ENGINE_ERROR


def test_the_log_has_the_engines_words_without_what_the_user_would_not_have_read() -> None:
    spec = a_spec(environment={"PASSWORD": "hunter2 and more", "LINES": "one\ntwo", "ONE": "1"})
    text = "invalid env PASSWORD=hunter2 and more, one\ntwo, at http://robot:pw@registry/v2, 1 of 2"

    reason = reason_of(EngineRefused(text), spec)

    assert reason == "EngineRefused('invalid env PASSWORD=***, ***, at http://***@registry/v2, 1 of 2')"
    assert reason_of(EngineRefused("x" * 9999), None) == "EngineRefused('" + "x" * 485


def an_intent(**changes: Any) -> Intent:
    spec = a_spec()
    values: dict[str, Any] = {
        "container_id": spec.container_id,
        "user_id": spec.user_id,
        "generation": 1,
        "spec": spec,
        "step": Step.ACCEPTED,
        "cause": None,
        "engine_id": None,
        "deadline": time.time() + 60,
        "expires_at": None,
        "number": 0,
        "changed_at": time.time(),
    }
    return Intent(**(values | changes))


def told(intent: Intent) -> Any:
    return telling(Progress, intent, time.time(), stage=Stage.PULLING, progress=20, message="m")


def test_events_are_numbered_without_a_gap_and_kept_until_sent(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", ThreadRuntime())
    intent = an_intent()
    journal.accept(intent)

    journal.advance(intent, [told(intent), told(intent)], expected=[Step.ACCEPTED])
    journal.advance(replace(intent, step=Step.CREATED), [told(intent)], expected=[Step.ACCEPTED])
    journal.close()
    journal = Journal(tmp_path / "journal", ThreadRuntime())

    waiting = journal.outgoing(10)
    assert [each.identity.rpartition(":")[2] for each in waiting] == ["1", "2", "3"]
    journal.sent(waiting[:1])
    assert journal.outgoing(10) == waiting[1:]
    assert journal.get(intent.container_id) == replace(intent, step=Step.CREATED, number=3)
    journal.close()


def test_an_intent_that_has_moved_on_is_not_written_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", ThreadRuntime())
    intent = an_intent()
    journal.accept(intent)
    journal.accept(replace(intent, step=Step.REMOVING))

    late = replace(intent, step=Step.READY)
    assert journal.advance(late, [told(intent)], expected=[Step.ACCEPTED]) is None
    old = replace(intent, generation=2)
    assert journal.advance(old, [told(intent)], expected=[Step.REMOVING]) is None

    assert journal.outgoing(10) == []
    journal.close()


def test_a_removal_that_overtakes_a_creation_is_numbered_after_what_was_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", ThreadRuntime())
    intent = an_intent()
    journal.accept(intent)
    seen = journal.get(intent.container_id)
    assert seen is not None
    journal.advance(intent, [told(intent), told(intent)], expected=[Step.ACCEPTED])

    journal.accept(replace(seen, step=Step.REMOVING))
    journal.advance(replace(seen, step=Step.REMOVED), [told(intent)], expected=[Step.REMOVING])
    journal.accept(replace(seen, generation=2, step=Step.ACCEPTED))

    assert [each.identity.rpartition(":")[2] for each in journal.outgoing(10)] == ["1", "2", "3"]
    assert journal.get(intent.container_id) == replace(seen, generation=2)
    journal.close()


def test_many_threads_number_one_intent_without_a_gap(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", ThreadRuntime())
    intent = an_intent()
    journal.accept(intent)

    def tell() -> None:
        for _ in range(10):
            journal.advance(intent, [told(intent)], expected=[Step.ACCEPTED])

    threads = [threading.Thread(target=tell) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    numbers = [int(each.identity.rpartition(":")[2]) for each in journal.outgoing(100)]
    assert numbers == list(range(1, 81))
    journal.close()


def test_what_a_thread_writes_late_does_not_undo_what_a_call_asked_for_meanwhile(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", ThreadRuntime())
    intent = an_intent(step=Step.READY)
    journal.accept(intent)
    journal.take(replace(intent, step=Step.STOPPING, action="a"), expected=[Step.READY])

    written = journal.advance(replace(intent, step=Step.STOPPED), [], expected=[Step.STOPPING])

    assert written is not None
    assert (written.action, journal.get(intent.container_id)) == ("a", written)
    journal.close()


def test_the_journal_of_an_older_agent_is_read_on(tmp_path: Path) -> None:
    older = sqlite3.connect(tmp_path / "journal")
    older.execute(
        "CREATE TABLE intents (container_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, generation INTEGER NOT NULL, "
        "spec TEXT, step TEXT NOT NULL, cause TEXT, engine_id TEXT, deadline REAL NOT NULL, expires_at REAL, "
        "number INTEGER NOT NULL, changed_at REAL NOT NULL) STRICT"
    )
    older.execute("INSERT INTO intents VALUES ('c', 'u', 1, NULL, 'ready', NULL, 'e', 1.0, NULL, 6, 1.0)")
    older.commit()
    older.close()

    journal = Journal(tmp_path / "journal", ThreadRuntime())

    found = journal.get("c")
    assert found is not None
    assert (found.step, found.number, found.action, found.resize) == (Step.READY, 6, None, None)
    journal.advance(replace(found, step=Step.STOPPED), [], expected=[Step.READY])
    assert [intent.step for intent in journal.intents()] == [Step.STOPPED]
    journal.close()


def test_old_tombstones_are_forgotten_and_others_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", ThreadRuntime())
    old = an_intent(step=Step.REMOVED, changed_at=1.0)
    kept = [an_intent(step=step, changed_at=1.0) for step in (Step.READY, Step.ACCEPTED, Step.REMOVING)]
    for intent in [old, *kept]:
        journal.accept(intent)

    journal.forget(before=2.0)

    assert {intent.container_id for intent in journal.intents()} == {intent.container_id for intent in kept}
    journal.close()


SPECS = st.builds(
    ContainerSpec,
    container_id=st.uuids().map(str),
    user_id=st.text(min_size=1, max_size=10),
    generation=st.integers(1, 5),
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", fullmatch=True),
    image=st.text(max_size=30),
    role=st.text(max_size=10),
    resources=st.builds(
        Resources,
        memory_mb=st.integers(6, 10**6),
        cpu_shares=st.integers(10, 10**6),
        disk_mb=st.integers(1, 10**6),
    ),
    environment=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    labels=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    network_mode=st.sampled_from(NetworkMode),
    create_seconds=st.just(60.0),
)


@given(SPECS)
def test_no_spec_reaches_anything_but_limits_of_the_profile(spec: ContainerSpec) -> None:
    profile = profile_of(spec, "host", "network", cores=2)
    plain = profile_of(a_spec(), "host", "network", cores=2)
    own = {"mem_limit", "memswap_limit", "nano_cpus"}

    fixed = {key: value for key, value in profile.host_config.items() if key not in own}
    assert fixed == {key: value for key, value in plain.host_config.items() if key not in own}
    assert profile.host_config["nano_cpus"] <= 2 * 10**9
    assert profile.host_config["mem_limit"] == profile.host_config["memswap_limit"]
    assert set(profile.container) == set(plain.container)
    assert profile.container["labels"]["berth.managed"] == "true"
    assert profile.container["labels"]["berth.host"] == "host"
    assert (profile.network is None) == (spec.network_mode is NetworkMode.NONE)


@pytest.mark.parametrize(
    ("version", "below"), [("20.10.24+dfsg1", True), ("29.5.0", True), ("29.5.1", False), ("30.0", False)]
)
def test_old_engines_are_told_from_new_ones(version: str, below: bool) -> None:
    assert below_floor(version) is below


def test_resolvers_are_read_from_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# c\nnameserver 10.0.0.2\nnameserver fd00::1\nnameserver 10.0.0.2\nsearch x\nnameserver\n")

    assert resolvers_of(file) == ("10.0.0.2",)


@pytest.mark.parametrize(("remapped", "keys", "most"), [(True, 200, 80), (True, 20_000, 8), (False, 200, 120)])
def test_a_host_offers_no_more_containers_than_it_has_numbers_and_keys_for(
    remapped: bool, keys: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = {"kernel/pid_max": 4096 if keys > 1000 else 32768, "kernel/keys/maxkeys": keys}
    monkeypatch.setattr(report, "_number", lambda setting, _unknown: numbers[setting])
    facts = EngineFacts("29.5.1", "6.1", 2, 16_000, "/", remapped=remapped)

    assert Offer("http://h", facts, 1000, development=False, disk_limited=True).max_containers == most
