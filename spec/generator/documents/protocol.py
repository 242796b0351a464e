"""spec/PROTOCOL.md: the fixed prose of spec/protocol_intro.md, then the tables of the spec."""

import json
import re
from dataclasses import replace

from spec.generator.documents.asyncapi import ecma_pattern
from spec.generator.documents.states import state_diagram
from spec.generator.model import (
    AccessTable,
    Cell,
    EnumType,
    Field,
    Message,
    NamedType,
    Spec,
    SpecError,
    StructType,
    TypeRef,
)


def generate_protocol(spec: Spec, intro: str) -> str:
    """`intro` may name limits as {{name}}; they become numbers. Raises SpecError if it names one
    that there is not."""
    parts = [
        "<!-- Generated from spec/messages.yaml and spec/protocol_intro.md by spec/generate.py;"
        " do not edit; run `make spec`. -->",
        f"# {spec.title}",
        f"Version {spec.protocol}. {spec.summary}",
        _fill(spec, intro).strip(),
        _limits(spec),
        _types(spec),
        _requests(spec),
        _messages("Replies", spec, spec.replies),
        _messages("Pushes", spec, spec.pushes),
        _errors(spec),
        _states(spec),
        _access(spec),
    ]
    return "\n\n".join(parts) + "\n"


def _fill(spec: Spec, intro: str) -> str:
    values = {limit.name: f"{limit.default:,}" for limit in spec.limits}
    missing = sorted(set(re.findall(r"\{\{(\w+)\}\}", intro)) - values.keys())
    if missing:
        raise SpecError([f"protocol_intro.md: there is no limit `{name}`." for name in missing])
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], intro)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell_text(cell) for cell in line)} |" for line in lines)


def _cell_text(text: str) -> str:
    return text.replace("|", "\\|")


def _limits(spec: Spec) -> str:
    rows = [[f"`{limit.name}`", f"{limit.default:,}", limit.doc] for limit in spec.limits]
    return (
        "## Limits\n\nThese are the defaults; a node may be started with others. Its"
        " [`welcome`](#push-welcome) has its own values.\n\n"
        + _table(["limit", "default", "meaning"], rows)
    )


def _types(spec: Spec) -> str:
    rows = [[f"`{named.name}`", _bounds(named), named.doc] for named in spec.types]
    parts = ["## Types", _table(["type", "JSON", "meaning"], rows)]
    for enum in spec.enums:
        parts.append(f"### `{enum.name}`\n\n{enum.doc} A string, one of:")
        parts.append("\n".join(f"- `{value}`: {doc}" for value, doc in enum.values.items()))
    for struct in spec.structs:
        parts.append(f"### `{struct.name}`\n\n{struct.doc}")
        limits = {limit.name: limit.doc for limit in spec.limits if struct.name == "Limits"}
        fields = [replace(one, doc=limits.get(one.name, one.doc)) for one in struct.fields]
        parts.append(_field_table(spec, tuple(fields)))
    return "\n\n".join(parts)


def _bounds(named: NamedType) -> str:
    if named.union:
        return " or ".join(f"`{part}`" for part in named.union)
    if named.base == "int":
        return f"integer, {named.minimum:,} to {named.maximum:,}"
    text = f"string, {named.minimum:,} to {named.maximum:,} code points"
    if named.minimum == named.maximum:
        text = f"string, {named.minimum:,} code points"
    if named.max_bytes is not None:
        text += f", {named.min_bytes} to {named.max_bytes} bytes of UTF-8"
    if named.pattern is not None:
        text += f", `{ecma_pattern(named.pattern)}`"
    return text


def _field_table(spec: Spec, fields: tuple[Field, ...]) -> str:
    named: list[NamedType | EnumType | StructType] = [*spec.types, *spec.enums, *spec.structs]
    docs = {one.name: one.doc for one in named}
    docs["ErrorCode"] = "One of [these](#errors)."
    rows = []
    for field in fields:
        presence = "required"
        if field.optional:
            presence = "may be left out"
        elif field.default is not None:
            presence = f"`{json.dumps(field.default)}` if left out"
        meaning = field.doc or (docs.get(field.type.item, "") if field.type.shape == "one" else "")
        rows.append([f"`{field.name}`", _type(field.type), presence, meaning])
    return _table(["field", "type", "", "meaning"], rows)


def _type(ref: TypeRef) -> str:
    if ref.shape == "list":
        return f"list of `{ref.item}`"
    if ref.shape == "map":
        return f"object from `{ref.key}` (as a string) to `{ref.item}`"
    return f"`{ref.item}`"


