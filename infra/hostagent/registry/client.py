"""The registry protocol (distribution spec 1.1), reading only: a reference comes in, manifests and layers go out.

Redirects and token addresses are followed to hosts on the registry's list alone; credentials go to those, and no
further. What a registry says is read up to a limit, and none of it is passed on in an error.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

import httpcore

from infra.hostagent.registry.credentials import Credentials
from infra.hostagent.registry.errors import Denied, Forbidden, ImageFault, NotFound, Unanswered, Unsupported
from infra.hostagent.registry.references import DIGEST, Reference
from infra.hostagent.registry.trust import Site, Trust

CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
MOST_REDIRECTS = 5
MANIFEST_BYTES, TOKEN_BYTES = 4 * 1024 * 1024, 256 * 1024
DIGEST_HEADER = b"docker-content-digest"

_TIMEOUT = {"connect": CONNECT_SECONDS, "read": READ_SECONDS, "write": CONNECT_SECONDS, "pool": CONNECT_SECONDS}
_CHALLENGE = re.compile(r'([a-zA-Z_]+)="([^"]*)"')
_REDIRECTS = (301, 302, 303, 307, 308)

Outcome = TypeVar("Outcome")
Headers = dict[str, str]


@dataclass(slots=True)
class Session:
    """One image's way through its registry: what it was let in with, by site."""

    where: Reference
    authorizations: Headers = field(default_factory=dict)


