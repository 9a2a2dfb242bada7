"""The OpenAPI document of the gateway: `endpoints.py`, `wanted.py` and the receipt's table, in OpenAPI's words.

Fields of bodies are those that the gateway reads; engines take many more, and all of them pass.
Source: OpenAPI Specification 3.1.0, whose schemas are JSON Schema of 2020-12.
"""

from collections.abc import Iterable, Mapping
from typing import Final, get_args

from wattshed import __version__
from wattshed.domain.schema import MOST_TOKENS, RECEIPT, RECEIPT_HEADERS, Column
from wattshed.gateway.api.endpoints import ENDPOINTS, EVERYWHERE, REFUSALS, Endpoint
from wattshed.gateway.api.wanted import EXCHANGE, LAMBDA, MAX_JOULES, MAX_P95, MOST_WISHED, OUTPUT_TOKENS
from wattshed.gateway.wire.refusals import Kind

Schema = Mapping[str, object]
"""A part of the document: JSON, of whatever shape the specification gives it."""

_FLAG: Final[Schema] = {"type": ["boolean", "null"]}
_COUNT: Final[Schema] = {"type": ["integer", "null"]}
_OFTEN: Final[Schema] = {"type": ["string", "array"], "items": {"type": "string"}, "minItems": 1}
_PART: Final[Schema] = {
    "type": "object",
    "required": ["type"],
    "properties": {"type": {"type": "string"}, "text": {"type": "string"}},
}
_MESSAGE: Final[Schema] = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {"role": {"type": "string"}, "content": {"type": ["string", "null", "array"], "items": _PART}},
}

_WRITING: Final[Mapping[str, Schema]] = {
    "stream": _FLAG,
    "stream_options": {"type": ["object", "null"], "properties": {"include_usage": _FLAG}},
    "max_tokens": _COUNT,
    "max_completion_tokens": _COUNT,
}
_FIELDS: Final[Mapping[str, Mapping[str, Schema]]] = {
    "chat": {"messages": {"type": "array", "items": _MESSAGE, "minItems": 1}, **_WRITING},
    "completions": {"prompt": _OFTEN, **_WRITING},
    "embeddings": {"input": _OFTEN},
}
"""What is read of each body, beside `model`; the first of each is required."""

_ABOVE_NOTHING: Final[Schema] = {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_WISHED}

_WISHES: Final[Mapping[str, tuple[str, Schema]]] = {
    LAMBDA: ("1 is energy alone, 0 is time alone", {"type": "number", "minimum": 0, "maximum": 1}),
    EXCHANGE: (
        f"watts that one would spend to save a second; not beside {LAMBDA}",
        {"type": "number", "minimum": 0, "maximum": MOST_WISHED},
    ),
    MAX_P95: ("least energy where 19 of 20 such requests take no longer", _ABOVE_NOTHING),
    MAX_JOULES: ("least time where no more joules are predicted", _ABOVE_NOTHING),
    OUTPUT_TOKENS: (
        "how long the answer will be, where the client knows",
        {"type": "integer", "minimum": 1, "maximum": MOST_TOKENS},
    ),
}

_JSON_TYPES: Final = {"number": "number", "text": "string"}


