"""The OpenAPI 3.1 document, made from the records that are answered."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from modelcast.dashboard.actions import CommandEffect, CommandRequest, ReplayEffect, ReplayRequest
from modelcast.dashboard.web import answers, history_answers
from modelcast.dashboard.web.api import BASE
from modelcast.dashboard.web.paging import LIMIT_MAX
from modelcast.producers.planning.convergence import LEVELS

_LIMIT = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}}
_AFTER = {"name": "after", "in": "query", "description": "`next` of the page before", "schema": {"type": "string"}}
_SORT = {"name": "sort", "in": "query", "schema": {"type": "string", "enum": ["worst", "name"]}}
_STATUS = {"name": "status", "in": "query", "description": "a status", "schema": {"type": "string"}}
_PART = {"name": "q", "in": "query", "description": "a part of the name", "schema": {"type": "string"}}
_MODEL = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
_OFFSET = {"name": "offset", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}}
_VERSION = {"name": "version", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
_LEVEL = {"name": "level", "in": "query", "schema": {"type": "string", "enum": list(LEVELS)}}
_TIMEOUT = {"name": "timeout", "in": "query", "description": "seconds", "schema": {"type": "number"}}
_GENERATION: dict[str, Any] = {"name": "generation", "in": "query", "schema": {"type": "integer", "minimum": 0}}
_REGION = {"name": "region", "in": "path", "required": True, "schema": {"type": "string"}}

_INSTANT = "ISO 8601, or microseconds since 1970"


def _query(name: str, description: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "required": required, "schema": {"type": "string"}}


def _version(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": True, "schema": {"type": "integer", "minimum": 1}}


_ONE_GENERATION: dict[str, Any] = {
    "name": "generation", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}
}  # fmt: skip
_FROM, _TO, _TIME = (_query(name, _INSTANT) for name in ("from", "to", "time"))
_OF_MODEL, _IN_REGION = _query("model", "its name", required=True), _query("region", "only this one")

_READS: dict[str, tuple[str, type, list[dict[str, Any]]]] = {
    "/verdict": ("Is everything as it should be?", answers.VerdictAnswer, []),
    "/problems": ("What is wrong, worst first.", answers.Problems, [_LIMIT, _AFTER]),
    "/models": ("All models.", answers.Models, [_STATUS, _PART, _SORT, _LIMIT, _AFTER]),
    "/models/{model}": ("One model, everywhere.", answers.Model, [_MODEL]),
    "/models/{model}/regions/{region}/pods": (
        "Pods of a model in a region.",
        answers.Pods,
        [_MODEL, _REGION, _LIMIT, _AFTER],
    ),
    "/regions": ("All regions, worst first.", answers.Regions, []),
    "/regions/{region}": ("One region.", answers.Region, [_REGION]),
    "/refused": ("What regions refuse.", answers.Refusals, []),
    "/dead-letters": ("What could not be read or obeyed.", answers.DeadLetters, []),
    "/rollouts": ("What is on its way, worst first.", answers.Rollouts, []),
    "/entries": ("The newest log entries.", answers.Entries, []),
    "/kafka/groups": ("How far the consumer groups on Kafka have read, worst first.", answers.Groups, []),
    "/kafka/probe": ("The probe that goes the whole way to every region and back.", answers.Probing, []),
    "/at": (
        "What regions served at a time, and should have.",
        history_answers.AtAnswer,
        [_OF_MODEL, _IN_REGION, _TIME],
    ),
    "/models/{model}/history": (
        "What each region served in a span, and how long publications took.",
        history_answers.HistoryAnswer,
        [_MODEL, _FROM, _TO],
    ),
    "/models/{model}/lags": (
        "How far behind a model's regions were in a span.",
        history_answers.LagsAnswer,
        [_MODEL, _FROM, _TO],
    ),
    "/models/{model}/generations/{generation}": (
        "How one generation of a model went.",
        history_answers.GenerationAnswer,
        [_MODEL, _ONE_GENERATION],
    ),
    "/models/{model}/diff": (
        "What differs between two versions.",
        history_answers.DiffAnswer,
        [_MODEL, _version("from"), _version("to")],
    ),
    "/actions": ("Whether this dashboard takes commands.", answers.Actions, []),
    "/statuses": ("The statuses.", answers.Statuses, []),
}


@cache
def document() -> dict[str, Any]:
    """The document."""
    adapters: list[tuple[type, TypeAdapter[Any]]] = [(kind, TypeAdapter(kind)) for _, kind, _ in _READS.values()] + [
        (each, TypeAdapter(each))
        for each in (answers.Fault, CommandEffect, CommandRequest, ReplayEffect, ReplayRequest)
    ]
    refs, schemas = TypeAdapter.json_schemas(
        [(kind, "serialization", adapter) for kind, adapter in adapters], ref_template="#/components/schemas/{model}"
    )
    fault = {
        "description": "why not",
        "content": {"application/json": {"schema": refs[answers.Fault, "serialization"]}},
    }
    paths: dict[str, Any] = {}
    for path, (summary, kind, parameters) in _READS.items():
        content = {"application/json": {"schema": refs[kind, "serialization"]}}
        responses = {"200": {"description": summary, "content": content}, "400": fault, "404": fault, "421": fault}
        paths[BASE + path] = {"get": {"summary": summary, "parameters": parameters, "responses": responses}}
    models = "Write a command into the model's log, or answer what it would change."
    paths[BASE + "/models/{model}/commands"] = _post(refs, fault, models, _MODEL, CommandRequest, CommandEffect)
    letters = "Send a dead letter back to where it came from, or answer what would be sent."
    paths[BASE + "/dead-letters/{offset}/replay"] = _post(refs, fault, letters, _OFFSET, ReplayRequest, ReplayEffect)
    paths[BASE + "/grid"] = _plain("All pairs: a line of JSON, then a byte a pair.", "application/octet-stream")
    paths[BASE + "/events"] = _plain("What changes, as server-sent events.", "text/event-stream")
    waited = _plain("How far regions have come with a version; ends once that is decided.", "text/event-stream")
    waited["get"]["parameters"] = [_MODEL, _VERSION, _LEVEL, _TIMEOUT, _GENERATION]
    waited["get"]["responses"] |= {"400": fault, "503": fault}
    paths[BASE + "/wait/{model}/{version}"] = waited
    return {
        "openapi": "3.1.0",
        "info": {"title": "Modelcast dashboard", "version": "1", "description": "Who serves what, how late, and why."},
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _post(
    refs: Mapping[Any, Any], fault: dict[str, Any], summary: str, parameter: dict[str, Any], request: type, effect: type
) -> dict[str, Any]:
    done = {"application/json": {"schema": refs[effect, "serialization"]}}
    asked = {"application/json": {"schema": refs[request, "serialization"]}}
    answers_of = {"200": {"description": "what it changes", "content": done}}
    return {
        "post": {
            "summary": summary,
            "parameters": [parameter],
            "requestBody": {"required": True, "content": asked},
            "responses": answers_of
            | dict.fromkeys(("202", "400", "401", "403", "404", "409", "415", "422", "429", "503"), fault),
            "security": [{"bearer": []}],
        }
    }


def _plain(summary: str, kind: str) -> dict[str, Any]:
    content = {kind: {"schema": {"type": "string"}}}
    return {"get": {"summary": summary, "responses": {"200": {"description": summary, "content": content}}}}
