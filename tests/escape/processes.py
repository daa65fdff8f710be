"""Rows 1, 6, 12, 32, 33: what a program is, and what it can do to others."""

from infra.hostagent.profile import CAPABILITIES
from tests.escape.attempts import BY_RIGHT, DONE, Call, all_of, called, refused, tried, until
from tests.escape.cells import Cell
from tests.limits.probes import WATCHDOG_SECONDS, Ground, Probe, Verdict, probe
from tests.pace import SLOWNESS

PROCESSES: list[Probe] = []

_BITS = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7, "NET_BIND_SERVICE": 10}
_ATTACH = 16
_FOREIGN = 'my ($o) = map { m|(\\d+)| } grep { (stat $_)[4] == 1001 } glob "/proc/[0-9]*"; $o += 0;'


def _status(ground: Ground, pid: str, user: str) -> dict[str, str]:
    lines = ground.run(f"cat /proc/{pid}/status", user=user).output.splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


@probe(1, "capabilities and privileges", PROCESSES)
def capabilities(ground: Ground) -> Verdict:
    """Exactly those listed for root, none for others, seccomp on and no new privileges for all."""
    listed = sum(1 << _BITS[name] for name in CAPABILITIES)
    wrong = []
    for pid, user, expected in (("1", "0", listed), ("self", "0", listed), ("self", "1000", 0)):
        found = _status(ground, pid, user)
        sets = (int(found["CapEff"], 16), int(found["CapBnd"], 16), found["NoNewPrivs"], found["Seccomp"])
        if sets != (expected, listed, "1", "2"):
            wrong.append(f"{pid} as {user}: {sets}")
    return Verdict(held=not wrong, seen="; ".join(wrong) or f"CapEff {listed:x}, none for uid 1000, seccomp 2, nnp 1")


@probe(6, "trace other processes", PROCESSES)
def tracing(ground: Ground) -> Verdict:
    """Own children can be debugged; what belongs to another user cannot, and there is nobody outside to be seen."""
    ground.spawn(f"exec setpriv --reuid 1001 --regid 1001 --clear-groups sleep {WATCHDOG_SECONDS - 5}")
    until(lambda: ground.run("stat -c %u /proc/[0-9]*").words.count("1001"))
    attach = {
        "pid 1": Call("ptrace", f"{_ATTACH}, 1, 0, 0"),
        "of another user": Call("ptrace", f"{_ATTACH}, $o, 0, 0", _FOREIGN),
    }
    child = {
        "own child": Call("ptrace", f"{_ATTACH}, $c, 0, 0", f"my $c = fork; if (!$c) {{ sleep {SLOWNESS}; exit }}")
    }
    foreign = refused(called(ground, attach, user="1000"), BY_RIGHT)
    own = called(ground, child, user="1000")["own child"] == DONE
    seen = ground.run("ls -d /proc/[0-9]* | wc -l").words[0]
    return all_of(
        foreign, Verdict(held=own, seen="own child traced" if own else "own child not traced"),
        Verdict(held=int(seen) < 20, seen=f"{seen} processes to be seen"),
    )  # fmt: skip


@probe(12, "descriptors left open", PROCESSES)
def descriptors(ground: Ground) -> Verdict:
    """Nothing but input, output and errors comes from outside, at the start or with a program run later."""
    program = 'for f in /proc/{}/fd/*; do [ -L "$f" ] && echo "${{f##*/}}"; done'
    started = set(ground.run(program.format(1)).words)
    executed = set(ground.run(f"exec sh -c '{program.format('$$')}'").words)
    return Verdict(
        held=started <= {"0", "1", "2"} and executed <= {"0", "1", "2"},
        seen=f"{' '.join(sorted(started))} at the start, {' '.join(sorted(executed))} later",
    )


@probe(32, "signals and priorities", PROCESSES)
def signals(cell: Cell) -> Verdict:
    """`kill -1` reaches its own container alone; nobody gets ahead of others."""
    calls = {
        "priority -20": Call("setpriority", "0, 0, -20"),
        "real-time": Call("sched_setscheduler", '0, 1, pack("l", 50)'),
        "real-time disk": Call("ioprio_set", "1, 0, (1 << 13)"),
    }
    priorities = refused(called(cell, calls), {1, 13})
    cell.run("kill -9 -1", seconds=5 * SLOWNESS)  # its own main process with it
    others = cell.other.answers()
    return all_of(priorities, Verdict(held=others, seen="kill -1 stays inside" if others else "kill -1 reached others"))


@probe(33, "core dump", PROCESSES)
def core_dump(ground: Ground) -> Verdict:
    """None is written, and none can be asked for."""
    raised = tried(ground, {"limit raised": "bash -c 'ulimit -c unlimited'"})
    ground.run("cd /tmp && bash -c 'kill -SEGV $$'")
    files = ground.run("find / -xdev -name 'core*' -newer /proc/1/cmdline -type f -size +0").words
    return all_of(refused(raised), Verdict(held=not files, seen=f"{len(files)} files of it"))