def document(models: Iterable[str] = ()) -> dict[str, object]:
    """The document; `models` are the names that may be asked for, where everybody may know them."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Wattshed gateway",
            "version": __version__,
            "summary": "OpenAI's API over many machines, each request where it costs least, with an energy receipt",
        },
        "paths": {one.path: {one.method.lower(): _operation(one)} for one in ENDPOINTS},
        "components": {
            "schemas": {"Error": _error(), "Energy": _energy(), **_bodies(tuple(models)), **_documents()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, object]:
    refusals = sorted({*EVERYWHERE, *endpoint.refusals})
    operation: dict[str, object] = {
        "operationId": endpoint.path.strip("/").replace("/", "_").replace(".", "_"),
        "summary": endpoint.meaning,
        "responses": {"200": _answer(endpoint), **{str(status): _refusal(endpoint, status) for status in refusals}},
    }
    if endpoint.takes != "nothing":
        content = {"application/json": {"schema": _ref(endpoint.takes)}}
        operation["requestBody"] = {"required": True, "content": content}
        operation["parameters"] = [_header(name, *said) for name, said in _WISHES.items()]
    if endpoint.key != "none":
        operation["security"] = [{"key": []}, *([{}] if endpoint.key == "client" else [])]
    return operation


def _header(name: str, meaning: str, schema: Schema) -> Schema:
    return {"name": name.title(), "in": "header", "description": meaning, "required": False, "schema": schema}


def _answer(endpoint: Endpoint) -> Schema:
    """What comes if all goes well."""
    if endpoint.says == "metrics":
        return {"description": endpoint.meaning, "content": {"text/plain": {"schema": {"type": "string"}}}}
    content: dict[str, object] = {"application/json": {"schema": _ref(endpoint.says)}}
    if not endpoint.generates:
        return {"description": endpoint.meaning, "content": content}
    if endpoint.takes != "embeddings":
        content["text/event-stream"] = {}
    return {"description": endpoint.meaning, "headers": _answer_headers(), "content": content}


def _answer_headers() -> Schema:
    receipt = {
        one.name: {
            "description": one.meaning,
            "required": one.required,
            "schema": {"type": "number" if one.kind == "number" else "string"},
        }
        for one in RECEIPT_HEADERS
    }
    name = {"description": "what the request is called", "required": True, "schema": {"type": "string"}}
    return {**receipt, "X-Request-Id": name}


def _refusal(endpoint: Endpoint, status: int) -> Schema:
    if endpoint.says == "readiness" and status == 503:
        return _answer(endpoint)
    refusal: dict[str, object] = {
        "description": REFUSALS[status],
        "content": {"application/json": {"schema": _ref("Error")}},
    }
    if status in (429, 503):
        refusal["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}
    if status == 405:
        refusal["headers"] = {"Allow": {"description": "methods", "required": True, "schema": {"type": "string"}}}
    return refusal


def _bodies(models: tuple[str, ...]) -> Mapping[str, Schema]:
    name: Schema = {"type": "string", **({"enum": list(models)} if models else {"minLength": 1})}
    bodies = {
        takes: {"type": "object", "required": ["model", next(iter(fields))], "properties": {"model": name, **fields}}
        for takes, fields in _FIELDS.items()
    }
    return {**bodies, "either": {"anyOf": [_ref("chat"), _ref("completions")]}}


def _documents() -> Mapping[str, Schema]:
    """The bodies of answers."""
    model = {"type": "object", "required": ["id", "object"], "properties": {"id": {"type": "string"}}}
    return {
        "answer": {"type": "object", "required": ["energy"], "properties": {"energy": _ref("Energy")}},
        "models": {"type": "object", "required": ["data"], "properties": {"data": {"type": "array", "items": model}}},
        "placement": {"type": "object", "required": ["system", "reason", "candidates", "baseline"]},
        "state": {"type": "object", "required": ["status"]},
        "readiness": {
            "type": "object",
            "required": ["ready", "drift"],
            "properties": {
                "ready": {"type": "boolean"},
                "drift": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["system", "model", "quantity", "outside", "checks"],
                        "properties": {
                            **{name: {"type": "string"} for name in ("system", "model", "quantity")},
                            **{name: {"type": "integer"} for name in ("outside", "checks")},
                        },
                    },
                },
            },
        },
        "reloaded": {"type": "object", "required": ["reloaded"]},
        "document": {"type": "object", "required": ["openapi", "paths"]},
    }


def _error() -> Schema:
    """OpenAI's envelope; an engine's own words may have other codes."""
    fields: dict[str, Schema] = {
        "message": {"type": "string"},
        "type": {"type": "string"},
        "param": {"type": ["string", "null"]},
        "code": {"type": ["string", "integer", "null"], "examples": list(get_args(Kind))},
    }
    error = {"type": "object", "required": list(fields), "properties": fields}
    return {"type": "object", "required": ["error"], "properties": {"error": error}}


def _energy() -> Schema:
    """The receipt in a body."""
    return {
        "type": "object",
        "required": [one.name for one in RECEIPT],
        "properties": {one.name: _receipt_field(one) for one in RECEIPT},
    }


def _receipt_field(column: Column) -> Schema:
    if column.name == "reasons":
        return {"type": "object", "description": column.meaning, "additionalProperties": {"type": "string"}}
    kind = _JSON_TYPES[column.kind]
    return {"type": kind if column.required else [kind, "null"], "description": f"{column.meaning} ({column.unit})"}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
