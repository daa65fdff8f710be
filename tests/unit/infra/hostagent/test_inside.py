"""Files inside a container, by the scripts themselves: this machine's shell stands for the container's."""

import os
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib.contract.agent_api import FILE_BYTES, FileCall, Filed, FileDeed, FileFault
from infra.hostagent.commands.execs import Execs
from infra.hostagent.commands.inside import LISTING_BYTES, Files
from infra.hostagent.journal.intents import Step, accepted
from infra.hostagent.journal.journal import Journal
from infra.hostagent.ports import STDERR, STDOUT, Exited, Take
from infra.hostagent.profile import profile_of
from infra.hostagent.runtime import ThreadRuntime
from tests.builders import a_spec
from tests.fakes.engine import FakeEngine


class ShellEngine(FakeEngine):
    """Runs commands on this machine, or ends them as it is told."""

    outcome: tuple[Exited, bytes, bytes] | None = None

    def run_prepared(self, exec_id: str, take: Take, over: Callable[[], bool], given: bytes | None = None) -> Exited:
        if self.outcome is not None:
            exited, output, errors = self.outcome
        else:
            command = self.prepared[exec_id]
            ran = subprocess.run(
                command.argv, input=given, capture_output=True, env=os.environ | dict(command.environment), check=False
            )
            exited, output, errors = Exited(ran.returncode), ran.stdout, ran.stderr
        take(STDOUT, output)
        take(STDERR, errors)
        return exited