def _requests(spec: Spec) -> str:
    rows = []
    for request in spec.requests:
        fields = ", ".join(f"`{field.name}`" for field in request.fields)
        link = f"[`{request.name}`](#request-{request.name})"
        reply = f"[`{request.reply}`](#reply-{request.reply})"
        rows.append([link, fields, reply, str(request.cost or ""), request.doc])
    everywhere = ", ".join(f"`{error.name}`" for error in spec.errors if error.any)
    parts = [
        "## Requests",
        f"Besides the errors that it lists, any request may get {everywhere}.",
        "`cost` is what a request takes from its user's budget (`cost_per_second`, `cost_burst`),"
        " a login or resume from that of the user who is logged in. A reply with many rows costs"
        " more (`rows_per_cost`). A request over the budget gets `rate_limited`.",
        _table(["request", "fields", "reply", "cost", ""], rows),
    ]
    parts += [_request(spec, request) for request in spec.requests]
    return "\n\n".join(parts)


def _request(spec: Spec, request: Message) -> str:
    parts = [f"### Request `{request.name}`", request.doc]
    parts.append(_field_table(spec, request.all_fields))
    errors = ", ".join(f"`{code}`" for code in request.errors) or "none of its own"
    parts.append(f"Reply: [`{request.reply}`](#reply-{request.reply}). Errors: {errors}.")
    parts.append(f"```json\n{_line(request.example)}\n{_line(spec.answer(request))}\n```")
    return "\n\n".join(parts)


def _messages(title: str, spec: Spec, messages: tuple[Message, ...]) -> str:
    parts = [f"## {title}"]
    for message in messages:
        parts.append(f"### {message.direction.value} `{message.name}`")
        parts.append(message.doc)
        if message.all_fields:
            parts.append(_field_table(spec, message.all_fields))
        parts.append(f"```json\n{_line(message.example)}\n```")
    return "\n\n".join(parts)


def _line(value: dict[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _errors(spec: Spec) -> str:
    rows = []
    for error in spec.errors:
        askers = [f"`{request.name}`" for request in spec.requests if error.name in request.errors]
        gets = "any request" if error.any else ", ".join(askers)
        what = []
        if error.retry:
            what.append("retry later")
        if error.closes:
            what.append("the connection is closed")
        rows.append([f"`{error.name}`", error.message, "; ".join(what), gets])
    head = ["code", "sentence", "", "sent to"]
    text = (
        "A client acts on `code`. The sentence is for the user; the node may send a more exact one"
        " with the same code."
    )
    return f"## Errors\n\n{text}\n\n{_table(head, rows)}"


_CELL_WORDS = {
    "ACCEPT": "accept",
    "ERROR": "error",
    "HOLD": "hold",
    "IGNORE": "ignore",
    "CLOSE": "close",
    "NEVER": "never",
}


def _states(spec: Spec) -> str:
    states = [f"- **{state.name}**: {state.doc}" for state in spec.states]
    rows = []
    for name in spec.all_inputs:
        rows.append([f"`{name}`", *(_decision(cell) for cell in spec.cells[name])])
    inputs = [[f"`{name}`", doc] for name, doc in spec.inputs.items()]
    return "\n\n".join(
        [
            "## States of a session",
            "\n".join(states),
            f"```mermaid\n{state_diagram(spec)}\n```",
            "The action of a node for each input in each state. *accept*: it is handled, and the"
            " state changes if an arrow follows. *error*: it is answered with that error. *hold*:"
            " it is kept until the state changes. *ignore*: it is dropped. *close*: the connection"
            " is closed, after that error if there is one. *never*: it cannot occur.",
            _table(["input", *(state.name for state in spec.states)], rows),
            "The inputs that are not requests:",
            _table(["input", "meaning"], inputs),
        ]
    )


def _decision(cell: Cell) -> str:
    text = _CELL_WORDS[cell.verdict]
    if cell.next is not None:
        text += f" → {cell.next}"
    if cell.code is not None:
        text += f" `{cell.code}`"
    return text


def _access(spec: Spec) -> str:
    parts = ["## Permissions"]
    parts.append("A cell is *allow* or the code of the error that the request is answered with.")
    parts += [_access_table(table) for table in spec.access]
    return "\n\n".join(parts)


def _access_table(table: AccessTable) -> str:
    roles = "\n".join(f"- **{role}**: {doc}" for role, doc in table.roles.items())
    rows = []
    for action, row in table.actions.items():
        cells = ["allow" if code is None else f"`{code}`" for code in row]
        rows.append([f"`{action}`", *cells])
    title = f"### {table.doc.rstrip('.')}"
    return "\n\n".join([title, roles, _table(["request", *table.roles], rows)])
