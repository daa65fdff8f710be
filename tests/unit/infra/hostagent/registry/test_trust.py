"""References, registries and credentials: what is read of them, and what is not shown."""

import base64
import json
from pathlib import Path

import pytest

from chalicelib.domain import catalogue
from infra.hostagent.registry.credentials import BadCredentials, read_credentials
from infra.hostagent.registry.references import Reference, parse
from infra.hostagent.registry.trust import Trust, registries

CANARY = "s3cr3t-canary"
SHA = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("debian", ("docker.io", "library/debian", "latest", None)),
        ("debian:bookworm", ("docker.io", "library/debian", "bookworm", None)),
        ("docker.io/library/debian:1", ("docker.io", "library/debian", "1", None)),
        ("a/b", ("docker.io", "a/b", "latest", None)),
        ("ghcr.io/a/b/c:1", ("ghcr.io", "a/b/c", "1", None)),
        ("quay.io:443/a/b", ("quay.io", "a/b", "latest", None)),
        ("127.0.0.1:5000/x:1", ("127.0.0.1:5000", "x", "1", None)),
        (f"nginx@{SHA}", ("docker.io", "library/nginx", None, SHA)),
        (f"ghcr.io/a/b:1@{SHA}", ("ghcr.io", "a/b", "1", SHA)),
    ],
)
def test_references_are_read_as_engines_read_them(text: str, parts: tuple[str, str, str | None, str | None]) -> None:
    assert parse(text) == Reference(*parts)


def test_the_registries_that_requests_may_name_are_those_that_hosts_know() -> None:
    assert sorted(registries()) == sorted(catalogue.images().registries)
    assert all(row.endpoint.startswith("https://") for row in registries().values())


def test_a_registry_leads_to_its_own_hosts_alone() -> None:
    trust = Trust(["http://127.0.0.1:5000"], ["registry.corp"])
    [mirror, hub] = trust.sites("docker.io")
    [ghcr] = trust.sites("ghcr.io")
    [private] = trust.sites("registry.corp")

    assert trust.may_follow(hub, "https://production.cloudflare.docker.com/x?sig=1")
    assert trust.may_follow(ghcr, "https://pkg-containers.githubusercontent.com/x")
    assert trust.may_follow(private, "https://registry.corp/x")
    for site, url in [
        (hub, "http://production.cloudflare.docker.com/x"), (hub, "https://production.cloudflare.docker.com:8443/x"),
        (hub, "https://evildocker.com/"), (hub, "https://docker.com.evil.example/"), (ghcr, "https://registry.corp/"),
        (ghcr, "http://127.0.0.1:5000/"), (hub, "http://127.0.0.1:5000/"), (ghcr, "https://a.docker.com/"),
        (private, "http://registry.corp/x"), (mirror, "https://registry-1.docker.io.evil.example/"),
    ]:  # fmt: skip
        assert not trust.may_follow(site, url), url


def test_tokens_come_from_one_host_for_each_registry() -> None:
    trust = Trust([], [])
    [hub], [quay] = trust.sites("docker.io"), trust.sites("quay.io")

    assert trust.may_send_token_request(hub, "https://auth.docker.io/token")
    for site, realm in [
        (hub, "https://production.cloudflare.docker.com/token"), (hub, "http://auth.docker.io/token"),
        (hub, "https://auth.docker.io:8443/token"), (hub, "https://u:p@auth.docker.io/token"),
        (hub, "https://auth.docker.io.evil.example/"), (quay, "https://auth.docker.io/token"), (hub, "auth.docker.io"),
    ]:  # fmt: skip
        assert not trust.may_send_token_request(site, realm), realm


def a_file(folder: Path, content: object, mode: int = 0o600) -> Path:
    path = folder / "credentials.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)
    return path


def test_credentials_are_read_in_dockers_own_format(tmp_path: Path) -> None:
    pair = base64.b64encode(f"me:{CANARY}".encode()).decode()
    auths = {
        "https://index.docker.io/v1/": {"auth": pair},
        "ghcr.io": {"username": "me", "password": CANARY},
        "https://quay.io/": {"auth": pair},
    }

    found = read_credentials(a_file(tmp_path, {"auths": auths}))

    assert {found.basic(name) for name in ("docker.io", "ghcr.io", "quay.io")} == {f"Basic {pair}"}
    assert found.basic("gcr.io") is None
    assert CANARY not in f"{found!r} {found}"
    assert pair not in f"{found!r} {found}"
    assert read_credentials(None).basic("ghcr.io") is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", {"auths": []}, {"auths": {"x": CANARY}}, {"auths": {"x": {"auth": CANARY}}}, {"auths": {"x": {}}}],
)
def test_a_file_that_is_no_credentials_is_refused_without_saying_what_is_in_it(tmp_path: Path, content: object) -> None:
    with pytest.raises(BadCredentials) as refused:
        read_credentials(a_file(tmp_path, content))
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(BadCredentials, match="chmod 600"):
        read_credentials(a_file(tmp_path, {"auths": {}}, mode))
