"""What containers may ask for and what they are told: messages in, messages out, nothing asked of anybody."""

from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.hostagent.network import names
from infra.hostagent.network.egress import listed
from infra.hostagent.network.firewall import REFUSED

LISTED = ("example.org", "*.wild.example.org")


def asked(name: str, kind: str = "A", **options: Any) -> dns.message.Message:
    return dns.message.make_query(name, kind, **options)


def said(
    query: dns.message.Message, *records: str, authority: tuple[str, ...] = (), rcode: str = "NOERROR"
) -> dns.message.Message:
    """Somebody's answer with these records, as it comes from the network."""
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.from_text(rcode))
    for section, texts in ((reply.answer, records), (reply.authority, authority)):
        for text in texts:
            owner, ttl, kind, data = text.split(" ", 3)
            section.append(dns.rrset.from_text(owner, int(ttl), "IN", kind, data))
    return dns.message.from_wire(reply.to_wire())


def code_of(answer: names.Answer | None) -> str:
    return dns.rcode.to_text(answer.message.rcode()) if answer else "ask"


@pytest.mark.parametrize(
    ("name", "is_listed"),
    [
        ("example.org", True),
        ("www.example.org", False),
        ("xexample.org", False),
        ("example.org.evil.net", False),
        ("wild.example.org", False),
        ("a.wild.example.org", True),
        ("b.a.wild.example.org", True),
        ("xwild.example.org", False),
    ],
)
def test_a_name_is_listed_as_written_or_below_a_star(name: str, is_listed: bool) -> None:
    assert listed(name, LISTED) is is_listed


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("example.org", "A", "ask"),
        ("EXAMPLE.org", "TXT", "ask"),
        ("a.wild.example.org", "A", "ask"),
        ("other.org", "A", "NXDOMAIN"),
        ("other.org", "TXT", "NXDOMAIN"),
        ("example.org", "AAAA", "NOERROR"),
        ("example.org", "AXFR", "REFUSED"),
        ("example.org", "ANY", "REFUSED"),
    ],
)
def test_who_is_held_to_names_may_ask_for_those(name: str, kind: str, expected: str) -> None:
    assert code_of(names.settled(asked(name, kind), LISTED)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("other.org", "ask"),
        ("printer", "NXDOMAIN"),
        (".", "NXDOMAIN"),
        ("ip-10-0-0-1.eu-west-1.compute.internal", "NXDOMAIN"),
        ("nas.local", "NXDOMAIN"),
        ("host.home.arpa", "NXDOMAIN"),
        ("2.0.0.10.in-addr.arpa", "NXDOMAIN"),
        ("10.in-addr.arpa", "NXDOMAIN"),
        ("1.1.168.192.in-addr.arpa", "NXDOMAIN"),
        ("1.113.0.203.in-addr.arpa", "ask"),
        ("x.2.0.0.10.in-addr.arpa", "NXDOMAIN"),
    ],
)
def test_names_of_somebodys_own_network_are_nobodys(name: str, expected: str) -> None:
    assert code_of(names.settled(asked(name), None)) == expected


def test_what_is_no_question_for_a_name_is_answered_so() -> None:
    other = asked("example.org")
    other.set_opcode(dns.opcode.UPDATE)
    none = dns.message.QueryMessage()
    chaos = dns.message.make_query("version.bind", "TXT", rdclass="CH")

    assert [code_of(names.settled(each, None)) for each in (other, none, chaos)] == ["NOTIMP", "FORMERR", "REFUSED"]


def test_addresses_come_from_the_end_of_the_chain_and_from_nowhere_else() -> None:
    query = asked("example.org")
    found = said(
        query,
        "example.org. 300 CNAME cdn.example.net.",
        "cdn.example.net. 60 A 203.0.113.9",
        "other.org. 300 A 203.0.113.66",
    )

    answer = names.answered(query, found)

    assert answer.addresses == ("203.0.113.9",)
    assert [rrset.name.to_text() for rrset in answer.message.answer] == ["example.org.", "cdn.example.net."]


@pytest.mark.parametrize("network", REFUSED)
def test_no_address_that_is_not_public_is_told(network: str) -> None:
    query = asked("example.org")
    inside = network.split("/")[0]

    both = names.answered(query, said(query, f"example.org. 300 A {inside}", "example.org. 300 A 203.0.113.9"))
    alone = names.answered(query, said(query, f"example.org. 300 A {inside}"))

    assert both.addresses == ("203.0.113.9",)
    assert alone.addresses == ()
    assert alone.message.answer == []


