"""`/containers/{id}/files`, call by call, over fakes: what the host is asked, and what a client is told."""

import base64
import stat
from typing import Any

import pytest

from chalicelib.contract.agent_api import FILE_BYTES, ExecUser, FileCall, Filed, FileDeed, FileEntry, FileFault
from infra.apidocs import answers
from tests.machines.served import Answer
from tests.security.callers import Street, street

FILES = "/containers/{container_id}/files"
BYTES = bytes(range(256))


@pytest.fixture
def here() -> Street:
    return street()


def ask(
    here: Street, method: str, route: str = FILES, query: dict[str, str] | None = None, body: Any = None, **headers: str
) -> Answer:
    path = {"container_id": here.container_id}
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    with here.served.on():
        return here.served(method, route, here.tokens["owner"], path=path, query=query, body=body, headers=sent)


def called(here: Street) -> FileCall:
    """The one call that its host got."""
    [(_, call)] = here.served.world.agents.file_calls
    return call


def entry(name: str = "file", mode: int = 0o100644, size: int = 5, modified: int = 0) -> FileEntry:
    return FileEntry(name=name, size=size, mode=mode, modified=modified)


def form(filename: str, content: bytes, field: str = "file") -> tuple[bytes, str]:
    """A body as browsers and SDKs make it, and its type."""
    head = f'--cut\r\nContent-Disposition: form-data; name="{field}"; filename="{filename}"\r\n\r\n'.encode()
    return head + content + b"\r\n--cut--\r\n", "multipart/form-data; boundary=cut"


def test_a_folder_is_listed_as_published(here: Street) -> None:
    folder = entry("src", stat.S_IFDIR | 0o755, 4096, 1_700_000_000)
    here.served.world.agents.filed = Filed(entry=folder, entries=[folder, entry("a b")])

    answer = ask(here, "GET", FILES + "/list", {"path": "/home/user/"})

    assert answer.status == 200
    answers.FileListing.model_validate(answer.body)
    assert answer.body == {
        "path": "/home/user",
        "count": 2,
        "files": [
            {
                "name": "src", "path": "/home/user/src", "size": 4096, "mode": "drwxr-xr-x",
                "mod_time": "2023-11-14T22:13:20.000Z", "is_dir": True,
            },
            {
                "name": "a b", "path": "/home/user/a b", "size": 5, "mode": "-rw-r--r--",
                "mod_time": "1970-01-01T00:00:00.000Z", "is_dir": False,
            },
        ],
    }  # fmt: skip
    assert (called(here).deed, called(here).path, called(here).user) == (FileDeed.LIST, "/home/user", None)


def test_home_is_listed_when_nothing_is_named_and_the_root_can_be(here: Street) -> None:
    ask(here, "GET", FILES + "/list")
    ask(here, "GET", FILES + "/list", {"path": "//", "user": "root"})

    home, root = (call for _, call in here.served.world.agents.file_calls)
    assert (home.path, root.path, root.user) == ("/home/user", "/", ExecUser.ROOT)


@pytest.mark.parametrize("modified", [-(10**11), 10**11])
def test_a_time_that_no_calendar_has_breaks_nothing(here: Street, modified: int) -> None:
    here.served.world.agents.filed = Filed(entry=entry(), entries=[entry(modified=modified * 100)])

    assert ask(here, "GET", FILES + "/list").body["files"][0]["mod_time"] == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize("accept", [{}, {"Accept": "*/*"}, {"Accept": "application/json"}])
def test_a_file_comes_back_as_bytes_whatever_is_accepted(here: Street, accept: dict[str, str]) -> None:
    here.served.world.agents.filed = Filed(entry=entry("grüße.txt", 0o100600), content=BYTES)

    answer = ask(here, "GET", FILES, {"path": "/home/user/grüße.txt"}, **accept)

    assert (answer.status, answer.body["bytes"]) == (200, BYTES)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''gr%C3%BC%C3%9Fe.txt"
    assert (answer.headers["X-File-Size"], answer.headers["X-File-Mode"]) == ("256", "-rw-------")


