"""The table of commands: parser, help, usage sentences and completion are all made from it.

A command is written in the classic form `name:arg:arg` or as `/name arg arg`. The last argument
takes the rest of the line, so a text keeps its colons and spaces. To add a command that makes a
request, add a row to COMMANDS, and a sentence for its outcome to outcomes.py.
"""

import difflib
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from chat.client.session.ports.requests import QueuedRequest
from chat.client.session.roster import Roster
from chat.protocol import messages as wire

Value = int | str


class Mistake(Exception):
    """A line that is no command; its text is a sentence that says why, and how to write it."""


class Kind(enum.Enum):
    """The kinds of arguments."""

    USER = enum.auto()
    FRIEND = enum.auto()
    GROUP = enum.auto()
    NAME = enum.auto()
    DESC = enum.auto()
    TEXT = enum.auto()
    COUNT = enum.auto()
    COMMAND = enum.auto()


class _Form(NamedTuple):
    """How an argument is checked: by `type`, or by `number` if it is all digits (types of the
    protocol). `otherwise` is what the user is told of one that fits neither."""

    type: object
    number: object | None
    otherwise: str


_ID: Final = wire.UserId
_NO_USER: Final = "is no user: give a number, or a name of letters, digits, “_”, “-” and “.”"
_FORMS: Final[dict[Kind, _Form]] = {
    Kind.USER: _Form(wire.UserName, _ID, _NO_USER),
    Kind.FRIEND: _Form(wire.UserName, _ID, _NO_USER),
    Kind.GROUP: _Form(wire.GroupName, _ID, "is no group: give its number"),
    Kind.NAME: _Form(wire.GroupName, None, "is no name for a group: it has 1 to 64 characters"),
    Kind.DESC: _Form(wire.Description, None, "is no description: it has at most 256 characters"),
    Kind.TEXT: _Form(wire.Text, None, "is no text: it has 1 to 4,000 characters"),
    Kind.COUNT: _Form(wire.PageLimit, wire.PageLimit, "is no number from 1 to 200"),
    Kind.COMMAND: _Form(str, None, "is no command"),
}


@dataclass(frozen=True)
class Argument:
    """One argument of a command. `name` is what help calls it."""

    name: str
    kind: Kind
    optional: bool = False


@dataclass(frozen=True)
class Command:
    """`to_request` makes the request of the resolved arguments, which it takes one by one; None for
    the commands that line_mode carries out by itself."""

    name: str
    arguments: tuple[Argument, ...]
    summary: str
    to_request: Callable[..., QueuedRequest] | None = None

    @property
    def usage(self) -> str:
        """The classic form."""
        return self.name + "".join(
            f"[:{argument.name}]" if argument.optional else f":{argument.name}"
            for argument in self.arguments
        )


@dataclass(frozen=True)
class Parsed:
    """A command with its arguments. `values`: one for each argument that was given."""

    command: Command
    values: tuple[Value, ...]


_USER: Final = Argument("ID", Kind.USER)
_FRIEND: Final = Argument("ID", Kind.FRIEND)
_GROUP: Final = Argument("ID", Kind.GROUP)
_TEXT: Final = Argument("TEXT", Kind.TEXT)
_COUNT: Final = Argument("COUNT", Kind.COUNT, optional=True)


def _history(conversation: int, count: int = 20) -> wire.HistoryRequest:
    return wire.HistoryRequest(id=0, conversation=conversation, limit=count)


