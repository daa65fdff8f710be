"""Starts and ends: a stack and the raw engine under it come in, paired seconds and where the time went go out."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.bench.lives import Life, client
from tests.bench.measures import Goal, Measure
from tests.bench.raw import RawEngine, RawLife
from tests.bench.relay import first_for
from tests.bench.stack import Stack
from tests.bench.warm import READY, Blanks

Tick = Callable[[], None]


@dataclass(slots=True)
class Rounds:
    """One life of each kind per round, in an order that chance decides."""

    ours: list[Life] = field(default_factory=list)
    raw: list[RawLife] = field(default_factory=list)


def play(stack: Stack, engine: RawEngine, rounds: int, tick: Tick, blanks: Blanks | None = None) -> Rounds:
    """Lives side by side; the first of each is for warming up and not counted.

    With blanks, each of ours is one of those, and both kinds wait until they are complete.
    """
    played = Rounds()
    chance = random.Random(rounds)
    with client(stack) as user:
        for _ in range(READY if blanks is not None else 0):
            user.end(user.begin())  # as many as were asked for are kept, up to so many
        for number in range(rounds + 1):
            kinds: list[Callable[[], None]] = [
                lambda: played.ours.append(user.live(blanks.check if blanks else None)),
                lambda: played.raw.append(engine.live()),
            ]
            for live in chance.sample(kinds, 2):
                if blanks is not None:
                    blanks.wait()
                live()
            if number:
                tick()
    return Rounds(played.ours[1:], played.raw[1:])


def measures_of(played: Rounds, kind: str, ratio: float) -> list[Measure]:
    """Ready, first output and gone, each beside the raw engine's of the same rounds."""
    first = [life.first_output for life in played.raw]
    removed = [life.remove for life in played.raw]
    goal = Goal("ratio", ratio)
    ready = [life.ready for life in played.ours]
    output = [life.first_output for life in played.ours]
    gone = [life.gone for life in played.ours]
    return [
        Measure(f"POST → ready, {kind}", "s", ready, first, goal, _AGAINST_FIRST),
        Measure(f"POST → first output, {kind}", "s", output, first, goal, _AGAINST_FIRST),
        Measure(f"DELETE → gone, {kind}", "s", gone, removed, Goal("ratio", 1.5), "docker rm -f"),
        Measure(f"POST → 202, {kind}", "s", [life.accepted for life in played.ours], goal=Goal("p95", 0.050)),
    ]


_AGAINST_FIRST = "docker run -d, then docker exec"

STAGES = ("validating", "pulling", "creating", "created", "starting", "configuring", "ready")


def stages_of(lives: Sequence[Life], calls: Sequence[tuple[float, str, str]]) -> list[Measure]:
    """Where the time goes: from one frame to the next, and from the POST to the agent's first call of its engine."""
    first = [_first_call(life, calls) for life in lives]
    accepted = Measure("POST → 202", "s", [life.accepted for life in lives])
    reached = Measure("POST → the agent's first call of the engine", "s", first, goal=Goal("median", 0.060))
    return [accepted, *steps_of(lives), reached]


def steps_of(lives: Sequence[Life]) -> list[Measure]:
    """From the POST to the first output."""
    output = Measure("ready → first output", "s", [life.first_output - life.ready for life in lives])
    return [*frames_of(lives), output]


def frames_of(lives: Sequence[Life]) -> list[Measure]:
    """From the POST to ready, frame by frame; a start that was made ahead tells of fewer."""
    found, before = [], None
    for stage in (each for each in STAGES if all(each in life.frames for life in lives)):
        times = [life.frames[stage] - (life.frames[before] if before else 0.0) for life in lives]
        found.append(Measure(f"{before or 'POST'} → {stage} (frames)", "s", times))
        before = stage
    return found


def _first_call(life: Life, calls: Sequence[tuple[float, str, str]]) -> float:
    at = first_for(calls, life.id, life.posted)
    if at is None:
        raise LookupError("the agent never called its engine")
    return at - life.posted
