"""How a host says no: why comes in, the answer of HTTP goes out."""

from starlette.responses import JSONResponse

from chalicelib.contract.agent_api import Refusal, RefusalCode

_STATUS_OF = {
    RefusalCode.TOMBSTONE: 409,
    RefusalCode.STALE_GENERATION: 409,
    RefusalCode.UNKNOWN: 409,
    RefusalCode.DRAINING: 503,
    RefusalCode.FULL: 503,
    RefusalCode.ENGINE_DOWN: 503,
    RefusalCode.DISK_UNLIMITED: 503,
    RefusalCode.BUSY: 503,
}


def refused(text: str, code: RefusalCode) -> JSONResponse:
    """A `Refusal`."""
    return JSONResponse(Refusal(error=text, code=code).model_dump(mode="json"), _STATUS_OF[code])


def engine_down() -> JSONResponse:
    """The `Refusal` for any error of the engine, whose words stay on the host."""
    return refused("the host's engine does not answer", RefusalCode.ENGINE_DOWN)


def unauthorized() -> JSONResponse:
    """For whoever is not let in."""
    return JSONResponse({"error": "unauthorized"}, 401)
