"""Lists below the base paths of clients who want them bare."""

import pytest

from tests.security.callers import Street, street


@pytest.fixture
def here() -> Street:
    return street()


@pytest.mark.parametrize(
    ("below", "containers", "files"),
    [
        ("api", dict, dict),
        ("v1-array/api", list, list),
        ("v1-files-array/api", dict, list),
        ("v1-arrays/api", dict, dict),
    ],
)
def test_lists_are_bare_where_the_base_path_says_so(
    here: Street, below: str, containers: type[object], files: type[object]
) -> None:
    path = {"container_id": here.container_id}
    token = here.tokens["owner"]

    with here.served.on():
        listed = here.served("GET", "/containers", token, below=below)
        filed = here.served("GET", "/containers/{container_id}/files/list", token, path=path, below=below)
        one = here.served("GET", "/containers/{container_id}", token, path=path, below=below)

    assert [each.status for each in (listed, filed, one)] == [200] * 3
    assert (type(listed.body), type(filed.body), type(one.body)) == (containers, files, dict)


def test_a_bare_list_is_the_object_s(here: Street) -> None:
    with here.served.on():
        said = here.served("GET", "/containers", here.tokens["owner"])
        bare = here.served("GET", "/containers", here.tokens["owner"], below="v1-array/api")

    assert bare.body == said.body["containers"]
    assert [each["id"] for each in said.body["containers"]] == [here.container_id]


def test_refusals_are_as_ever(here: Street) -> None:
    with here.served.on():
        refused = here.served("GET", "/containers", None, below="v1-array/api")

    assert (refused.status, refused.body["code"]) == (401, "unauthorized")
