"""The OpenAPI 3.1 document, made from the table of endpoints and the types that requests are checked by."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import msgspec

from vrouter import __version__
from vrouter.control import schema
from vrouter.control.connection import JSON
from vrouter.control.endpoint import Endpoint, Parameter
from vrouter.control.endpoints import ENDPOINTS

_PARAMETER = re.compile(r"\{(\w+)\}")
_DESCRIPTION = """The admin API of a running router, on a Unix socket that only its user can open.

Times are nanoseconds, sizes bytes, addresses text. A namespace's path is one segment of a URL: write its slashes as
%2F. An error is {error, message}, `error` being the name of Linux's errno."""


def document() -> dict[str, Any]:
    """The whole document."""
    types = [kind for endpoint in ENDPOINTS for kind in (endpoint.answer, endpoint.body) if kind is not None]
    shapes, components = msgspec.json.schema_components(
        [*types, schema.Error], ref_template="#/components/schemas/{name}"
    )
    shape_of = iter(shapes)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        answer = next(shape_of) if endpoint.answer is not None else None
        body = next(shape_of) if endpoint.body is not None else None
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, answer, body)
    return {
        "openapi": "3.1.0",
        "info": {"title": "vrouter", "version": __version__, "description": _DESCRIPTION},
        "paths": paths,
        "components": {"schemas": components},
    }


def operation_id(endpoint: Endpoint) -> str:
    """A name for generated clients, such as ``post_netns_routes``."""
    words = [word for word in re.split(r"[/.]", _PARAMETER.sub("", endpoint.path)) if word not in ("", "v1", "json")]
    if endpoint.path.endswith("}"):
        words.append("one")
    return "_".join([endpoint.method.lower(), *words])


def _operation(endpoint: Endpoint, answer: Any, body: Any) -> dict[str, Any]:
    names = _PARAMETER.findall(endpoint.path)
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    parameters += [
        {
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.text,
            "schema": _schema(parameter),
        }
        for parameter in endpoint.query
    ]
    success: dict[str, Any] = {"description": HTTPStatus(endpoint.status).phrase}
    if endpoint.status != HTTPStatus.NO_CONTENT:
        success["content"] = {endpoint.media: {"schema": answer if answer is not None else {"type": "string"}}}
    refused = {"description": "Refused", "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}
    operation: dict[str, Any] = {
        "operationId": operation_id(endpoint),
        "summary": endpoint.summary,
        "responses": {str(endpoint.status): success, "default": refused},
    }
    if parameters:
        operation["parameters"] = parameters
    if endpoint.pieces:
        operation["requestBody"] = {"required": True, "content": {endpoint.pieces: {"schema": {"type": "string"}}}}
    elif body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": body}}}
    return operation


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.kind.value}
    if parameter.allowed:
        schema["enum"] = list(parameter.allowed)
    return schema
