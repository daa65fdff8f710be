"""Registries over TLS: the name is what is vouched for, whatever address it was connected to."""

import datetime as dt
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infra.hostagent.registry.client import RegistryClient, Session
from infra.hostagent.registry.credentials import Credentials
from infra.hostagent.registry.errors import Unanswered
from infra.hostagent.registry.manifests import ACCEPT
from infra.hostagent.registry.network import CheckedBackend, Network
from infra.hostagent.registry.references import parse
from infra.hostagent.registry.trust import Trust
from tests.fakes.registry import StubRegistry, stub_registry, tar_layer

NAME = "registry.corp"


@dataclass
class Served:
    """A registry over TLS, and the file of who vouches for it."""

    stub: StubRegistry
    authority: Path

    @property
    def port(self) -> str:
        return self.stub.address.partition(":")[2]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("tls")
    certificate = _certificate(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, folder / "key.pem")
    listener = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
    with stub_registry(listener) as stub:
        stub.image("a/b", "1", tar_layer(x=b"y"))
        yield Served(stub, certificate)


def _certificate(folder: Path) -> Path:
    """For that name alone, vouching for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return folder / "certificate.pem"


def fetch(served: Served, name: str, authority: Path | None) -> bytes:
    trust = Trust([], [f"{name}:{served.port}"])
    context = ssl.create_default_context(cafile=str(authority) if authority else None)
    backend = CheckedBackend(Network(), trust.trusts, lambda _host, _port: ["127.0.0.1"])
    pool = httpcore.ConnectionPool(ssl_context=context, network_backend=backend)
    client = RegistryClient(pool, trust, Credentials())
    return client.manifest(Session(parse(f"{name}:{served.port}/a/b:1")), "1", ACCEPT)[0]


def test_a_registry_is_known_by_its_name(served: Served) -> None:
    assert fetch(served, NAME, served.authority)


def test_one_that_is_vouched_for_under_another_name_is_not_spoken_to(served: Served) -> None:
    before = len(served.stub.seen)

    with pytest.raises(Unanswered):
        fetch(served, "other.corp", served.authority)
    assert len(served.stub.seen) == before


def test_one_that_nobody_vouches_for_is_not_spoken_to(served: Served) -> None:
    before = len(served.stub.seen)

    with pytest.raises(Unanswered):
        fetch(served, NAME, None)
    assert len(served.stub.seen) == before
