"""Services whose engines LocalStack's package has not: a request comes in, moto answers it.

DynamoDB is asked one call at a time: a transaction of moto's that fails puts back a copy of whole tables, and with it
loses what others wrote meanwhile. moto knows no token of a transaction either; it is kept here.
"""

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from localstack.aws.api import CommonServiceException, RequestContext
from localstack.aws.skeleton import Skeleton
from localstack.aws.spec import load_service
from localstack.services.moto import call_moto
from localstack.services.plugins import Service, aws_provider

Handler = Callable[[RequestContext, Any], Any]

TOKEN_SECONDS = 600
_ONE_AT_A_TIME = threading.RLock()


def _to_moto(context: RequestContext, _request: Any) -> Any:
    return call_moto(context)


def _to_moto_alone(context: RequestContext, _request: Any) -> Any:
    with _ONE_AT_A_TIME:
        return call_moto(context)


def _service(name: str, usual: Handler, special: Mapping[str, Handler]) -> Service:
    model = load_service(name)
    handlers = dict.fromkeys(model.operation_names, usual)
    return Service(name=name, skeleton=Skeleton(model, handlers | dict(special)))


@dataclass(slots=True)
class Transactions:
    """Transactions by their tokens, for as long as AWS knows them."""

    seen: dict[tuple[str, str, str], tuple[str, float]] = field(default_factory=dict)

    def write(self, context: RequestContext, request: Any) -> Any:
        """Carry out a transaction once per token."""
        token = request.get("ClientRequestToken")
        if token is None:
            return _to_moto_alone(context, request)
        key = (context.account_id, context.region, token)
        content = hashlib.sha256(
            json.dumps(request["TransactItems"], sort_keys=True, default=repr).encode()
        ).hexdigest()
        with _ONE_AT_A_TIME:
            if self._is_known(key, content):
                return {}
            answer = call_moto(context)
            self.seen[key] = (content, time.monotonic())
            return answer

    def _is_known(self, key: tuple[str, str, str], content: str) -> bool:
        known, at = self.seen.get(key, ("", 0.0))
        if not known or time.monotonic() - at > TOKEN_SECONDS:
            return False
        if known != content:
            raise CommonServiceException("IdempotentParameterMismatchException", "the token was used otherwise")
        return True


def _deployed(_context: RequestContext, _request: Any) -> dict[str, Any]:
    """moto has no deployments of WebSocket APIs."""
    return {"DeploymentId": uuid.uuid4().hex[:10], "DeploymentStatus": "DEPLOYED", "CreatedDate": datetime.now(UTC)}


def _updated(_context: RequestContext, request: Any) -> dict[str, Any]:
    """Nor can it change their stages: throttles are taken and forgotten."""
    return {"StageName": request["StageName"], "DefaultRouteSettings": request.get("DefaultRouteSettings", {})}


@aws_provider(api="dynamodb", name="moto")
def dynamodb() -> Service:
    return _service("dynamodb", _to_moto_alone, {"TransactWriteItems": Transactions().write})


@aws_provider(api="dynamodbstreams", name="moto")
def dynamodbstreams() -> Service:
    return _service("dynamodbstreams", _to_moto_alone, {})


@aws_provider(api="apigatewayv2", name="default")
def apigatewayv2() -> Service:
    """Records alone: nobody can connect to an API that it knows."""
    return _service("apigatewayv2", _to_moto, {"CreateDeployment": _deployed, "UpdateStage": _updated})