def test_a_file_is_written_from_json(here: Street) -> None:
    body = {"path": "/srv/file", "content": base64.b64encode(BYTES).decode(), "user": "root"}

    answer = ask(here, "POST", body=body)

    assert answer.status == 200
    answers.FileWritten.model_validate(answer.body)
    assert answer.body == {"message": "file written", "filename": "file", "path": "/srv/file", "size": 5}
    assert (called(here).deed, called(here).path, called(here).user) == (FileDeed.WRITE, "/srv/file", ExecUser.ROOT)
    assert called(here).content == BYTES


@pytest.mark.parametrize("where", [FILES, FILES + "/mkdir"])
@pytest.mark.parametrize(("field", "query"), [("user", {"user": "AAA"}), ("path", {"path": "no slash"})])
def test_what_a_query_says_beside_a_body_has_to_be_sound(
    here: Street, where: str, field: str, query: dict[str, str]
) -> None:
    body = {"path": "/srv/file"} | ({"content": ""} if where == FILES else {})

    answer = ask(here, "POST", where, query, body)

    assert (answer.status, answer.body["field"]) == (400, field)
    assert here.served.world.agents.file_calls == []


@pytest.mark.parametrize(("named", "counts"), [("", ExecUser.ROOT), ("user", ExecUser.USER)])
def test_a_user_in_the_query_counts_where_the_body_names_none(here: Street, named: str, counts: ExecUser) -> None:
    ask(here, "POST", query={"user": "root"}, body={"path": "/srv/file", "content": "", "user": named})

    assert called(here).user == counts


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("content", [BYTES, b"\n"])
def test_a_file_is_written_from_the_body_itself(here: Street, kind: str, content: bytes) -> None:
    assert ask(here, "POST", query={"path": "/srv/file"}, body=content, Content_Type=kind).status == 200

    assert (called(here).path, called(here).content) == ("/srv/file", content)


@pytest.mark.parametrize("folder", ["/srv", "/srv/"])
@pytest.mark.parametrize("content", [b"", BYTES, b"\r\n--cu", b"x" * 200_000, b"line\n"])
def test_a_file_is_written_from_a_form(here: Street, folder: str, content: bytes) -> None:
    body, kind = form("a b.txt", content)

    assert ask(here, "POST", query={"path": folder}, body=body, Content_Type=kind).status == 200

    assert (called(here).path, called(here).content) == ("/srv/a b.txt", content)


@pytest.mark.parametrize("size", [FILE_BYTES, FILE_BYTES + 1])
def test_four_megabytes_go_in_and_no_byte_more(here: Street, size: int) -> None:
    answer = ask(here, "POST", query={"path": "/srv/file"}, body=bytes(size), Content_Type="application/octet-stream")

    assert answer.status == (200 if size == FILE_BYTES else 413)
    if answer.status == 413:
        assert answer.body == {"error": "request body too large", "code": "body_too_large", "limit_bytes": FILE_BYTES}
        assert here.served.world.agents.file_calls == []


def test_a_folder_is_made_by_body_or_query(here: Street) -> None:
    for sent in ({"body": {"path": "/srv/a/"}}, {"query": {"path": "/srv/a"}}):
        answer = ask(here, "POST", FILES + "/mkdir", **sent)  # type: ignore[arg-type]
        assert (answer.status, answer.body) == (200, {"message": "directory created", "path": "/srv/a"})

    assert [call.deed for _, call in here.served.world.agents.file_calls] == [FileDeed.MAKE_FOLDER] * 2


def test_a_file_is_removed(here: Street) -> None:
    here.served.world.agents.filed = Filed()

    answer = ask(here, "DELETE", query={"path": "/srv/file"})

    assert (answer.status, answer.body) == (200, {"message": "removed", "path": "/srv/file"})
    assert called(here).deed is FileDeed.REMOVE


