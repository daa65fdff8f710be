"""What a stage keeps in Parameter Store besides its stack: keys, the sockets' address, Chalice's state."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib.contract.signatures import new_private_key, public_key_of
from chalicelib.contract.terminals import relay_key
from infra.aws.errors import DeployError

PRIVATE_KEY = "control-private-key"
PUBLIC_KEY = "control-public-key"
RELAY_KEY = "relay-key"
SOCKETS = "sockets-endpoint"
STATE = "chalice-deployed"


@dataclass(frozen=True, slots=True)
class StageParameters:
    """Parameters under `/<prefix>/`, for example `/berth-dev/sockets-endpoint`."""

    ssm: Any
    prefix: str

    def name(self, last: str) -> str:
        return f"/{self.prefix}/{last}"

    def ensure_keys(self) -> str:
        """The control plane's public key; both halves are made once and never overwritten."""
        private = self.get(PRIVATE_KEY)
        if private is None:
            private = new_private_key()
            self._put(PRIVATE_KEY, private, "SecureString", overwrite=False)
        public = public_key_of(private)
        self._put(PUBLIC_KEY, public, "String", overwrite=True)
        return public

    def new_keys(self) -> str:
        """The public half of a new pair in place of the one there is; what relays read tickets with is new too.

        The private half is written first: when all ends there, `ensure_keys` writes the public one after it.
        """
        self._put(PRIVATE_KEY, new_private_key(), "SecureString", overwrite=True)
        public = self.ensure_keys()
        if self.get(RELAY_KEY) is not None:
            self.put_relay_key()
        return public

    @property
    def fingerprint(self) -> str:
        """By which the key in use is told from others, as `sha256sum` has it of the public one; empty without keys."""
        public = self.get(PUBLIC_KEY)
        return "" if public is None else hashlib.sha256(public.encode()).hexdigest()[:16]

    def put_relay_key(self) -> None:
        """What relays read tickets with, drawn from the control plane's key, or DeployError when there is none."""
        private = self.get(PRIVATE_KEY)
        if private is None:
            raise DeployError("the stage has no keys yet: deploy it first")
        self._put(RELAY_KEY, relay_key(private), "SecureString", overwrite=True)

    def put_sockets_endpoint(self, url: str) -> None:
        """Where functions find `@connections`."""
        self._put(SOCKETS, url, "String", overwrite=True)

    def restore_state(self, path: Path) -> bool:
        """Give Chalice back what it deployed, whichever machine it was deployed from; False when it never was."""
        state = self.get(STATE)
        if state is None:
            path.unlink(missing_ok=True)
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(state)
        return True

    def keep_state(self, path: Path) -> None:
        """Keep what Chalice deployed: without it the next deployment would make the APIs anew."""
        self._put(STATE, path.read_text(), "String", overwrite=True)

    def delete_all(self) -> None:
        """Delete every parameter of the stage."""
        pages = self.ssm.get_paginator("get_parameters_by_path")
        for page in pages.paginate(Path=f"/{self.prefix}/", Recursive=True):
            for each in page["Parameters"]:
                self.ssm.delete_parameter(Name=each["Name"])

    def get(self, last: str) -> str | None:
        """The value, decrypted, or None."""
        try:
            found = self.ssm.get_parameter(Name=self.name(last), WithDecryption=True)
        except self.ssm.exceptions.ParameterNotFound:
            return None
        return str(found["Parameter"]["Value"])

    def _put(self, last: str, value: str, kind: str, *, overwrite: bool) -> None:
        self.ssm.put_parameter(
            Name=self.name(last), Value=value, Type=kind, Overwrite=overwrite, Tier="Intelligent-Tiering"
        )
