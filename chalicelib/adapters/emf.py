"""Measurements to CloudWatch by the embedded metric format: they come in one by one, and go out once an invocation."""

import json
import sys
import threading
from collections import defaultdict
from typing import Any, TextIO

from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider
from aws_lambda_powertools.shared.json_encoder import Encoder

NAMESPACE = "Berth"

Dimensions = tuple[tuple[str, str], ...]


class EmfMetrics:
    """`ports.Metrics`; one line per set of dimensions, which CloudWatch's logs take as metrics.

    What has dimensions is a metric without them too: an alarm cannot search for all values of one. On the standard
    output, as Lambda's log is, or on another stream.
    """

    def __init__(self, stage: str, stream: TextIO | None = None) -> None:
        self._stage = stage
        self._stream = stream
        self._lock = threading.Lock()
        self._counts: dict[tuple[Dimensions, str], float] = defaultdict(float)
        self._measures: dict[tuple[Dimensions, str, str], list[float]] = defaultdict(list)

    def count(self, name: str, amount: float = 1, **dimensions: str) -> None:
        with self._lock:
            self._counts[tuple(sorted(dimensions.items())), name] += amount

    def measure(self, name: str, value: float, unit: str, **dimensions: str) -> None:
        with self._lock:
            self._measures[tuple(sorted(dimensions.items())), name, unit].append(value)

    def flush(self) -> None:
        """Write what was counted and measured since the last time."""
        with self._lock:
            counts, measures = dict(self._counts), dict(self._measures)
            self._counts.clear()
            self._measures.clear()
        lines: dict[Dimensions, AmazonCloudWatchEMFProvider] = {}
        for (dimensions, name), amount in counts.items():
            self._line(lines, dimensions).add_metric(name, "Count", amount)
        for (dimensions, name, unit), values in measures.items():
            for value in values:
                self._line(lines, dimensions).add_metric(name, unit, value)
        for line in lines.values():
            self._write(line.serialize_metric_set())

    def _line(
        self, lines: dict[Dimensions, AmazonCloudWatchEMFProvider], dimensions: Dimensions
    ) -> AmazonCloudWatchEMFProvider:
        if dimensions not in lines:
            line = AmazonCloudWatchEMFProvider(metric_set={}, dimension_set={}, metadata_set={}, namespace=NAMESPACE)
            for name, value in (("deployment", self._stage), *dimensions):
                line.add_dimension(name, value)
            if dimensions:
                line.add_dimensions(deployment=self._stage)
            lines[dimensions] = line
        return lines[dimensions]

    def _write(self, line: Any) -> None:
        stream = self._stream or sys.stdout
        stream.write(json.dumps(line, cls=Encoder, separators=(",", ":")) + "\n")
        stream.flush()
