"""The protocol as plain values, as every output module reads it."""

import keyword
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

BUILTINS = ("bool", "ErrorCode")
"""Names that a field may have as its type although the spec does not define them as one."""


class SpecError(Exception):
    """The spec cannot be read, or is wrong. `problems` has a line for each thing found."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Direction(Enum):
    """What a message is; the value ends the name of its class."""

    REQUEST = "Request"
    REPLY = "Reply"
    PUSH = "Push"

    @property
    def section(self) -> str:
        """Where the spec has its messages."""
        return {"Request": "requests", "Reply": "replies", "Push": "pushes"}[self.value]


@dataclass(frozen=True)
class Limit:
    name: str
    default: int
    doc: str


@dataclass(frozen=True)
class NamedType:
    """A number or a string with bounds (`base`), or a choice of such types (`union`)."""

    name: str
    doc: str
    base: Literal["int", "str"] | None = None
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None
    apart: bool = False
    """In requests msgspec does not check the pattern, since its check is slow."""
    min_bytes: int | None = None
    max_bytes: int | None = None
    union: tuple[str, ...] = ()


@dataclass(frozen=True)
class EnumType:
    name: str
    doc: str
    values: dict[str, str]


@dataclass(frozen=True)
class TypeRef:
    """A field's type: `item` itself, a list of it, or a map from `key` to it."""

    shape: Literal["one", "list", "map"]
    item: str
    key: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (self.item,) if self.key is None else (self.key, self.item)


JsonDefault = str | int | bool | dict[str, int] | None


@dataclass(frozen=True)
class Field:
    """`default` is None for a field without one; an optional field has none."""

    name: str
    type: TypeRef
    doc: str = ""
    optional: bool = False
    default: JsonDefault = None

    @property
    def attribute(self) -> str:
        """Its name in Python."""
        return f"{self.name}_" if keyword.iskeyword(self.name) else self.name

    @property
    def required(self) -> bool:
        return not self.optional and self.default is None


@dataclass(frozen=True)
class StructType:
    name: str
    doc: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Message:
    """`fields` are the written ones, without `type`, `id` and `re`. `answer` has those fields in
    which the answer to a request's example differs from the example of its reply. `cost` is what a
    request takes from its user's budget."""

    direction: Direction
    name: str
    doc: str
    fields: tuple[Field, ...]
    example: dict[str, object]
    reply: str = ""
    errors: tuple[str, ...] = ()
    cost: int = 0
    command: str | None = None
    answer: dict[str, object] = field(default_factory=dict)
    optional_re: bool = False

    @property
    def class_name(self) -> str:
        return camel(self.name) + self.direction.value

    @property
    def place(self) -> str:
        return f"{self.direction.section}.{self.name}"

    @property
    def all_fields(self) -> tuple[Field, ...]:
        """With the number that ties a reply to its request, as it goes over the wire."""
        number = TypeRef("one", "RequestId")
        if self.direction is Direction.REQUEST:
            return (Field("id", number), *self.fields)
        if self.direction is Direction.REPLY:
            return (Field("re", number, optional=self.optional_re), *self.fields)
        return self.fields


@dataclass(frozen=True)
class ErrorType:
    name: str
    message: str
    any: bool = False
    retry: bool = False
    closes: bool = False


@dataclass(frozen=True)
class State:
    name: str
    doc: str
    initial: bool = False
    final: bool = False


@dataclass(frozen=True)
class Cell:
    """The action for one input in one state. `next` is None where the state stays."""

    verdict: Literal["ACCEPT", "ERROR", "HOLD", "IGNORE", "CLOSE", "NEVER"]
    next: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class AccessTable:
    """`actions` has, for each action, a refusal (None: allowed) for each role, in order."""

    name: str
    doc: str
    roles: dict[str, str]
    actions: dict[str, tuple[str | None, ...]]


@dataclass(frozen=True)
class Spec:
    protocol: int
    title: str
    summary: str
    limits: tuple[Limit, ...]
    types: tuple[NamedType, ...]
    enums: tuple[EnumType, ...]
    structs: tuple[StructType, ...]
    requests: tuple[Message, ...]
    replies: tuple[Message, ...]
    pushes: tuple[Message, ...]
    errors: tuple[ErrorType, ...]
    states: tuple[State, ...]
    inputs: dict[str, str]
    cells: dict[str, tuple[Cell, ...]]
    access: tuple[AccessTable, ...]

    @property
    def messages(self) -> tuple[Message, ...]:
        return (*self.requests, *self.replies, *self.pushes)

    @property
    def all_inputs(self) -> dict[str, str]:
        """What can happen to a session: every request, then everything else."""
        return {request.name: request.doc for request in self.requests} | self.inputs

    @property
    def final_state(self) -> str:
        return next(state.name for state in self.states if state.final)

    def cell_next(self, cell: Cell) -> str | None:
        """The state after the cell, None where it stays: closing is a change of state too."""
        if cell.verdict == "CLOSE":
            return self.final_state
        if cell.verdict == "ERROR" and any(e.closes for e in self.errors if e.name == cell.code):
            return self.final_state
        return cell.next

    def answer(self, request: Message) -> dict[str, object]:
        """The reply to the request's example."""
        reply = next(reply for reply in self.replies if reply.name == request.reply)
        return reply.example | request.answer | {"re": request.example.get("id")}

    def named_type(self, name: str) -> NamedType | None:
        return next((named for named in self.types if named.name == name), None)


def camel(name: str) -> str:
    """`add_friend` is `AddFriend` as a class."""
    return "".join(part.capitalize() for part in name.split("_"))
