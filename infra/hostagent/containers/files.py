"""Each container's own files on its host: a spec comes in, a folder of files to be bound read-only goes out.

How a shell of ours is set up is one of them. The engine's own /etc/hosts, /etc/hostname and /etc/resolv.conf lie on the
host's disk, writable by root inside and outside every quota; ours take their place. Files are written in place: what is
bound follows what is written.
"""

import shutil
from pathlib import Path
from typing import Protocol

from chalicelib.contract.agent_api import ContainerSpec
from infra.hostagent.profile import Bound, engine_name, hostname_of, networked
from infra.images.recipes import BAREBONE, settings_text

ENGINES_RESOLVER = "127.0.0.11"
"""In the network namespace of every container that has a network."""

SHELL_SETTINGS = "shell.conf"

_FOLDER_MODE, _FILE_MODE = 0o755, 0o644
"""Readable by a root that is another user outside."""


class Files(Protocol):
    """Folders by the engine's name for a container; every call may be repeated."""

    def write(self, spec: ContainerSpec) -> tuple[Bound, ...]:
        """Have the container's files, with these contents; what to bind where."""

    def hand_over(self, blank: str, spec: ContainerSpec) -> None:
        """Make a blank's files this container's, in their place: what is bound stays bound, also at the next start."""

    def remove(self, name: str) -> None:
        """Have no files of that container; nothing where they have been handed over to another."""

    def names(self) -> list[str]:
        """Whose files there are."""


class ContainerFiles:
    """`Files` in a folder of the agent's data, one folder per container."""

    def __init__(self, folder: Path, resolver: str = ENGINES_RESOLVER) -> None:
        self._folder = folder.resolve()
        self._resolver = resolver

    def write(self, spec: ContainerSpec) -> tuple[Bound, ...]:
        own = self._folder / engine_name(spec.container_id, spec.generation)
        for folder in (self._folder, own.resolve()):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(_FOLDER_MODE)
        contents = contents_of(spec, self._resolver)
        for name, content in contents.items():
            file = own / name
            file.write_text(content)
            file.chmod(_FILE_MODE)
        return tuple(Bound(str(own / name), target_of(name)) for name in contents)

    def hand_over(self, blank: str, spec: ContainerSpec) -> None:
        """By a link: the engine goes on binding from the blank's folder."""
        own = self._folder / engine_name(spec.container_id, spec.generation)
        self._folder.mkdir(parents=True, exist_ok=True)
        if not own.exists():
            own.unlink(missing_ok=True)
            own.symlink_to(blank)
        self.write(spec)

    def remove(self, name: str) -> None:
        own = self._folder / name
        if not own.is_symlink():
            if name not in self._links().values():
                shutil.rmtree(own, ignore_errors=True)
            return
        shutil.rmtree(own.resolve(), ignore_errors=True)
        own.unlink(missing_ok=True)

    def names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        handed_over = set(self._links().values())
        return [each.name for each in self._folder.iterdir() if each.name not in handed_over]

    def _links(self) -> dict[str, str]:
        """Folders handed over, by the name that they have now."""
        if not self._folder.is_dir():
            return {}
        return {each.name: each.readlink().name for each in self._folder.iterdir() if each.is_symlink()}


def target_of(name: str) -> str:
    """Where a file is found inside."""
    return f"/etc/berth/{name}" if name == SHELL_SETTINGS else f"/etc/{name}"


def contents_of(spec: ContainerSpec, resolver: str = ENGINES_RESOLVER) -> dict[str, str]:
    """The files by name; no name or address of the host is in them."""
    hostname = hostname_of(spec)
    settings: dict[str, str] = {}
    if spec.shell.enhanced and spec.role != BAREBONE:
        settings[SHELL_SETTINGS] = settings_text(spec.shell.model_dump(exclude={"enhanced"}))
    return settings | {
        "hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{hostname}\n",
        "hostname": f"{hostname}\n",
        "resolv.conf": f"nameserver {resolver}\noptions ndots:0\n" if networked(spec) else "",
    }
