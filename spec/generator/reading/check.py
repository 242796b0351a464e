"""Rules of a spec beyond its schema. Every check yields one line for each mistake,
which names the place, the mistake and the remedy."""

import re
from collections.abc import Iterable, Iterator

from spec.generator.model import (
    BUILTINS,
    AccessTable,
    Cell,
    Direction,
    Field,
    Message,
    NamedType,
    Spec,
    StructType,
)

_RESERVED = {
    Direction.REQUEST: ("type", "id"),
    Direction.REPLY: ("type", "re"),
    Direction.PUSH: ("type", "id", "re"),
}


def find_problems(spec: Spec) -> list[str]:
    """Empty if the spec is sound."""
    checks = (
        _doubled_names,
        _types,
        _fields,
        _exchanges,
        _errors,
        _states,
        _cells,
        _access,
    )
    return [problem for check in checks for problem in check(spec)]


def _doubled_names(spec: Spec) -> Iterator[str]:
    yield from _twice(
        [
            *((f"types.{named.name}", named.name) for named in spec.types),
            *((f"enums.{enum.name}", enum.name) for enum in spec.enums),
            *((f"structs.{struct.name}", struct.name) for struct in spec.structs),
            *((message.place, message.class_name) for message in spec.messages),
            *(("the generated code", name) for name in ("Request", "ServerMessage", *BUILTINS)),
        ]
    )
    to_client = (*spec.replies, *spec.pushes)
    yield from _twice((message.place, message.name) for message in to_client)
    yield from _twice(
        [
            *((request.place, request.name) for request in spec.requests),
            *((f"inputs.{name}", name) for name in spec.inputs),
        ]
    )
    yield from _twice(
        (request.place, f"command {request.command}")
        for request in spec.requests
        if request.command is not None
    )