def test_rights_last_as_long_as_the_answer_but_a_minute_at_least_and_an_hour_at_most() -> None:
    query = asked("example.org")
    seconds = {
        ttl: names.answered(query, said(query, f"example.org. {ttl} A 203.0.113.9")) for ttl in (0, 5, 600, 86_400)
    }

    assert {ttl: answer.seconds for ttl, answer in seconds.items()} == {0: 60, 5: 60, 600: 600, 86_400: 3600}
    assert {ttl: answer.message.answer[0].ttl for ttl, answer in seconds.items()} == {
        0: 0,
        5: 5,
        600: 600,
        86_400: 3600,
    }


def test_a_thousand_addresses_are_cut_to_a_few() -> None:
    query = asked("example.org")
    records = [f"example.org. 60 A 203.0.{n // 250}.{n % 250 + 1}" for n in range(1000)]

    answer = names.answered(query, said(query, *records))

    assert len(answer.addresses) == names.MOST_ADDRESSES


@pytest.mark.parametrize("broken", ["loop", "long", "refused"])
def test_answers_that_make_no_sense_are_failures(broken: str) -> None:
    query = asked("example.org")
    found = {
        "loop": said(query, "example.org. 60 CNAME b.org.", "b.org. 60 CNAME example.org."),
        "long": said(query, *(f"{_link(n)} 60 CNAME {_link(n + 1)}" for n in range(40))),
        "refused": said(query, rcode="REFUSED"),
    }[broken]

    answer = names.answered(query, found)

    assert code_of(answer) == "SERVFAIL"
    assert answer.addresses == ()


def _link(number: int) -> str:
    return "example.org." if number == 0 else f"n{number}.org."


def test_a_name_that_is_not_there_is_not_there() -> None:
    query = asked("example.org")
    found = said(query, authority=("org. 900 SOA a.org. b.org. 1 2 3 4 300",), rcode="NXDOMAIN")

    answer = names.answered(query, found)

    assert code_of(answer) == "NXDOMAIN"
    assert [each.ttl for each in answer.message.authority] == [300]


def test_only_the_question_goes_on() -> None:
    query = asked("a.wild.example.org", want_dnssec=True, pad=468)
    query.additional.append(dns.rrset.from_text("smuggled.example.org.", 1, "IN", "TXT", '"data"'))

    onward = names.onward(query)

    assert onward.question == query.question
    assert not onward.answer
    assert not onward.authority
    assert not onward.additional
    assert b"smuggled" not in onward.to_wire()
    assert len(onward.to_wire()) < 64


def test_a_long_answer_is_cut_for_who_takes_little_and_whole_on_a_stream() -> None:
    query = asked("example.org", "TXT")
    found = said(query, *(f'example.org. 60 TXT "{n:0200}"' for n in range(20)))
    answer = names.answered(query, found)

    packet, stream = names.packed(query, answer, stream=False), names.packed(query, answer, stream=True)

    assert len(packet) <= names.UDP_BYTES
    assert dns.message.from_wire(packet).flags & dns.flags.TC
    assert len(dns.message.from_wire(stream).answer[0]) == 20


def test_an_answer_is_no_question() -> None:
    assert names.question_in(said(asked("example.org")).to_wire()) is None


QUERY = asked("example.org", use_edns=0).to_wire()


@given(st.binary(max_size=600) | st.binary(max_size=80).map(lambda tail: QUERY[:12] + tail))
@example(QUERY[:-1])
@example(QUERY[:12] + b"\xc0\x0c\x00\x01\x00\x01")
def test_no_packet_breaks_it(wire: bytes) -> None:
    query = names.question_in(wire)
    if query is None:
        return
    answer = names.settled(query, LISTED)
    if answer is None:
        names.onward(query).to_wire()
        answer = names.failed(query)

    names.packed(query, answer, stream=False)


@given(st.binary(max_size=600), st.integers(0, 60))
def test_no_answer_of_others_breaks_it(noise: bytes, cut: int) -> None:
    query = asked("example.org")
    good = said(query, "example.org. 60 CNAME b.org.", "b.org. 60 A 203.0.113.9").to_wire()
    try:
        found = dns.message.from_wire(good[:cut] + noise + good[cut + len(noise) :])
    except dns.exception.DNSException:
        return

    answer = names.answered(query, found)

    names.packed(query, answer, stream=False)
    assert all(names.is_public(address) for address in answer.addresses)
