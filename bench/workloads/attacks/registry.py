"""The attacks: name, what the attackers do, and how."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, cycle, islice
from typing import Final, NamedTuple, TypeAlias

from bench.targets.fixtures import PASSWORD
from bench.workloads.attacks.attackers import (
    LOGGED_IN,
    Attackers,
    Plan,
    repeat,
    resume,
    sources,
)
from bench.workloads.attacks.population import (
    ATTACKERS,
    HEAVY_DEVICES,
    HEAVY_USER,
    LARGE_GROUP,
    LOG_ENTRIES,
    LOG_GROUP,
    MEMBERS,
    OPEN_GROUP,
    TALKERS,
)

SHARED_SOURCE: Final = "127.0.0.1"
"""The address of all legitimate users."""
LOGIN_LINE_BYTES: Final = 4_096
LINE_BYTES: Final = 65_536
FEW_FILES: Final = 256


Begin: TypeAlias = Callable[[Attackers], None]
"""Opens the connections of an attack, which go on until their process ends."""


class Attack(NamedTuple):
    """An attack, and what the node that it meets is allowed."""

    name: str
    does: str
    begin: Begin
    files: int | None = None
    """File descriptors that the node may have open; None: as many as usual."""
    logs_once: bool = False
    """Whether the node must log it, in one line."""
    shares_address: bool = False
    """Whether it comes from the address of the legitimate users."""


# ------------------------------------------------------------------ lines


def _numbered(line: bytes) -> Iterator[bytes]:
    """Chunks of the line, in which `%d` is a number that goes up."""
    numbers = count(1)
    while True:
        yield b"".join(line % number for number in islice(numbers, 20))


def crafted_lines(length_bytes: int) -> list[bytes]:
    """Lines of that length which cost a careless parser the most: of each family the tokens are
    repeated as often as fit, and nothing is closed."""
    families = [
        (b'{"a":["', b'\\"'),
        (b'{"a":["', b"\\\\"),
        (b'{"a":["', b"\\u0041"),
        (b'{"a":[', b'"\\'),
        (b'{"a":[', b'"'),
        (b"", b"["),
        (b"", b'{"a":'),
        (b'{"a":[', b"[],"),
        (b'{"type":"ping","id":1,"x":[', b"0,"),
        (b'{"type":"ping","id":', b"9"),
    ]
    return [
        head + token * ((length_bytes - len(head)) // len(token)) + b"\n"
        for head, token in families
    ]


def _crafted_before_login(attackers: Attackers) -> None:
    (source,) = sources(1)
    for line in crafted_lines(LOGIN_LINE_BYTES) * 2:
        attackers.open(Plan(source, chunks=repeat(line, times=4)))


def _heavy_user(connections: int, cursor: int = LOG_ENTRIES) -> Iterator[tuple[str, bytes]]:
    """Addresses and logins of HEAVY_USER for that many connections: ten addresses, all devices."""
    devices = cycle(range(1, HEAVY_DEVICES + 1))
    for source, device in islice(zip(cycle(sources(10)), devices, strict=False), connections):
        yield source, resume(HEAVY_USER, device, cursor)


def _crafted_after_login(attackers: Attackers) -> None:
    for login, line in zip(_heavy_user(10), crafted_lines(LINE_BYTES), strict=True):
        attackers.open(Plan(*login, repeat(line), LOGGED_IN))


def _blank_lines(attackers: Attackers) -> None:
    for source, login in _heavy_user(5):
        attackers.open(Plan(source, chunks=repeat(b"\n" * 65_536)))
        attackers.open(Plan(source, login, repeat(b"\r\n" * 32_768), LOGGED_IN))


def _http(attackers: Attackers) -> None:
    body = b'{"type":"register","id":1,"name":"web","password":"correct horse"}\n'
    body += b'{"type":"create_group","id":1,"name":"from a page"}\n'
    head = b"%b / HTTP/1.1\r\nHost: chat\r\nContent-Length: %d\r\n\r\n"
    verbs = cycle([b"POST", b"GET", b"PUT", b"OPTIONS"])
    for source in sources(20):
        for _ in range(10):
            request = head % (next(verbs), len(body)) + body
            attackers.open(Plan(source, request, repeat(request, times=10)))


# ------------------------------------------------------------------ passwords


def _login_lines(first: int) -> Iterator[bytes]:
    """Wrong passwords for one account after the other."""
    line = b'{"type":"login","id":1,"user":%d,"password":"wrong horse"}\n'
    for user in cycle([*MEMBERS[first:], *MEMBERS[:first]]):
        yield line % user


def _log_in_from(addresses: list[str], attackers: Attackers) -> None:
    """Half of the connections try passwords; half log in with the right one, and close again."""
    right = b'{"type":"login","id":1,"user":%d,"password":"%b"}\n'
    for number, source in enumerate(addresses):
        for connection in range(0, 20, 2):
            first = (number * 20 + connection) * 11 % len(MEMBERS)
            attackers.open(Plan(source, chunks=_login_lines(first)))
            login = right % (MEMBERS[first], PASSWORD.encode())
            attackers.open(Plan(source, login, waits_for=LOGGED_IN, leaves=True))


def _abandon_logins(attackers: Attackers) -> None:
    lines = _login_lines(0)
    for source in sources(20):
        for _ in range(5):
            attackers.open(Plan(source, next(lines), leaves=True))


def _try_tokens(attackers: Attackers) -> None:
    lines = _numbered(b'{"type":"resume","id":1,"token":"%064d"}\n')
    for source in sources(20):
        for _ in range(20):
            attackers.open(Plan(source, chunks=lines))


def _register_from(addresses: list[str], attackers: Attackers) -> None:
    lines = _numbered(b'{"type":"register","id":1,"name":"new-%d","password":"correct horse"}\n')
    for source in addresses:
        for _ in range(20):
            attackers.open(Plan(source, chunks=lines))


# ------------------------------------------------------------------ requests

_HISTORY: Final = b'{"type":"history","id":1,"conversation":%d,"limit":200}\n' % LOG_GROUP
_MEMBERS: Final = b'{"type":"members","id":1,"group":%d}\n' % LARGE_GROUP
_RENAME: Final = b'{"type":"rename_group","id":1,"group":%d,"name":"name %%d"}\n' % LARGE_GROUP
_MARK_READ: Final = b'{"type":"mark_read","id":1,"conversation":%d,"seq":%%d}\n' % LOG_GROUP


def _text_to(group: int) -> bytes:
    """A line that sends 4,000 letters; `%d` in it is for the number of the text."""
    line = b'{"type":"group_chat","id":1,"group":%d,"text":"%b","key":"a%%d"}\n'
    return line % (group, b"x" * 4_000)


def _pipeline(connections: int, chunks: Iterator[bytes]) -> Begin:
    """HEAVY_USER writes the chunks on many connections, from ten addresses."""

    def begin(attackers: Attackers) -> None:
        for source, login in _heavy_user(connections):
            attackers.open(Plan(source, login, chunks, LOGGED_IN))

    return begin


def _resumes(attackers: Attackers) -> None:
    for source, login in _heavy_user(50):
        attackers.open(Plan(source, login, waits_for=LOGGED_IN, leaves=True))


def _backlogs(attackers: Attackers) -> None:
    last = b'"key":"fixture-%d"' % LOG_ENTRIES
    for source, login in _heavy_user(20, cursor=0):
        attackers.open(Plan(source, login, waits_for=last, leaves=True))


def _join_and_leave(attackers: Attackers) -> None:
    join = b'{"type":"join_group","id":1,"group":%d}\n' % OPEN_GROUP
    leave = b'{"type":"leave_group","id":2,"group":%d}\n' % OPEN_GROUP
    for user, source in zip(ATTACKERS, cycle(sources(10)), strict=False):
        attackers.open(Plan(source, resume(user), repeat(join, leave, times=10), LOGGED_IN))


def _flap(attackers: Attackers) -> None:
    def line(name: bytes) -> bytes:
        return b'{"type":"%b","id":1,"user":%d}\n' % (name, TALKERS[0])

    pairs = cycle([(b"add_friend", b"remove_friend"), (b"block", b"unblock")])
    for user, source, pair in zip(ATTACKERS[:40], cycle(sources(10)), pairs, strict=False):
        lines = repeat(*map(line, pair), times=10)
        attackers.open(Plan(source, resume(user), lines, LOGGED_IN))


# ------------------------------------------------------------------ connections


def _connect_and_leave(attackers: Attackers) -> None:
    for source in sources(20):
        for _ in range(5):
            attackers.open(Plan(source, leaves=True))


def _one_token(attackers: Attackers) -> None:
    for source in islice(cycle(sources(50)), 1_000):
        attackers.open(Plan(source, resume(HEAVY_USER)))


def _slow_lines(attackers: Attackers) -> None:
    drip = repeat(b" ")
    for source in sources(100):
        for _ in range(20):
            attackers.open(Plan(source, b'{"type":"login",', drip, pace_s=0.5))


def _mute_readers(attackers: Attackers) -> None:
    chunks = _numbered(_HISTORY + _text_to(LOG_GROUP))
    for user, source in zip(ATTACKERS[:25], cycle(sources(10)), strict=False):
        for _ in range(8):
            attackers.open(Plan(source, resume(user), chunks, reads=False))


def _files_of_one_address(attackers: Attackers) -> None:
    for _ in range(8):
        for user in ATTACKERS:
            attackers.open(Plan(sources(1)[0], resume(user)))


def _files_of_many(attackers: Attackers) -> None:
    for _ in range(8):
        for user, source in zip(ATTACKERS, cycle(sources(50)), strict=False):
            attackers.open(Plan(source, resume(user)))


_LIST: Final = [
    Attack(
        "lines-before-login",
        "20 connections send crafted lines of 4 KiB",
        _crafted_before_login,
    ),
    Attack(
        "lines-of-64k",
        "one user sends crafted lines of 64 KiB on 10 connections",
        _crafted_after_login,
    ),
    Attack("blank-lines", "10 connections send newlines alone", _blank_lines),
    Attack("http", "200 connections of 20 addresses send HTTP requests", _http),
    Attack(
        "logins-1",
        "one address logs in on 20 connections, half with wrong passwords",
        partial(_log_in_from, sources(1)),
    ),
    Attack(
        "logins-20",
        "20 addresses log in on 20 connections each, half with wrong passwords",
        partial(_log_in_from, sources(20)),
    ),
    Attack(
        "logins-shared",
        "as logins-1, from the address of the legitimate users",
        partial(_log_in_from, [SHARED_SOURCE]),
        shares_address=True,
    ),
    Attack(
        "logins-abandoned",
        "20 addresses send logins and close at once, 5 connections at a time each",
        _abandon_logins,
    ),
    Attack("tokens", "20 addresses try tokens on 20 connections each", _try_tokens),
    Attack(
        "registrations-1",
        "one address registers accounts on 20 connections",
        partial(_register_from, sources(1)),
    ),
    Attack(
        "registrations-20",
        "20 addresses register accounts on 20 connections each",
        partial(_register_from, sources(20)),
    ),
    Attack(
        "create_group",
        "one user creates groups on 100 connections",
        _pipeline(100, repeat(b'{"type":"create_group","id":1,"name":"g"}\n', times=20)),
    ),
    Attack(
        "history",
        "one user requests pages of 200 long entries on 20 connections",
        _pipeline(20, repeat(_HISTORY, times=20)),
    ),
    Attack(
        "members",
        "one user requests the 5,000 members of a group on 50 connections",
        _pipeline(50, repeat(_MEMBERS, times=20)),
    ),
    Attack(
        "snapshot",
        "one user with 100 friends and 100 groups requests snapshots on 50 connections",
        _pipeline(50, repeat(b'{"type":"snapshot","id":1}\n', times=20)),
    ),
    Attack(
        "ping",
        "one user sends pings on 50 connections",
        _pipeline(50, repeat(b'{"type":"ping","id":1}\n', times=20)),
    ),
    Attack(
        "rename_group",
        "one user renames a group of 5,000 on 50 connections",
        _pipeline(50, _numbered(_RENAME)),
    ),
    Attack(
        "mark_read",
        "one user marks a log as read on 50 connections",
        _pipeline(50, _numbered(_MARK_READ)),
    ),
    Attack(
        "group_chat",
        "one user sends texts of 4,000 letters to a group of 5,000 on 50 connections",
        _pipeline(50, _numbered(_text_to(LARGE_GROUP))),
    ),
    Attack("resume", "one user connects, resumes and closes, 50 at once", _resumes),
    Attack(
        "backlog",
        "one user resumes at the beginning of a log of 2 MB and reads it, 20 at once",
        _backlogs,
    ),
    Attack(
        "join-leave",
        "100 users join and leave the group of the legitimate users",
        _join_and_leave,
    ),
    Attack(
        "friend-flapping",
        "20 users add and remove a legitimate user as a friend, 20 block and unblock the user",
        _flap,
    ),
    Attack(
        "connects",
        "20 addresses connect and close at once, 5 connections at a time each",
        _connect_and_leave,
    ),
    Attack("one-token", "1,000 connections of one token", _one_token),
    Attack("slowloris", "2,000 connections of 100 addresses send a byte each 0.5 s", _slow_lines),
    Attack(
        "mute-readers",
        "200 connections of 25 users request long histories and read nothing",
        _mute_readers,
    ),
    Attack(
        "files-one-account",
        f"1,000 connections of one token to a node with {FEW_FILES} file descriptors",
        _one_token,
        files=FEW_FILES,
    ),
    Attack(
        "files-one-address",
        f"800 connections of 100 users from one address, {FEW_FILES} file descriptors",
        _files_of_one_address,
        files=FEW_FILES,
    ),
    Attack(
        "files-many",
        f"800 connections of 100 users from 50 addresses, {FEW_FILES} file descriptors",
        _files_of_many,
        files=FEW_FILES,
        logs_once=True,
    ),
]
ATTACKS: Final = {attack.name: attack for attack in _LIST}