def _twice(places: Iterable[tuple[str, str]]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for place, name in places:
        if name in seen:
            yield f"{place}: the name `{name}` is taken by {seen[name]}; choose another."
        else:
            seen[name] = place


def _types(spec: Spec) -> Iterator[str]:
    known: set[str] = set()
    for named in spec.types:
        for part in named.union:
            if part not in known:
                yield f"types.{named.name}: `{part}` is not a type defined before it."
        yield from _bounds(named)
        known.add(named.name)
    known |= {enum.name for enum in spec.enums} | set(BUILTINS)
    structs = {struct.name for struct in spec.structs}
    for struct in spec.structs:
        for field in struct.fields:
            for name in field.type.names:
                if name in structs and name not in known:
                    place = f"structs.{struct.name}.{field.name}"
                    yield f"{place}: `{name}` must be defined before the struct that uses it."
        known.add(struct.name)


def _bounds(named: NamedType) -> Iterator[str]:
    place = f"types.{named.name}"
    for low, high, kind in (
        (named.minimum, named.maximum, ""),
        (named.min_bytes, named.max_bytes, "_bytes"),
    ):
        if low is not None and high is not None and low > high:
            yield f"{place}: min{kind} {low} is more than max{kind} {high}."
    if named.pattern is not None:
        try:
            re.compile(named.pattern)
        except re.error as error:
            yield f"{place}: the pattern is no regular expression ({error})."


def _fields(spec: Spec) -> Iterator[str]:
    known = {named.name for named in spec.types} | {enum.name for enum in spec.enums}
    known |= {struct.name for struct in spec.structs} | set(BUILTINS)
    owners: list[StructType | Message] = [*spec.structs, *spec.messages]
    used = {"RequestId", *(part for named in spec.types for part in named.union)}
    for owner in owners:
        place = owner.place if isinstance(owner, Message) else f"structs.{owner.name}"
        for field in owner.fields:
            used.update(field.type.names)
            for name in field.type.names:
                if name not in known:
                    yield f"{place}.{field.name}: there is no type `{name}`; define it."
            yield from _field(spec, owner, field, f"{place}.{field.name}")
    limits = {limit.name for limit in spec.limits}
    for struct in spec.structs:
        for field in struct.fields:
            if struct.name == "Limits" and field.name not in limits:
                yield f"structs.Limits.{field.name}: there is no limit of that name."
    yield from _unused(spec, used)


def _unused(spec: Spec, used: set[str]) -> Iterator[str]:
    for section, names in (
        ("types", [named.name for named in spec.types]),
        ("enums", [enum.name for enum in spec.enums]),
        ("structs", [struct.name for struct in spec.structs]),
    ):
        for name in names:
            if name not in used:
                yield f"{section}.{name}: nothing uses it; take it out."


def _field(spec: Spec, owner: StructType | Message, field: Field, place: str) -> Iterator[str]:
    if isinstance(owner, Message) and field.name in _RESERVED[owner.direction]:
        yield f"{place}: every message has `{field.name}` already; choose another name."
    if field.optional and field.default is not None:
        yield f"{place}: what has a default may be left out anyway; take `optional` away."
    limited = [spec.named_type(name) for name in field.type.names]
    if any(named is not None and named.max_bytes is not None for named in limited):
        checked = isinstance(owner, Message) and owner.direction is Direction.REQUEST
        if not checked or field.type.shape != "one" or field.optional:
            yield f"{place}: byte limits are checked in plain fields of requests only."
    if field.type.key is not None and field.type.key in (struct.name for struct in spec.structs):
        yield f"{place}: a map's key must be a number or a string, not the struct."
    if isinstance(field.default, dict) and field.type.shape != "map":
        yield f"{place}: the default is a map and the type is not."


def _exchanges(spec: Spec) -> Iterator[str]:
    replies = {reply.name for reply in spec.replies}
    for request in spec.requests:
        if not request.reply:
            yield f"{request.place}: it has no reply; every request is answered."
        elif request.reply not in replies:
            yield f"{request.place}: there is no reply `{request.reply}`; define it."
        elif request.reply == "error":
            yield f"{request.place}: `error` is no reply of its own; every request may get it."
    for name in sorted(replies - {"error"} - {request.reply for request in spec.requests}):
        yield f"replies.{name}: no request is answered by it; take it out."
    for reply in spec.replies:
        if reply.optional_re and reply.name != "error":
            yield f"{reply.place}: only `error` may come without `re`."


def _errors(spec: Spec) -> Iterator[str]:
    known = {error.name for error in spec.errors}
    anywhere = {error.name for error in spec.errors if error.any}
    used = set(anywhere)
    for place, codes in _uses(spec):
        used.update(codes)
        for code in codes:
            if code not in known:
                yield f"{place}: there is no error `{code}`; define it."
    for error in spec.errors:
        if error.name not in used:
            yield f"errors.{error.name}: nothing answers with it; take it out."
    for request in spec.requests:
        for code in request.errors:
            if code in anywhere:
                yield f"{request.place}: every request can get `{code}`; do not list it."
    longest = spec.named_type("Sentence")
    for error in spec.errors:
        if longest is not None and len(error.message) > (longest.maximum or 0):
            yield f"errors.{error.name}: the message is longer than a Sentence may be."


def _uses(spec: Spec) -> Iterator[tuple[str, list[str]]]:
    """The places that name errors, and which."""
    for request in spec.requests:
        yield request.place, list(request.errors)
    for name, row in spec.cells.items():
        yield f"cells.{name}", [cell.code for cell in row if cell.code is not None]
    for table in spec.access:
        for action, refusals in table.actions.items():
            place = f"access.{table.name}.{action}"
            yield place, [code for code in refusals if code is not None]


def _states(spec: Spec) -> Iterator[str]:
    initial = [state.name for state in spec.states if state.initial]
    final = [state.name for state in spec.states if state.final]
    for kind, names in (("initial", initial), ("final", final)):
        if len(names) != 1:
            yield f"states: exactly one state must be {kind}, not {len(names)}."
    if len(initial) != 1 or len(final) != 1:
        return
    names = [state.name for state in spec.states]
    reached, todo = set(initial), list(initial)
    while todo:
        column = names.index(todo.pop())
        for row in spec.cells.values():
            target = spec.cell_next(row[column]) if column < len(row) else None
            if target in names and target not in reached:
                reached.add(target)
                todo.append(target)
    for name in names:
        if name not in reached:
            yield f"states.{name}: no way leads there from {initial[0]}."
    for name, row in spec.cells.items():
        if len(row) == len(names):
            target = spec.cell_next(row[names.index(final[0])])
            if target not in (None, final[0]):
                yield f"cells.{name}: nothing leads out of the final state {final[0]}."


def _cells(spec: Spec) -> Iterator[str]:
    states = [state.name for state in spec.states]
    for name in spec.all_inputs:
        if name not in spec.cells:
            yield f"cells: there is no row for `{name}`; decide it for every state."
    for name, row in spec.cells.items():
        if name not in spec.all_inputs:
            yield f"cells.{name}: it is neither a request nor an input; take it out or define it."
        if len(row) != len(states):
            yield f"cells.{name}: {len(row)} cells for {len(states)} states; decide every one."
        for cell in row:
            if cell.next is not None and cell.next not in states:
                yield f"cells.{name}: there is no state `{cell.next}`."
    for request in spec.requests:
        for cell in spec.cells.get(request.name, ()):
            yield from _request_cell(spec, request, cell)


def _request_cell(spec: Spec, request: Message, cell: Cell) -> Iterator[str]:
    listed = set(request.errors) | {error.name for error in spec.errors if error.any}
    if cell.verdict == "NEVER":
        yield f"cells.{request.name}: a peer may send a request whenever it likes; decide it."
    if cell.code is not None and cell.code not in listed:
        yield f"cells.{request.name}: {request.place} does not list its error `{cell.code}`."


def _access(spec: Spec) -> Iterator[str]:
    yield from _twice((f"access.{table.name}", table.name) for table in spec.access)
    for table in spec.access:
        yield from _access_table(spec, table)


def _access_table(spec: Spec, table: AccessTable) -> Iterator[str]:
    requests = {request.name: request for request in spec.requests}
    anywhere = {error.name for error in spec.errors if error.any}
    for action, row in table.actions.items():
        place = f"access.{table.name}.{action}"
        if len(row) != len(table.roles):
            yield f"{place}: {len(row)} cells for {len(table.roles)} roles; decide every one."
        if action not in requests:
            yield f"{place}: there is no request `{action}`."
            continue
        listed = {*requests[action].errors, *anywhere}
        for code in dict.fromkeys(code for code in row if code is not None):
            if code not in listed:
                yield f"{place}: requests.{action} does not list its error `{code}`."
