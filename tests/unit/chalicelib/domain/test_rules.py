"""Names, secrets and tiers."""

from datetime import timedelta
from random import Random

from chalicelib.domain import catalogue, secrets
from chalicelib.domain.images import ImageChoice
from chalicelib.domain.names import ADJECTIVES, NOUNS, generated_name
from chalicelib.domain.request import LONG_DEADLINE, SUPPORTED_DEADLINE, ContainerRequest
from tests.builders import NOW, a_caller


def test_generated_names_have_many_words_and_the_documented_shape() -> None:
    random = Random(1)
    names = {generated_name(random.randrange) for _ in range(2000)}

    assert len(set(ADJECTIVES)) == len(set(NOUNS)) == 40
    assert len(names) > 1950


def test_a_secret_is_well_formed_and_every_typing_error_is_seen() -> None:
    secret = secrets.new_secret("berth_", bytes(range(32)))

    assert secrets.well_formed(secret, "berth_")
    assert len(secret) == 55
    for place in range(len(secret)):
        for wrong in "aZ0_":
            if secret[place] != wrong:
                broken = secret[:place] + wrong + secret[place + 1 :]
                assert not secrets.well_formed(broken, "berth_"), place


def test_secrets_of_two_randoms_differ_and_their_hashes_say_nothing() -> None:
    one, two = (secrets.new_secret("berth_", bytes([n] * 32)) for n in (0, 255))

    assert one != two
    assert secrets.hash_of(one) not in one
    assert len(secrets.hash_of(one)) == 64


def test_the_tiers_are_those_of_the_contract() -> None:
    table = {
        name: (tier.containers, tier.session_seconds, tier.memory_mb.default, tier.cpu_shares.most, tier.disk_mb.least)
        for name, tier in catalogue.tiers().items()
    }

    assert table == {
        "guest": (1, 3600, 512, 500, 1024),
        "free": (5, 180_000, 2048, 4000, 1024),
        "pro": (10, None, 4096, 8000, 1024),
        "enterprise": (20, None, 8192, 16000, 1024),
    }


def test_what_is_not_made_before_its_session_is_over_is_not_made_at_all() -> None:
    request = ContainerRequest(image=ImageChoice("debian", "debian:bookworm", custom=False))
    until = NOW + timedelta(seconds=20)

    guests = request.container("id", "name", a_caller(tier="guest", guest=True, until=until), NOW)
    ours = request.container("id", "name", a_caller(tier="pro"), NOW)

    assert (guests.deadline, guests.expires_at) == (until, until)
    assert ours.deadline == NOW + SUPPORTED_DEADLINE


def test_what_may_have_to_be_pulled_or_prepared_first_has_longer() -> None:
    image = ImageChoice("debian", "debian:bookworm", custom=False)
    pro = a_caller(tier="pro")

    def seconds(request: ContainerRequest) -> float:
        return (request.container("id", "name", pro, NOW).deadline - NOW).total_seconds()

    assert seconds(ContainerRequest(image=image, role="barebone")) == SUPPORTED_DEADLINE.total_seconds()
    assert seconds(ContainerRequest(image=image, role="node")) == LONG_DEADLINE.total_seconds()
    own = ImageChoice("custom:ghcr.io/a/b", "ghcr.io/a/b", custom=True)
    assert seconds(ContainerRequest(image=own)) == LONG_DEADLINE.total_seconds()