COMMANDS: Final = (
    Command(
        "help",
        (Argument("COMMAND", Kind.COMMAND, optional=True),),
        "shows all commands, or one",
    ),
    Command("chat", (_USER, _TEXT), "says something to a friend"),
    Command(
        "addfriend",
        (_USER,),
        "asks somebody to be friends, or says yes",
        lambda user: wire.AddFriendRequest(id=0, user=user),
    ),
    Command(
        "creategroup",
        (Argument("NAME", Kind.NAME), Argument("DESC", Kind.DESC, optional=True)),
        "makes a group",
        lambda name, description="": wire.CreateGroupRequest(
            id=0, name=name, description=description
        ),
    ),
    Command(
        "joingroup",
        (_GROUP,),
        "becomes a member of a group",
        lambda group: wire.JoinGroupRequest(id=0, group=group),
    ),
    Command(
        "quitgroup",
        (_GROUP,),
        "leaves a group",
        lambda group: wire.LeaveGroupRequest(id=0, group=group),
    ),
    Command(
        "deletegroup",
        (_GROUP,),
        "ends a group of one's own",
        lambda group: wire.DeleteGroupRequest(id=0, group=group),
    ),
    Command(
        "renamegroup",
        (_GROUP, Argument("NAME", Kind.NAME), Argument("DESC", Kind.DESC, optional=True)),
        "gives a group of one's own another name",
        lambda group, name, description=None: wire.RenameGroupRequest(
            id=0, group=group, name=name, description=description
        ),
    ),
    Command("groupchat", (_GROUP, _TEXT), "says something to a group"),
    Command(
        "list",
        (_GROUP,),
        "shows who is in a group",
        lambda group: wire.MembersRequest(id=0, group=group),
    ),
    Command("showme", (), "shows who one is", lambda: wire.ProfileRequest(id=0)),
    Command("updatelist", (), "shows friends and groups anew", lambda: wire.SnapshotRequest(id=0)),
    Command("requests", (), "shows who asks to be friends"),
    Command(
        "removefriend",
        (_USER,),
        "ends a friendship, or says no to a request",
        lambda user: wire.RemoveFriendRequest(id=0, user=user),
    ),
    Command(
        "block",
        (_USER,),
        "stops all chat with somebody",
        lambda user: wire.BlockRequest(id=0, user=user),
    ),
    Command(
        "unblock",
        (_USER,),
        "takes a block back",
        lambda user: wire.UnblockRequest(id=0, user=user),
    ),
    Command("history", (_FRIEND, _COUNT), "shows what was said with a friend", _history),
    Command("grouphistory", (_GROUP, _COUNT), "shows what was said in a group", _history),
    Command("quit", (), "logs out and ends"),
)
BY_NAME: Final = {command.name: command for command in COMMANDS}


# --------------------------------------------------------------------------------- parsing


def parse(line: str) -> Parsed:
    """The command that a line holds. Raises Mistake."""
    line = line.rstrip("\r\n").lstrip(" \t")
    slash = line.startswith("/")
    name, rest = _cut(line[1:], " \t") if slash else _cut(line, ":")
    command = BY_NAME.get(name.strip().lower())
    if command is None:
        raise Mistake(_unknown(name.strip(), slash))
    parts = _parts(command, rest, slash)
    wanted = command.arguments
    if len(parts) > len(wanted):
        raise Mistake(f"{command.name} takes nothing after it. Usage: {command.usage}")
    missing = [argument.name for argument in wanted[len(parts) :] if not argument.optional]
    if missing:
        raise Mistake(f"{' and '.join(missing)} missing. Usage: {command.usage}")
    values = [
        _value(command, argument, part) for argument, part in zip(wanted, parts, strict=False)
    ]
    return Parsed(command, tuple(values))


def _cut(text: str, separators: str) -> tuple[str, str | None]:
    """The text before the first separator, and what is after it; None if there is none."""
    at = min((text.find(one) for one in separators if one in text), default=-1)
    return (text, None) if at < 0 else (text[:at], text[at + 1 :])


def _parts(command: Command, rest: str | None, slash: bool) -> list[str]:
    """The arguments of a line, the last one with all that is left. At most as many as the command
    has; of a command without arguments one, if the line has any."""
    parts: list[str] = []
    separators = " \t" if slash else ":"
    most = max(len(command.arguments), 1)
    while rest is not None and len(parts) < most:
        if slash:
            rest = rest.lstrip(" \t")
        if len(parts) == most - 1:
            parts.append(rest)
            break
        part, rest = _cut(rest, separators)
        parts.append(part)
    while parts and not parts[-1].strip(" \t") and (slash or len(parts) > _needed(command)):
        parts.pop()
    return parts


def _needed(command: Command) -> int:
    return sum(not argument.optional for argument in command.arguments)


