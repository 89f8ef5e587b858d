"""The JSON Schema of scenario files, for editors: completion, hover texts and early errors."""

from __future__ import annotations

import json
from typing import Any

from fedsim.core.config.plain import plain_value
from fedsim.scenario.check import adapter
from fedsim.scenario.scenario import Scenario
from fedsim.scenario.types import Key, Shape, field_texts, first_line, keys_of, shape

Schema = dict[str, Any]


def json_schema() -> Schema:
    """Return the JSON Schema (draft 7, which editors know best) of a scenario file.

    A file with `extends:` may leave out anything inside its sections, so that of these only the names are checked.
    """
    definitions: dict[str, Schema] = {}
    whole = _object(Scenario, definitions)
    text = "Another scenario file, over which this one is laid: what is not given here is taken from there."
    part = {key: value if _is_leaf(key) else _only_described(value) for key, value in whole["properties"].items()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "fedsim scenario",
        "description": whole.pop("description"),
        "type": "object",
        "if": {"required": ["extends"]},
        "then": {"additionalProperties": False, "properties": {"extends": _text(text), **part}},
        "else": whole,
        "definitions": dict(sorted(definitions.items())),
    }


def _is_leaf(key: str) -> bool:
    return not shape(keys_of(Scenario)[key].annotation).structured


def _only_described(value: Schema) -> Schema:
    return _text(value["description"]) | {"type": ["object", "array", "null"]}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def schema_text() -> str:
    """Return the schema as the text of a file."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def _object(cls: type, definitions: dict[str, Schema], tag: str | None = None) -> Schema:
    texts = field_texts(cls)
    properties: dict[str, Schema] = {}
    for name, key in keys_of(cls).items():
        found = {"const": key.default} if name == tag else _place(shape(key.annotation), definitions)
        properties[name] = _annotated(found, texts.get(name), key, required=key.required or name == tag)
    required = [name for name, key in keys_of(cls).items() if key.required or name == tag]
    return {
        "type": "object",
        "description": first_line(cls),
        "additionalProperties": False,
        "properties": properties,
        **({"required": required} if required else {}),
    }


def _annotated(found: Schema, text: str | None, key: Key, *, required: bool) -> Schema:
    """Add description and default; beside a $ref nothing else is read, so that is wrapped."""
    extra: Schema = {"description": text} if text else {}
    if not required:
        default = plain_value(key.factory() if key.factory else key.default)
        extra |= {"default": default} if default is not None else {}
    if not extra:
        return found
    return {"allOf": [found], **extra} if "$ref" in found else {**found, **extra}


def _place(allowed: Shape, definitions: dict[str, Schema]) -> Schema:
    choices: list[Schema] = []
    if allowed.members is not None:
        members = [_reference(cls, definitions, allowed.key) for cls in allowed.members.values()]
        choices.append(members[0] if len(members) == 1 else {"oneOf": members})
        if allowed.spelled is not None:  # not these words alone: `top_5` is one too
            choices.append({"type": "string", "examples": list(allowed.members)})
    if allowed.item is not None:
        items: Schema = {"type": "array", "items": _place(shape(allowed.item), definitions)}
        shortest = max((mark.min_length for mark in allowed.marks if hasattr(mark, "min_length")), default=0)
        choices.append({**items, "minItems": shortest} if shortest else items)
    if allowed.leaf is not None:
        leaf = adapter(allowed.leaf).json_schema()
        choices.extend(leaf["anyOf"] if set(leaf) == {"anyOf"} else [leaf])
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def _reference(cls: type, definitions: dict[str, Schema], tag: str | None) -> Schema:
    name = f"{cls.__module__}.{cls.__qualname__}"
    if name not in definitions:
        definitions[name] = {}  # a group holds processes, which may be groups
        definitions[name] = {
            "title": keys_of(cls)[tag].default if tag else cls.__name__,
            **_object(cls, definitions, tag),
        }
    return {"$ref": f"#/definitions/{name}"}
