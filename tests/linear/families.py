"""Inputs that are hard for a scanner: a token repeated between a start and an end.

A scanner that backtracks, or that begins anew for each piece, shows it on a token that it takes for
the start of something whose end never comes. So there is a token of each class that the formats
have, and starts and ends that open and close something, or break it off.
"""

from typing import Final, NamedTuple


class Family(NamedTuple):
    start: bytes
    token: bytes
    end: bytes

    def make(self, length: int) -> bytes:
        """The input of about that length."""
        room = max(length - len(self.start) - len(self.end), 1)
        return self.start + (self.token * (room // len(self.token) + 1))[:room] + self.end

    def __str__(self) -> str:
        return f"{self.start!r} {self.token!r}... {self.end!r}"


class TextFamily(NamedTuple):
    start: str
    token: str
    end: str

    def make(self, length: int) -> str:
        room = max(length - len(self.start) - len(self.end), 1)
        return self.start + (self.token * (room // len(self.token) + 1))[:room] + self.end

    def __str__(self) -> str:
        return f"{self.start!a} {self.token!a}... {self.end!a}"


TEXT_TOKENS: Final = (
    *(
        "a",
        "Z",
        "9",
        "a9",
        "-",
        "_",
        ".",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\r",
        "a ",
        " a",
        ":",
        "::",
        "/",
    ),
    *("'", '"', "\\", '\\"', "`", "[", "]", "{", "(a", "%s", "é", "日", "🙂", "e\u0301", "\u0301"),
    *("\u200d", "👨\u200d👩\u200d", "🇩", "\ufe0f", "\u202e", "\u2066", "\u200b", "\u2028", "\x85"),
    *(
        "\x00",
        "\x07",
        "\x1b[31m",
        "\x1b]0;",
        "\x7f",
        "\x9b",
        "\ufeff",
        "\ufffd",
        "ab:",
        "matching regex '",
    ),
)
JSON_TOKENS: Final = (
    *(b'"', b"\\", b'\\"', b'"\\', b'"a', b'"a"', b'"a",', b'""', b"[", b"]", b"[]", b"[],", b"{"),
    *(b"}", b"{}", b"{},", b'{"a":', b'["', b'[{"a":', b'"a":1,', b'"type":"ping",', b'"id":1,'),
    *(b",", b":", b"0", b"9", b"-", b"1.", b"1e9", b"1,", b"-1,", b"true", b"true,", b"null", b"N"),
    *(b"\\u0041", b"\\u", b"\\ud800", b"\\ud83d\\ude00", b"\\n", b"\\\\", b"\\x", b"/", b"a", b" "),
    *(
        b"\t",
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\r",
        b"\x00",
        b"\x1b",
        b"\x7f",
        b"\xff",
        b"\xc3",
        b"\xc3\xa9",
    ),
    *(
        b"\xed\xa0\x80",
        b"\xf0\x9f\x99\x82",
        b"\xe6\x97\xa5",
        b"GET ",
        b"\x16\x03",
        b"PROXY ",
        b"a\n",
    ),
)
REDIS_TOKENS: Final = (
    *(b"*1\r\n", b"*2\r\n", b"*0\r\n", b"*-1\r\n", b"$0\r\n\r\n", b"$1\r\na\r\n", b"$-1\r\n"),
    *(
        b":1\r\n",
        b":",
        b"+",
        b"-",
        b"$",
        b"*",
        b"+OK\r\n",
        b"-ERR\r\n",
        b"\r",
        b"\n",
        b"\r\n",
        b"1",
    ),
    *(
        b"\r\r",
        b"\n\r",
        b"a",
        b"+\r",
        b"*3\r\n$7\r\nmessage\r\n$3\r\nu:1\r\n$4\r\nx {}\r\n",
        b"\x00",
    ),
)
CHAT: Final = b'{"type":"chat","id":1,"to":2,"key":"k","text":"'
JSON_STARTS: Final = (b"", b'"', b"[", b'{"a":["', b'{"type":"ping","id":', CHAT)
JSON_ENDS: Final = (b"", b'"}', b"!", b"\n")

JSON: Final = [
    Family(start, token, end) for start in JSON_STARTS for token in JSON_TOKENS for end in JSON_ENDS
]
STREAM: Final = [
    Family(b"", token, b"")
    for token in (b"x", b'"', b"[", b"\r", b"\n", b"\r\n", b"a\n", b"{}\n", b"GE", b"\x16")
]
"""For parsers that get their bytes in pieces, where it is the pieces that make the work."""
REDIS: Final = [
    Family(start, token, b"") for start in (b"", b"+", b"$100000\r\n") for token in REDIS_TOKENS
]
PROXY: Final = [
    Family(start, token, b"")
    for start in (
        b"PROXY ",
        b"PROXY UNKNOWN ",
        b"PROXY TCP4 ",
        b"\r\n\r\n\x00\r\nQUIT\n",
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x0f\xf0",
        b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x0f\xf0",
    )
    for token in (b" ", b"1.", b":", b"\r", b"\x00", b"\xff")
]
TEXT: Final = [
    TextFamily(start, token, end)
    for start, end in (("", ""), ("a", "\x00"), ("", "'"))
    for token in TEXT_TOKENS
]
COMMANDS: Final = [
    TextFamily(start, token, "")
    for start in ("", "/", "chat:", "/chat ", "creategroup:a:", "help:", "/history 1 ", " ")
    for token in TEXT_TOKENS
]
COLLIDING: Final = 2**13
"""Keys this far apart begin at the same place of a table of numbers."""


def colliding_cursors(length: int) -> bytes:
    """A `resume` whose cursors have keys that collide in a table of numbers, as far as keys up to
    2^53 may."""
    pairs = b",".join(b'"%d":1' % (COLLIDING * n + 1) for n in range(1, max(length // 15, 2)))
    return b'{"type":"resume","id":1,"token":"%s","cursors":{%s}}' % (b"0" * 64, pairs)