@pytest.mark.parametrize("path", [None, "", "file", "./file", "../file", "/a\0b", "/" + "x" * 4000, "~/file"])
@pytest.mark.parametrize("call", ["GET " + FILES, "DELETE " + FILES, "POST " + FILES, f"POST {FILES}/mkdir"])
def test_a_path_that_is_none_is_named_and_nothing_is_asked(here: Street, call: str, path: str | None) -> None:
    method, route = call.split()
    query = {} if path is None else {"path": path}
    raw = {"body": b"x", "Content_Type": "application/octet-stream"} if call == "POST " + FILES else {}

    answer = ask(here, method, route, query, **raw)  # type: ignore[arg-type]

    assert (answer.status, answer.body["code"], answer.body["field"]) == (400, "invalid_request", "path")
    assert here.served.world.agents.file_calls == []


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("path", {"content": ""}),
        ("content", {"path": "/a"}),
        ("content", {"path": "/a", "content": "no base64!"}),
        ("content", {"path": "/a", "content": "YQ"}),
        ("content", {"path": "/a", "content": 3}),
        ("user", {"path": "/a", "content": "", "user": "nobody"}),
        ("mode", {"path": "/a", "content": "", "mode": "0777"}),
        ("path", {"path": "/a/", "content": ""}),
    ],
)
def test_what_is_wrong_in_a_body_is_named(here: Street, field: str, body: dict[str, Any]) -> None:
    answer = ask(here, "POST", body=body)

    assert (answer.status, answer.body["field"]) == (400, field), answer.body
    assert here.served.world.agents.file_calls == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        form("", b"x"),
        form("..", b"x"),
        form(".", b"x"),
        form("x" * 256, b"x"),
        form("name", b"x", "other"),
        (form("name", b"x")[0], "multipart/form-data"),
        (b"no form", "multipart/form-data; boundary=cut"),
        (form("name", b"x")[0][:-12], "multipart/form-data; boundary=cut"),
        (b"", "multipart/form-data; boundary=cut"),
        (form("one", b"x")[0][:-9] + b"\r\n" + form("two", b"y")[0], "multipart/form-data; boundary=cut"),
    ],
)
def test_a_form_without_its_one_file_is_refused(here: Street, body: bytes, kind: str) -> None:
    answer = ask(here, "POST", query={"path": "/srv"}, body=body, Content_Type=kind)

    assert (answer.status, answer.body["field"]) == (400, "file"), answer.body
    assert here.served.world.agents.file_calls == []


REFUSALS = [
    (FileFault.MISSING, 404, "file_not_found"),
    (FileFault.IS_FOLDER, 400, "invalid_request"),
    (FileFault.NO_FOLDER, 400, "invalid_request"),
    (FileFault.NOT_A_FILE, 400, "invalid_request"),
    (FileFault.DENIED, 403, "file_denied"),
    (FileFault.KEPT, 403, "file_denied"),
    (FileFault.TOO_LARGE, 413, "file_too_large"),
    (FileFault.DISK_FULL, 409, "disk_full"),
    (FileFault.TIMED_OUT, 504, "file_timed_out"),
    (FileFault.FAILED, 409, "file_failed"),
]


def test_every_fault_has_its_refusal() -> None:
    assert {fault for fault, _, _ in REFUSALS} == set(FileFault)


@pytest.mark.parametrize(("fault", "status", "code"), REFUSALS)
def test_what_the_container_could_not_do_is_told(here: Street, fault: FileFault, status: int, code: str) -> None:
    here.served.world.agents.filed = Filed(fault=fault, said="its words", entry=entry(size=9_000_000))

    answer = ask(here, "GET", query={"path": "/srv/file"})

    assert (answer.status, answer.body["code"]) == (status, code)
    answers.Problem.model_validate(answer.body)
    if fault is FileFault.FAILED:
        assert answer.body["said"] == "its words"
    if fault is FileFault.TOO_LARGE:
        assert (answer.body["size"], answer.body["limit_bytes"]) == (9_000_000, FILE_BYTES)
    if fault is FileFault.DENIED:
        assert "user=root" in answer.body["message"]


def test_a_silent_host_is_a_503_that_says_what_is_known(here: Street) -> None:
    here.served.world.agents.unreachable.add("host-1")

    answer = ask(here, "DELETE", query={"path": "/srv/file"})

    assert (answer.status, answer.body["code"]) == (503, "host_silent")
    assert "may have been done" in answer.body["message"]
