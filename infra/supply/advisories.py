"""Known vulnerabilities: a lock comes in, what an advisory service says of its packages goes out, or that none answers.

An answer is kept under the hash of the lock, for a day, or for an hour when some packages were unknown to the service.
What could not be asked is told as that, and never taken for "none".
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from infra.supply.locks import PROJECT

CACHE = PROJECT / ".berth/advisories"
HOUR = 3600.0
DAY = 24 * HOUR
_PROBE = "https://pypi.org/pypi/pip/json"


class NotAsked(Exception):
    """No advisory service could be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Vulnerability:
    package: str
    version: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.package} {self.version}: {', '.join(self.ids)}"


@dataclass(frozen=True, slots=True)
class Known:
    """What the service said, and the packages it knows nothing of."""

    vulnerabilities: tuple[Vulnerability, ...]
    unknown: tuple[str, ...]


Ask = Callable[[Path], dict[str, Any]]


def known_of(lock: Path, ask: Ask, now: float, cache: Path = CACHE) -> Known:
    """What is known of the lock's packages, or NotAsked."""
    kept = cache / f"{hashlib.sha256(lock.read_bytes()).hexdigest()}.json"
    if kept.exists():
        known = _read(json.loads(kept.read_text()))
        if now - kept.stat().st_mtime < (HOUR if known.unknown else DAY):
            return known
    answer = ask(lock)
    known = _read(answer)
    cache.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(answer))
    return known


def ask_pip_audit(lock: Path) -> dict[str, Any]:
    """pip-audit's report, once its service is seen to answer: asking it for a hundred packages in vain takes long."""
    try:
        told = httpx.get(_PROBE, timeout=5, follow_redirects=True)
        known = told.status_code == httpx.codes.OK and "vulnerabilities" in told.json()
    except (httpx.HTTPError, ValueError) as error:
        raise NotAsked(f"the advisory service does not answer ({type(error).__name__})") from None
    if not known:
        raise NotAsked(f"the advisory service does not answer as such ({told.status_code})")
    program = str(Path(sys.executable).with_name("pip-audit"))
    options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run([program, *options, "-r", str(lock)], capture_output=True, text=True, check=False)
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise NotAsked(f"pip-audit failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}") from None
    return report


def _read(report: dict[str, Any]) -> Known:
    packages = report["dependencies"]
    if not packages:
        raise NotAsked("pip-audit has looked at nothing")
    found = (
        Vulnerability(each["name"], each["version"], (of["id"], *of.get("aliases", ())))
        for each in packages
        for of in each.get("vulns", ())
    )
    return Known(tuple(found), tuple(each["name"] for each in packages if "skip_reason" in each))
