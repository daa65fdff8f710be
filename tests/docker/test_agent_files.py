"""Files in containers of a real agent: by BusyBox and by Debian's programs, as whom, within which limits."""

import os
import stat
from collections.abc import Callable

import pytest

from chalicelib.contract.agent_api import FILE_BYTES, ContainerSpec, ExecUser, FileDeed, FileFault
from chalicelib.contract.resources import Resources
from infra.ground.images import BOOKWORM, TINY
from tests.builders import a_spec
from tests.docker.agents import RunningAgent

Ready = Callable[..., ContainerSpec]


@pytest.fixture(scope="module", params=[TINY, BOOKWORM])
def spec(request: pytest.FixtureRequest, agent: RunningAgent) -> ContainerSpec:
    """A container that is ready."""
    spec = a_spec(image=request.param)
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    return spec


@pytest.mark.parametrize("size", [0, 1, 100_000, FILE_BYTES])
def test_what_is_written_is_read_again(agent: RunningAgent, spec: ContainerSpec, size: int) -> None:
    content = os.urandom(size)

    written = agent.file(spec, FileDeed.WRITE, "/home/user/new/file", content)
    read = agent.file(spec, FileDeed.READ, "/home/user/new/file")

    assert (written.fault, read.fault, read.content == content) == (None, None, True)
    assert read.entry == written.entry


def test_what_is_written_is_the_users_and_roots_is_roots(agent: RunningAgent, spec: ContainerSpec) -> None:
    agent.file(spec, FileDeed.WRITE, "/home/user/mine", b"x")
    agent.file(spec, FileDeed.WRITE, "/root/roots", b"x", user=ExecUser.ROOT)
    agent.file(spec, FileDeed.WRITE, "/home/user/mine", b"y", user=ExecUser.ROOT)

    printed = agent.run(spec, "stat", "-c", "%u %a", "/home/user/mine", "/root/roots", user="root").json()["stdout"]

    assert printed == "1000 644\n0 644\n"


@pytest.mark.parametrize(
    ("deed", "path", "fault"),
    [
        (FileDeed.READ, "/home/user/locked", FileFault.DENIED),
        (FileDeed.WRITE, "/etc/passwd", FileFault.DENIED),
        (FileDeed.WRITE, "/new/file", FileFault.DENIED),
        (FileDeed.REMOVE, "/etc/passwd", FileFault.DENIED),
        (FileDeed.MAKE_FOLDER, "/new", FileFault.DENIED),
        (FileDeed.REMOVE, "/etc", FileFault.KEPT),
        (FileDeed.READ, "/none", FileFault.MISSING),
        (FileDeed.LIST, "/none", FileFault.MISSING),
        (FileDeed.REMOVE, "/none", FileFault.MISSING),
        (FileDeed.READ, "/etc", FileFault.IS_FOLDER),
        (FileDeed.WRITE, "/etc", FileFault.IS_FOLDER),
        (FileDeed.LIST, "/etc/passwd", FileFault.NO_FOLDER),
        (FileDeed.MAKE_FOLDER, "/etc/passwd", FileFault.NO_FOLDER),
        (FileDeed.READ, "/dev/zero", FileFault.NOT_A_FILE),
    ],
)
def test_what_cannot_be_done_says_why(
    agent: RunningAgent, spec: ContainerSpec, deed: FileDeed, path: str, fault: FileFault
) -> None:
    agent.run(spec, "sh", "-c", "umask 077; echo secret > /home/user/locked", user="root")

    assert agent.file(spec, deed, path, b"x").fault is fault


@pytest.mark.parametrize("name", ["a b", "-rf", "new\nline", "grüße", "$(id)", "'", "*"])
def test_any_name_is_written_listed_and_removed(agent: RunningAgent, spec: ContainerSpec, name: str) -> None:
    folder = "/home/user/names"
    agent.file(spec, FileDeed.WRITE, f"{folder}/other", b"")

    assert agent.file(spec, FileDeed.WRITE, f"{folder}/{name}", b"x").fault is None
    listed = agent.file(spec, FileDeed.LIST, folder).entries
    assert agent.file(spec, FileDeed.REMOVE, f"{folder}/{name}").fault is None

    assert {each.name for each in listed} == {name, "other"}
    assert [each.name for each in agent.file(spec, FileDeed.LIST, folder).entries] == ["other"]


def test_a_listing_tells_what_there_is(agent: RunningAgent, spec: ContainerSpec) -> None:
    listed = {each.name: each for each in agent.file(spec, FileDeed.LIST, "/").entries}

    assert {"etc", "home", "proc", "tmp"} <= set(listed)
    assert stat.filemode(listed["etc"].mode) == "drwxr-xr-x"


def test_a_folder_is_made_and_removed_with_what_is_in_it(agent: RunningAgent, spec: ContainerSpec) -> None:
    assert agent.file(spec, FileDeed.MAKE_FOLDER, "/home/user/a/b").fault is None
    agent.file(spec, FileDeed.WRITE, "/home/user/a/b/c", b"x")

    assert agent.file(spec, FileDeed.REMOVE, "/home/user/a").fault is None
    assert agent.file(spec, FileDeed.LIST, "/home/user/a").fault is FileFault.MISSING


def test_a_larger_file_is_not_read(agent: RunningAgent, spec: ContainerSpec) -> None:
    agent.run(spec, "dd", "if=/dev/zero", "of=/home/user/large", "bs=1024", "count=4097")

    read = agent.file(spec, FileDeed.READ, "/home/user/large")

    assert (read.fault, read.content, read.entry and read.entry.size) == (FileFault.TOO_LARGE, b"", 4097 * 1024)


def test_a_full_disk_says_so_and_the_old_file_stays(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY, resources=Resources(memory_mb=256, cpu_shares=256, disk_mb=16))
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    agent.file(spec, FileDeed.WRITE, "/home/user/kept", b"old")
    agent.run(spec, "sh", "-c", "cat /dev/zero > /home/user/filler")

    assert agent.file(spec, FileDeed.WRITE, "/home/user/kept", os.urandom(FILE_BYTES)).fault is FileFault.DISK_FULL

    assert agent.file(spec, FileDeed.READ, "/home/user/kept").content == b"old"
    listed = {each.name for each in agent.file(spec, FileDeed.LIST, "/home/user").entries}
    assert not [name for name in listed if name.startswith(".berth")]


def test_a_container_without_a_shell_says_so(agent: RunningAgent) -> None:
    spec = a_spec(image=TINY)
    agent.create(spec)
    agent.until(spec.container_id, "ready")
    agent.run(spec, "rm", "-f", "/bin/sh", user="root")

    read = agent.file(spec, FileDeed.READ, "/etc/passwd")

    assert (read.fault, "/bin/sh" in read.said) == (FileFault.FAILED, True)
