"""Each container's own files on its host: a spec comes in, a folder of files to be bound read-only goes out.

The engine's own /etc/hosts, /etc/hostname and /etc/resolv.conf lie on the host's disk, writable by root inside and
outside every quota; ours take their place. Files are written in place: what is bound follows what is written.
"""

import shutil
from pathlib import Path
from typing import Protocol

from chalicelib.contract.agent_api import ContainerSpec
from infra.hostagent.profile import Bound, engine_name, hostname_of, networked

RESOLVER = "127.0.0.11"
"""The engine's own, in the network namespace of every container that has a network."""

_FOLDER_MODE, _FILE_MODE = 0o755, 0o644
"""Readable by a root that is another user outside."""


class Files(Protocol):
    """Folders by the engine's name for a container; every call may be repeated."""

    def write(self, spec: ContainerSpec) -> tuple[Bound, ...]:
        """Have the container's files, with these contents; what to bind where."""

    def remove(self, name: str) -> None:
        """Have no files of that container."""

    def names(self) -> list[str]:
        """Whose files there are."""


class ContainerFiles:
    """`Files` in a folder of the agent's data, one folder per container."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def write(self, spec: ContainerSpec) -> tuple[Bound, ...]:
        own = self._folder / engine_name(spec.container_id, spec.generation)
        for folder in (self._folder, own):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(_FOLDER_MODE)
        contents = contents_of(spec)
        for name, content in contents.items():
            file = own / name
            file.write_text(content)
            file.chmod(_FILE_MODE)
        return tuple(Bound(str(own / name), f"/etc/{name}") for name in contents)

    def remove(self, name: str) -> None:
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def names(self) -> list[str]:
        return [each.name for each in self._folder.iterdir()] if self._folder.is_dir() else []


def contents_of(spec: ContainerSpec) -> dict[str, str]:
    """The files by name; no name or address of the host is in them."""
    hostname = hostname_of(spec)
    return {
        "hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{hostname}\n",
        "hostname": f"{hostname}\n",
        "resolv.conf": f"nameserver {RESOLVER}\noptions ndots:0\n" if networked(spec) else "",
    }
