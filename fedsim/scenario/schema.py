"""The JSON Schema of scenario files, for editors: completion, hover texts and early errors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fedsim.core.config.plain import plain_value
from fedsim.core.foreign.door import Door, Foreign
from fedsim.scenario.check import adapter
from fedsim.scenario.checks.variants import MAX_NAME, NOT_HERE
from fedsim.scenario.scenario import Scenario
from fedsim.scenario.types import Key, Shape, field_texts, first_line, keys_of, shape

Schema = dict[str, Any]
Things = Sequence[type]
REFERENCE = "reference"
"""Title of what stands for any reference."""


def json_schema(things: Things = ()) -> Schema:
    """Return the JSON Schema (draft 7, which editors know best) of a scenario file; `things` are foreign classes in it.

    A file with `extends:` may leave out anything inside its sections, so that of these only the names are checked.
    """
    definitions: dict[str, Schema] = {}
    whole = _object(Scenario, definitions, None, things)
    lines = next(one for one in whole["properties"]["compare"]["anyOf"] if "items" in one)
    lines["items"] = {"anyOf": [lines["items"], _variant(whole["properties"])]}
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


def _variant(sections: Mapping[str, Schema]) -> Schema:
    """Return the schema of a variant under `compare:`; inside its sections only what is laid over others stands."""
    own = {key: value for key, value in sections.items() if key not in (*NOT_HERE, "name")}
    shown = {key: value if _is_leaf(key) else _only_described(value) for key, value in own.items()}
    return {
        "title": "variant",
        "description": "The scenario with some keys changed, under a name of its own.",
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {"name": {"type": "string", "minLength": 1, "maxLength": MAX_NAME}, **shown},
        "anyOf": [{"required": [key]} for key in own],
    }


def _is_leaf(key: str) -> bool:
    return not shape(keys_of(Scenario)[key].annotation).structured


def _only_described(value: Schema) -> Schema:
    return _text(value["description"]) | {"type": ["object", "array", "null"]}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def schema_text(things: Things = ()) -> str:
    """Return the schema as the text of a file."""
    return json.dumps(json_schema(things), indent=1, ensure_ascii=False) + "\n"


def _object(cls: type, definitions: dict[str, Schema], tag: str | None = None, things: Things = ()) -> Schema:
    texts = field_texts(cls)
    properties: dict[str, Schema] = {}
    for name, key in keys_of(cls).items():
        found = {"const": key.default} if name == tag else _place(shape(key.annotation), definitions, things)
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


def _place(allowed: Shape, definitions: dict[str, Schema], things: Things = ()) -> Schema:
    choices: list[Schema] = []
    if allowed.members is not None:
        known = [*allowed.members.values(), *_foreign(allowed, things)]
        members = [_reference(cls, definitions, allowed.key, things) for cls in known]
        if allowed.door is not None and allowed.key is not None:
            members.append(_any_reference(allowed.key, allowed.door, [*allowed.members], things))
        choices.append(members[0] if len(members) == 1 else {"oneOf": members})
        if allowed.spelled is not None:  # not these words alone: `top_5` is one too
            choices.append({"type": "string", "examples": list(allowed.members)})
    if allowed.item is not None:
        items: Schema = {"type": "array", "items": _place(shape(allowed.item), definitions, things)}
        shortest = max((mark.min_length for mark in allowed.marks if hasattr(mark, "min_length")), default=0)
        choices.append({**items, "minItems": shortest} if shortest else items)
    if allowed.leaf is not None:
        leaf = adapter(allowed.leaf).json_schema()
        choices.extend(leaf["anyOf"] if set(leaf) == {"anyOf"} else [leaf])
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def _foreign(allowed: Shape, things: Things) -> list[type]:
    """Return the foreign classes that stand in some scenario at such a place."""
    return [cls for cls in things if allowed.door is not None and vars(cls)["door"].group == allowed.door.group]


def _any_reference(key: str, door: Door, words: list[str], things: Things) -> Schema:
    """Return what of a reference is known without looking at it: its form, and nothing of its options."""
    word: Schema = {"type": "string", "pattern": ":"}
    shown = [keys_of(cls)[key].default for cls in things if vars(cls)["door"].group == door.group]
    if shown:
        word["not"] = {"enum": shown}
    text = f"Code of your own, {door.what}: ./file.py:Name or package.module:Name."
    return {"title": REFERENCE, "description": text, "type": "object", "required": [key], "properties": {key: word}}


def _reference(cls: type, definitions: dict[str, Schema], tag: str | None, things: Things = ()) -> Schema:
    name = f"{cls.__module__}.{cls.__qualname__}"
    if issubclass(cls, Foreign):
        name = re.sub(r"[^\w.]", "_", f"{cls.door.group}.{cls.thing.text}")  # a slash would be a step in a pointer
    if name not in definitions:
        definitions[name] = {}  # a group holds processes, which may be groups
        definitions[name] = {
            "title": keys_of(cls)[tag].default if tag else cls.__name__,
            **_object(cls, definitions, tag, things),
        }
    return {"$ref": f"#/definitions/{name}"}
