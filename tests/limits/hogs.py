"""Programs that take all they can get. What each may get is the profile's, and its neighbour goes on."""

from infra.hostagent.profile import PIDS
from tests.limits.probes import Ground, Probe, Verdict, probe

HOGS: list[Probe] = []


@probe(21, "fork bomb", HOGS)
def fork_bomb(ground: Ground) -> Verdict:
    """Processes that each start two more, for five seconds."""
    bomb = "$SIG{CHLD} = 'IGNORE'; my $end = time + 5; while (time < $end) { fork; select(undef, undef, undef, 0.01) }"

    ground.spawn(f"perl -e '{bomb}'")
    most = max(ground.processes() for _ in range(30))

    return Verdict(held=PIDS // 2 < most <= PIDS, seen=f"{most} processes of {PIDS}")
