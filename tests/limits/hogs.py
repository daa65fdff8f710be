"""Programs that take all they can get. What each may get is the profile's, and its neighbour goes on.

Here those that take processes, memory and processors; `tests/limits/fillers.py` has the others.
"""

import time

from chalicelib.contract.resources import Resources
from infra.hostagent.containers.switching import STOP_SECONDS
from infra.hostagent.profile import PIDS
from tests.limits.cgroups import cpu_seconds, members, memory_peak_mb
from tests.limits.probes import Ground, Probe, Verdict, probe

HOGS: list[Probe] = []

TIGHT = Resources(memory_mb=64, cpu_shares=1000, disk_mb=256)
HALF = Resources(memory_mb=256, cpu_shares=500, disk_mb=256)
SHM_MB = 64
"""The engine's own size of /dev/shm; what lies in it counts as memory."""

KILLED = 137


def pid_of(ground: Ground) -> int:
    return int(ground.container.attrs["State"]["Pid"])


@probe(21, "fork bomb", HOGS)
def fork_bomb(ground: Ground) -> Verdict:
    """Processes that each start two more, for five seconds."""
    bomb = "$SIG{CHLD} = 'IGNORE'; my $end = time + 5; while (time < $end) { fork; select(undef, undef, undef, 0.01) }"

    ground.spawn(f"perl -e '{bomb}'")
    most = max(ground.processes() for _ in range(30))

    return Verdict(held=PIDS // 2 < most <= PIDS, seen=f"{most} processes of {PIDS}")


@probe(22, "memory hog", HOGS, TIGHT)
def memory_hog(ground: Ground) -> Verdict:
    """A process that asks for more and more and writes to all of it; the container outlives it."""
    done = ground.perl('my @held; push @held, "x" x 1048576 while 1')
    peak = memory_peak_mb(pid_of(ground))

    held = done.exit_code == KILLED and peak <= TIGHT.memory_mb and ground.answers()
    return Verdict(held, f"ended by {done.exit_code}, {peak:.0f} of {TIGHT.memory_mb} MB, container lives")


@probe(22, "shared memory", HOGS)
def shared_memory(ground: Ground) -> Verdict:
    """A file in /dev/shm as long as it can be."""
    size = ground.filled("/dev/shm/hog", 400)  # noqa: S108 - in the container

    return Verdict(size <= SHM_MB and ground.answers(), f"{size} of {SHM_MB} MB")


@probe(22, "locked memory", HOGS, TIGHT)
def locked_memory(ground: Ground) -> Verdict:
    """Memory that may not be swapped out, more than the container has."""
    call = "my $call = (POSIX::uname())[4] eq 'x86_64' ? 149 : 228;"
    lock = "while (1) { my $more = 'x' x 1048576; syscall($call, $more, 1048576) and exit 3; push @held, $more }"
    done = ground.perl(f"{call} my @held; {lock}", "-MPOSIX")
    peak = memory_peak_mb(pid_of(ground))

    held = done.exit_code in (3, KILLED) and peak <= TIGHT.memory_mb and ground.answers()
    how = "killed" if done.exit_code == KILLED else "refused"
    return Verdict(held, f"{how} at {peak:.0f} of {TIGHT.memory_mb} MB")


@probe(22, "page cache", HOGS, TIGHT)
def page_cache(ground: Ground) -> Verdict:
    """A file three times as large as its memory, read over and over."""
    read = "i=0; while [ $i -lt 6 ]; do cat /large > /dev/null || exit 1; i=$((i+1)); done"
    done = ground.run(f"dd if=/dev/zero of=/large bs=1M count=190 2>/dev/null && {read}")
    peak = memory_peak_mb(pid_of(ground))

    held = done.exit_code == 0 and peak <= TIGHT.memory_mb and ground.answers()
    return Verdict(held, f"{peak:.0f} of {TIGHT.memory_mb} MB while reading 190 MB six times")


@probe(23, "two hundred spinning processes", HOGS, HALF)
def spin(ground: Ground) -> Verdict:
    """All the processor they can get, together no more than was granted."""
    ground.spawn_perl("for (1..200) { fork or do { my $end = time + 6; 1 while time < $end; exit } } sleep 7")
    time.sleep(1)
    began, before = time.monotonic(), cpu_seconds(pid_of(ground))
    time.sleep(3)
    share = (cpu_seconds(pid_of(ground)) - before) / (time.monotonic() - began)

    granted = HALF.cpu_shares / 1000
    return Verdict(0.0 < share <= granted * 1.1, f"{share:.2f} processors of {granted}")


@probe(31, "processes that will not end", HOGS)
def unwilling(ground: Ground) -> Verdict:
    """Sessions of their own, deaf to every signal, and children that nobody waits for; then a stop."""
    ground.spawn_perl(
        "$SIG{$_} = 'IGNORE' for qw(TERM INT HUP QUIT); for (1..20) { fork or do { POSIX::setsid(); fork or exit; "
        "sleep 60; exit } } sleep 60",
        "-MPOSIX",
    )
    time.sleep(1)
    before, folders = ground.processes(), members(pid_of(ground))
    began = time.monotonic()

    ground.agent.power(ground.spec, "stop")
    ground.agent.until(ground.spec.container_id, "stopped")
    took = time.monotonic() - began

    left = sum(len(each.read_text().split()) for each in folders if each.exists())
    return Verdict(before > 20 and took <= STOP_SECONDS + 5 and left == 0, f"{before}, then {left} after {took:.1f} s")
