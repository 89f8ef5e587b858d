"""What is answered to what cannot be: the shapes that the OpenAPI document declares, status by status."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BaseModel, Field


class Refusal(BaseModel):
    """Why a request was refused, in one line."""

    detail: str


class RefusalDetail(BaseModel):
    """What is wrong, and where."""

    at: Annotated[str, Field(max_length=200, description="Names and numbers with dots between them")]
    problem: Annotated[str, Field(max_length=500)]


class Malformed(BaseModel):
    """What is wrong with what was asked or told; the first few problems."""

    detail: Annotated[list[RefusalDetail], Field(max_length=20)]


Answers = dict[int | str, dict[str, Any]]


def _said(what: str, model: Any = Refusal, header: str | None = None) -> dict[str, Any]:
    told = {} if header is None else {"headers": {header: {"required": True, "schema": {"type": "string"}}}}
    return {"description": what, "model": model, **told}


EVERYWHERE: Answers = {
    400: _said("This is not how it is asked", Refusal | Malformed),
    405: _said("There is no such method here; HEAD is none", header="allow"),
    413: _said("The body is too large"),
    414: _said("The query is too long"),
    503: _said("The store cannot be used just now; ask again", header="retry-after"),
}
"""What every address may answer."""
LOCKED: Answers = {401: _said("A token is needed", header="www-authenticate")}
ASKED: Answers = {**EVERYWHERE, **LOCKED, 422: _said("What is asked or told is malformed, and where", Malformed)}
MISSING: Answers = {404: _said("There is no such run")}
FOREIGN: Answers = {403: _said("The run was begun by another sender; nothing was recorded")}


def beside_text(answers: Answers) -> Answers:
    """Return refusals of an address that answers with text: they are JSON even there."""
    return {status: _in_json(told) for status, told in answers.items()}


def _in_json(told: dict[str, Any]) -> dict[str, Any]:
    models = [
        {"$ref": f"#/components/schemas/{model.__name__}"} for model in get_args(told["model"]) or [told["model"]]
    ]
    rest = {name: value for name, value in told.items() if name != "model"}
    return {**rest, "content": {"application/json": {"schema": {"anyOf": models}}}}
