"""What a host is told to make: a record and the time come in, the spec goes out."""

from datetime import datetime

from chalicelib.contract.agent_api import ContainerSpec
from chalicelib.contract.statuses import Status
from chalicelib.domain import catalogue
from chalicelib.domain.container import Container

ADOPTION_SECONDS = 60.0
"""How long a host may take to take up again what it has forgotten; the creation's own deadline has passed."""


def spec_of(container: Container, now: datetime, *, any_disk: bool = False) -> ContainerSpec:
    """The spec of this container; times as seconds from now, since clocks differ.

    With `any_disk` the host takes it also when it cannot hold it to its disk.
    """
    left = (container.deadline - now).total_seconds() if container.status is Status.CREATING else ADOPTION_SECONDS
    expires = container.expires_at
    return ContainerSpec(
        container_id=container.id,
        user_id=container.user_id,
        generation=container.generation,
        name=container.name,
        image=container.image_reference,
        role=container.role,
        shell=container.shell,
        resources=container.resources,
        environment=container.environment,
        labels=container.labels,
        network_mode=container.network_mode,
        allowed_domains=container.allowed_domains,
        runtime=catalogue.tiers()[container.tier].runtime,
        create_seconds=max(1.0, left),
        expires_in_seconds=max(1.0, (expires - now).total_seconds()) if expires else None,
        number=container.number,
        disk_limited=not any_disk,
    )
