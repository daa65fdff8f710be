"""Commands inside containers over an engine in memory: as whom, how long, how many, and what is left behind."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib.contract.agent_api import ExecCall, ExecUser, RefusalCode
from infra.hostagent.commands.execs import AT_ONCE, AT_ONCE_IN_ONE, Execs
from infra.hostagent.containers.keeper import CallRefused
from infra.hostagent.journal.intents import Step, accepted
from infra.hostagent.journal.journal import Journal
from infra.hostagent.ports import STDERR, STDOUT, EngineDown
from infra.hostagent.profile import profile_of
from infra.hostagent.runtime import ThreadRuntime
from tests.builders import a_spec
from tests.fakes.engine import FakeEngine, Program

HELLO, LOOP, YES = ("echo", "hello"), ("loop",), ("yes",)
PROGRAMS = {
    HELLO: Program(((STDOUT, b"hello\n"), (STDERR, b"oh\n")), exit_code=7),
    LOOP: Program(((STDOUT, b"begun\n"),), endless=True),
    YES: Program(((STDOUT, b"y\n" * 700_000),) * 2),
}


class Host:
    """Commands on one host with some containers that are ready."""

    def __init__(self, folder: Path) -> None:
        self.engine = FakeEngine(present={"debian:bookworm"}, programs=PROGRAMS)
        self.folder = folder / "execs"
        self.journal = Journal(folder / "journal", ThreadRuntime())
        self.execs = self.begin()

    def begin(self) -> Execs:
        """As after the start of an agent."""
        return Execs(self.engine, self.journal, self.folder)

    def container(self, step: Step = Step.READY) -> str:
        """The id of a new one."""
        spec = a_spec()
        engine_id = self.engine.create(profile_of(spec, "host-1", "network", 2))
        self.engine.start(engine_id)
        self.journal.accept(replace(accepted(spec, 0.0), step=step, engine_id=engine_id))
        return spec.container_id

    @property
    def noted(self) -> list[str]:
        return sorted(each.name for each in self.folder.iterdir())

    def users(self) -> list[str]:
        return [command.user for command in self.engine.prepared.values()]


@pytest.fixture(params=[False, True], ids=["older engine", "newer engine"])
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Host:
    """On an engine that finds out late that there is no such user, and on one that says so before anything runs."""
    made = Host(tmp_path)
    made.engine.knows_users = request.param
    return made


def a_call(container_id: str, *command: str, **changes: Any) -> ExecCall:
    values: dict[str, Any] = {"user_id": "user-1", "generation": 1, "timeout_seconds": 10.0}
    return ExecCall(container_id=container_id, command=list(command), **(values | changes))


def refused(ask: Callable[[], object]) -> str:
    with pytest.raises(CallRefused) as refusal:
        ask()
    return refusal.value.code


def test_what_it_printed_and_its_code_come_back(host: Host) -> None:
    ran = host.execs.run(a_call(host.container(), *HELLO))

    assert (ran.stdout, ran.stderr, ran.output) == ("hello\n", "oh\n", "hello\noh\n")
    assert (ran.exit_code, ran.truncated, ran.timed_out) == (7, False, False)
    assert host.noted == []


def test_folder_and_variables_reach_the_engine(host: Host) -> None:
    host.execs.run(a_call(host.container(), *HELLO, workdir="/srv", environment={"A": "b"}))

    command = list(host.engine.prepared.values())[-1]
    assert (command.workdir, command.environment) == ("/srv", (("A", "b"),))


def test_it_runs_as_user_where_there_is_one_and_else_as_root(host: Host) -> None:
    container_id = host.container()
    host.execs.run(a_call(container_id, *HELLO))
    assert host.users() == ["user", "0"]

    host.engine.users.add("user")
    host.execs.run(a_call(container_id, *HELLO))
    assert host.users()[2:] == ["user"]


def test_who_asks_for_a_user_gets_that_one_or_none(host: Host) -> None:
    container_id = host.container()

    assert host.execs.run(a_call(container_id, *HELLO, user=ExecUser.ROOT)).exit_code == 7
    ran = host.execs.run(a_call(container_id, *HELLO, user=ExecUser.USER))

    assert (ran.exit_code, ran.stdout, ran.stderr) == (126, "", "no such user in the container\n")
    assert host.users() == ["0", "user"]


def test_the_engines_own_words_stay_on_the_host(host: Host) -> None:
    ran = host.execs.run(a_call(host.container(), "no-such-program"))

    assert (ran.exit_code, ran.stdout, ran.stderr, ran.output) == (127, "", *["command not found\n"] * 2)


def test_it_is_killed_when_its_time_is_over(host: Host) -> None:
    ran = host.execs.run(a_call(host.container(), *LOOP, timeout_seconds=0.05))

    assert (ran.timed_out, ran.exit_code, ran.stdout) == (True, -1, "begun\n")
    assert host.engine.ran == set()
    assert host.noted == []


def test_output_without_measure_is_cut(host: Host) -> None:
    ran = host.execs.run(a_call(host.container(), *YES))

    assert ran.truncated
    assert len(ran.output) == 1024 * 1024
    assert ran.exit_code == 0


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.READY])
def test_a_container_that_is_not_ready_runs_nothing(host: Host, step: Step) -> None:
    container_id = host.container(step)

    assert refused(lambda: host.execs.run(a_call(container_id, *HELLO))) == RefusalCode.UNKNOWN
    assert host.engine.prepared == {}


def test_nothing_runs_in_another_generation_or_where_nobody_is(host: Host) -> None:
    container_id = host.container()

    assert refused(lambda: host.execs.run(a_call(container_id, *HELLO, generation=2))) == RefusalCode.UNKNOWN
    assert refused(lambda: host.execs.run(a_call("nobody", *HELLO))) == RefusalCode.UNKNOWN


def test_a_container_that_has_just_ended_runs_nothing(host: Host) -> None:
    container_id = host.container()
    [(engine_id, _)] = host.engine.rows.items()
    host.engine.die(engine_id, 1)

    assert refused(lambda: host.execs.run(a_call(container_id, *HELLO))) == RefusalCode.UNKNOWN


def at_once(host: Host, calls: list[ExecCall]) -> list[threading.Thread]:
    threads = [threading.Thread(target=host.execs.run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + 10
    while len(host.engine.ran) < len(calls):
        assert time.monotonic() < ends
        time.sleep(0.005)
    return threads


def test_one_container_has_its_places_and_leaves_others_theirs(host: Host) -> None:
    busy, other = host.container(), host.container()
    threads = at_once(host, [a_call(busy, *LOOP, user=ExecUser.ROOT)] * AT_ONCE_IN_ONE)

    assert refused(lambda: host.execs.run(a_call(busy, *HELLO))) == RefusalCode.BUSY
    assert host.execs.run(a_call(other, *HELLO)).exit_code == 7

    host.execs.close()
    for thread in threads:
        thread.join()
    assert host.engine.ran == set()


def test_a_host_has_its_places_too_and_they_are_given_back(host: Host) -> None:
    containers = [host.container() for _ in range(AT_ONCE // AT_ONCE_IN_ONE)]
    calls = [a_call(each, *LOOP, user=ExecUser.ROOT, timeout_seconds=1.5) for each in containers]
    threads = at_once(host, calls * AT_ONCE_IN_ONE)
    spare = host.container()

    assert refused(lambda: host.execs.run(a_call(spare, *HELLO))) == RefusalCode.BUSY
    for thread in threads:
        thread.join()
    assert host.execs.run(a_call(spare, *HELLO)).exit_code == 7


def test_an_agent_that_ends_kills_what_runs_and_begins_no_more(host: Host) -> None:
    container_id = host.container()
    [thread] = at_once(host, [a_call(container_id, *LOOP, user=ExecUser.ROOT)])

    host.execs.close()
    thread.join(5)

    assert host.engine.ran == set()
    assert refused(lambda: host.execs.run(a_call(container_id, *HELLO))) == RefusalCode.BUSY


def test_what_an_agent_left_behind_is_killed_by_the_next(host: Host) -> None:
    at_once(host, [a_call(host.container(), *LOOP, user=ExecUser.ROOT, timeout_seconds=600)])
    left = host.noted

    after = host.begin()
    after.sweep()

    assert len(left) == 1
    assert host.noted == []
    assert host.engine.ran == set()
    host.execs.close()


def test_what_runs_is_not_taken_for_left_behind(host: Host) -> None:
    [thread] = at_once(host, [a_call(host.container(), *LOOP, user=ExecUser.ROOT, timeout_seconds=600)])

    host.execs.sweep()

    assert len(host.engine.ran) == len(host.noted) == 1
    host.execs.close()
    thread.join()


class Stubborn(FakeEngine):
    """Does not answer when something is to be killed."""

    def end(self, exec_id: str) -> None:
        raise EngineDown("end")


def test_what_cannot_be_killed_now_is_remembered(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.engine = Stubborn(present={"debian:bookworm"}, programs=PROGRAMS)
    host.execs = host.begin()

    ran = host.execs.run(a_call(host.container(), *LOOP, user=ExecUser.ROOT, timeout_seconds=0.05))
    host.execs.sweep()

    assert ran.timed_out
    assert len(host.noted) == 1
    assert [each.message for each in caplog.records].count("command cannot be killed yet") == 2


def test_nothing_of_a_command_is_logged(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    host.execs.run(a_call(host.container(), *HELLO, workdir="/secret", environment={"SECRET": "secret"}))

    words = " ".join(str(each.__dict__) for each in caplog.records if each.name.startswith("berth"))
    assert "command ended" in words
    assert not [word for word in ("echo", "hello", "secret", "SECRET") if word in words]
