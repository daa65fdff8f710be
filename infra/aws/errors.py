"""What can go wrong while deploying, each told in one line."""


class DeployError(Exception):
    """The text says what failed and what to do."""
