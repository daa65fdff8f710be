"""What containers may ask for, and what of an answer they get: DNS messages come in, rules on names come out. No I/O.

A container that is held to names gets answers for those alone; nobody gets an address that is not a public one, nor
names of the host's own surroundings.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset

from infra.hostagent.network.egress import listed
from infra.hostagent.network.firewall import REFUSED

LOCAL = (
    "corp", "home", "home.arpa", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost",
    "onion", "private",
)  # fmt: skip
"""Names that mean something only inside somebody's network."""

PAYLOAD = 1232
"""Bytes that pass every path unbroken (DNS flag day 2020)."""
UDP_BYTES = 512
"""What a client takes that says nothing of it."""

SHORTEST_SECONDS, LONGEST_SECONDS = 60, 3600
"""How long an answer gives a right to connect, whatever it says; nothing is remembered for longer either."""
MOST_ADDRESSES = 32

_NETWORKS = tuple(ipaddress.ip_network(each) for each in REFUSED)
_META = {dns.rdatatype.AXFR, dns.rdatatype.IXFR, dns.rdatatype.MAILA, dns.rdatatype.MAILB, dns.rdatatype.ANY}

Rcode = dns.rcode.Rcode


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back, and what it lets the asker connect to."""

    message: dns.message.Message
    addresses: tuple[str, ...] = ()
    seconds: int = 0


def question_in(wire: bytes) -> dns.message.Message | None:
    """The query in a packet; None when it is none that anything could be said to."""
    try:
        query = dns.message.from_wire(wire, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError, UnicodeError):
        return None
    return None if query.flags & dns.flags.QR else query


def settled(query: dns.message.Message, domains: Sequence[str] | None) -> Answer | None:
    """The answer, where nobody has to be asked for it; `domains` is None for who may ask for any public name."""
    if query.opcode() is not dns.opcode.QUERY:
        return _said(query, Rcode.NOTIMP)
    if len(query.question) != 1:
        return _said(query, Rcode.FORMERR)
    asked = query.question[0]
    if asked.rdclass is not dns.rdataclass.IN or asked.rdtype in _META:
        return _said(query, Rcode.REFUSED)
    name = text_of(asked.name)
    if _is_local(asked.name, name) or (domains is not None and not listed(name, domains)):
        return _said(query, Rcode.NXDOMAIN)
    if asked.rdtype is dns.rdatatype.AAAA:
        return _said(query, Rcode.NOERROR)  # containers have no IPv6: with such addresses programs only lose time
    return None


def onward(query: dns.message.Message) -> dns.message.Message:
    """What is asked of others: the question alone, so that nothing else can be smuggled out with it."""
    asked = query.question[0]
    return dns.message.make_query(asked.name, asked.rdtype, use_edns=0, payload=PAYLOAD)


def answered(query: dns.message.Message, found: dns.message.Message) -> Answer:
    """What others said, as far as it answers the question: its chain of names, and public addresses."""
    try:
        chain = found.resolve_chaining() if isinstance(found, dns.message.QueryMessage) else None
    except (dns.exception.DNSException, ValueError):
        chain = None
    if chain is None or found.rcode() not in (Rcode.NOERROR, Rcode.NXDOMAIN):
        return failed(query)
    message = _reply(query, found.rcode())
    seconds = min(max(chain.minimum_ttl, 0), LONGEST_SECONDS)
    last = _public(chain.answer) if chain.answer is not None else None
    message.answer = [_for(rrset, seconds) for rrset in (*chain.cnames, *([last] if last else []))]
    if last is None:
        message.authority = [_for(each, seconds) for each in found.authority if each.rdtype is dns.rdatatype.SOA]
    addresses = _addresses(last) if last is not None else ()
    return Answer(message, addresses, max(seconds, SHORTEST_SECONDS))


def failed(query: dns.message.Message) -> Answer:
    """Nobody could answer."""
    return _said(query, Rcode.SERVFAIL)


def packed(query: dns.message.Message, answer: Answer, *, stream: bool) -> bytes:
    """The packet; what is too long for the asker is cut short and says so."""
    longest = 65535 if stream else max(UDP_BYTES, min(query.payload, PAYLOAD) if query.edns >= 0 else 0)
    return answer.message.to_wire(max_size=longest, prefer_truncation=True)


def text_of(name: dns.name.Name) -> str:
    """The name in small letters without its last dot."""
    return name.to_text(omit_final_dot=True).lower()


def is_public(address: str) -> bool:
    """Whether it is an address of the public internet."""
    return not any(ipaddress.ip_address(address) in network for network in _NETWORKS)


def _is_local(name: dns.name.Name, text: str) -> bool:
    if len(name.labels) <= 2 or any(text == each or text.endswith(f".{each}") for each in LOCAL):
        return True
    if not name.is_subdomain(dns.reversename.ipv4_reverse_domain):
        return False
    try:
        return not is_public(dns.reversename.to_address(name))
    except (dns.exception.DNSException, ValueError):
        return True  # part of an address: a walk through somebody's network


def _said(query: dns.message.Message, rcode: Rcode) -> Answer:
    return Answer(_reply(query, rcode))


def _reply(query: dns.message.Message, rcode: Rcode) -> dns.message.Message:
    message = dns.message.make_response(query, recursion_available=True, our_payload=PAYLOAD)
    message.set_rcode(rcode)
    return message


def _public(rrset: dns.rrset.RRset) -> dns.rrset.RRset | None:
    """The records without addresses that are not public (rebinding), and not too many of them."""
    if rrset.rdtype is not dns.rdatatype.A:
        return rrset
    kept = [each for each in rrset if is_public(each.address)][:MOST_ADDRESSES]
    return dns.rrset.from_rdata_list(rrset.name, rrset.ttl, kept) if kept else None


def _addresses(rrset: dns.rrset.RRset) -> tuple[str, ...]:
    return tuple(each.address for each in rrset) if rrset.rdtype is dns.rdatatype.A else ()


def _for(rrset: dns.rrset.RRset, seconds: int) -> dns.rrset.RRset:
    """The same records, kept for no longer than that."""
    return dns.rrset.from_rdata_list(rrset.name, min(rrset.ttl, seconds), list(rrset))
