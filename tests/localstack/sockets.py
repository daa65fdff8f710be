"""Who listens: a process comes in, or none for all; addresses, as the kernel writes them, and ports go out."""

import os
from pathlib import Path

_LISTEN = "0A"


def listening(pid: int | None = None) -> set[tuple[str, int]]:
    """Over IPv4 and IPv6."""
    found = set()
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid or 'self'}/net/{family}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == _LISTEN and (pid is None or f"socket:[{columns[9]}]" in _sockets(pid)):
                address, port = columns[1].split(":")
                found.add((address, int(port, 16)))
    return found


def _sockets(pid: int) -> set[str]:
    return {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}
