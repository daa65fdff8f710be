"""The file of families: complete for every supported image, and its commands are what they have to be."""

import pytest

from chalicelib.domain import catalogue
from infra.images.families import UID, USER, families, family_of


def test_every_supported_image_has_its_family() -> None:
    assert {image.family for image in catalogue.images().images} == set(families())


@pytest.mark.parametrize("name", sorted(families()))
def test_a_family_knows_every_tool_and_its_own_shells(name: str) -> None:
    family = families()[name]

    assert set(family.packages) == {"zsh", "tmux", "git", "ps", "autosuggestions", "syntax_highlight"}
    assert set(family.zsh_plugins) == {"autosuggestions", "syntax_highlight"}
    assert {"sh", "zsh", family.default_shell} <= set(family.shells)
    assert all(path.startswith("/") for path in [*family.shells.values(), *family.clean, *family.zsh_plugins.values()])


@pytest.mark.parametrize("name", sorted(families()))
def test_the_user_is_added_with_its_uid_and_shell_and_no_placeholder_is_left(name: str) -> None:
    adding = families()[name].adds_user("zsh")[-1]

    assert {USER, str(UID), families()[name].shells["zsh"]} <= set(adding)
    assert not any("{" in word for word in adding)


def test_ubuntus_own_user_goes_first() -> None:
    assert families()["ubuntu"].adds_user("bash")[0] == ["userdel", "--remove", "ubuntu"]


@pytest.mark.parametrize(
    ("os_release", "title"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n', "Debian"),
        ('NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n', "Ubuntu"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "Ubuntu"),
        ("ID=alpine\nVERSION_ID=3.20.1\n", "Alpine Linux"),
        ('ID="arch"\n', "Arch Linux"),
        ("ID=fedora\n", None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_an_image_belongs_to_the_family_that_it_names_first(os_release: str, title: str | None) -> None:
    found = family_of(os_release)

    assert (found.title if found else None) == title
