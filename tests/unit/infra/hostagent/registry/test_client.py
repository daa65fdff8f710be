"""The client of registries against stubs that lead astray: nobody is asked, and nothing is shown, who must not be."""

import json
from collections.abc import Iterator

import httpcore
import pytest

from infra.hostagent.registry.client import RegistryClient, Session
from infra.hostagent.registry.credentials import Credentials
from infra.hostagent.registry.errors import Denied, Forbidden, ImageFault, NotFound, Unanswered, Unsupported
from infra.hostagent.registry.manifests import ACCEPT
from infra.hostagent.registry.network import CheckedBackend, Network
from infra.hostagent.registry.references import parse
from infra.hostagent.registry.trust import Trust
from tests.fakes.registry import Answer, StubRegistry, stub_registry, tar_layer

BASIC = "Basic Y2FuYXJ5OnMzY3JldA=="


class Watched(CheckedBackend):
    """Notes every host that a connection was asked for."""

    def __init__(self, trust: Trust) -> None:
        super().__init__(Network(), trust.trusts)
        self.hosts: list[str] = []

    def connect_tcp(self, host: str, port: int, *rest: object, **named: object) -> httpcore.NetworkStream:
        self.hosts.append(f"{host}:{port}")
        return super().connect_tcp(host, port, *rest, **named)  # type: ignore[arg-type]


@pytest.fixture
def registry() -> Iterator[StubRegistry]:
    with stub_registry() as stub:
        stub.image("a/b", "1", tar_layer(x=b"y"))
        yield stub


@pytest.fixture
def other() -> Iterator[StubRegistry]:
    """Another service on a private address."""
    with stub_registry() as stub:
        yield stub


def a_client(
    *trusted: StubRegistry, credentials: Credentials | None = None, mirrors: tuple[str, ...] = ()
) -> tuple[RegistryClient, Watched]:
    trust = Trust(mirrors, [each.address for each in trusted])
    backend = Watched(trust)
    pool = httpcore.ConnectionPool(network_backend=backend)
    return RegistryClient(pool, trust, credentials or Credentials()), backend


def fetch(client: RegistryClient, reference: str) -> bytes:
    where = parse(reference)
    return client.manifest(Session(where), where.wanted, ACCEPT)[0]


def test_a_manifest_is_read(registry: StubRegistry) -> None:
    client, _ = a_client(registry)

    assert json.loads(fetch(client, f"{registry.address}/a/b:1"))["schemaVersion"] == 2


def test_a_registry_that_nobody_listed_is_not_asked(registry: StubRegistry) -> None:
    client, backend = a_client()

    with pytest.raises(Forbidden):
        fetch(client, f"{registry.address}/a/b:1")
    assert backend.hosts == []


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://169.254.170.2/v2/",
        "http://127.0.0.1:{other}/v2/x", "//127.0.0.1:{other}/v2/x", "http://localhost:{other}/", "http://10.0.0.1/",
        "http://user:pass@127.0.0.1:{here}/v2/x", "https://127.0.0.1:{here}/v2/x", "file:///etc/passwd", "gopher://x/",
        "http://2130706433:{other}/", "http://0x7f.1:{other}/", "https://evil.example/", "http://", "http://[::1",
        "http://127.0.0.1:99999/",
    ],
)  # fmt: skip
def test_a_redirect_to_anywhere_else_is_not_followed(
    registry: StubRegistry, other: StubRegistry, location: str
) -> None:
    client, backend = a_client(registry)
    ports = {"other": other.address.partition(":")[2], "here": registry.address.partition(":")[2]}
    target = location.format(**ports)
    registry.answers["/v2/a/b/manifests/2"] = Answer(307, headers={"Location": target})

    with pytest.raises(ImageFault):
        fetch(client, f"{registry.address}/a/b:2")
    assert other.seen == []
    assert set(backend.hosts) <= {registry.address}


def test_redirects_end_some_time(registry: StubRegistry) -> None:
    client, _ = a_client(registry)
    registry.answers["/v2/a/b/manifests/2"] = Answer(302, headers={"Location": "/v2/a/b/manifests/2"})

    with pytest.raises(Unanswered):
        fetch(client, f"{registry.address}/a/b:2")
    assert len(registry.asked("manifests/2")) == 5


@pytest.mark.parametrize(
    "realm", ["http://{other}/token", "http://169.254.169.254/token", "https://evil.example/t", ""]
)
def test_a_realm_elsewhere_gets_neither_a_request_nor_credentials(
    registry: StubRegistry, other: StubRegistry, realm: str
) -> None:
    credentials = Credentials({registry.address: BASIC})
    client, backend = a_client(registry, credentials=credentials)
    registry.challenge = f'Bearer realm="{realm.format(other=other.address)}",service="s"'

    with pytest.raises(Forbidden):
        fetch(client, f"{registry.address}/a/b:1")
    assert other.seen == []
    assert set(backend.hosts) == {registry.address}