def _value(command: Command, argument: Argument, part: str) -> Value:
    form = _FORMS[argument.kind]
    text = part if argument.kind is Kind.TEXT else part.strip(" \t")
    if argument.kind is Kind.COMMAND:
        text = text.removeprefix("/").lower()
        if text not in BY_NAME:
            raise Mistake(_unknown(text, slash=False))
        return text
    value: Value = text
    type = form.type
    if form.number is not None and text.isascii() and text.isdecimal():
        value = int(text) if len(text) <= 16 else 0
        type = form.number
    try:
        msgspec.convert(value, type)
    except msgspec.ValidationError:
        valid = False
    else:
        valid = bool(text.strip()) or argument.kind is Kind.DESC
    if not valid:
        shown = text if len(text) <= 40 else text[:40] + "…"
        raise Mistake(f"“{shown}” {form.otherwise}. Usage: {command.usage}")
    return value


def _unknown(name: str, slash: bool) -> str:
    words = name.lower().split()
    if not slash and len(words) > 1 and words[0] in BY_NAME:
        command = BY_NAME[words[0]]
        slashed = " ".join([f"/{command.name}", *(one.name for one in command.arguments)])
        return f"Write {command.usage} or {slashed}."
    shown = name if len(name) <= 40 else name[:40] + "…"
    near = difflib.get_close_matches(name.lower(), BY_NAME, n=1)
    if near:
        return f"There is no command “{shown}”; did you mean {BY_NAME[near[0]].usage}?"
    return f"There is no command “{shown}”; help shows those there are."


# -------------------------------------------------------------------------------- resolving


def resolve(parsed: Parsed, roster: Roster) -> tuple[Value, ...]:
    """The values as requests take them: a group as its number, a friend whose history is wanted as
    the number of the conversation. Raises Mistake."""
    return tuple(
        _resolve(argument.kind, value, roster)
        for argument, value in zip(parsed.command.arguments, parsed.values, strict=False)
    )


def _resolve(kind: Kind, value: Value, roster: Roster) -> Value:
    if kind is Kind.GROUP and isinstance(value, str):
        groups = roster.find_groups(value)
        if len(groups) == 1:
            return groups[0].id
        if groups:
            numbers = " and ".join(str(group.id) for group in groups)
            raise Mistake(f"You are in more than one group “{value}”: give a number, {numbers}.")
        raise Mistake(f"You are in no group “{value}”: give its number.")
    if kind is Kind.FRIEND:
        friend = roster.find_friend(value)
        if friend is None:
            raise Mistake(f"You have no friend “{value}”; updatelist shows those you have.")
        return friend.conversation
    return value


# ------------------------------------------------------------------------ help, completion


def help_text(name: str | None = None) -> str:
    """All commands with their usages, or the one of this name."""
    if name is not None:
        command = BY_NAME[name]
        slashed = " ".join(f"[{a.name}]" if a.optional else a.name for a in command.arguments)
        return f"{command.usage}   or   /{command.name} {slashed}".rstrip() + (
            f"\n  {command.summary}"
        )
    width = max(len(command.usage) for command in COMMANDS)
    lines = [f"{command.usage:<{width}}  {command.summary}" for command in COMMANDS]
    return "\n".join([*lines, "Each can also be written as /command argument argument."])


def complete(line: str, roster: Roster) -> tuple[str, list[str]]:
    """How the last word of the line could be completed: that word, and the candidates."""
    text = line.lstrip(" \t")
    slash = text.startswith("/")
    separator = " " if slash else ":"
    parts = text.removeprefix("/").split(separator)
    if len(parts) == 1:
        word = parts[0]
        names = [name for name in BY_NAME if name.startswith(word.lower())]
        ends = [separator if BY_NAME[name].arguments else "" for name in names]
        return word, [name + end for name, end in zip(names, ends, strict=True)]
    command = BY_NAME.get(parts[0].lower())
    if command is None or len(parts) - 2 >= len(command.arguments):
        return "", []
    argument, word = command.arguments[len(parts) - 2], parts[-1]
    end = separator if len(parts) - 1 < len(command.arguments) else ""
    names = [name for name in _candidates(argument.kind, roster) if name.startswith(word)]
    return word, [name + end for name in names]


def _candidates(kind: Kind, roster: Roster) -> list[str]:
    match kind:
        case Kind.USER | Kind.FRIEND:
            users = {user.id: user.name for user in roster.friends.values()}
            users |= {user.id: user.name for user in roster.requests.values()}
            return sorted(users.values()) + [str(id) for id in users]
        case Kind.GROUP:
            return [str(group) for group in roster.groups]
        case Kind.COMMAND:
            return list(BY_NAME)
        case _:
            return []
