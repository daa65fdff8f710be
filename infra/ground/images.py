"""Base images: an engine and a name come in; the image is there, pulled or built from the distribution's packages."""

import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import docker
from docker.errors import APIError, DockerException, ImageNotFound

from infra.ground.debian import Advance, bootstrap
from infra.ground.errors import NoImage
from infra.ground.packages import Say, ensure_programs, find

BOOKWORM = "debian:bookworm"
TINY = "berth-test/tiny:1"
"""Two megabytes of busybox for tests that need a container, not a distribution."""


@dataclass(frozen=True, slots=True)
class BaseImages:
    """Images of one engine; what is built is kept in `cache` for the next engine."""

    client: docker.DockerClient
    cache: Path
    say: Say
    advance: Advance = lambda _share: None

    def ensure_bookworm(self) -> None:
        """Have `debian:bookworm`: as it is, pulled, from the cache, or built. NoImage otherwise."""
        archive = self.cache / "debian-bookworm.tar"
        if self._present(BOOKWORM):
            return
        if not archive.exists() and self._pulled(BOOKWORM):
            return
        if not archive.exists():
            self.say("no registry answers: building debian:bookworm from the distribution's packages")
            _bootstrap(archive, self.say, self.advance)
        self._import(archive, BOOKWORM, "/bin/bash")

    def ensure_tiny(self) -> None:
        """Have the two-megabyte test image."""
        if self._present(TINY):
            return
        ensure_programs(["busybox"], self.say)
        self._import_bytes(_busybox_tar(), TINY)

    def stand_in(self, reference: str, pretty_name: str, base: str = BOOKWORM) -> None:
        """Have an image of this name made of another that is there, labelled as the stand-in that it is."""
        release = f'PRETTY_NAME="{pretty_name} (stand-in)"\nID=debian\nNAME="{pretty_name}"\n'
        lines = f"FROM {base}\nCOPY os-release /etc/os-release\nLABEL berth.stand_in=true\n"
        context = _tar({"Dockerfile": lines.encode(), "os-release": release.encode()})
        self.client.images.build(fileobj=context, custom_context=True, tag=reference, rm=True)

    def _present(self, reference: str) -> bool:
        try:
            self.client.images.get(reference)
        except ImageNotFound:
            return False
        return True

    def _pulled(self, reference: str) -> bool:
        self.say(f"pulling {reference}")
        repository, _, tag = reference.partition(":")
        try:
            self.client.images.pull(repository, tag)
        except (APIError, DockerException, OSError):
            return False
        return True

    def _import(self, archive: Path, reference: str, command: str) -> None:
        self.say(f"loading {reference} into the engine")
        repository, _, tag = reference.partition(":")
        changes = [f'CMD ["{command}"]', "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        self.client.api.import_image_from_file(str(archive), repository, tag, changes=changes)

    def _import_bytes(self, archive: bytes, reference: str) -> None:
        repository, _, tag = reference.partition(":")
        changes = ['CMD ["/bin/sh"]', "ENV PATH=/bin"]
        self.client.api.import_image_from_data(archive, repository, tag, changes=changes)


def _bootstrap(archive: Path, say: Say, advance: Advance) -> None:
    if os.geteuid() != 0:
        raise NoImage(f"{BOOKWORM} cannot be pulled, and only root can build it: pull it, or run this as root")
    ensure_programs(["debootstrap"], say)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=archive.parent) as folder:
        root = Path(folder) / "root"
        bootstrap(root, archive.parent / "debootstrap.log", advance)
        for leftover in ("var/cache/apt/archives", "var/lib/apt/lists", "var/log"):
            shutil.rmtree(root / leftover, ignore_errors=True)
            (root / leftover).mkdir(parents=True, exist_ok=True)
        (root / "var/cache/apt/archives/partial").mkdir()
        (root / "var/lib/apt/lists/partial").mkdir()
        unfinished = Path(folder) / "image.tar"
        subprocess.run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(unfinished), "."], check=True)
        unfinished.rename(archive)


def _busybox_tar() -> bytes:
    binary = Path(find("busybox") or "/bin/busybox").resolve()
    names = subprocess.run([str(binary), "--list"], capture_output=True, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(binary, "bin/busybox")
        for folder in ("tmp", "root", "etc", "proc", "sys", "dev"):
            _add_folder(tar, folder)
        for name in names:
            if name != "busybox":
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        _add_file(tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    return buffer.getvalue()


def _add_folder(tar: tarfile.TarFile, name: str) -> None:
    folder = tarfile.TarInfo(name)
    folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
    tar.addfile(folder)


def _add_file(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _tar(files: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            _add_file(tar, name, content)
    buffer.seek(0)
    return buffer
