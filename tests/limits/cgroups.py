"""What a container uses, by its control groups of either version: its first process comes in, numbers go out."""

from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def cpu_seconds(pid: int) -> float:
    """Processor time of all that ever ran in it."""
    for folder in _folders(pid, "cpuacct"):
        if (folder / "cpuacct.usage").exists():
            return int((folder / "cpuacct.usage").read_text()) / 1e9
        if (folder / "cpu.stat").exists():
            lines = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
            return int(lines["usage_usec"]) / 1e6
    raise LookupError("processor time")


def memory_peak_mb(pid: int) -> float:
    """The most memory it ever held."""
    for folder in _folders(pid, "memory"):
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            if (folder / name).exists():
                return int((folder / name).read_text()) / 2**20
    raise LookupError("memory")


def members(pid: int) -> list[Path]:
    """Files that list the processes that it has at the time they are read; they go with it."""
    return [folder / "cgroup.procs" for folder in _folders(pid, "pids") if (folder / "cgroup.procs").exists()]


def _folders(pid: int, controller: str) -> list[Path]:
    """Its groups of this controller; of version 2 there is one for all."""
    found = []
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            found.append(_ROOT / controllers / path.lstrip("/"))
            found.append(_ROOT / controller / path.lstrip("/"))
        elif not controllers:
            found.append(_ROOT / path.lstrip("/"))
    return found
