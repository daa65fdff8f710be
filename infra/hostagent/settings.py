"""The agent's settings: a command line comes in, typed settings go out."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from infra.hostagent.images.sources import Sources, sources_of
from infra.hostagent.registry.setup import RegistryOptions


@dataclass(frozen=True, slots=True)
class Settings:
    """How one agent runs; times in seconds."""

    host_id: str
    address: str
    port: int
    endpoint: str
    data: Path
    engine: str
    engine_netns: str | None
    engine_root: Path
    control_key: Path
    events_queue_url: str
    development: bool
    draining: bool
    remove_on_stop: bool
    pull_seconds: float
    heartbeat_seconds: float
    look_seconds: float
    engine_patience_seconds: float
    grace_seconds: float
    inventory_seconds: float
    terminal_grace_seconds: float
    resolv_conf: Path
    networks_ready: int
    default_runtime: str | None
    """None for crun, where the engine has it and it works."""
    disk_overcommit: int
    """How many times its free disk the host offers."""
    warm_memory_mb: int
    warm_images: tuple[str, ...]
    """Empty for those that the pool has of itself."""
    registries: RegistryOptions
    sources: Sources

    @property
    def network(self) -> str:
        """The engine network of this host's containers."""
        return f"berth-{self.host_id}"

    @property
    def held_network(self) -> str:
        """The engine network of those that are held to names."""
        return f"berth-held-{self.host_id}"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line, with `verb` `serve` or `keygen`."""
    parser = argparse.ArgumentParser(prog="python -m infra.hostagent", description="Berth's Docker host agent.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    keygen = verbs.add_parser("keygen", help="make this host's key and print the public half for enrolment")
    keygen.add_argument("--data", type=Path, required=True, help="folder of the agent's journal and key")
    serve = verbs.add_parser("serve", help="take calls and keep containers")
    serve.add_argument("--data", type=Path, required=True, help="folder of the agent's journal and key")
    serve.add_argument("--host-id", required=True, help="the id the host is enrolled under")
    serve.add_argument("--listen", default="127.0.0.1:7070", help="address:port for the control plane's calls")
    serve.add_argument("--endpoint", help="how the control plane reaches it (default: http://LISTEN)")
    serve.add_argument("--engine", default="unix:///var/run/docker.sock", help="the engine's socket")
    serve.add_argument("--engine-netns", help="network namespace of the engine's bridges, if not the machine's own")
    serve.add_argument("--engine-root", type=Path, default=Path("/"), help="where the engine's file system is for us")
    serve.add_argument("--control-key", type=Path, required=True, help="file with the control plane's public key")
    serve.add_argument("--events-queue-url", required=True, help="where events go")
    serve.add_argument("--dev", action="store_true", help="accept an old engine and a missing firewall, and say so")
    serve.add_argument("--drain", action="store_true", help="take no new containers")
    serve.add_argument("--remove-on-stop", action="store_true", help="remove all containers of this host at the end")
    serve.add_argument("--pull-seconds", type=float, default=240.0, help="longest pull")
    serve.add_argument("--heartbeat-seconds", type=float, default=10.0, help="between two heartbeats")
    serve.add_argument("--look-seconds", type=float, default=10.0, help="between two looks at the engine")
    serve.add_argument(
        "--engine-patience-seconds", type=float, default=45.0, help="how long a creation waits for a silent engine"
    )
    serve.add_argument(
        "--grace-seconds", type=float, default=300.0, help="age before the control plane is asked about a container"
    )
    serve.add_argument("--inventory-seconds", type=float, default=60.0, help="between two inventories")
    serve.add_argument(
        "--terminal-grace-seconds", type=float, default=60.0, help="how long a shell that nobody attends is kept"
    )
    serve.add_argument(
        "--resolv-conf", type=Path, default=Path("/etc/resolv.conf"), help="names the resolvers that are asked"
    )
    serve.add_argument("--networks-ready", type=int, default=4, help="network namespaces kept ready (0 = none)")
    runtime = "of containers whose tier names none (default: crun where the engine has it and it works)"
    serve.add_argument("--default-runtime", metavar="NAME", help=runtime)
    serve.add_argument(
        "--disk-overcommit",
        type=_times,
        default=1,
        metavar="TIMES",
        help="offer the free disk so many times over: what containers may fill together is then more than there is",
    )
    serve.add_argument(
        "--warm-memory", type=int, default=0, metavar="MB", help="memory for containers started ahead (0 = none)"
    )
    serve.add_argument(
        "--warm-image", action="append", default=[], metavar="IMAGE", help="what they may be made of; may be said again"
    )
    serve.add_argument("--sources", type=Path, help="JSON file: where images being prepared get packages from")
    _registry_options(serve)
    return parser.parse_args(arguments)


def _times(said: str) -> int:
    if (times := int(said)) < 1:
        raise ValueError
    return times


def _registry_options(serve: argparse.ArgumentParser) -> None:
    mirrors = "asked first for images of Docker Hub; may be said again"
    serve.add_argument("--registry-mirror", action="append", default=[], metavar="URL", help=mirrors)
    trusted = "a registry that may be at a private address (127.* also without TLS); may be said again"
    serve.add_argument("--trusted-registry", action="append", default=[], metavar="HOST[:PORT]", help=trusted)
    serve.add_argument("--registry-credentials", type=Path, help="Docker's config.json with auths, mode 0600")
    refresh = "before a registry is asked again about a tag that is used (0 = tags stay what they were)"
    serve.add_argument("--refresh-hours", type=float, default=24.0, help=refresh)
    serve.add_argument("--direct-pulls", action="store_true", help="let the engine pull unchecked; with --dev only")


def _registries(parsed: argparse.Namespace) -> RegistryOptions:
    mirrors, trusted = tuple(parsed.registry_mirror), tuple(parsed.trusted_registry)
    return RegistryOptions(
        mirrors, trusted, parsed.registry_credentials, parsed.direct_pulls, refresh_hours=parsed.refresh_hours
    )


def settings_of(parsed: argparse.Namespace) -> Settings:
    """The settings of `serve`."""
    address, _, port = parsed.listen.rpartition(":")
    return Settings(
        host_id=parsed.host_id,
        address=address,
        port=int(port),
        endpoint=parsed.endpoint or f"http://{parsed.listen}",
        data=parsed.data,
        engine=parsed.engine,
        engine_netns=parsed.engine_netns,
        engine_root=parsed.engine_root,
        control_key=parsed.control_key,
        events_queue_url=parsed.events_queue_url,
        development=parsed.dev,
        draining=parsed.drain,
        remove_on_stop=parsed.remove_on_stop,
        pull_seconds=parsed.pull_seconds,
        heartbeat_seconds=parsed.heartbeat_seconds,
        look_seconds=parsed.look_seconds,
        engine_patience_seconds=parsed.engine_patience_seconds,
        grace_seconds=parsed.grace_seconds,
        inventory_seconds=parsed.inventory_seconds,
        terminal_grace_seconds=parsed.terminal_grace_seconds,
        resolv_conf=parsed.resolv_conf,
        networks_ready=parsed.networks_ready,
        default_runtime=parsed.default_runtime,
        disk_overcommit=parsed.disk_overcommit,
        warm_memory_mb=parsed.warm_memory,
        warm_images=tuple(parsed.warm_image),
        registries=_registries(parsed),
        sources=sources_of(parsed.sources),
    )
