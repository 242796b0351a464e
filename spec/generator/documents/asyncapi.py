"""spec/asyncapi.yaml: the protocol for tools that read AsyncAPI 3.0."""

from typing import TypeAlias

import yaml

from spec.generator.model import Direction, EnumType, Field, Message, NamedType, Spec, TypeRef

Json: TypeAlias = "str | int | bool | list[Json] | dict[str, Json] | None"
Object: TypeAlias = dict[str, Json]

_CHANNEL = "connection"


class _PlainDumper(yaml.SafeDumper):
    """A dumper that writes equal values twice, where YAML would have an anchor and an alias."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def generate_asyncapi(spec: Spec) -> str:
    document: Object = {
        "asyncapi": "3.0.0",
        "info": {
            "title": spec.title,
            "version": str(spec.protocol),
            "description": spec.summary,
        },
        "defaultContentType": "application/json",
        "servers": {
            "node": {
                "host": "127.0.0.1:6000",
                "protocol": "tcp",
                "description": "A node, or the load balancer in front of many.",
            }
        },
        "channels": {_CHANNEL: _channel(spec)},
        "operations": _operations(spec),
        "components": {
            "messages": {message.class_name: _message(message) for message in spec.messages},
            "schemas": _schemas(spec),
        },
    }
    text = yaml.dump(document, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=96)
    header = (
        "# Generated from spec/messages.yaml by spec/generate.py; do not edit; run `make spec`."
    )
    return f"{header}\n{text}"


def ecma_pattern(pattern: str) -> str:
    r"""The pattern for readers whose `$` is the end of the text, as in JSON Schema, and who know no
    `\Z`."""
    return pattern.replace("\\Z", "$")


def _channel(spec: Spec) -> Object:
    return {
        "address": None,
        "title": "A TCP connection",
        "description": "One JSON object per line, in both directions.",
        "messages": {
            message.class_name: {"$ref": f"#/components/messages/{message.class_name}"}
            for message in spec.messages
        },
    }


def _operations(spec: Spec) -> Object:
    """As the node has them: it receives requests and sends pushes."""
    operations: Object = {}
    for request in spec.requests:
        reply = next(reply for reply in spec.replies if reply.name == request.reply)
        operations[request.name] = {
            "action": "receive",
            "summary": request.doc,
            "channel": {"$ref": f"#/channels/{_CHANNEL}"},
            "messages": [_reference(request.class_name)],
            "reply": {
                "channel": {"$ref": f"#/channels/{_CHANNEL}"},
                "messages": [_reference(reply.class_name), _reference("ErrorReply")],
            },
        }
    for push in spec.pushes:
        operations[f"push_{push.name}"] = {
            "action": "send",
            "summary": push.doc,
            "channel": {"$ref": f"#/channels/{_CHANNEL}"},
            "messages": [_reference(push.class_name)],
        }
    return operations


def _reference(class_name: str) -> Object:
    return {"$ref": f"#/channels/{_CHANNEL}/messages/{class_name}"}


def _message(message: Message) -> Object:
    body: Object = {"name": message.name, "summary": message.doc}
    if message.direction is not Direction.PUSH:
        number = "id" if message.direction is Direction.REQUEST else "re"
        body["correlationId"] = {
            "description": "Ties a reply to its request.",
            "location": f"$message.payload#/{number}",
        }
    body["payload"] = {"$ref": f"#/components/schemas/{message.class_name}"}
    body["examples"] = [{"payload": _json(message.example)}]
    return body


def _schemas(spec: Spec) -> Object:
    schemas: Object = {named.name: _named_type(named) for named in spec.types}
    schemas |= {enum.name: _enum(enum) for enum in spec.enums}
    schemas["ErrorCode"] = {
        "type": "string",
        "description": "Why a request was not carried out.",
        "enum": [error.name for error in spec.errors],
    }
    schemas |= {struct.name: _object(spec, struct.doc, struct.fields) for struct in spec.structs}
    for message in spec.messages:
        kind: Object = {"type": {"const": message.name}}
        schemas[message.class_name] = _object(spec, message.doc, message.all_fields, kind)
    return schemas


def _named_type(named: NamedType) -> Object:
    if named.union:
        references: list[Json] = [{"$ref": f"#/components/schemas/{part}"} for part in named.union]
        return {"description": named.doc, "anyOf": references}
    is_int = named.base == "int"
    schema: Object = {"type": "integer" if is_int else "string", "description": named.doc}
    bounds = {
        "minimum" if is_int else "minLength": named.minimum,
        "maximum" if is_int else "maxLength": named.maximum,
        "pattern": None if named.pattern is None else ecma_pattern(named.pattern),
        "x-min-bytes": named.min_bytes,
        "x-max-bytes": named.max_bytes,
    }
    schema |= {name: value for name, value in bounds.items() if value is not None}
    return schema


def _enum(enum: EnumType) -> Object:
    lines = [enum.doc, *(f"`{value}`: {doc}" for value, doc in enum.values.items())]
    return {"type": "string", "description": " ".join(lines), "enum": [*enum.values]}


def _object(spec: Spec, doc: str, fields: tuple[Field, ...], first: Object | None = None) -> Object:
    """An object with additional properties allowed: unknown fields are ignored."""
    properties: Object = dict(first or {})
    required: list[Json] = [*properties]
    for field in fields:
        properties[field.name] = _field(spec, field)
        if field.required:
            required.append(field.name)
    result: Object = {"type": "object", "description": doc, "properties": properties}
    if required:
        result["required"] = required
    return result


def _field(spec: Spec, field: Field) -> Object:
    schema = _type(spec, field.type)
    more: Object = {}
    if field.doc:
        more["description"] = field.doc
    if field.default is not None:
        more["default"] = _json(field.default)
    # What stands beside a $ref is not read, so that the reference has to stand by itself.
    return {"allOf": [schema], **more} if more and "$ref" in schema else schema | more


def _type(spec: Spec, ref: TypeRef) -> Object:
    one: Object = {"$ref": f"#/components/schemas/{ref.item}"}
    if ref.item == "bool":
        one = {"type": "boolean"}
    if ref.shape == "list":
        return {"type": "array", "items": one}
    if ref.shape == "map":
        schema: Object = {"type": "object", "additionalProperties": one}
        key = spec.named_type(ref.key or "")
        if key is not None and key.base == "int":
            # The keys of a JSON object are strings; these are numbers in decimal.
            schema["propertyNames"] = {
                "pattern": "^[0-9]+$" if not key.minimum else "^[1-9][0-9]*$"
            }
        return schema
    return one


def _json(value: object) -> Json:
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if value is None or isinstance(value, str | int | bool):
        return value
    raise AssertionError(f"{value!r} is nothing that JSON has")
