"""Programs that fill what can be full: disk, log, descriptors, terminals, watches; listed as those of `hogs`."""

import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chalicelib.contract.resources import NetworkMode, Resources
from infra.ground.images import TINY
from infra.hostagent.engine.docker_engine import DockerEngine
from infra.hostagent.ports import EngineError
from infra.hostagent.profile import LOG_FILES, LOG_SIZE, OPEN_FILES, profile_of
from tests.builders import a_spec
from tests.limits.probes import SMALL, WATCHDOG_SECONDS, Ground, Probe, Verdict, ground_on, probe

FILLERS: list[Probe] = []

DISK_MB = SMALL.disk_mb
LITTLE_DISK = Resources(memory_mb=256, cpu_shares=1000, disk_mb=6)
"""Each terminal is some kilobytes of it, and takes the kernel milliseconds to take away."""
LOG_MB = int(LOG_SIZE.removesuffix("m")) * int(LOG_FILES)
CROWD = 250
QUOTA = ("Disk quota exceeded", "No space left on device")
"""What a program is told of its container's limit on btrfs, and on xfs."""
MEMORY_BACKED = {"/dev", "/dev/shm", "/sys/fs/cgroup"}  # noqa: S108 - names of mounts
"""What lies there counts as memory; the last is there with control groups of version 1 only."""


@probe(24, "disk fill", FILLERS)
def disk_fill(ground: Ground) -> Verdict:
    """In the root and at home; then some of it is deleted, and fits again."""
    ground.run("mkdir -p /home/user")
    home, root = ground.filled("/home/user/fill", DISK_MB // 2), ground.filled("/fill", 2 * DISK_MB)
    full = _is_full(ground.run("dd if=/dev/zero of=/more bs=1M count=2").output)
    ground.run("rm /fill")
    again = ground.filled("/again", 16)

    held = full and DISK_MB - 4 <= home + root <= DISK_MB and again == 16
    return Verdict(held, f"{home} + {root} of {DISK_MB} MB; after rm {again} MB more")


@probe(24, "space asked for beforehand", FILLERS)
def allocated(ground: Ground) -> Verdict:
    """A file as long as the host's disk is no more than a number; blocks for it are not given."""
    sparse = ground.run("truncate -s 1T /sparse && du -m /sparse | cut -f1").words[-1:]
    given = ground.run(f"fallocate -l {4 * DISK_MB}M /given")

    held = sparse == ["0"] and given.exit_code != 0 and _is_full(given.output) and ground.answers()
    return Verdict(held, f"sparse: {' '.join(sparse)} MB; fallocate: {given.output.strip().rpartition(': ')[2]}")


@probe(25, "empty files", FILLERS, LITTLE_DISK)
def empty_files(ground: Ground) -> Verdict:
    """Names alone take room, too. Near the limit each waits until the file system has written all: it takes a while."""
    make = 'mkdir "/many"; my $n = 0; $n++ while open(my $f, ">", "/many/$n"); print "$n $!"'
    done = ground.perl(make, seconds=4 * WATCHDOG_SECONDS)
    count = int((done.words or ["0"])[0])

    seen = f"{count} in {LITTLE_DISK.disk_mb} MB, then: {done.output.strip().partition(' ')[2]}"
    return Verdict(0 < count < 1_000_000 and _is_full(done.output), seen)


@probe(24, "every place that takes a write", FILLERS)
def ways_round(ground: Ground) -> Verdict:
    """Each mount inside, and the engine's own three files: what fits into all of them together."""
    places = "while read -r _ where _ rest; do echo $where; done < /proc/mounts"
    fill = (
        "test -d $p && p=$p/fill; dd if=/dev/zero of=$p bs=1M count=400 2>/dev/null; test -f $p && du -m $p | cut -f1"
    )
    said = ground.run(f"for p in $({places}); do s=$({fill}); echo $p ${{s:-0}}; done").output
    sizes = {words[0]: int(words[1]) for line in said.splitlines() if len(words := line.split()) == 2}

    disk = sizes.pop("/", 0)
    more = {where: size for where, size in sizes.items() if size > 1}
    held = 0 < disk <= DISK_MB and set(more) <= MEMORY_BACKED and sum(more.values()) <= SMALL.memory_mb
    return Verdict(held, f"/ {disk} MB, " + ", ".join(f"{where} {size} MB" for where, size in more.items()))


@probe(26, "open files", FILLERS)
def open_files(ground: Ground) -> Verdict:
    """As many as one process can, after it has raised its own limit as far as it may."""
    count = 'my @f; while (open(my $f, "<", "/dev/null")) { push @f, $f } print scalar(@f), " $!"'
    soft = ground.perl(count)
    raised = ground.run(f"ulimit -S -n {OPEN_FILES[1]} && perl -e '{count}'")
    beyond = ground.run(f"ulimit -H -n {OPEN_FILES[1] + 1}")

    numbers = [int(each.words[0]) for each in (soft, raised)]
    held = max(numbers) <= OPEN_FILES[1] and beyond.exit_code != 0
    return Verdict(held and "Too many open files" in raised.output, f"{numbers[0]}, raised {numbers[1]}, no more")


@probe(26, "sockets", FILLERS)
def sockets(ground: Ground) -> Verdict:
    """Ten thousand, by as many processes as that takes."""
    done = ground.perl(
        "pipe(R, W); for (1..20) { fork or do { my @s; while (@s < 4000 and socket(my $s, 2, 2, 0)) { push @s, $s } "
        'syswrite W, @s . " "; sleep 2; exit } } close W; local $/; print <R>'
    )
    numbers = [int(each) for each in done.words]

    held = max(numbers) <= OPEN_FILES[1] and sum(numbers) > 10_000 and ground.answers()
    return Verdict(held, f"{max(numbers)} in a process, {sum(numbers)} in all")


@probe(27, "log flood", FILLERS)
def log_flood(ground: Ground) -> Verdict:
    """Five seconds of `yes` into the output of the first process, which the engine keeps."""
    ground.run("timeout 5 yes 'a line of the flood, long enough to be one' > /proc/1/fd/1")

    folder = Path(ground.agent.engine.root + ground.container.attrs["LogPath"]).parent
    kept = sum(each.stat().st_size for each in folder.glob("*.log*")) / 2**20
    return Verdict(1 < kept <= LOG_MB + 1 and ground.answers(), f"{kept:.0f} of {LOG_MB} MB kept")


@probe(28, "terminals", FILLERS)
def terminals(ground: Ground) -> Verdict:
    """As many as eight processes can open, held while another container asks for one.

    More would fight for the memory of their container instead, for minutes, and the watchdog would lose its life there.
    """
    return _beside(ground, 'open($got, "+<", "/dev/ptmx")', processes=8)


@probe(29, "watches for file changes", FILLERS)
def watches(ground: Ground) -> Verdict:
    """As many inotify instances as its processes can open, held while another container asks for one."""
    return _beside(ground, "($got = syscall((POSIX::uname())[4] eq 'x86_64' ? 294 : 26, 0)) >= 0")


@probe(30, "250 containers, each with a session keyring", FILLERS)
def crowd(ground: Ground) -> Verdict:
    """The user that root is outside has as few keys as any other, unless the host has raised it: then 200 start."""
    engine, host_id = DockerEngine(ground.agent.engine.url), f"{ground.agent.host_id}-crowd"

    def started() -> bool:
        profile = profile_of(a_spec(image=TINY, network_mode=NetworkMode.NONE), host_id, "unused", cores=1)
        try:
            engine.start(engine.create(profile))
        except EngineError:
            return False
        return True

    try:
        with ThreadPoolExecutor(2) as pool:
            came = sum(pool.map(lambda _: started(), range(CROWD)))
        return Verdict(came == CROWD and ground.answers(), f"{came} of {CROWD} started")
    finally:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(engine.remove, [each.engine_id for each in engine.of_host(host_id)]))


