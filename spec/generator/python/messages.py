"""chat/protocol/messages.py: types, enumerations, structs and messages for msgspec."""

from dataclasses import replace

from spec.generator.model import Direction, EnumType, Field, Message, NamedType, Spec, StructType
from spec.generator.python.text import docstring, format_python, header, literal

_INDENT = "    "
SHAPE = "Shape"
"""Suffix of the name of a type whose pattern is checked separately."""


def generate_messages(spec: Spec) -> str:
    parts = [
        header(f"The messages of the {spec.title.lower()}, version {spec.protocol}."),
        _imports(spec),
    ]
    parts += [_named_type(named) for named in spec.types]
    parts += [_enum(enum) for enum in spec.enums]
    parts += [_struct(struct) for struct in spec.structs]
    parts += [_message(spec, message) for message in spec.messages]
    parts.append(_union("Request", spec.requests, "Everything a client may send."))
    parts.append(
        _union(
            "ServerMessage",
            (*spec.replies, *spec.pushes),
            "Everything a node may send: replies, `error` and pushes.",
        )
    )
    return format_python("\n".join(parts))


def _imports(spec: Spec) -> str:
    fields = [field for message in spec.messages for field in message.fields]
    fields += [field for struct in spec.structs for field in struct.fields]
    lines = ["import enum", "from typing import Annotated, TypeAlias", ""]
    if any(isinstance(field.default, dict) for field in fields):
        lines.append("import msgspec")
    lines.append("from msgspec import Meta, Struct")
    if any("ErrorCode" in field.type.names for field in fields):
        lines += ["", "from chat.protocol.errors import ErrorCode"]
    return "\n".join(lines) + "\n"


def _named_type(named: NamedType) -> str:
    if named.union:
        value = " | ".join(named.union)
    else:
        bounds = _bounds(named)
        value = f"Annotated[{named.base}, Meta({', '.join(bounds)})]" if bounds else str(named.base)
    text = f"{named.name}: TypeAlias = {value}\n{docstring(named.doc)}\n"
    if named.apart:
        bounds = _bounds(replace(named, pattern=None))
        text += f"\n{named.name}{SHAPE}: TypeAlias = Annotated[str, Meta({', '.join(bounds)})]\n"
        text += docstring(f"{named.name} before its pattern is looked at: rules.PATTERNS.") + "\n"
    return text


def _bounds(named: NamedType) -> list[str]:
    low, high = ("ge", "le") if named.base == "int" else ("min_length", "max_length")
    bounds = []
    if named.minimum is not None:
        bounds.append(f"{low}={named.minimum}")
    if named.maximum is not None:
        bounds.append(f"{high}={named.maximum}")
    if named.pattern is not None:
        bounds.append(f"pattern={literal(named.pattern)}")
    return bounds


def _enum(enum: EnumType) -> str:
    lines = [f"class {enum.name}(enum.StrEnum):", docstring(enum.doc, _INDENT), ""]
    for value, doc in enum.values.items():
        lines.append(f"{_INDENT}{value.upper()} = {literal(value)}")
        lines.append(docstring(doc, _INDENT))
    return "\n".join(lines) + "\n\n"


def _struct(struct: StructType) -> str:
    return _class(struct.name, struct.doc, struct.fields, options=[])


def _message(spec: Spec, message: Message) -> str:
    doc = message.doc
    if message.direction is Direction.REQUEST:
        doc = f"{doc} -> {message.reply}"
    options = ['tag_field="type"', f"tag={literal(message.name)}"]
    fields = message.all_fields
    if message.direction is Direction.REQUEST:
        fields = tuple(_without_pattern(spec, field) for field in fields)
    return _class(message.class_name, doc, fields, options)


def _without_pattern(spec: Spec, field: Field) -> Field:
    named = spec.named_type(field.type.item)
    if named is None or not named.apart:
        return field
    return replace(field, type=replace(field.type, item=field.type.item + SHAPE))


def _class(name: str, doc: str, fields: tuple[Field, ...], options: list[str]) -> str:
    every = ["frozen=True", "kw_only=True"]
    # Without containers an object can be in no reference cycle, so the collector may skip it.
    if all(field.type.shape == "one" for field in fields):
        every.append("gc=False")
    if any(field.optional for field in fields):
        every.append("omit_defaults=True")
    every += options
    renamed = {field.attribute: field.name for field in fields if field.attribute != field.name}
    if renamed:
        pairs = ", ".join(f"{literal(key)}: {literal(value)}" for key, value in renamed.items())
        every.append(f"rename={{{pairs}}}")
    lines = [f"class {name}(Struct, {', '.join(every)}):", docstring(doc, _INDENT), ""]
    for field in fields:
        lines.append(f"{_INDENT}{field.attribute}: {annotation(field)}{_default(field)}")
        if field.doc:
            lines.append(docstring(field.doc, _INDENT))
    return "\n".join(lines) + "\n\n"


def annotation(field: Field) -> str:
    """The field's type in Python."""
    shape = field.type
    if shape.shape == "list":
        text = f"tuple[{shape.item}, ...]"
    elif shape.shape == "map":
        text = f"dict[{shape.key}, {shape.item}]"
    else:
        text = shape.item
    return f"{text} | None" if field.optional else text


def _default(field: Field) -> str:
    if field.optional:
        return " = None"
    if field.default is None:
        return ""
    if isinstance(field.default, dict):
        return " = msgspec.field(default_factory=dict)"
    if isinstance(field.default, str):
        return f" = {literal(field.default)}"
    return f" = {field.default!r}"


def _union(name: str, messages: tuple[Message, ...], doc: str) -> str:
    members = " | ".join(message.class_name for message in messages)
    return f"{name}: TypeAlias = ({members})\n{docstring(doc)}\n"
