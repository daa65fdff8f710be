"""Base paths before the API's own, as SDKs are given them."""

import httpx

from tests.flow.conftest import User


def test_lists_are_bare_below_the_base_paths_and_all_else_is_the_same(user: User) -> None:
    made = user.create()
    origin = user.berth.url.removesuffix("/api")
    for base, shape in (("", dict), ("/v1-array", list), ("/v1-files-array", dict)):
        with httpx.Client(base_url=f"{origin}{base}/api", headers=user.http.headers, trust_env=False) as http:
            assert type(http.get("/containers").json()) is shape
            assert http.get(f"/containers/{made['id']}").json()["id"] == made["id"]
            assert http.get("/nothing").status_code == 404
    assert httpx.get(f"{origin}/v2-array/api/containers", headers=user.http.headers, trust_env=False).status_code == 404
