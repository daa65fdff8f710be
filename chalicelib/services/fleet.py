"""How full the fleet is: its hosts come in, the share reserved goes out, for whoever adds and removes hosts."""

from dataclasses import dataclass

from chalicelib.ports import Clock, HostStore, Metrics


@dataclass(frozen=True, slots=True)
class Fleet:
    """Figures of all hosts together."""

    hosts: HostStore
    clock: Clock
    metrics: Metrics

    def run(self) -> None:
        """Show how many hosts take containers, and the share of them that is reserved; a fleet of none is full."""
        now = self.clock.now()
        taking = [host for host in self.hosts.candidates() if host.placeable(now)]
        share = sum(host.fullness for host in taking) / len(taking) if taking else 1.0
        self.metrics.measure("HostsTakingContainers", len(taking), "Count")
        self.metrics.measure("ReservedShare", round(share, 4), "Count")
