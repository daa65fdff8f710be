"""Settings: an environment comes in once, a typed value goes out, or MissingSetting naming what is not there."""

from collections.abc import Mapping
from dataclasses import dataclass


class MissingSetting(Exception):
    """A variable that must be set is not; the text names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a function reads from its environment; rates and limits as in api-contract."""

    stage: str
    region: str
    prefix: str
    """Begins the names of all tables and queues, for example `berth-dev`."""
    sockets_endpoint: str
    """Where `@connections` is, for example `https://abc.execute-api.eu-west-1.amazonaws.com/api`."""
    sockets_endpoint_parameter: str
    """Name of the parameter that says where, when the setting itself is empty."""
    terminal_url: str
    """Where the relay of terminals is, up to a container's id, for example `wss://relay.example.com/ws/terminal`."""
    control_private_key: str
    control_key_secret: str
    """Name of the secret with the private key, when the setting itself is empty."""
    control_public_key: str
    control_public_key_parameter: str
    host_role: str
    """Id of the role of the fleet's hosts, which enrol themselves."""
    host_role_parameter: str
    creates_per_minute: int
    creates_per_second: int
    guests_per_day: int
    requests_per_minute: int
    """Of one token, creations apart."""
    unauthenticated_per_minute: int
    """Of one address: refused tokens, guests and service pages."""
    frames_per_second: int
    """Of one WebSocket connection."""
    pulls_per_hour: int
    """Of one user: custom images that the chosen host has not."""
    rate_stride: int
    """Requests that a process counts by itself before it tells the others (`services/rates.py`)."""
    connections_per_user: int
    host_shards: int
    sweep_seconds: int
    """How long one run of the sweeper watches leases; 0 = one look."""
    allowed_origins: tuple[str, ...]
    any_disk: bool
    """Whether containers are placed on hosts, too, that cannot hold them to their disk."""
    tracing: bool
    """Whether invocations are traced by X-Ray; the stage's `xray` must be on too."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """The settings in this environment; every variable begins with `BERTH_`."""
        read = _Reader(env)
        return cls(
            stage=read.text("STAGE", "dev"),
            region=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1",
            prefix=prefix_from(env),
            sockets_endpoint=read.text("SOCKETS_ENDPOINT", ""),
            sockets_endpoint_parameter=read.text("SOCKETS_ENDPOINT_PARAMETER", ""),
            terminal_url=read.text("TERMINAL_URL", ""),
            control_private_key=read.pem("CONTROL_PRIVATE_KEY"),
            control_key_secret=read.text("CONTROL_KEY_SECRET", ""),
            control_public_key=read.pem("CONTROL_PUBLIC_KEY"),
            control_public_key_parameter=read.text("CONTROL_PUBLIC_KEY_PARAMETER", ""),
            host_role=read.text("HOST_ROLE", ""),
            host_role_parameter=read.text("HOST_ROLE_PARAMETER", ""),
            creates_per_minute=read.number("CREATES_PER_MINUTE", 60),
            creates_per_second=read.number("CREATES_PER_SECOND", 5),
            guests_per_day=read.number("GUESTS_PER_DAY", 5),
            requests_per_minute=read.number("REQUESTS_PER_MINUTE", 500),
            unauthenticated_per_minute=read.number("UNAUTHENTICATED_PER_MINUTE", 300),
            frames_per_second=read.number("FRAMES_PER_SECOND", 50),
            pulls_per_hour=read.number("PULLS_PER_HOUR", 5),
            rate_stride=read.number("RATE_STRIDE", 10),
            connections_per_user=read.number("CONNECTIONS_PER_USER", 10),
            host_shards=read.number("HOST_SHARDS", 1),
            sweep_seconds=read.number("SWEEP_SECONDS", 0),
            allowed_origins=tuple(read.text("ALLOWED_ORIGINS", "").split()),
            any_disk=read.yes("ANY_DISK"),
            tracing=read.yes("TRACING"),
        )

    def table(self, name: str) -> str:
        """The full name of a table, for example `berth-dev-containers`."""
        return f"{self.prefix}-{name}"

    def queue(self, name: str) -> str:
        """The full name of a queue, for example `berth-dev-commands.fifo`."""
        return queue_name(self.prefix, name)


def prefix_from(env: Mapping[str, str]) -> str:
    """The prefix alone: all that decorators need while the application is packaged."""
    return env.get("BERTH_PREFIX", "berth-dev")


def queue_name(prefix: str, name: str) -> str:
    """The full name of a queue."""
    return f"{prefix}-{name}.fifo"


@dataclass(frozen=True, slots=True)
class _Reader:
    env: Mapping[str, str]

    def text(self, name: str, default: str | None = None) -> str:
        value = self.env.get(f"BERTH_{name}", default)
        if value is None:
            raise MissingSetting(f"set BERTH_{name} in the function's environment")
        return value

    def pem(self, name: str) -> str:
        """A key; line ends may be written as `\\n`, since environment variables of a stage are one line each."""
        return self.text(name, "").replace("\\n", "\n")

    def yes(self, name: str) -> bool:
        """True for `yes`; absent or `no` is False."""
        value = self.text(name, "no")
        if value not in ("yes", "no"):
            raise MissingSetting(f"BERTH_{name} must be yes or no, not {value!r}")
        return value == "yes"

    def number(self, name: str, default: int) -> int:
        value = self.text(name, str(default))
        if not value.isdigit():
            raise MissingSetting(f"BERTH_{name} must be a whole number, not {value!r}")
        return int(value)
