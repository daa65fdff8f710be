"""Where images being prepared get packages from on this host: a JSON file comes in, typed settings go out."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

CA_BUNDLE = "/run/berth-ca.pem"
"""Where a build finds the certificates."""

_CA_VARIABLES = (
    "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "NPM_CONFIG_CAFILE", "PIP_CERT", "SSL_CERT_FILE",
)  # fmt: skip


class Sources(BaseModel):
    """Where builds get things from on this host, beyond what recipes say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca_bundle: Path | None = None
    """Certificates to trust while building, where connections are looked into on their way."""
    environment: dict[str, str] = Field(default_factory=dict)
    """For package tools, for example `PIP_INDEX_URL` or `NPM_CONFIG_REGISTRY`."""
    mirrors: dict[str, str] = Field(default_factory=dict)
    """Beginnings of addresses, and the mirrors that stand for them."""

    def seen_from(self, script: str) -> str:
        """The script with this host's mirrors."""
        for address, mirror in self.mirrors.items():
            script = script.replace(address, mirror)
        return script

    def variables(self) -> dict[str, str]:
        """What the environment of a build is."""
        trusted = dict.fromkeys(_CA_VARIABLES, CA_BUNDLE) if self.ca_bundle else {}
        return {"HOME": "/root", "TERM": "dumb", "LC_ALL": "C.UTF-8", **trusted, **self.environment}


def sources_of(path: Path | None) -> Sources:
    """What the file says; without one, recipes alone decide."""
    return Sources.model_validate_json(path.read_bytes()) if path else Sources()
