"""What set-up can fail with; each text is one line that says what to do.

GroundError
├── PackagesMissing   programs are missing and cannot be installed from here
├── NoEngine          no Docker engine answers and none can be started
├── NoImage           an image can neither be pulled nor built
└── NoRegistry        the loopback registry did not come up
"""


class GroundError(Exception):
    """Root of the tree."""


class PackagesMissing(GroundError):
    """Programs are missing and cannot be installed from here."""


class NoEngine(GroundError):
    """No Docker engine answers and none can be started."""


class NoImage(GroundError):
    """An image can neither be pulled nor built."""


class NoRegistry(GroundError):
    """The loopback registry did not come up."""