def _is_full(output: str) -> bool:
    return any(words in output for words in QUOTA)


def _beside(ground: Ground, take: str, processes: int = 200) -> Verdict:
    """What so many processes take of something that the whole machine shares, and whether another container gets one.

    Each writes a dot for each that it has, since the memory of its container may end it.
    """
    with ground_on(ground.agent, ground.spec.image) as other:
        taker = (
            f"for (1..{processes}) {{ fork or do {{ open(my $n, '>', \"/tmp/n$$\"); my ($got, @held); "
            f'while ({take}) {{ push @held, $got; undef $got; syswrite $n, "." }} sleep 12; exit }} }} sleep 12'
        )
        ground.spawn(f"ulimit -n $(ulimit -Hn); perl -MPOSIX -e {shlex.quote(taker)}")
        time.sleep(6)
        asked = other.perl(f"my $got; {take} or die $!; print 'here'", "-MPOSIX")
    taken = _dots(ground)
    said = asked.output.strip()
    return Verdict(taken > 0 and said == "here", f"{taken} taken; beside it: {said[:40]}")


def _dots(ground: Ground) -> int:
    """Counted as soon as there is memory enough: at the latest when the watchdog has ended those who have it."""
    ends = time.monotonic() + 3 * WATCHDOG_SECONDS
    while time.monotonic() < ends:
        words = ground.run("cat /tmp/n* | wc -c").words
        if words and words[-1].isdigit():
            return int(words[-1])
        time.sleep(1)
    raise AssertionError("the container never answered again")
