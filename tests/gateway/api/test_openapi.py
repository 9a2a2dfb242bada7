"""The OpenAPI document says what the gateway does, path by path."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from tests.gateway.scene import scene
from wattshed.domain.schema import RECEIPT, RECEIPT_HEADERS
from wattshed.gateway.api import wanted
from wattshed.gateway.api.endpoints import ENDPOINTS, EVERYWHERE, METHODS, REFUSALS, Endpoint
from wattshed.gateway.api.openapi import document
from wattshed.gateway.app import ROUTES
from wattshed.gateway.wire.refusals import Kind

DOCUMENT: dict[str, Any] = document(["m"])
OPERATIONS = [operation for methods in DOCUMENT["paths"].values() for operation in methods.values()]
WISHES = {wanted.LAMBDA, wanted.EXCHANGE, wanted.MAX_P95, wanted.MAX_JOULES, wanted.OUTPUT_TOKENS}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_the_gateway_answers_where_the_table_says(endpoint: Endpoint) -> None:
    """A path of the table is there by its own methods, and others are told which those are."""

    async def run() -> tuple[int, int, str]:
        async with scene() as at:
            known = await at.send(endpoint.method, endpoint.path)
            other = await at.send("DELETE", endpoint.path)
            return known.status, other.status, other.header("allow")

    status, refused, allowed = asyncio.run(run())

    assert status in {200, *endpoint.refusals}
    assert (refused, allowed) == (405, ", ".join(endpoint.methods))


def test_no_path_is_left_out() -> None:
    """Whatever asks an engine stands in the table as such."""
    assert set(ROUTES) == {endpoint.path for endpoint in ENDPOINTS if endpoint.generates}
    assert set(DOCUMENT["paths"]) == set(METHODS)


def test_the_document_is_served() -> None:
    """With the names of models, so that a program may choose one."""

    async def run() -> dict[str, Any]:
        async with scene() as at:
            said = await at.send("GET", "/openapi.json")
            return dict(said.json)

    served = asyncio.run(run())

    assert served["paths"] == json.loads(json.dumps(DOCUMENT["paths"]))
    assert "llama-2-7b:eco" in served["components"]["schemas"]["chat"]["properties"]["model"]["enum"]


def test_every_reference_leads_somewhere() -> None:
    """Each `$ref` names a schema that is there, and each schema is named by something."""
    named = {ref.removeprefix("#/components/schemas/") for ref in _refs(DOCUMENT)}

    assert named == set(DOCUMENT["components"]["schemas"])


def test_every_status_is_explained() -> None:
    """Statuses of the table have a meaning, and every meaning is of one that is sent."""
    assert {*EVERYWHERE, *(status for one in ENDPOINTS for status in one.refusals)} == set(REFUSALS)


def test_headers_fields_and_codes_are_those_of_the_code() -> None:
    """Wishes, receipt and error codes stand in the document as their own tables have them."""
    asked = {one["name"].lower() for operation in OPERATIONS for one in operation.get("parameters", ())}
    answered = DOCUMENT["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]["headers"]
    schemas = DOCUMENT["components"]["schemas"]

    assert asked == WISHES
    assert set(answered) == {"X-Request-Id", *(one.name for one in RECEIPT_HEADERS)}
    assert set(schemas["Energy"]["properties"]) == {one.name for one in RECEIPT}
    assert schemas["Error"]["properties"]["error"]["properties"]["code"]["examples"] == list(get_args(Kind))


def _refs(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from _refs(inner)
    elif isinstance(part, list | tuple):
        for inner in part:
            yield from _refs(inner)
