"""Many forbidden things at once: labels with what is tried come in, what came of each and a verdict go out."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tests.limits.probes import Ground, Verdict
from tests.pace import SLOWNESS

DONE = "DONE"
EPERM, ENOSYS = 1, 38
BY_RIGHT = frozenset({EPERM, ENOSYS})
"""Errors of a system call that is not allowed, whatever its arguments."""

_NUMBERS = {
    "x86_64": {
        "acct": 163, "add_key": 248, "bpf": 321, "clock_settime": 227, "clone": 56, "delete_module": 176,
        "finit_module": 313, "init_module": 175, "ioprio_set": 251, "kexec_load": 246, "keyctl": 250, "mknodat": 259,
        "mount": 165, "open_by_handle_at": 304, "perf_event_open": 298, "pivot_root": 155, "process_vm_writev": 311,
        "ptrace": 101, "reboot": 169, "request_key": 249, "sched_setscheduler": 144, "setdomainname": 171,
        "sethostname": 170, "setns": 308, "setpriority": 141, "settimeofday": 164, "swapoff": 168, "swapon": 167,
        "syslog": 103, "umount2": 166, "unshare": 272, "userfaultfd": 323,
    },
    "aarch64": {
        "acct": 89, "add_key": 217, "bpf": 280, "clock_settime": 112, "clone": 220, "delete_module": 106,
        "finit_module": 273, "init_module": 105, "ioprio_set": 30, "kexec_load": 104, "keyctl": 219, "mknodat": 33,
        "mount": 40, "open_by_handle_at": 265, "perf_event_open": 241, "pivot_root": 41, "process_vm_writev": 271,
        "ptrace": 117, "reboot": 142, "request_key": 218, "sched_setscheduler": 119, "setdomainname": 162,
        "sethostname": 161, "setns": 268, "setpriority": 140, "settimeofday": 170, "swapoff": 225, "swapon": 224,
        "syslog": 116, "umount2": 39, "unshare": 97, "userfaultfd": 282,
    },
}  # fmt: skip
_EVERYWHERE = {
    "clone3": 435, "fsopen": 430, "io_uring_setup": 425, "mount_setattr": 442, "move_mount": 429, "open_tree": 428,
    "pidfd_getfd": 438,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """A system call with its arguments as Perl writes them; `ready` is Perl that comes before it."""

    name: str
    arguments: str = ""
    ready: str = ""


def called(ground: Ground, calls: Mapping[str, Call], user: str = "0") -> dict[str, int | str]:
    """The error number of each, or `DONE`; each in a process of its own."""
    numbers = _NUMBERS[ground.run("uname -m").words[0]] | _EVERYWHERE
    lines = [_line(label, numbers[call.name], call) for label, call in calls.items()]
    output = ground.run(f"exec perl - 2>&1 <<'END'\n$| = 1;\n{''.join(lines)}END\n", user=user).output
    found = dict(line.rsplit(" ", 1) for line in output.splitlines() if " " in line)
    missing = set(calls) - set(found)
    assert not missing, f"no outcome of {missing}: {output}"
    return {label: DONE if found[label] == DONE else int(found[label]) for label in calls}


def _line(label: str, number: int, call: Call) -> str:
    # in an array: Perl passes strings for the kernel to write to, and refuses with constants
    tried = f"{call.ready} my @a = ({call.arguments}); $! = 0; my $r = syscall({number}, @a);"
    said = f'print "{label} ", ($r == -1 ? $! + 0 : "{DONE}"), "\\n";'
    return f"if (!fork) {{ {tried} {said} exit }} wait;\n"


def tried(ground: Ground, programs: Mapping[str, str], user: str = "0") -> dict[str, int | str]:
    """`DONE` for each shell program that succeeded, else its exit code."""
    lines = [f"( {program} ) >/dev/null 2>&1; echo '{label}' $?" for label, program in programs.items()]
    output = ground.run("\n".join(lines), user=user).output
    found = {label: int(code) for label, code in (line.rsplit(" ", 1) for line in output.splitlines())}
    assert set(found) == set(programs), output
    return {label: code or DONE for label, code in found.items()}


def refused(outcomes: Mapping[str, int | str], errors: Iterable[int] | None = None) -> Verdict:
    """Held when nothing was done, and each was refused with one of the errors, if some are named."""
    allowed = None if errors is None else frozenset(errors)
    through = [
        f"{label} ({outcome})"
        for label, outcome in outcomes.items()
        if outcome == DONE or (allowed is not None and outcome not in allowed)
    ]
    if through:
        return Verdict(held=False, seen=f"not refused: {', '.join(through)}")
    return Verdict(held=True, seen=f"{len(outcomes)} of {len(outcomes)} refused")


def all_of(*verdicts: Verdict) -> Verdict:
    """One verdict of several."""
    wrong = [each for each in verdicts if not each.held]
    return Verdict(held=not wrong, seen="; ".join(each.seen for each in wrong or verdicts))


def until(found: Callable[[], object], seconds: float = 10) -> None:
    """Wait for what a program is to do before the attempt means anything."""
    ends = time.monotonic() + seconds * SLOWNESS
    while not found():
        assert time.monotonic() < ends, "the program of the probe never came so far"
        time.sleep(0.1)
