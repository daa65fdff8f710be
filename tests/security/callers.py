"""Everyone who may knock: a served world comes in, tokens of all kinds go out, with what the owner has."""

from dataclasses import dataclass, replace
from datetime import timedelta

from chalicelib.contract.commands import Create
from chalicelib.contract.events import Ready
from chalicelib.domain import secrets
from chalicelib.domain.identity import Scope
from tests.builders import NOW
from tests.machines.served import Served

ENGINE_ID = "a1b2c3d4e5f6" + "0" * 52

NOBODY = ("none", "empty", "malformed", "misspelt", "unknown", "revoked", "expired", "suspended")
"""Callers that are nobody: each is refused alike."""

SOMEBODY = ("owner", "other", "guest", "reader", "writer")


@dataclass(frozen=True, slots=True)
class Street:
    """One owner with a running and a deleted container and a spare token, and the tokens of all callers."""

    served: Served
    tokens: dict[str, str | None]
    user_id: str
    container_id: str
    deleted_id: str
    token_id: str


def street() -> Street:
    """A world with everyone in it."""
    served = Served()
    owner = served.user()
    with served.on():
        user_id = _running(served, owner, "mine", ENGINE_ID)
        gone = served("POST", "/containers", owner, body={"image": "debian"}).body["id"]
        served("DELETE", "/containers/{container_id}", owner, path={"container_id": gone})
        tokens = {name: _minted(served, owner, name, scopes) for name, scopes in _SPARE.items()}
        spare = served.world.tokens_store.rows[secrets.hash_of(tokens["spare"])].id
        _revoke(served, owner, tokens["revoked"])
        tokens["guest"] = served("POST", "/auth/guest", address="198.51.100.1").body["token"]
    container = next(each for each in served.world.containers.of_user(user_id))
    _change(served, tokens["expired"], expires_at=NOW - timedelta(seconds=1))
    _change(served, tokens["suspended"], suspended=True)
    callers: dict[str, str | None] = {"owner": owner, "other": served.user(), **tokens, "none": None, "empty": ""}
    callers["malformed"] = "berth_of-no-shape"
    callers["misspelt"] = owner[:-1] + ("A" if owner[-1] != "A" else "B")
    callers["unknown"] = secrets.new_secret(secrets.TOKEN_PREFIX, b"\x07" * 32)
    return Street(served, callers, user_id, container.id, gone, spare)


_SPARE = {
    "spare": (Scope.READ,),
    "reader": (Scope.READ,),
    "writer": (Scope.WRITE,),
    "revoked": (Scope.READ, Scope.WRITE),
    "expired": (Scope.READ, Scope.WRITE),
    "suspended": (Scope.READ, Scope.WRITE),
}


def _running(served: Served, token: str, name: str, engine_id: str) -> str:
    """A running container of this token's user; the user's id."""
    accepted = served("POST", "/containers", token, body={"image": "debian", "name": name}).body
    ids = {"container_id": accepted["id"], "user_id": accepted["user_id"]}
    served.world.provisioning.carry_out(Create(**ids), 1)
    served.world.from_host(Ready(**ids, generation=1, number=1, at=NOW, engine_id=engine_id, started_at=NOW))
    return str(accepted["user_id"])


def _minted(served: Served, owner: str, name: str, scopes: tuple[Scope, ...]) -> str:
    return str(served("POST", "/tokens", owner, body={"name": name, "scopes": list(scopes)}).body["token"])


def _revoke(served: Served, owner: str, token: str) -> None:
    token_id = served.world.tokens_store.rows[secrets.hash_of(token)].id
    assert served("DELETE", "/tokens/{token_id}", owner, path={"token_id": token_id}).status == 200


def _change(served: Served, token: str, **changes: object) -> None:
    rows = served.world.tokens_store.rows
    rows[secrets.hash_of(token)] = replace(rows[secrets.hash_of(token)], **changes)  # type: ignore[arg-type]