class RegistryClient:
    """Reads images of registries, through a pool whose connections are checked."""

    def __init__(self, pool: httpcore.ConnectionPool, trust: Trust, credentials: Credentials) -> None:
        self._pool = pool
        self._trust = trust
        self._credentials = credentials

    def manifest(self, session: Session, wanted: str, accept: str) -> tuple[bytes, str]:
        """Body and media type of what a tag or digest names. An ImageFault otherwise."""

        def read(site: Site) -> tuple[bytes, str]:
            path = f"/v2/{session.where.repository}/manifests/{wanted}"
            with self._opened(session, site, path, {"Accept": accept}) as answer:
                kind = _header(answer, b"content-type").partition(";")[0].strip()
                return _whole(answer, MANIFEST_BYTES), kind

        return self._anywhere(session, read)

    def digest(self, session: Session, wanted: str, accept: str) -> str | None:
        """What a tag names, without reading it; None when the registry does not say. An ImageFault otherwise."""

        def read(site: Site) -> str:
            path = f"/v2/{session.where.repository}/manifests/{wanted}"
            with self._opened(session, site, path, {"Accept": accept}, "HEAD") as answer:
                return _header(answer, DIGEST_HEADER)

        said = self._anywhere(session, read)
        return said if DIGEST.fullmatch(said) else None

    def small_blob(self, session: Session, digest: str, limit: int) -> bytes:
        """A blob of at most so many bytes, such as a configuration. An ImageFault otherwise."""

        def read(site: Site) -> bytes:
            with self._opened(session, site, f"/v2/{session.where.repository}/blobs/{digest}") as answer:
                return _whole(answer, limit)

        return self._anywhere(session, read)

    @contextmanager
    def blob(self, session: Session, digest: str) -> Iterator[Iterator[bytes]]:
        """A blob as it comes. An ImageFault, or httpcore's errors once it has begun."""
        path = f"/v2/{session.where.repository}/blobs/{digest}"
        last: ImageFault = Forbidden()
        for site in self._trust.sites(session.where.registry):
            begun = False
            try:
                with self._opened(session, site, path) as answer:
                    begun = True
                    yield answer.iter_stream()
                    return
            except (NotFound, Unanswered) as error:
                if begun:
                    raise
                last = error
        raise last

    def _anywhere(self, session: Session, read: Callable[[Site], Outcome]) -> Outcome:
        """From the first site that has it: mirrors may lack an image, or be down."""
        last: ImageFault = Forbidden()
        for site in self._trust.sites(session.where.registry):
            try:
                return read(site)
            except (NotFound, Unanswered) as error:
                last = error
        raise last

    @contextmanager
    def _opened(
        self, session: Session, site: Site, path: str, headers: Headers | None = None, method: str = "GET"
    ) -> Iterator[httpcore.Response]:
        """The 200 to a request at a site, whatever it takes to be let in."""
        for attempt in (1, 2):
            known = session.authorizations.get(site.url)
            shown = (headers or {}) | ({"Authorization": known} if known else {})
            with self._followed(site, path, shown, method) as answer:
                if answer.status == 200:
                    yield answer
                    return
                if answer.status != 401 or attempt == 2:
                    raise _fault(answer.status)
                challenge = _header(answer, b"www-authenticate")
            session.authorizations[site.url] = self._authorization(session.where, site, challenge)

    @contextmanager
    def _followed(self, site: Site, path: str, headers: Headers, method: str) -> Iterator[httpcore.Response]:
        """The answer after redirects; who asks elsewhere shows nothing of what lets him in here."""
        url = f"{site.url}{path}"
        for _ in range(MOST_REDIRECTS):
            with self._asked(url, headers, method) as answer:
                if answer.status not in _REDIRECTS:
                    yield answer
                    return
                following = urljoin(url, _header(answer, b"location"))
            if not self._trust.may_follow(site, following):
                raise Forbidden
            if urlsplit(following).netloc != urlsplit(url).netloc:
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = following
        raise Unanswered

    @contextmanager
    def _asked(self, url: str, headers: Headers, method: str = "GET") -> Iterator[httpcore.Response]:
        sent = [("Host", urlsplit(url).netloc), ("User-Agent", "berth"), *headers.items()]
        try:
            with self._pool.stream(method, url, headers=sent, extensions={"timeout": _TIMEOUT}) as answer:
                yield answer
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            raise Unanswered from error
        except (httpcore.UnsupportedProtocol, UnicodeError, ValueError) as error:
            raise Forbidden from error

    def _authorization(self, where: Reference, site: Site, challenge: str) -> str:
        """What lets us in, as this challenge wants it."""
        basic = self._credentials.basic(site.account)
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            if basic is None or not site.private:
                raise Denied
            return basic
        fields = dict(_CHALLENGE.findall(rest))
        realm = fields.get("realm", "")
        if scheme.lower() != "bearer" or not self._trust.may_send_token_request(site, realm):
            raise Forbidden
        query = {"scope": f"repository:{where.repository}:pull"}
        if "service" in fields:
            query["service"] = fields["service"]
        joint = "&" if urlsplit(realm).query else "?"
        return f"Bearer {self._token(f'{realm}{joint}{urlencode(query)}', basic)}"

    def _token(self, url: str, basic: str | None) -> str:
        """Without a redirect: a token's address is said by the registry, and checked, once."""
        with self._asked(url, {"Authorization": basic} if basic else {}) as answer:
            if answer.status in _REDIRECTS:
                raise Forbidden
            if answer.status != 200:
                raise _fault(answer.status)
            body = _whole(answer, TOKEN_BYTES)
        try:
            found = json.loads(body)
            token = found.get("token") or found["access_token"]
        except (ValueError, KeyError, AttributeError, RecursionError) as error:
            raise Unanswered from error
        if not isinstance(token, str) or not re.fullmatch(r"[!-~]{1,16384}", token):
            raise Unanswered
        return token


def _fault(status: int) -> ImageFault:
    if status in (401, 403):
        return Denied()
    if status in (404, 410):
        return NotFound()
    return Unanswered()


def _header(answer: httpcore.Response, wanted: bytes) -> str:
    for name, value in answer.headers:
        if name.lower() == wanted:
            return value.decode("latin-1")
    return ""


def _whole(answer: httpcore.Response, limit: int) -> bytes:
    body = bytearray()
    for chunk in answer.iter_stream():
        body += chunk
        if len(body) > limit:
            raise Unsupported("what its registry says of it is too long")
    return bytes(body)
