"""Checks the examples and defaults of the spec against the code generated from it."""

import builtins
import types
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from spec.generator.model import Direction, Message, Spec, SpecError

_PACKAGE = "chat.protocol"


def run_generated(sources: Mapping[str, str]) -> dict[str, types.ModuleType]:
    """Runs the generated modules without writing files. `sources`: their texts by name, each after
    the modules that it imports. Raises SpecError if one of them cannot be run."""
    modules: dict[str, types.ModuleType] = {}

    def import_generated(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> types.ModuleType:
        package, _, module = name.rpartition(".")
        if package == _PACKAGE:
            return modules[module]
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    for name, source in sources.items():
        module = types.ModuleType(f"{_PACKAGE}.{name}")
        module.__dict__["__builtins__"] = vars(builtins) | {"__import__": import_generated}
        try:
            exec(compile(source, f"{name}.py", "exec"), module.__dict__)
        except Exception as error:
            raise SpecError([f"the generated {name}.py cannot be run: {error}."]) from error
        modules[name] = module
    return modules


def find_example_problems(spec: Spec, modules: Mapping[str, types.ModuleType]) -> list[str]:
    """A line for each example or default that does not agree with its message type."""
    requests = modules["messages"].__dict__["Request"]
    answers = modules["messages"].__dict__["ServerMessage"]
    byte_limits = modules["rules"].__dict__["BYTE_LIMITS"]
    problems: list[str] = []
    for message in spec.messages:
        is_request = message.direction is Direction.REQUEST
        union = requests if is_request else answers
        place = f"{message.place}.example"
        if message.example.get("type") != message.name:
            problems.append(f"{place}: its type is not `{message.name}`.")
            continue
        problems += _round_trip(place, message, message.example, union)
        problems += _defaults(message, union)
        if is_request:
            problems += _too_many_bytes(place, message, byte_limits)
            reply = next(reply for reply in spec.replies if reply.name == message.reply)
            answer = spec.answer(message)
            problems += _round_trip(f"{message.place}.answer", reply, answer, answers)
    return problems


def _round_trip(
    place: str, message: Message, example: dict[str, object], union: type
) -> Iterator[str]:
    try:
        decoded: object = msgspec.json.decode(msgspec.json.encode(example), type=union)
    except msgspec.ValidationError as error:
        yield f"{place}: {error}."
        return
    encoded = msgspec.json.decode(msgspec.json.encode(decoded), type=dict[str, object])
    defaults: dict[str, object] = {
        field.name: field.default for field in message.all_fields if not field.required
    }
    written, understood = _explicit(example, defaults), _explicit(encoded, defaults)
    for name in sorted(written.keys() | understood.keys()):
        if name not in understood:
            yield f"{place}: `{name}` is no field of it."
        elif written.get(name) != understood[name]:
            yield f"{place}: `{name}` comes back as {understood[name]!r}."


def _defaults(message: Message, union: type) -> Iterator[str]:
    for field in message.fields:
        if field.default is not None:
            written = message.example | {field.name: field.default}
            try:
                msgspec.json.decode(msgspec.json.encode(written), type=union)
            except msgspec.ValidationError as error:
                yield f"{message.place}.{field.name}: the default is refused: {error}."


def _too_many_bytes(
    place: str, message: Message, byte_limits: Mapping[type, Sequence[tuple[str, int, int]]]
) -> Iterator[str]:
    for request, limits in byte_limits.items():
        if request.__name__ == message.class_name:
            for name, low, high in limits:
                if not low <= len(str(message.example.get(name, "")).encode()) <= high:
                    yield f"{place}: `{name}` has not {low} to {high} bytes."


def _explicit(values: dict[str, object], defaults: dict[str, object]) -> dict[str, object]:
    """Without what need not be written."""
    return {
        name: value
        for name, value in values.items()
        if name not in defaults or value != defaults[name]
    }
