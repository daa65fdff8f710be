"""Whose key is it: a signer's name comes in, the event in the envelope goes out once its signature is right."""

from chalicelib.contract.events import Event
from chalicelib.contract.signatures import CONTROL_PLANE, BadSignature, Envelope, unseal
from chalicelib.domain.errors import NotFound, UntrustedEvent
from chalicelib.ports import HostStore


class Keyring:
    """Public keys of the control plane and of hosts; a host's key is read once and again when it does not fit."""

    def __init__(self, hosts: HostStore, control_public_key: str) -> None:
        self._hosts = hosts
        self._keys = {CONTROL_PLANE: control_public_key}

    def open(self, envelope: Envelope) -> Event:
        """The event, signed by whom the envelope says, or UntrustedEvent."""
        known = self._keys.get(envelope.signer)
        try:
            if known is not None:
                return unseal(envelope, known)
        except BadSignature as error:
            if envelope.signer == CONTROL_PLANE:
                raise UntrustedEvent(str(error)) from error
        return self._with_fresh_key(envelope)

    def _with_fresh_key(self, envelope: Envelope) -> Event:
        try:
            key = self._hosts.get(envelope.signer).public_key
            event = unseal(envelope, key)
        except (NotFound, BadSignature) as error:
            raise UntrustedEvent(str(error)) from error
        self._keys[envelope.signer] = key
        return event
