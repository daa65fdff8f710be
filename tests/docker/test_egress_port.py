"""`infra.hostagent.network.egress.Egress`: the same promises asked of the fake and of packet rules, which hold."""

import contextlib
import os
import subprocess
from collections.abc import Iterator

import pytest

from infra.hostagent.network.admissions import ADDRESSES, Admissions, mark_of
from infra.hostagent.network.egress import Egress, EgressFailed, Guest
from infra.hostagent.network.firewall import Firewall, Gate
from infra.hostagent.network.nft import Nft
from infra.hostagent.ports import Attachment
from infra.hostagent.profile import card_of
from tests.docker.internet import run
from tests.fakes.egress import FakeEgress

TABLE = "berthtest"
GATES = Gate("bro", 5301), Gate("brh", 5302)


@pytest.fixture
def nft() -> Iterator[Nft]:
    """A table in a network namespace where there is nothing else."""
    name = f"berth-rules-{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        yield Nft(TABLE, f"/run/netns/{name}")
    finally:
        run("ip", "netns", "del", name)


@pytest.fixture(params=["fake", "rules"])
def egress(request: pytest.FixtureRequest) -> Egress:
    if request.param == "fake":
        return FakeEgress()
    nft: Nft = request.getfixturevalue("nft")
    Firewall(nft, *GATES).ensure()
    return Admissions(nft)


def guest(name: str, address: str = "172.30.0.2", *domains: str) -> Guest:
    return Guest(name, Attachment(card_of(name), address), domains or ("example.org",))


def test_who_came_is_admitted_until_gone(egress: Egress) -> None:
    egress.change([guest("a"), guest("b", "172.30.0.3")])
    [first, second] = egress.admitted()

    egress.change([], [first])

    assert (first.guest, second.guest) == (guest("a"), guest("b", "172.30.0.3"))
    assert egress.admitted() == [second]


def test_who_came_again_meanwhile_is_not_gone(egress: Egress) -> None:
    egress.change([guest("a")])
    before = egress.admitted()
    egress.change([guest("a")])

    egress.change([], before)

    assert [each.guest for each in egress.admitted()] == [guest("a")]


def test_an_address_has_one_owner_at_a_time(egress: Egress) -> None:
    egress.change([guest("a")])
    egress.change([guest("b")])
    egress.change([guest("c", "172.30.0.9")])
    egress.change([guest("c", "172.30.0.2")])

    assert [each.guest.name for each in egress.admitted()] == ["c"]


def test_what_cannot_be_written_is_not_done(egress: Egress, request: pytest.FixtureRequest) -> None:
    egress.change([guest("a")])
    if isinstance(egress, FakeEgress):
        egress.broken = True
    else:
        request.getfixturevalue("nft").delete()

    with pytest.raises(EgressFailed):
        egress.change([guest("b", "172.30.0.3")])

    assert [each.guest.name for each in egress.admitted()] == ["a"]


def listed(nft: Nft, kind: str, name: str) -> str:
    command = ["nsenter", f"--net={nft.netns}", "nft", "list", kind, "inet", TABLE, name]
    return " ".join(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_rules_are_set_once_and_again_when_somebody_changed_them(nft: Nft) -> None:
    firewall = Firewall(nft, *GATES)

    assert firewall.ensure()
    assert not firewall.ensure()
    nft.run(f"flush chain inet {TABLE} leaving\n")
    assert firewall.ensure()
    nft.delete()
    assert firewall.ensure()
    assert not firewall.ensure()
    firewall.remove()
    assert nft.listing() is None


def test_rules_of_another_make_give_way(nft: Nft) -> None:
    nft.run(f"add table inet {TABLE}\nadd set inet {TABLE} reach {{ type ipv4_addr; }}\n")

    assert Firewall(nft, *GATES).ensure()

    assert "type mark . ipv4_addr" in listed(nft, "set", "reach")


def test_the_next_process_takes_over_what_may_be_reached_and_drops_who_is_gone(nft: Nft) -> None:
    Firewall(nft, *GATES).ensure()
    earlier = Admissions(nft)
    stays, goes = guest("stays"), guest("goes", "172.30.0.3")
    earlier.change([stays, goes])
    earlier.reach(stays, ["203.0.113.9"], 60)

    Firewall(nft, Gate("bro", 6301), Gate("brh", 6302)).ensure()
    assert goes.at.card in listed(nft, "map", "owner")
    Admissions(nft).change([stays])

    owners = listed(nft, "set", "owners")
    assert stays.at.card in owners
    assert goes.at.card not in owners + listed(nft, "map", "owner")
    assert f"{mark_of('stays'):#010x} . 203.0.113.9 timeout" in listed(nft, "set", "reach")


def test_an_address_that_is_told_again_is_reached_for_longer(nft: Nft) -> None:
    Firewall(nft, *GATES).ensure()
    admissions = Admissions(nft)
    admissions.change([guest("a")])

    admissions.reach(guest("a"), ["203.0.113.9"], 60)
    assert "timeout 1m30s" in listed(nft, "set", "reach")
    admissions.reach(guest("a"), ["203.0.113.9"], 600)

    assert listed(nft, "set", "reach").count("timeout 10m30s") == 1


def test_one_container_reaches_so_many_addresses_and_no_more(nft: Nft) -> None:
    Firewall(nft, *GATES).ensure()
    admissions = Admissions(nft)
    admissions.change([guest("a"), guest("b", "172.30.0.3")])
    admissions.reach(guest("a"), [f"203.0.{n // 250}.{n % 250 + 1}" for n in range(ADDRESSES)], 60)

    with pytest.raises(EgressFailed):
        admissions.reach(guest("a"), ["198.51.100.1"], 60)

    admissions.reach(guest("b", "172.30.0.3"), ["198.51.100.1"], 60)


def test_all_is_written_again_when_the_table_was_made_anew(nft: Nft) -> None:
    firewall, admissions = Firewall(nft, *GATES), Admissions(nft)
    firewall.ensure()
    admissions.change([guest("a")])
    admissions.reach(guest("a"), ["203.0.113.9"], 60)
    nft.delete()

    firewall.ensure()
    admissions.again()
    admissions.reach(guest("a"), ["203.0.113.9"], 60)

    assert guest("a").at.card in listed(nft, "set", "owners")
    assert "203.0.113.9" in listed(nft, "set", "reach")


def test_nothing_is_left_of_a_table_that_is_not_there(nft: Nft) -> None:
    with contextlib.suppress(EgressFailed):
        Admissions(nft).change([guest("a")])

    assert nft.listing() is None
