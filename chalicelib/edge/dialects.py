"""Lists for clients who want them bare: a call and a list's body come in, the body or the bare list goes out.

Rexec's SDKs disagree: those for JS, Go and Rust take arrays where all others and the documentation have objects
(rexec-wire §8). They can be given no header, but a base URL: a deployment that serves one of these base paths, before
the API's own, has these lists bare below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chalicelib.edge.answers import Answer

if TYPE_CHECKING:
    from chalicelib.edge.http import Call

BARE = {
    "v1-array": frozenset({"containers", "files"}),
    "v1-files-array": frozenset({"files"}),
}
"""By base path, which lists are bare: for SDKs 1.0, and for later ones, which want the files alone so."""


def listing(call: Call, body: dict[str, Any], member: str) -> Answer:
    """200 with the list, in the shape of the base path that was called."""
    return Answer(200, body[member] if member in BARE.get(call.base_path, ()) else body)