class Inside:
    """One container, whose files are below a folder of the test's."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        self.engine = ShellEngine(present={"debian:bookworm"})
        journal = Journal(folder / "journal", ThreadRuntime())
        self.files = Files(Execs(self.engine, journal, folder / "execs"))
        spec = a_spec()
        engine_id = self.engine.create(profile_of(spec, "host-1", "network", 2))
        self.engine.start(engine_id)
        journal.accept(replace(accepted(spec, 0.0), step=Step.READY, engine_id=engine_id))
        self.container_id = spec.container_id

    def do(self, deed: FileDeed, path: str, content: bytes = b"") -> Filed:
        values: dict[str, Any] = {"user_id": "user-1", "generation": 1, "timeout_seconds": 10.0, "content": content}
        return self.files.do(FileCall(container_id=self.container_id, deed=deed, path=f"{self.root}{path}", **values))

    def ended(self, exited: Exited, output: bytes = b"", errors: bytes = b"") -> None:
        self.engine.outcome = (exited, output, errors)


@pytest.fixture
def inside(tmp_path: Path) -> Inside:
    return Inside(tmp_path)


def test_what_is_written_is_read_again_byte_for_byte(inside: Inside) -> None:
    content = bytes(range(256)) * 100

    written = inside.do(FileDeed.WRITE, "/new/folder/file", content)
    read = inside.do(FileDeed.READ, "/new/folder/file")

    assert written.entry is not None
    assert (written.fault, written.entry.name, written.entry.size) == (None, "file", len(content))
    assert (read.content, read.entry) == (content, written.entry)
    assert os.listdir(inside.root / "new/folder") == ["file"]


@pytest.mark.parametrize("size", [0, 1, FILE_BYTES])
def test_files_of_every_size_that_may_be(inside: Inside, size: int) -> None:
    content = os.urandom(size)

    assert inside.do(FileDeed.WRITE, "/file", content).fault is None
    assert inside.do(FileDeed.READ, "/file").content == content


def test_a_larger_file_is_told_with_its_size_and_not_read(inside: Inside) -> None:
    (inside.root / "file").write_bytes(bytes(FILE_BYTES + 1))

    read = inside.do(FileDeed.READ, "/file")

    assert read.entry is not None
    assert (read.fault, read.entry.size, read.content) == (FileFault.TOO_LARGE, FILE_BYTES + 1, b"")


def test_a_file_that_is_replaced_keeps_its_permissions_and_is_never_half_there(inside: Inside) -> None:
    (inside.root / "file").write_text("old")
    (inside.root / "file").chmod(0o751)
    held = (inside.root / "file").open()

    written = inside.do(FileDeed.WRITE, "/file", b"new")

    assert written.entry is not None
    assert stat.S_IMODE(written.entry.mode) == 0o751
    assert (held.read(), (inside.root / "file").read_text()) == ("old", "new")


def test_a_link_is_replaced_and_what_it_leads_to_stays(inside: Inside) -> None:
    (inside.root / "kept").write_text("kept")
    (inside.root / "link").symlink_to("kept")

    inside.do(FileDeed.WRITE, "/link", b"new")

    assert not (inside.root / "link").is_symlink()
    assert (inside.root / "kept").read_text() == "kept"


NAMES = ["a b", "-rf", "*", "$(id)", "`id`", "'", '"', "new\nline", "grüße", "a//\n81a4 1 1 .", "\\n", "~", "x" * 200]


@pytest.mark.parametrize("name", [name for name in NAMES if "/" not in name])
def test_names_are_names_whatever_they_look_like(inside: Inside, name: str) -> None:
    assert inside.do(FileDeed.WRITE, f"/{name}", b"content").fault is None
    (inside.root / "other").write_text("stays")

    assert inside.do(FileDeed.READ, f"/{name}").content == b"content"
    listed = inside.do(FileDeed.LIST, "").entries
    assert {each.name for each in listed} == {name, "other"}
    assert inside.do(FileDeed.REMOVE, f"/{name}").fault is None
    assert os.listdir(inside.root) == ["other"]


def test_a_listing_tells_kind_size_and_time_and_follows_no_link(inside: Inside) -> None:
    (inside.root / "folder").mkdir()
    (inside.root / "file").write_text("12345")
    (inside.root / ".hidden").touch()
    (inside.root / "link").symlink_to("/nowhere")
    os.mkfifo(inside.root / "pipe")
    os.utime(inside.root / "file", (0, -5))

    listed = {each.name: each for each in inside.do(FileDeed.LIST, "").entries}

    assert list(listed) == [".hidden", "file", "folder", "link", "pipe"]
    assert [stat.filemode(each.mode)[0] for each in listed.values()] == ["-", "-", "d", "l", "p"]
    assert (listed["file"].size, listed["file"].modified) == (5, -5)


def test_an_empty_folder_is_empty_and_one_with_too_much_is_told(inside: Inside) -> None:
    (inside.root / "empty").mkdir()
    (inside.root / "full").mkdir()
    for number in range(LISTING_BYTES // 220):
        (inside.root / "full" / f"{number:0220d}").touch()

    assert inside.do(FileDeed.LIST, "/empty").entries == []
    assert inside.do(FileDeed.LIST, "/full").fault is FileFault.TOO_LARGE


def test_a_name_that_is_no_text_is_shown_as_well_as_can_be(inside: Inside) -> None:
    (inside.root / os.fsdecode(b"a\xffb")).touch()

    assert [each.name for each in inside.do(FileDeed.LIST, "").entries] == ["a\ufffdb"]


def test_a_folder_is_made_with_those_over_it_and_removed_with_all_in_it(inside: Inside) -> None:
    made = inside.do(FileDeed.MAKE_FOLDER, "/a/b/c")
    again = inside.do(FileDeed.MAKE_FOLDER, "/a/b/c")
    (inside.root / "a/b/file").touch()

    assert made.entry is not None
    assert (made.entry.name, stat.S_ISDIR(made.entry.mode), again.fault) == ("c", True, None)
    assert inside.do(FileDeed.REMOVE, "/a").fault is None
    assert os.listdir(inside.root) == []


def test_a_link_to_nowhere_or_to_a_folder_is_removed_alone(inside: Inside) -> None:
    (inside.root / "kept").mkdir()
    for target in ("/nowhere", "kept"):
        (inside.root / "link").symlink_to(target)
        assert inside.do(FileDeed.REMOVE, "/link").fault is None

    assert os.listdir(inside.root) == ["kept"]


@pytest.mark.parametrize(
    ("deed", "path", "fault"),
    [
        (FileDeed.READ, "/none", FileFault.MISSING),
        (FileDeed.LIST, "/none", FileFault.MISSING),
        (FileDeed.REMOVE, "/none", FileFault.MISSING),
        (FileDeed.READ, "/file/none", FileFault.NO_FOLDER),
        (FileDeed.LIST, "/file", FileFault.NO_FOLDER),
        (FileDeed.WRITE, "/file/none", FileFault.NO_FOLDER),
        (FileDeed.MAKE_FOLDER, "/file", FileFault.NO_FOLDER),
        (FileDeed.READ, "/folder", FileFault.IS_FOLDER),
        (FileDeed.WRITE, "/folder", FileFault.IS_FOLDER),
        (FileDeed.READ, "/pipe", FileFault.NOT_A_FILE),
        (FileDeed.REMOVE, "/folder/.", FileFault.KEPT),
        (FileDeed.REMOVE, "/folder/..", FileFault.KEPT),
        (FileDeed.WRITE, "/" + "x" * 300, FileFault.FAILED),
    ],
)
def test_what_cannot_be_done_says_why_and_changes_nothing(
    inside: Inside, deed: FileDeed, path: str, fault: FileFault
) -> None:
    (inside.root / "folder").mkdir()
    (inside.root / "file").touch()
    os.mkfifo(inside.root / "pipe")

    assert inside.do(deed, path, b"new").fault is fault

    assert sorted(os.listdir(inside.root)) == ["file", "folder", "pipe"]
    assert os.listdir(inside.root / "folder") == []


@pytest.mark.parametrize("path", ["/", "/etc", "//etc", "/./etc", "/home/../etc", "/proc/self/root/usr"])
def test_what_every_system_needs_is_kept(tmp_path: Path, path: str) -> None:
    inside = Inside(tmp_path)
    inside.root = Path()

    call = FileCall(
        container_id=inside.container_id, user_id="u", generation=1, timeout_seconds=5, deed=FileDeed.REMOVE, path=path
    )
    assert inside.files.do(call).fault is FileFault.KEPT


OPENED = b"41ed 4096 1700000000\n"


@pytest.mark.parametrize(
    ("exited", "output", "errors", "fault"),
    [
        (Exited(-1, left=True), b"", b"", FileFault.TIMED_OUT),
        (Exited(126, started=False), b"", b"", FileFault.FAILED),
        (Exited(127), b"", b"sh: find: not found\n", FileFault.FAILED),
        (Exited(1), b"", b"cat: write error: No space left on device\n", FileFault.DISK_FULL),
        (Exited(1), b"", b"cat: write error: Disk quota exceeded\n", FileFault.DISK_FULL),
        (Exited(1), b"", b"stat: cannot statx '/root/x': Permission denied\n", FileFault.DENIED),
        (Exited(1), OPENED, b"find: '.': Permission denied\n", FileFault.DENIED),
        (Exited(6), OPENED, b"sh: 5: cd: can't cd to /root\n", FileFault.DENIED),
        (Exited(0), b"nonsense\n", b"", FileFault.FAILED),
        (Exited(0), b"fffffffff 1 1\n", b"", FileFault.FAILED),
        (Exited(1), b"", b"\x1b[31mpermission denied: no\x07\n", FileFault.FAILED),
    ],
)
def test_what_programs_say_is_believed_in_its_form_alone(
    inside: Inside, exited: Exited, output: bytes, errors: bytes, fault: FileFault
) -> None:
    inside.ended(exited, output, errors)

    filed = inside.do(FileDeed.LIST, "/folder")

    assert (filed.fault, filed.entries) == (fault, [])
    assert filed.said.isprintable()


def test_what_vanishes_during_a_listing_is_left_out(inside: Inside) -> None:
    entry = b"81a4 1 1 ./file//\n"
    inside.ended(Exited(1), OPENED + entry + b"gone", b"stat: cannot statx './gone': No such file or directory\n")

    filed = inside.do(FileDeed.LIST, "/folder")

    assert (filed.fault, [each.name for each in filed.entries]) == (None, ["file"])
