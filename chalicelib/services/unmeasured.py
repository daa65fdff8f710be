"""Where nobody measures: counts and values come in and are forgotten."""


class Unmeasured:
    """`ports.Metrics` that keeps nothing."""

    def count(self, name: str, amount: float = 1, **dimensions: str) -> None:
        pass

    def measure(self, name: str, value: float, unit: str, **dimensions: str) -> None:
        pass

    def flush(self) -> None:
        pass


UNMEASURED = Unmeasured()
