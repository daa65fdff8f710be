"""A registry that hands out manifests, then a little of each layer, and then nothing: run with a port."""

import gzip
import hashlib
import http.server
import json
import random
import sys
import threading

FOREVER = threading.Event()
SIZE = 50_000_000
BEGINNING = gzip.compress(random.randbytes(2000))[:1000]
_DOCKER = "application/vnd.docker"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


CONFIG = json.dumps(
    {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest(b"")]}}
).encode()


def manifest(name: str) -> bytes:
    layer = {"mediaType": f"{_DOCKER}.image.rootfs.diff.tar.gzip", "size": SIZE, "digest": digest(name.encode())}
    config = {"mediaType": f"{_DOCKER}.container.image.v1+json", "size": len(CONFIG), "digest": digest(CONFIG)}
    kind = f"{_DOCKER}.distribution.manifest.v2+json"
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]}).encode()


class Stalling(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        parts = self.path.strip("/").split("/")
        if "manifests" in parts:
            self._whole(manifest("/".join(parts[1:-2])), f"{_DOCKER}.distribution.manifest.v2+json")
        elif "blobs" in parts and parts[-1] != digest(CONFIG):
            self._head(SIZE, "application/octet-stream")
            self.wfile.write(BEGINNING)
            FOREVER.wait()
        else:
            self._whole(CONFIG if "blobs" in parts else b"{}", "application/json")

    def _head(self, length: int, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")

        self.end_headers()

    def _whole(self, body: bytes, kind: str) -> None:
        self._head(len(body), kind)
        if self.command == "GET":
            self.wfile.write(body)

    do_GET = do_HEAD = _answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Stalling)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    server.serve_forever()
