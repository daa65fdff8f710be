"""A registry that says what a test wants, on a loopback socket: images and answers go in, what was asked comes out."""

import gzip
import hashlib
import http.server
import io
import json
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import zstandard

from infra.hostagent.registry.manifests import CONFIGS, GZIP, INDEXES, MANIFESTS, ZSTD, machine

_PIECE = 16 * 1024


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Answer:
    """What is said to one path."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class StubRegistry:
    """Answers by path; a path that is not there is a 404. `challenge` is said to whoever shows no authorization."""

    listener: socket.socket
    answers: dict[str, Answer] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    challenge: str = ""
    accepts: str = ""
    """The only authorization that opens; empty = any."""
    slowly: float = 0.0
    """Seconds before each piece of an answer."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def blob(self, name: str, content: bytes) -> str:
        """Have a blob in this repository; its digest."""
        self.answers[f"/v2/{name}/blobs/{digest(content)}"] = Answer(body=content)
        return digest(content)

    def manifest(self, name: str, tag: str, manifest: dict[str, Any], kind: str = MANIFESTS[0]) -> str:
        """Have a manifest under this tag, and under its digest."""
        body = json.dumps(manifest).encode()
        for wanted in (tag, digest(body)):
            self.answers[f"/v2/{name}/manifests/{wanted}"] = Answer(
                body=body, headers={"Content-Type": kind, "Docker-Content-Digest": digest(body)}
            )
        return digest(body)

    def image(self, name: str, tag: str, *layers: bytes, **changes: Any) -> str:
        """Have an image of these gzipped tars, with other members in its manifest; the manifest's digest."""
        return self.manifest(name, tag, self.manifest_of(name, *layers) | changes)

    def manifest_of(self, name: str, *layers: bytes) -> dict[str, Any]:
        unpacked = [digest(gzip.decompress(layer)) if len(layer) < 5_000_000 else digest(layer) for layer in layers]
        config = json.dumps(
            {
                "architecture": machine(), "os": "linux", "config": {},
                "rootfs": {"type": "layers", "diff_ids": unpacked},
            }
        ).encode()  # fmt: skip
        return {
            "schemaVersion": 2,
            "mediaType": MANIFESTS[0],
            "config": {"mediaType": CONFIGS[0], "size": len(config), "digest": self.blob(name, config)},
            "layers": [
                {"mediaType": GZIP[0], "size": len(layer), "digest": self.blob(name, layer)} for layer in layers
            ],
        }

    def zstd_image(self, name: str, tag: str, *layers: bytes) -> str:
        """Have an image of these gzipped tars, packed with zstd instead; the manifest's digest."""
        manifest = self.manifest_of(name, *layers)
        for entry, layer in zip(manifest["layers"], layers, strict=True):
            packed = zstd(gzip.decompress(layer))
            entry |= {"mediaType": ZSTD[1], "size": len(packed), "digest": self.blob(name, packed)}
        return self.manifest(name, tag, manifest)

    def index(self, name: str, tag: str, manifest: str, **platform: str) -> str:
        """Have an index under this tag that leads to a manifest; the index's digest."""
        size = len(self.answers[f"/v2/{name}/manifests/{manifest}"].body)
        entry = {
            "mediaType": MANIFESTS[0], "digest": manifest, "size": size,
            "platform": {"os": "linux", "architecture": machine()} | platform,
        }  # fmt: skip
        said = {"schemaVersion": 2, "mediaType": INDEXES[0], "manifests": [entry]}
        return self.manifest(name, tag, said, INDEXES[0])

    def asked(self, part: str, method: str = "") -> list[str]:
        """The paths asked for that have this in them."""
        return [path for path, headers in self.seen if part in path and method in headers["method"]]

    def answer(self, path: str, headers: dict[str, str]) -> Answer:
        self.seen.append((path, headers))
        shown = headers.get("authorization", "")
        if self.challenge and path.startswith("/v2/") and (not shown or self.accepts not in ("", shown)):
            return Answer(401, headers={"WWW-Authenticate": self.challenge})
        return self.answers.get(path.partition("?")[0], Answer(404))


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # a connection for each request, so that none outlives its registry
    server: "_Server"

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()} | {"method": self.command}
        said = self.server.stub.answer(self.path, headers)
        self.send_response(said.status)
        for name, value in ({"Content-Length": str(len(said.body))} | said.headers).items():
            self.send_header(name, value)
        self.end_headers()
        for start in range(0, len(said.body) if self.command == "GET" else 0, _PIECE):
            time.sleep(self.server.stub.slowly)
            self.wfile.write(said.body[start : start + _PIECE])

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, stub: StubRegistry) -> None:
        super().__init__(("127.0.0.1", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = stub.listener
        self.stub = stub

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are as it should be."""


@contextmanager
def stub_registry(listener: socket.socket | None = None) -> Iterator[StubRegistry]:
    """A registry that runs for as long as this lasts."""
    stub = StubRegistry(listener or socket.create_server(("127.0.0.1", 0)))
    server = _Server(stub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()


def tar_layer(**files: bytes) -> bytes:
    """A gzipped tar of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue())


def bomb(gigabytes: int) -> bytes:
    """Zeros, a thousandth of that on the wire: many members in a row."""
    return gzip.compress(bytes(100_000_000), 9) * (gigabytes * 10)


def zstd(content: bytes, level: int = 3, window: int = 0) -> bytes:
    """One frame, which says that it may refer so many bytes back."""
    if not window:
        return zstandard.ZstdCompressor(level=level).compress(content)
    chosen = zstandard.ZstdCompressionParameters(window_log=window.bit_length() - 1, compression_level=level)
    packer = zstandard.ZstdCompressor(compression_params=chosen).compressobj()
    return packer.compress(content) + packer.flush()


def zstd_bomb(gigabytes: int) -> bytes:
    """Zeros, less than a ten-thousandth of that on the wire: many frames in a row."""
    return zstd(bytes(100_000_000), 19) * (gigabytes * 10)
