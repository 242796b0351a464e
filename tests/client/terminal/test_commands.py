"""The command line: both forms are parsed to the same command; every mistake gets a sentence."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chat.client.session.roster import Roster
from chat.client.terminal.commands import (
    COMMANDS,
    Argument,
    Command,
    Kind,
    Mistake,
    Value,
    complete,
    help_text,
    parse,
    resolve,
)
from chat.protocol import messages as wire

NAMES = st.from_regex(r"(?![0-9]+\Z)[A-Za-z0-9_.-]{1,32}\Z", fullmatch=True)
TWELVE = (
    *("help", "chat", "addfriend", "creategroup", "joingroup", "quitgroup", "deletegroup"),
    *("groupchat", "list", "showme", "updatelist", "quit"),
)
NUMBERS = st.integers(1, 2**53 - 1)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\t:/ "), min_size=1
).filter(str.strip)
GROUP_NAMES = st.from_regex(r"[A-Za-z]\w{0,20}\Z", fullmatch=True).filter(
    lambda name: not name.isdecimal()
)
VALUES: dict[Kind, st.SearchStrategy[Value]] = {
    Kind.USER: NUMBERS | NAMES,
    Kind.FRIEND: NUMBERS | NAMES,
    Kind.GROUP: NUMBERS | GROUP_NAMES,
    Kind.NAME: GROUP_NAMES,
    Kind.DESC: GROUP_NAMES,
    Kind.TEXT: TEXTS,
    Kind.COUNT: st.integers(1, 200),
    Kind.COMMAND: st.sampled_from([command.name for command in COMMANDS]),
}


@st.composite
def lines(draw: st.DrawFn) -> tuple[Command, tuple[Value, ...]]:
    command = draw(st.sampled_from(COMMANDS))
    arguments = command.arguments
    if arguments and arguments[-1].optional and draw(st.booleans()):
        arguments = arguments[:-1]
    return command, tuple(draw(VALUES[argument.kind]) for argument in arguments)


@given(lines())
def test_the_classic_form_comes_back(line: tuple[Command, tuple[Value, ...]]) -> None:
    command, values = line
    parsed = parse(":".join([command.name, *map(str, values)]) + "\n")
    assert (parsed.command, parsed.values) == (command, values)


@given(lines())
def test_the_slash_form_comes_back(line: tuple[Command, tuple[Value, ...]]) -> None:
    command, values = line
    written = list(map(str, values))
    assume(not written or written[-1] == written[-1].lstrip(" \t"))
    parsed = parse("/" + " ".join([command.name, *written]))
    assert (parsed.command, parsed.values) == (command, values)


@given(st.text())
def test_whatever_is_written_is_a_command_or_a_mistake_in_one_sentence(line: str) -> None:
    for form in (line, "/" + line, "chat:" + line, "/creategroup " + line):
        mistake = mistake_in(form)
        assert mistake is None or 10 < len(mistake) < 300


def mistake_in(line: str) -> str | None:
    try:
        parse(line)
    except Mistake as mistake:
        return str(mistake)
    return None


def test_a_text_keeps_its_colons_and_spaces() -> None:
    assert parse("chat:2002:see http://x:80/a").values == (2002, "see http://x:80/a")
    assert parse("chat:2: two  spaces ").values == (2, " two  spaces ")
    assert parse("/chat bob see: http://x:80/a  b").values == ("bob", "see: http://x:80/a  b")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("chta:2:hi", "There is no command “chta”; did you mean chat:ID:TEXT?"),
        ("hello", "There is no command “hello”; did you mean help[:COMMAND]?"),
        ("xyzzy", "There is no command “xyzzy”; help shows those there are."),
        ("chat 2 hi", "Write chat:ID:TEXT or /chat ID TEXT."),
        ("chat", "ID and TEXT missing. Usage: chat:ID:TEXT"),
        ("chat:2", "TEXT missing. Usage: chat:ID:TEXT"),
        ("chat:2:", "“” is no text: it has 1 to 4,000 characters. Usage: chat:ID:TEXT"),
        ("/chat 2 ", "TEXT missing. Usage: chat:ID:TEXT"),
        ("chat:2:" + "x" * 4001, re.compile("“x{40}…” is no text: .* Usage: chat:ID:TEXT")),
        ("chat:2:a\x1bb", re.compile("is no text: .* Usage: chat:ID:TEXT")),
        ("chat:b b:hi", re.compile("“b b” is no user: give a number, or a name .*")),
        ("chat:0:hi", re.compile("“0” is no user: .*")),
        ("chat:99999999999999999999:hi", re.compile("“9+” is no user: .*")),
        ("showme:2", "showme takes nothing after it. Usage: showme"),
        ("/showme please", "showme takes nothing after it. Usage: showme"),
        ("history:bob:many", re.compile("“many” is no number from 1 to 200. .*")),
        ("history:bob:201", re.compile("“201” is no number from 1 to 200. .*")),
        ("help:chatt", "There is no command “chatt”; did you mean chat:ID:TEXT?"),
        ("", "There is no command “”; help shows those there are."),
    ],
)
def test_a_mistake_gets_one_sentence(line: str, sentence: str | re.Pattern[str]) -> None:
    with pytest.raises(Mistake) as mistake:
        parse(line)
    if isinstance(sentence, str):
        assert str(mistake.value) == sentence
    else:
        assert sentence.search(str(mistake.value))


def test_help_names_every_command() -> None:
    text = help_text()
    for name in TWELVE:
        assert re.search(rf"^{name}\b", text, re.MULTILINE)
    for command in COMMANDS:
        assert command.usage in text
        assert command.usage in help_text(command.name)


# ---------------------------------------------------------------------------- with a roster


@pytest.fixture
def roster() -> Roster:
    roster = Roster()
    online = wire.PresenceState.ONLINE
    for id, name in ((2, "bob"), (3, "bill")):
        friend = wire.Friend(id=id, name=name, state=online, conversation=id + 5, seq=0, read=0)
        roster.put_friend(friend)
    for id, name in ((9, "gophers"), (10, "twins"), (11, "twins"), (12, "Moles")):
        group = wire.Group(
            id=id, name=name, description="", role=wire.Role.MEMBER, seq=1, read=0, since=1
        )
        roster.put_group(group)
    return roster


def test_groups_and_friends_may_be_named(roster: Roster) -> None:
    assert resolve(parse("groupchat:gophers:hi"), roster) == (9, "hi")
    assert resolve(parse("groupchat:moles:hi"), roster) == (12, "hi")
    assert resolve(parse("groupchat:99:hi"), roster) == (99, "hi")
    assert resolve(parse("history:BOB"), roster) == (7,)
    assert resolve(parse("history:3:5"), roster) == (8, 5)
    assert resolve(parse("chat:nobody:hi"), roster) == ("nobody", "hi")
    for line, words in (
        ("groupchat:twins:hi", "more than one group “twins”: give a number, 10 and 11"),
        ("groupchat:newts:hi", "in no group “newts”"),
        ("history:nobody", "no friend “nobody”"),
    ):
        with pytest.raises(Mistake, match=words):
            resolve(parse(line), roster)


@pytest.mark.parametrize(
    ("line", "word", "candidates"),
    [
        ("ch", "ch", ["chat:"]),
        ("/gr", "gr", ["groupchat ", "grouphistory "]),
        ("sho", "sho", ["showme"]),
        ("chat:b", "b", ["bill:", "bob:"]),
        ("/chat bo", "bo", ["bob "]),
        ("addfriend:2", "2", ["2"]),
        ("groupchat:", "", ["9:", "10:", "11:", "12:"]),
        ("help:qu", "qu", ["quitgroup", "quit"]),
        ("chat:bob:he", "he", []),
        ("nothing:b", "", []),
    ],
)
def test_completion(roster: Roster, line: str, word: str, candidates: list[str]) -> None:
    assert complete(line, roster) == (word, candidates)


def test_every_request_can_be_made_of_its_arguments(roster: Roster) -> None:
    samples: dict[Kind, str] = {
        Kind.USER: "bob",
        Kind.FRIEND: "bob",
        Kind.GROUP: "9",
        Kind.NAME: "gophers",
        Kind.DESC: "burrows",
        Kind.TEXT: "hi",
        Kind.COUNT: "5",
        Kind.COMMAND: "chat",
    }
    for command in COMMANDS:
        if command.to_request is not None:
            given: list[Argument] = [a for a in command.arguments if not a.optional]
            for arguments in (given, list(command.arguments)):
                parts = [command.name, *(samples[argument.kind] for argument in arguments)]
                request = command.to_request(*resolve(parse(":".join(parts)), roster))
                assert request.id == 0
