"""Who may be asked for images: registries, mirrors and hosts that an operator trusts come in, yes or no goes out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, TypeAdapter

from infra.hostagent.registry.references import DOCKER_HUB

_PORTS = {"https": 443, "http": 80}


class Registry(BaseModel):
    """A public registry: where its API is, who gives out its tokens, and where it sends clients for content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: str
    tokens: str
    content: list[str]


@cache
def registries() -> dict[str, Registry]:
    """The public registries that images may come from, by name."""
    text = resources.files("infra.hostagent.registry").joinpath("registries.json").read_bytes()
    return TypeAdapter(dict[str, Registry]).validate_json(text)


@dataclass(frozen=True, slots=True)
class Site:
    """One place that speaks the registry protocol."""

    url: str
    registry: str
    """Whose images it has."""
    account: str
    """Whose credentials let in here."""

    @property
    def parts(self) -> SplitResult:
        """The parts of its address."""
        return urlsplit(self.url)

    @property
    def private(self) -> bool:
        """Whether nobody listens in on the way there."""
        return self.parts.scheme == "https" or _loopback(self.parts.netloc)


class Trust:
    """What this deployment lets its hosts connect to."""

    def __init__(self, mirrors: Sequence[str] = (), trusted: Iterable[str] = ()) -> None:
        self._mirrors = tuple(url.rstrip("/") for url in mirrors)
        self._trusted = frozenset(trusted) | {urlsplit(url).netloc for url in mirrors}

    def sites(self, registry: str) -> list[Site]:
        """Where to ask for images of this registry, in order; none when it is not to be asked."""
        found = []
        if registry == DOCKER_HUB:
            found = [Site(url, registry, urlsplit(url).netloc) for url in self._mirrors]
        if registry in registries():
            found.append(Site(registries()[registry].endpoint, registry, registry))
        elif registry in self._trusted:
            found.append(Site(f"{'http' if _loopback(registry) else 'https'}://{registry}", registry, registry))
        return found

    def trusts(self, host: str, port: int) -> bool:
        """Whether the operator has named this host, so that it may be at a private address."""
        return f"{host}:{port}" in self._trusted or (port in _PORTS.values() and host in self._trusted)

    def may_send_token_request(self, site: Site, realm: str) -> bool:
        """Whether this is where tokens of the site come from; credentials are shown there."""
        parts = _parts(realm)
        if parts is None:
            return False
        known = registries().get(site.registry)
        if known is not None and site.account == site.registry:
            return parts.scheme == "https" and parts.netloc.removesuffix(":443") == known.tokens
        return self._same(site, parts) or self._between_trusted(site, parts)

    def may_follow(self, site: Site, url: str) -> bool:
        """Whether a client of this site may be sent to this address for content."""
        parts = _parts(url)
        if parts is None:
            return False
        known = registries().get(site.registry)
        listed = known is not None and any(_matches(parts.hostname or "", each) for each in known.content)
        if listed and parts.scheme == "https" and parts.port in (None, _PORTS["https"]):
            return True
        return self._same(site, parts) or self._between_trusted(site, parts)

    def _same(self, site: Site, parts: SplitResult) -> bool:
        return (parts.scheme, parts.netloc) == (site.parts.scheme, site.parts.netloc)

    def _between_trusted(self, site: Site, parts: SplitResult) -> bool:
        """One host of the operator's may send to another; a public registry may not."""
        home = site.parts
        if not self.trusts(home.hostname or "", home.port or _PORTS[home.scheme]):
            return False
        there = self.trusts(parts.hostname or "", parts.port or _PORTS[parts.scheme])
        return there and (parts.scheme == "https" or _loopback(parts.netloc))


def _parts(url: str) -> SplitResult | None:
    """The parts of an address that makes sense and asks nobody to log in."""
    try:
        parts = urlsplit(url)
        sensible = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if sensible and parts.username is None and parts.password is None else None


def _matches(host: str, pattern: str) -> bool:
    return host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _loopback(netloc: str) -> bool:
    return netloc.startswith("127.")
