"""Hosts that make themselves known: a sender and its public key come in, a host that may speak for itself goes out.

SQS itself says who sent a message: `<id of the role>:<name of the session>`, and the session of an instance's role is
the instance, which no instance can choose. So a host can enrol itself and nobody else.
"""

import logging
import re
from dataclasses import dataclass

from chalicelib.contract.enrolment import Enrolment
from chalicelib.contract.signatures import BadSignature, check_public_key
from chalicelib.domain.errors import UntrustedEvent
from chalicelib.ports import HostStore

log = logging.getLogger("berth.enrolment")

_INSTANCE = re.compile(r"i-[0-9a-f]{8,17}")


@dataclass(frozen=True, slots=True)
class Enrolments:
    """Make hosts of the fleet known under their instances' ids."""

    hosts: HostStore
    host_role: str
    """Id of the role that hosts of the fleet have; empty where hosts are enrolled by the operator alone."""

    def enrol(self, sender: str, body: str) -> None:
        """Know the host from now on; UntrustedEvent for who is none, or has no key."""
        role, _, instance = sender.partition(":")
        if not self.host_role or role != self.host_role or not _INSTANCE.fullmatch(instance):
            raise UntrustedEvent("the sender is no host of the fleet")
        key = Enrolment.model_validate_json(body).public_key
        try:
            check_public_key(key)
        except BadSignature as error:
            raise UntrustedEvent(str(error)) from error
        self.hosts.enrol(instance, key)
        log.info("host enrolled", extra={"host": instance})