def test_credentials_go_to_the_registrys_own_token_service_and_the_token_to_the_registry(
    registry: StubRegistry,
) -> None:
    client, _ = a_client(registry, credentials=Credentials({registry.address: BASIC}))
    registry.challenge = f'Bearer realm="{registry.url}/token",service="s"'
    registry.accepts = "Bearer good"
    registry.answers["/token"] = Answer(body=b'{"token": "good"}')

    assert fetch(client, f"{registry.address}/a/b:1")
    [(path, headers)] = [each for each in registry.seen if each[0].startswith("/token")]
    assert headers["authorization"] == BASIC
    assert "scope=repository%3Aa%2Fb%3Apull" in path


def test_what_lets_in_at_a_registry_is_not_shown_where_it_redirects_to(
    registry: StubRegistry, other: StubRegistry
) -> None:
    client, _ = a_client(registry, other, credentials=Credentials({registry.address: BASIC}))
    registry.challenge, registry.accepts = 'Basic realm="x"', BASIC
    content = b"content"
    blob = other.blob("a/b", content)
    path = f"/v2/a/b/blobs/{blob}"
    registry.answers[path] = Answer(307, headers={"Location": f"{other.url}{path}"})

    assert client.small_blob(Session(parse(f"{registry.address}/a/b:1")), blob, 100) == content
    assert "authorization" not in other.seen[0][1]
    assert registry.seen[-1][1]["authorization"] == BASIC


def test_a_token_service_that_redirects_is_left(registry: StubRegistry, other: StubRegistry) -> None:
    client, _ = a_client(registry, other, credentials=Credentials({registry.address: BASIC}))
    registry.challenge = f'Bearer realm="{registry.url}/token"'
    registry.answers["/token"] = Answer(302, headers={"Location": f"{other.url}/token"})

    with pytest.raises(Forbidden):
        fetch(client, f"{registry.address}/a/b:1")
    assert other.seen == []


@pytest.mark.parametrize(
    "said",
    [b"", b"{}", b"[]", b'"x"', b'{"token": 5}', b'{"token": "a\\r\\nX: y"}', b"[" * 100_000, b'{"token": ""}'],
)
def test_a_token_that_is_none_is_no_answer(registry: StubRegistry, said: bytes) -> None:
    client, _ = a_client(registry)
    registry.challenge = f'Bearer realm="{registry.url}/token"'
    registry.answers["/token"] = Answer(body=said)

    with pytest.raises(Unanswered):
        fetch(client, f"{registry.address}/a/b:1")


@pytest.mark.parametrize(
    ("status", "fault"), [(404, NotFound), (403, Denied), (429, Unanswered), (500, Unanswered), (204, Unanswered)]
)
def test_refusals_are_told_apart(registry: StubRegistry, status: int, fault: type[ImageFault]) -> None:
    client, _ = a_client(registry)
    registry.answers["/v2/a/b/manifests/2"] = Answer(status)

    with pytest.raises(fault):
        fetch(client, f"{registry.address}/a/b:2")


def test_without_credentials_a_private_image_is_denied(registry: StubRegistry) -> None:
    client, _ = a_client(registry)
    registry.challenge = 'Basic realm="x"'

    with pytest.raises(Denied):
        fetch(client, f"{registry.address}/a/b:1")


def test_a_manifest_without_end_is_not_read_to_its_end(registry: StubRegistry) -> None:
    client, _ = a_client(registry)
    registry.answers["/v2/a/b/manifests/2"] = Answer(body=b"x" * 5_000_000)

    with pytest.raises(Unsupported):
        fetch(client, f"{registry.address}/a/b:2")


def test_nobody_listening_is_no_answer() -> None:
    with stub_registry() as gone:
        address = gone.address
        client, _ = a_client(gone)

    with pytest.raises(Unanswered):
        fetch(client, f"{address}/a/b:1")


def test_a_mirror_is_asked_first_for_images_of_the_hub_and_for_no_others(registry: StubRegistry) -> None:
    registry.image("library/debian", "bookworm", tar_layer(x=b"y"))
    client, backend = a_client(mirrors=(registry.url,))

    assert fetch(client, "debian:bookworm")
    assert backend.hosts == [registry.address]
    with pytest.raises(ImageFault):
        fetch(client, "127.0.0.1:1/library/debian:bookworm")
    assert backend.hosts == [registry.address]


def test_the_hubs_credentials_are_not_shown_to_a_mirror(registry: StubRegistry) -> None:
    registry.challenge = 'Basic realm="x"'
    client, _ = a_client(mirrors=(registry.url,), credentials=Credentials({"docker.io": BASIC}))

    with pytest.raises(ImageFault):
        fetch(client, "debian:bookworm")
    assert all("authorization" not in headers for _, headers in registry.seen)
