"""What the agent's core relies on of containers' files, asked of the fake and of the real folder."""

from pathlib import Path

import pytest

from chalicelib.contract.resources import NetworkMode, Shell
from infra.hostagent.containers.files import ContainerFiles, Files, contents_of
from infra.hostagent.profile import engine_name
from tests.builders import a_spec
from tests.fakes.files import MemoryFiles


@pytest.fixture(params=["memory", "folder"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    return MemoryFiles() if request.param == "memory" else ContainerFiles(tmp_path / "containers")


def test_what_is_written_is_named_until_it_is_removed(files: Files) -> None:
    spec = a_spec()
    name = engine_name(spec.container_id, spec.generation)

    bound = files.write(spec)

    assert [each.target for each in bound] == ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]
    assert files.names() == [name]
    files.remove(name)
    assert files.names() == []


def test_the_settings_of_a_shell_of_ours_are_a_file_of_its_container(files: Files) -> None:
    bound = files.write(a_spec(shell=Shell(theme="minimal")))

    assert [each.target for each in bound if "berth" in each.target] == ["/etc/berth/shell.conf"]
    assert "BERTH_THEME=minimal\n" in contents_of(a_spec(shell=Shell(theme="minimal")))["shell.conf"]
    for spec in (a_spec(role="barebone", shell=Shell()), a_spec(role="go", shell=Shell(enhanced=False))):
        assert "shell.conf" not in contents_of(spec)


def test_everything_may_be_done_twice(files: Files) -> None:
    spec = a_spec()

    assert files.write(spec) == files.write(spec)

    for _ in range(2):
        files.remove(engine_name(spec.container_id, spec.generation))
    assert files.names() == []


def test_each_container_has_its_own(files: Files) -> None:
    first, second = a_spec(container_id="a"), a_spec(container_id="b")

    bound = {each.source for each in (*files.write(first), *files.write(second))}
    files.remove(engine_name("a", first.generation))

    assert len(bound) == 6
    assert files.names() == [engine_name("b", second.generation)]


def test_a_blanks_files_become_a_containers_where_they_are(files: Files) -> None:
    blank, spec = a_spec(container_id="warm-1", name="container"), a_spec(name="mine")
    name = engine_name(spec.container_id, spec.generation)
    before = files.write(blank)

    for _ in range(2):
        files.hand_over(engine_name("warm-1", 1), spec)

    assert files.names() == [name]
    files.remove(engine_name("warm-1", 1))
    assert files.names() == [name]
    after = files.write(spec)
    assert [each.target for each in before] == [each.target for each in after]
    if isinstance(files, ContainerFiles):
        assert [Path(each.source).resolve() for each in after] == [Path(each.source) for each in before]
        assert Path(before[1].source).read_text() == "mine\n"
    files.remove(name)
    assert files.names() == []
    assert not Path(before[0].source).exists()


def test_files_that_are_gone_can_be_handed_over_and_written_again_where_they_were(files: Files) -> None:
    spec = a_spec()

    files.hand_over("berth-warm-2-1", spec)

    assert files.names() == [engine_name(spec.container_id, spec.generation)]
    if isinstance(files, ContainerFiles):
        assert Path(files.write(spec)[0].source).resolve().parent.name == "berth-warm-2-1"


def test_files_are_readable_by_anybody_and_keep_their_place_when_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "containers"
    files = ContainerFiles(folder)
    sources = [Path(each.source) for each in files.write(a_spec(container_id="a", name="one"))]
    before = [source.stat().st_ino for source in sources]

    files.write(a_spec(container_id="a", name="two"))

    assert [source.stat().st_ino for source in sources] == before
    assert sources[1].read_text() == "two\n"
    for source in sources:
        assert source.stat().st_mode & 0o777 == 0o644
        assert source.parent.stat().st_mode & 0o777 == 0o755


def test_a_container_knows_itself_and_asks_the_engines_resolver_if_it_has_a_network() -> None:
    networked = contents_of(a_spec(name="me", network_mode=NetworkMode.DEFAULT))
    alone = contents_of(a_spec(name="me", network_mode=NetworkMode.NONE))

    assert "127.0.0.1\tlocalhost" in networked["hosts"]
    assert "\tme\n" in networked["hosts"]
    assert networked["hostname"] == "me\n"
    assert networked["resolv.conf"].startswith("nameserver 127.0.0.11\n")
    assert alone["resolv.conf"] == ""
