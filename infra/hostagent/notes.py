"""Ids of what runs inside containers: kept on disk while it runs, so that what an agent left behind is killed later."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.hostagent.ports import Engine, EngineError

log = logging.getLogger("berth.agent.exec")


@dataclass(slots=True)
class Notes:
    """One empty file for each command or shell that was begun and is not known to have ended."""

    engine: Engine
    folder: Path
    _own: set[str] = field(default_factory=set)
    """Ids of what this process runs."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, exec_id: str) -> None:
        """It is about to run, and ours."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._own.add(exec_id)
        (self.folder / exec_id).touch()

    @contextmanager
    def kept(self, exec_id: str) -> Iterator[None]:
        """On disk until it is known to have ended; what breaks the block leaves it to `sweep`."""
        self.keep(exec_id)
        try:
            yield
        finally:
            self._leave(exec_id)

    def ended(self, exec_id: str) -> None:
        """It has ended by itself."""
        self._leave(exec_id)
        (self.folder / exec_id).unlink(missing_ok=True)

    def end(self, exec_id: str) -> bool:
        """Kill it, and forget it once it has ended; if it cannot be killed now, `sweep` tries again."""
        try:
            self.engine.end(exec_id)
        except EngineError as error:
            log.warning("command cannot be killed yet", extra={"reason": type(error).__name__})
            return False
        finally:
            self._leave(exec_id)
        (self.folder / exec_id).unlink(missing_ok=True)
        return True

    def sweep(self) -> None:
        """Kill what was left behind; what cannot be killed now is tried again next time."""
        for note in list(self.folder.iterdir()) if self.folder.is_dir() else []:
            with self._lock:
                ours = note.name in self._own
            if not ours:
                self.end(note.name)

    def _leave(self, exec_id: str) -> None:
        with self._lock:
            self._own.discard(exec_id)
