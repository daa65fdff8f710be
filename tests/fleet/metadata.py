"""`python -m tests.fleet.metadata FOLDER`: one request to the instance metadata service comes in, a file goes out.

Speaks HTTP on its own input and output: the emulated network card starts one for each connection to 169.254.169.254.
Only with a session token, as an instance that demands IMDSv2. Values are the folder's files.
"""

import sys
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

TOKEN = "a-session-token"
PREFIX = "/latest/meta-data/"


def answer(request: BinaryIO, folder: Path) -> tuple[HTTPStatus, bytes]:
    """Status and body for the request that is read."""
    method, path, _ = request.readline().decode("ascii").split()
    headers = dict(_headers(request))
    if (method, path) == ("PUT", "/latest/api/token"):
        return HTTPStatus.OK, TOKEN.encode()
    if headers.get("x-aws-ec2-metadata-token") != TOKEN:
        return HTTPStatus.UNAUTHORIZED, b""
    file = folder / path.removeprefix(PREFIX).strip("/").replace("/", "__")
    if method != "GET" or not path.startswith(PREFIX) or not file.is_file():
        return HTTPStatus.NOT_FOUND, b""
    return HTTPStatus.OK, file.read_bytes()


def put(folder: Path, path: str, value: str) -> None:
    """What the service says of this path below `/latest/meta-data/` from now on."""
    (folder / path.strip("/").replace("/", "__")).write_text(value)


def _headers(request: BinaryIO) -> "list[tuple[str, str]]":
    found = []
    while line := request.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        found.append((name.lower(), value.strip()))
    return found


def main() -> None:
    status, body = answer(sys.stdin.buffer, Path(sys.argv[1]))
    head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    sys.stdout.buffer.write(head.encode() + body)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
