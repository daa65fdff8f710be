"""How far a pull is: the engine's progress lines come in, a percentage that never falls goes out (docker-notes §6).

A layer counts by its bytes, half for the download and half for unpacking; a layer whose size is not known yet counts
as much as the largest that is.
"""

from dataclasses import dataclass, field
from typing import Any

from chalicelib.contract.statuses import PROGRESS, PULLED, Stage

_START = PROGRESS[Stage.PULLING]
_SHARE = {"Download complete": 0.5, "Verifying Checksum": 0.5, "Pull complete": 1.0}
_THERE = "Already exists"
"""Layers that are on the host already are told of before the others are known, and so do not count."""


@dataclass(slots=True)
class PullProgress:
    """Collects the lines of one pull."""

    _sizes: dict[str, int] = field(default_factory=dict)
    _shares: dict[str, float] = field(default_factory=dict)
    _highest: int = _START

    def take(self, line: dict[str, Any]) -> int:
        """Per cent after this line, from the start of the stage to just below its end."""
        layer, status = line.get("id"), str(line.get("status", ""))
        if status == _THERE:
            return self._highest
        if layer and not status.startswith("Pulling from"):
            self._shares[layer] = max(self._shares.get(layer, 0.0), self._share(layer, status, line))
        self._highest = max(self._highest, self._percent())
        return self._highest

    def _share(self, layer: str, status: str, line: dict[str, Any]) -> float:
        detail = line.get("progressDetail") or {}
        total, current = int(detail.get("total") or 0), int(detail.get("current") or 0)
        if total > 0:
            self._sizes[layer] = total
            part = min(current / total, 1.0) / 2
            return part if status == "Downloading" else part + 0.5
        return _SHARE.get(status, 0.0)

    def _percent(self) -> int:
        if not self._shares:
            return _START
        largest = max(self._sizes.values(), default=1)
        weights = {layer: self._sizes.get(layer, largest) for layer in self._shares}
        done = sum(weights[layer] * share for layer, share in self._shares.items()) / sum(weights.values())
        return min(_START + int((PULLED - _START) * done), PULLED - 1)
