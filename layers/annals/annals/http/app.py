"""The resolver of the functions whose answers are sent whole: JSON in, JSON or problem details out."""

from __future__ import annotations

import json
import logging
import time
from base64 import b64decode
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from botocore.exceptions import BotoCoreError, ClientError

from annals import costs, json_text, telemetry
from annals.access.caller import Caller
from annals.answers import MAX_RESULT_BYTES
from annals.api import problems
from annals.api.cursors import PAGING_PARAMS, Cursors
from annals.api.query import require_known, require_not_blank
from annals.errors import AnnalsError, AnswerTooLarge, InvalidInput, InvalidJson, NotFound, UnsupportedMediaType
from annals.http import requests
from annals.ledger.idempotency import IdempotentRequest

logger = logging.getLogger("annals")

COST_HEADER = "X-Annals-Cost"
"""A request that has it, with any value, gets what it cost in the response's header of this name."""


class Api(APIGatewayRestResolver):
    """Powertools' resolver for API Gateway REST: strict JSON in, problem details out.

    Parameters
    ----------
    content_types : the content types that a body may have
    query_params : those that every write takes, beside those that its handler declares; none is a condition
    binary_types : the content types of bodies that are no text, for ``body_bytes`` to give
    """

    def __init__(
        self,
        content_types: Sequence[str] = requests.JSON,
        query_params: Sequence[str] = (),
        binary_types: Sequence[str] = (),
    ) -> None:
        super().__init__(
            enable_validation=True,
            json_body_deserializer=_parse_object,
            serializer=json_text.dump,
        )
        self._content_types = content_types
        self._query_params = query_params
        self._binary_types = binary_types
        self._code = ""
        self.exception_handler(AnnalsError)(self._refuse)
        self.exception_handler(RequestValidationError)(
            lambda error: self._refuse(problems.from_validation(error.errors()))
        )
        self.exception_handler(NotFoundError)(lambda _: self._refuse(NotFound("There is no such route.")))
        self.exception_handler([ClientError, BotoCoreError])(self._refuse_aws_error)
        self.exception_handler(Exception)(self._refuse_exception)

    def handler(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """The function's entry point. No proxy before the caller may cache a response."""
        started = time.perf_counter()
        self._code = ""
        with costs.metered() as spent:
            result = self.resolve(event, context)
        if (size := _sent_bytes(result)) > MAX_RESULT_BYTES:
            result = self._replace(result, AnswerTooLarge(size, MAX_RESULT_BYTES))
        result["multiValueHeaders"].setdefault("Cache-Control", ["no-store"])
        if self.header(COST_HEADER):
            result["multiValueHeaders"][COST_HEADER] = [str(spent)]
        telemetry.log_request(event["requestContext"], result["statusCode"], self._code, started)
        return result

    @property
    def caller(self) -> Caller:
        """Who sent this request."""
        return Caller.from_authorizer(self._event["requestContext"]["authorizer"])

    @property
    def body_bytes(self) -> bytes:
        """The body as it was sent."""
        body = self.current_event.body or ""
        return b64decode(body) if self._event.get("isBase64Encoded") else body.encode()

    @property
    def query_params(self) -> dict[str, str]:
        """The query parameters, by name; of one that is repeated, the last."""
        return dict(self._event.get("queryStringParameters") or {})

    def cursors(self, *list_name: str, page_params: Collection[str] = PAGING_PARAMS) -> Cursors:
        """The cursors of a list as this caller asks for it; ``page_params`` may differ from page to page."""
        return Cursors.of(self.caller.tenant, self.caller.spaces, list_name, self.query_params, page_params)

    def require_known_query(self, *names: str) -> None:
        """Raise InvalidInput for a query parameter that is none of these."""
        require_known(self.query_params, names)

    def header(self, name: str) -> str | None:
        """A header's value."""
        return self.current_event.headers.get(name)

    @property
    def base_url(self) -> str:
        """Where this service answers, as the caller wrote it; a URL of another service needs none."""
        return f"http://{self.header('host') or 'localhost'}"

    def if_match(self) -> int | None:
        """The number in If-Match, such as ``"44"``. Raises InvalidInput for anything else, also for ``*``."""
        text = self.header("if-match")
        if text is None:
            return None
        number = text.strip().strip('"')
        if not (number.isascii() and number.isdigit()) or len(number) > 12:
            raise InvalidInput(
                "INVALID_FORMAT", f"If-Match must be a number in quotes, not {text!r}.", field="If-Match"
            )
        return int(number)

    def idempotent_request(self, route: str) -> IdempotentRequest | None:
        """This request's idempotency, if it came with an Idempotency-Key."""
        body = (self.current_event.decoded_body or "").encode()
        key = self.header("idempotency-key")
        return requests.idempotent_request(self.caller, route, key, self.current_event.path, body)

    def require_json(self) -> None:
        """Raise UnsupportedMediaType for a body of another content type, InvalidJson for one that is not UTF-8."""
        if self.current_event.body:
            allowed = (*self._content_types, *self._binary_types)
            kind = requests.require_json(self.header("content-type"), allowed)
            if kind in self._binary_types:
                return
        try:
            self.current_event.decoded_body  # noqa: B018 - Powertools decodes it once, here
        except ValueError:
            raise InvalidJson("The body is not JSON: it is not UTF-8.") from None

    @property
    def _event(self) -> Mapping[str, Any]:
        return self.current_event.raw_event

    def _call_route(self, route: Any, route_arguments: dict[str, str]) -> Any:
        if not any(route is known for known in (*self._static_routes, *self._dynamic_routes)):
            return super()._call_route(route, route_arguments)
        try:
            self.require_json()
            require_not_blank(pair for pair in _query_pairs(self._event) if pair[0] not in self._query_params)
            if self.current_event.http_method != "GET":
                self.require_known_query(*self._query_params, *(each.alias for each in route.dependant.query_params))
        except (UnsupportedMediaType, InvalidJson, InvalidInput) as error:
            return self._response_builder_class(response=self._refuse(error), serializer=self._serializer, route=route)
        return super()._call_route(route, route_arguments)

    def _refuse(self, error: AnnalsError) -> Response[str]:
        self._code = telemetry.count_refusal(error)
        request_id = self._event["requestContext"].get("requestId", "")
        return Response(
            status_code=error.status,
            content_type=problems.CONTENT_TYPE,
            body=json.dumps(problems.problem_details(error, request_id)),
            headers=problems.problem_headers(error),
        )

    def _replace(self, result: dict[str, Any], error: AnnalsError) -> dict[str, Any]:
        """A refusal instead of a result that Lambda would not send: the caller would get an empty 502."""
        logger.error("The answer of %s was too large", self.current_event.resource)
        refusal = self._refuse(error)
        headers = {**refusal.headers, "Content-Type": problems.CONTENT_TYPE}
        listed = {name: [value] for name, value in headers.items()}
        return {**result, "statusCode": error.status, "multiValueHeaders": listed, "body": refusal.body}

    def _refuse_aws_error(self, error: Exception) -> Response[str]:
        refusal = problems.from_aws(error)
        logger.error("AWS refused %s", type(error).__name__, exc_info=refusal.status == 500)
        return self._refuse(refusal)

    def _refuse_exception(self, error: Exception) -> Response[str]:
        logger.error("Request %s failed", self._event["requestContext"].get("requestId"), exc_info=error)
        return self._refuse(problems.internal_error())


def _query_pairs(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The query parameters of a request, those that are repeated, too."""
    for name, values in (event.get("multiValueQueryStringParameters") or {}).items():
        yield from ((name, value) for value in values)


def _sent_bytes(result: Mapping[str, Any]) -> int:
    """The size of a result as Lambda's runtime writes it; of a small one, an upper bound, which costs less."""
    most = 7 * len(result["body"] or "")  # a control character takes seven bytes; all others take fewer
    return most if most < MAX_RESULT_BYTES // 2 else len(json.dumps(result, ensure_ascii=False).encode())


def _parse_object(text: str) -> dict[str, Any]:
    """The JSON object of a body; of a list, Powertools would take the last element and drop the others."""
    value = json_text.parse(text)
    if isinstance(value, list):
        raise InvalidInput("INVALID_FORMAT", "The body must be a JSON object, not a list.")
    body: dict[str, Any] = value
    return body


def respond(
    body: Any, status: int = 200, *, etag: int | None = None, replayed: bool = False, location: str | None = None
) -> Response[Any]:
    """A response with the headers that the API documents."""
    headers = {} if location is None else {"Location": location}
    if etag is not None:
        headers["ETag"] = f'"{etag}"'
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    content_type = None if body is None else "application/json"
    return Response(status_code=status, content_type=content_type, body=body, headers=headers)
