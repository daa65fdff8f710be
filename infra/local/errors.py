"""What stops the local cloud from starting or going on.

CloudError
├── PortTaken       another program listens there
├── AppBroken       the Chalice app cannot be imported
├── NotReady        a part did not come up in time
└── Broken          a part has ended that the rest cannot do without
"""


class CloudError(Exception):
    """Root of the tree; the text is one line that says what to do."""


class PortTaken(CloudError):
    """Another program listens there."""

    def __init__(self, port: int, option: str) -> None:
        super().__init__(f"port {port} is taken by another program: stop it, or choose another with {option}")


class AppBroken(CloudError):
    """The Chalice app cannot be imported."""


class NotReady(CloudError):
    """A part did not come up in time."""


class Broken(CloudError):
    """A part has ended that the rest cannot do without."""
