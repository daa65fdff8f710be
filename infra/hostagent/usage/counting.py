"""The kernel's counters as numbers: a process and its container's control groups come in, what is used goes out."""

from collections.abc import Callable
from pathlib import Path

from infra.hostagent.ports import Counters
from infra.hostagent.usage.groups import Groups, Separate, United

_DISK = "blkio.throttle.io_service_bytes_recursive"
_OWN = "lo"
"""What a container sends itself is no traffic."""


def counted(groups: Groups, process: Path, clock: Callable[[], float]) -> Counters:
    """What is counted now; OSError or ValueError when the container has ended meanwhile."""
    net_rx, net_tx = _network((process / "net/dev").read_text())
    used = _separate(groups) if isinstance(groups, Separate) else _united(groups)
    cpu_seconds, memory, (disk_read, disk_write) = used
    return Counters(clock(), cpu_seconds, memory, disk_read, disk_write, net_rx, net_tx)


def _separate(groups: Separate) -> tuple[float, int, tuple[int, int]]:
    used = int((groups.memory / "memory.usage_in_bytes").read_text())
    return (
        int((groups.cpu / "cpuacct.usage").read_text()) / 1e9,
        _less(used, _named((groups.memory / "memory.stat").read_text(), "total_inactive_file")),
        _throttled(_text_of(groups.disk / _DISK) if groups.disk else ""),
    )


def _united(groups: United) -> tuple[float, int, tuple[int, int]]:
    used = int((groups.folder / "memory.current").read_text())
    return (
        _named((groups.folder / "cpu.stat").read_text(), "usage_usec") / 1e6,
        _less(used, _named((groups.folder / "memory.stat").read_text(), "inactive_file")),
        _done(_text_of(groups.folder / "io.stat")),
    )


def _less(used: int, idle: int) -> int:
    """The two are not read in the same moment."""
    return max(used - idle, 0)


def _text_of(path: Path) -> str:
    """Nothing where the host does not count what disks do."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _named(lines: str, name: str) -> int:
    """The number on the line that begins with this name."""
    return next((int(line.split()[1]) for line in lines.splitlines() if line.split()[:1] == [name]), 0)


def _throttled(lines: str) -> tuple[int, int]:
    """Bytes read and written, by lines like `8:0 Read 4096`, of all devices."""
    rows = [line.split() for line in lines.splitlines()]

    def total(kind: str) -> int:
        return sum(int(row[2]) for row in rows if len(row) == 3 and row[1] == kind)

    return total("Read"), total("Write")


def _done(lines: str) -> tuple[int, int]:
    """The same by lines like `8:0 rbytes=4096 wbytes=0 rios=1`."""
    pairs = [each.split("=") for line in lines.splitlines() for each in line.split()[1:]]

    def total(kind: str) -> int:
        return sum(int(pair[1]) for pair in pairs if pair[0] == kind)

    return total("rbytes"), total("wbytes")


def _network(lines: str) -> tuple[int, int]:
    """Bytes received and sent by every card but its own, by `/proc/PID/net/dev`."""
    rows = [line.partition(":") for line in lines.splitlines() if ":" in line]
    cards = [numbers.split() for name, _, numbers in rows if name.strip() != _OWN]
    return sum(int(card[0]) for card in cards), sum(int(card[8]) for card in cards)
