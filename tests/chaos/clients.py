"""Clients as they should be: they ask again with the same key until they are answered, whatever breaks meanwhile."""

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra.local.berth import Berth

SMALL = {"image": "debian:bookworm", "memory_mb": 256, "cpu_shares": 250, "disk_mb": 1024, "role": "barebone"}
PATIENCE_SECONDS = 150.0
PAUSE_SECONDS = 0.3
IN_FLIGHT = 8
AGAIN = (408, 429, 500, 502, 503, 504)


@dataclass
class Client:
    """One user of the API."""

    http: httpx.Client
    accepted: list[str] = field(default_factory=list)

    def create(self) -> str:
        """Ask for a container until it is accepted; its id."""
        key = str(uuid.uuid4())
        answer = self._until("POST", "/containers", (202,), json=SMALL, headers={"Idempotency-Key": key})
        self.accepted.append(answer.json()["id"])
        return self.accepted[-1]

    def delete(self, container_id: str) -> None:
        """Ask for its deletion until it is gone."""
        self._until("DELETE", f"/containers/{container_id}", (200, 404))

    def start(self, container_id: str) -> None:
        """Ask for it to run again."""
        self._until("POST", f"/containers/{container_id}/start", (200, 202))

    def get(self, container_id: str) -> dict[str, Any]:
        """The container as its user sees it."""
        return dict(self._until("GET", f"/containers/{container_id}", (200,)).json())

    def last_event(self, container_id: str) -> str:
        """The type of its last frame."""
        return str(self._until("GET", f"/containers/{container_id}/events", (200,)).json()["events"][-1]["type"])

    def statuses(self) -> dict[str, str]:
        """Status by id of all this user's containers."""
        answer = self._until("GET", "/containers", (200,))
        return {item["id"]: item["status"] for item in answer.json()["containers"]}

    def _until(self, method: str, path: str, good: Sequence[int], **options: Any) -> httpx.Response:
        ends = time.monotonic() + PATIENCE_SECONDS
        while True:
            said = "no answer"
            try:
                answer = self.http.request(method, path, **options)
                if answer.status_code in good:
                    return answer
                said = f"{answer.status_code} {answer.text[:200]}"
                assert answer.status_code in AGAIN, f"{method} {path}: {said}"
            except httpx.HTTPError as error:
                said = type(error).__name__
            assert time.monotonic() < ends, f"{method} {path} was never answered well: {said}"
            time.sleep(PAUSE_SECONDS)


def client_of(berth: Berth, tier: str = "enterprise") -> Client:
    """A new user's client."""
    made = berth.new_user(tier)
    headers = {"Authorization": f"Bearer {made['token']}"}
    return Client(httpx.Client(base_url=berth.url, headers=headers, timeout=12, trust_env=False))


@dataclass
class Load:
    """Calls under way in threads of their own."""

    pool: ThreadPoolExecutor
    calls: "list[Future[Any]]"
    done: threading.Semaphore

    def under_way(self, least: int) -> None:
        """Return when so many calls have been answered."""
        for _ in range(min(least, len(self.calls))):
            self.done.acquire(timeout=PATIENCE_SECONDS)

    def join(self) -> list[Any]:
        """All answers; the first failure is raised here."""
        try:
            return [call.result() for call in self.calls]
        finally:
            self.pool.shutdown(cancel_futures=True)


def load_of(calls: Sequence[Callable[[], Any]]) -> Load:
    """Begin all these calls, eight at a time."""
    pool, done = ThreadPoolExecutor(IN_FLIGHT), threading.Semaphore(0)
    futures = [pool.submit(call) for call in calls]
    for future in futures:
        future.add_done_callback(lambda _: done.release())
    return Load(pool, futures, done)
