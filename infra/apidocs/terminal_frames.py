"""A terminal's frames as models: a frame's JSON comes in, it is as published or a ValidationError goes out."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from infra.apidocs.answers import Body, VisibleStatus


class ConnectedFrame(Body):
    """The first frame: you are let in."""

    type: Literal["connected"]
    data: str


class ContainerStatusFrame(Body):
    """What the container is, at first and whenever that changes before its shell is there."""

    type: Literal["container_status"]
    data: VisibleStatus


class ShellStartingFrame(Body):
    """A shell is being started."""

    type: Literal["shell_starting"]


class ShellReadyFrame(Body):
    """The shell is there, or is still there."""

    type: Literal["shell_ready"]


class OutputFrame(Body):
    """What was printed; the whole frame has at most 4,096 bytes."""

    type: Literal["output"]
    data: str


class StatsFrame(Body):
    """What the container uses, about once a second while it can be measured; a slow client misses some."""

    type: Literal["stats"]
    data: str = Field(
        description="JSON text of `cpu_percent` (100 is one core), `memory`, `memory_limit`, `disk_read`, `disk_write`, "
        "`disk_usage`, `disk_limit`, `net_rx` and `net_tx` (bytes; what is read, written, received and sent since the "
        "start). `disk_usage` is left out where the host cannot tell it."
    )


class TerminalPingFrame(Body):
    """Every 15 seconds; the answer may be left out."""

    type: Literal["ping"]


class TerminalPongFrame(Body):
    """The answer to `{"type":"ping"}`."""

    type: Literal["pong"]


class TerminalErrorFrame(Body):
    """Why the connection is about to be closed."""

    type: Literal["error"]
    data: str


class InputFrame(Body):
    """To be typed. So is, as it is, every frame that is none of these."""

    type: Literal["input"]
    data: str


class ResizeFrame(Body):
    """How large the terminal is from now on."""

    type: Literal["resize"]
    cols: int = Field(ge=1, le=1000)
    rows: int = Field(ge=1, le=1000)


SERVER_FRAMES: tuple[type[Body], ...] = (
    ConnectedFrame, ContainerStatusFrame, ShellStartingFrame, ShellReadyFrame, OutputFrame, StatsFrame,
    TerminalPingFrame, TerminalPongFrame, TerminalErrorFrame,
)  # fmt: skip
CLIENT_FRAMES: tuple[type[Body], ...] = (InputFrame, ResizeFrame, TerminalPingFrame, TerminalPongFrame)

_Any = Annotated[
    ConnectedFrame
    | ContainerStatusFrame
    | ShellStartingFrame
    | ShellReadyFrame
    | OutputFrame
    | StatsFrame
    | TerminalPingFrame
    | TerminalPongFrame
    | TerminalErrorFrame,
    Field(discriminator="type"),
]
SERVER_FRAME: TypeAdapter[Body] = TypeAdapter(_Any)
"""Any frame a server may send, but with `?raw=1`."""
