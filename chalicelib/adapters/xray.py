"""Traces to X-Ray: invocations come in, segments with our ids as annotations go out, calls below them.

For deployments that switch it on (`BERTH_TRACING=yes`) and bring the SDK as a layer (ADR 0023): it is loaded for them
alone.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aws_lambda_powertools import Tracer

from chalicelib.contract.tracing import on_bound

PATCHED = ("botocore", "httpx")
"""Libraries whose calls appear below the invocation's segment, by address and verb: no body, no header, no query."""


class XrayTracer:
    """`ports.Tracer`; one for each process, since the SDK's recorder is one."""

    def __init__(self) -> None:
        self._tracer = Tracer(service="berth", patch_modules=PATCHED)
        on_bound(self._annotate)

    @contextmanager
    def invocation(self, function: str) -> Iterator[None]:
        """All that is done inside belongs to this invocation."""
        with self._tracer.provider.in_subsegment(name=f"## {function}"):
            yield

    def _annotate(self, ids: Mapping[str, str]) -> None:
        """What can be searched for: the request's id (`trace`), the container's, the command or event."""
        for name, value in ids.items():
            self._tracer.put_annotation(name, value)
