"""What can be wrong with LocalStack: one error, whose text says it all."""

from infra.local.errors import CloudError


class CannotStart(CloudError):
    """LocalStack does not run here; the text says why."""
