"""What a stage keeps in Parameter Store besides its stack: keys, the sockets' address, Chalice's state."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chalicelib.contract.signatures import new_private_key, public_key_of
from chalicelib.contract.terminals import relay_key
from infra.aws.errors import DeployError

PRIVATE_KEY = "control-private-key"
PUBLIC_KEY = "control-public-key"
NEXT_PRIVATE_KEY = "next-control-private-key"
RELAY_KEY = "relay-key"
SOCKETS = "sockets-endpoint"
STATE = "chalice-deployed"

ANNOUNCED_SECONDS = 13 * 60
"""In which every host reads the public keys again (`berth-control-key.timer`)."""


@dataclass(frozen=True, slots=True)
class StageParameters:
    """Parameters under `/<prefix>/`, for example `/berth-dev/sockets-endpoint`."""

    ssm: Any
    prefix: str

    def name(self, last: str) -> str:
        return f"/{self.prefix}/{last}"

    def ensure_keys(self) -> str:
        """The control plane's public key, and after it the announced one's; private halves are made once."""
        private = self.get(PRIVATE_KEY)
        if private is None:
            private = new_private_key()
            self._put(PRIVATE_KEY, private, "SecureString", overwrite=False)
        following = self.get(NEXT_PRIVATE_KEY)
        return self._publish(private, *([following] if following is not None else []))

    def announce_keys(self) -> str:
        """The public keys of the pair in use and of the next one, which signs nothing yet; both are made if need be."""
        if self.get(NEXT_PRIVATE_KEY) is None:
            self._put(NEXT_PRIVATE_KEY, new_private_key(), "SecureString", overwrite=False)
        return self.ensure_keys()

    def new_keys(self) -> str:
        """The public half of a new pair in place of the one there is; what relays read tickets with is new too.

        The old pair is out of use at once, and so is one that was announced: they may be known. The private half is
        written first: when all ends there, `ensure_keys` writes the public one after it.
        """
        self._put(PRIVATE_KEY, new_private_key(), "SecureString", overwrite=True)
        if self.get(NEXT_PRIVATE_KEY) is not None:
            self._forget_announced()
        public = self.ensure_keys()
        self._renew_relay_key()
        return public

    def use_announced_keys(self) -> str:
        """The announced pair in place of the one there is, whose public half stays until the next `ensure_keys`.

        DeployError when none was announced, or hosts cannot all have read of it yet.
        """
        old, announced = self.get(PRIVATE_KEY), self.get(NEXT_PRIVATE_KEY)
        if old is None or announced is None:
            raise DeployError("no keys are announced: deploy with --next-keys first")
        left = ANNOUNCED_SECONDS - self._age(NEXT_PRIVATE_KEY)
        if left > 0:
            raise DeployError(f"hosts may not know the announced keys for {left:.0f} s more: try again then")
        public = self._publish(announced, old)
        self._put(PRIVATE_KEY, announced, "SecureString", overwrite=True)
        self._forget_announced()
        self._renew_relay_key()
        return public

    def _renew_relay_key(self) -> None:
        """Where there are relays."""
        if self.get(RELAY_KEY) is not None:
            self.put_relay_key()

    def _forget_announced(self) -> None:
        self.ssm.delete_parameter(Name=self.name(NEXT_PRIVATE_KEY))

    def _age(self, last: str) -> float:
        """Seconds since it was written."""
        found = self.ssm.get_parameter(Name=self.name(last), WithDecryption=False)
        written: datetime = found["Parameter"]["LastModifiedDate"]
        return (datetime.now(UTC) - written).total_seconds()

    def _publish(self, *private: str) -> str:
        public = "".join(dict.fromkeys(public_key_of(each) for each in private))
        self._put(PUBLIC_KEY, public, "String", overwrite=True)
        return public

    @property
    def fingerprint(self) -> str:
        """By which public keys are told from others, as `sha256sum` has it of the file of hosts; empty without keys."""
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
