"""Reads spec/messages.yaml, holds it against spec/schema.json, and makes the model of it."""

import functools
import json
import textwrap
from collections.abc import Hashable
from pathlib import Path
from typing import TypeAlias, cast

import jsonschema
import yaml
from jsonschema.exceptions import best_match

from spec.generator.model import (
    AccessTable,
    Cell,
    Direction,
    EnumType,
    ErrorType,
    Field,
    JsonDefault,
    Limit,
    Message,
    NamedType,
    Spec,
    SpecError,
    State,
    StructType,
    TypeRef,
)

Raw: TypeAlias = dict[str, "RawValue"]
RawValue: TypeAlias = "str | int | bool | list[RawValue] | Raw | None"


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader to which a key that stands twice in one mapping is a mistake."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise SpecError([f"line {line}: `{key.value}` stands there twice; keep one."])
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Raw:
    """The file's content, not yet held against the schema. Raises SpecError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([f"{path.name} cannot be read: {error}."]) from error
    try:
        # _StrictLoader is a SafeLoader: it makes plain values only.
        content = yaml.load(text, _StrictLoader)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise SpecError([f"{path.name} is not YAML: {reason}."]) from error
    if not isinstance(content, dict):
        raise SpecError([f"{path.name} holds no mapping."])
    return content


def check_schema(content: Raw, schema_path: Path) -> None:
    """Raises SpecError with a line for each place where the content has the wrong shape."""
    validator = _validator(schema_path)
    # Of a choice that failed, best_match tells the alternative that was nearest.
    mistakes = [best_match([mistake]) for mistake in validator.iter_errors(content)]
    problems = [_describe(mistake) for mistake in mistakes if mistake is not None]
    if problems:
        raise SpecError(sorted(problems))


@functools.cache
def _validator(schema_path: Path) -> jsonschema.Draft202012Validator:
    try:
        schema = json.loads(schema_path.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
    except (OSError, ValueError, jsonschema.SchemaError) as error:
        reason = str(error).splitlines()[0]
        raise SpecError([f"{schema_path.name} cannot be used: {reason}."]) from error
    return jsonschema.Draft202012Validator(schema)


def _describe(mistake: jsonschema.ValidationError) -> str:
    place = ".".join(str(step) for step in mistake.absolute_path) or "the file"
    reason = textwrap.shorten(mistake.message, 240, placeholder=" …")
    return f"{place}: {reason}."


def load_spec(content: Raw) -> Spec:
    """The model of content that the schema has let through."""
    return Spec(
        protocol=_int(content["protocol"]),
        title=_str(content["title"]),
        summary=_str(content["summary"]),
        limits=tuple(
            Limit(name, _int(raw["default"]), _str(raw["doc"]))
            for name, raw in _items(content, "limits")
        ),
        types=tuple(_named_type(name, raw) for name, raw in _items(content, "types")),
        enums=tuple(
            EnumType(name, _str(raw["doc"]), _docs(raw["values"]))
            for name, raw in _items(content, "enums")
        ),
        structs=tuple(
            StructType(name, _str(raw["doc"]), _fields(raw))
            for name, raw in _items(content, "structs")
        ),
        requests=_messages(content, Direction.REQUEST),
        replies=_messages(content, Direction.REPLY),
        pushes=_messages(content, Direction.PUSH),
        errors=tuple(
            ErrorType(
                name=name,
                message=_str(raw["message"]),
                any=raw.get("any") is True,
                retry=raw.get("retry") is True,
                closes=raw.get("closes") is True,
            )
            for name, raw in _items(content, "errors")
        ),
        states=tuple(
            State(name, _str(raw["doc"]), raw.get("initial") is True, raw.get("final") is True)
            for name, raw in _items(content, "states")
        ),
        inputs=_docs(content["inputs"]),
        cells={
            name: tuple(_cell(_str(text)) for text in _list(row))
            for name, row in _dict(content["cells"]).items()
        },
        access=tuple(_access(name, raw) for name, raw in _items(content, "access")),
    )


def _named_type(name: str, raw: Raw) -> NamedType:
    union = tuple(_str(item) for item in _list(raw.get("union", [])))
    base = raw.get("base")
    return NamedType(
        name=name,
        doc=_str(raw["doc"]),
        base="int" if base == "int" else "str" if base == "str" else None,
        minimum=_optional_int(raw, "min"),
        maximum=_optional_int(raw, "max"),
        pattern=_str(raw["pattern"]) if "pattern" in raw else None,
        apart=raw.get("apart") is True,
        min_bytes=_optional_int(raw, "min_bytes"),
        max_bytes=_optional_int(raw, "max_bytes"),
        union=union,
    )


def _messages(content: Raw, direction: Direction) -> tuple[Message, ...]:
    return tuple(
        Message(
            direction=direction,
            name=name,
            doc=_str(raw["doc"]),
            fields=_fields(raw),
            example=cast(dict[str, object], _dict(raw["example"])),
            reply=_str(raw.get("reply", "")),
            errors=tuple(_str(code) for code in _list(raw.get("errors", []))),
            cost=_int(raw.get("cost", 0)),
            command=_str(raw["command"]) if "command" in raw else None,
            answer=cast(dict[str, object], _dict(raw.get("answer", {}))),
            optional_re=raw.get("optional_re") is True,
        )
        for name, raw in _items(content, direction.section)
    )


def _fields(raw: Raw) -> tuple[Field, ...]:
    return tuple(_field(name, value) for name, value in _dict(raw.get("fields", {})).items())


def _field(name: str, raw: RawValue) -> Field:
    if isinstance(raw, str):
        return Field(name, TypeRef("one", raw))
    full = _dict(raw)
    return Field(
        name=name,
        type=_type_ref(full["type"]),
        doc=_str(full.get("doc", "")),
        optional=full.get("optional") is True,
        default=cast(JsonDefault, full.get("default")),
    )


def _type_ref(raw: RawValue) -> TypeRef:
    if isinstance(raw, str):
        return TypeRef("one", raw)
    shape = _dict(raw)
    if "list" in shape:
        return TypeRef("list", _str(shape["list"]))
    key, item = _list(shape["map"])
    return TypeRef("map", _str(item), _str(key))


def _cell(text: str) -> Cell:
    words = text.replace("->", " ").split()
    match words:
        case ["accept"]:
            return Cell("ACCEPT")
        case ["accept", state]:
            return Cell("ACCEPT", next=state)
        case ["error", code]:
            return Cell("ERROR", code=code)
        case ["close"]:
            return Cell("CLOSE")
        case ["close", code]:
            return Cell("CLOSE", code=code)
        case ["hold"]:
            return Cell("HOLD")
        case ["ignore"]:
            return Cell("IGNORE")
        case ["never"]:
            return Cell("NEVER")
    raise AssertionError(f"the schema lets no cell through that says {text!r}")


def _access(name: str, raw: Raw) -> AccessTable:
    return AccessTable(
        name=name,
        doc=_str(raw["doc"]),
        roles=_docs(raw["roles"]),
        actions={
            action: tuple(None if cell == "allow" else _str(cell) for cell in _list(row))
            for action, row in _dict(raw["actions"]).items()
        },
    )


def _items(content: Raw, section: str) -> list[tuple[str, Raw]]:
    return [(name, _dict(raw)) for name, raw in _dict(content[section]).items()]


def _docs(raw: RawValue) -> dict[str, str]:
    return {name: _str(doc) for name, doc in _dict(raw).items()}


def _optional_int(raw: Raw, key: str) -> int | None:
    return _int(raw[key]) if key in raw else None


def _str(raw: RawValue) -> str:
    if not isinstance(raw, str):
        raise AssertionError(f"the schema lets no {raw!r} through where a string stands")
    return raw


def _int(raw: RawValue) -> int:
    if not isinstance(raw, int):
        raise AssertionError(f"the schema lets no {raw!r} through where a number stands")
    return raw


def _list(raw: RawValue) -> list[RawValue]:
    if not isinstance(raw, list):
        raise AssertionError(f"the schema lets no {raw!r} through where a list stands")
    return raw


def _dict(raw: RawValue) -> Raw:
    if not isinstance(raw, dict):
        raise AssertionError(f"the schema lets no {raw!r} through where a mapping stands")
    return raw
