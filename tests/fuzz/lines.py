"""Hostile lines, drawn from one seed: from the grammar, by mutation, at random."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import inspect

from tests.linear.families import JSON
from tests.protocol import model

CORPUS: Final = [
    line
    for path in sorted((Path(__file__).parent / "corpus").iterdir())
    for line in path.read_bytes().splitlines()
    if line
]
PIECES: Final = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\x00", b"\xff", b"\\ud800", b"\\u202e"),
    *(b"\\u001b[31m", b"1e999", b"-0", b"NaN", b"9" * 30, b"\r", b"\t", b" ", b"null", b"true"),
    *(b"\xe2\x80\xae", b"\xf0\x9f\x99\x82", b'"type"', b'"id"', b'"re"', b"GET ", b"\x16\x03"),
)


class Lines:
    """Draws lines; they have no newline. `structs`: the messages of the grammar."""

    def __init__(self, structs: Sequence[inspect.StructType], seed: int) -> None:
        self._structs = structs
        self.rng = random.Random(seed)
        self.last = b""
        """The line that was drawn last."""

    def draw(self) -> bytes:
        """The next line."""
        kind = self.rng.random()
        if kind < 0.55:
            line = self._from_grammar()
        elif kind < 0.85:
            line = self._mutated(self._base())
        elif kind < 0.95:
            line = self.rng.randbytes(self.rng.randrange(200))
        else:
            line = self.rng.choice(JSON).make(self.rng.choice((8, 60, 900)))
        self.last = line.replace(b"\n", b" ")
        return self.last

    def message(self) -> dict[str, Any]:
        """A message of the grammar: usually valid."""
        rng = self.rng
        struct = rng.choice(self._structs)
        message = model.message(struct, optional=rng.random() < 0.5)
        for field in rng.sample(struct.fields, min(len(struct.fields), rng.randrange(3))):
            message[field.encode_name] = rng.choice(model.bounds(field.type))
        return message

    def _from_grammar(self) -> bytes:
        rng = self.rng
        struct = rng.choice(self._structs)
        message = model.message(struct, optional=rng.random() < 0.5)
        field = rng.choice(struct.fields) if struct.fields else None
        change = rng.randrange(8)
        if field is None or change == 0:
            return json.dumps(self.message()).encode()
        name = field.encode_name
        if change == 1:
            message.pop(name, None)
        elif change == 2:
            message[name] = rng.choice(model.bounds(field.type))
        elif change == 3:
            message[name] = self._nested(rng.choice((1, 14, 15, 16, 17, 40)))
        elif change == 4:
            message[name] = rng.choice(("x", "\u202e", "9", "\U0001f1e9")) * rng.choice(
                (300, 5_000)
            )
        elif change == 5:
            message["type"] = rng.choice(("sing", "", None, 5, "ping", "PING", ["ping"]))
        else:
            message[name] = rng.choice(model.wrong(field.type))
        text = json.dumps(message, ensure_ascii=rng.random() < 0.5)
        if change == 7:  # the field stands there twice
            text = text[:-1] + f", {json.dumps(name)}: {json.dumps(message[name])}}}"
        return text.encode(errors="surrogatepass")

    def _nested(self, depth: int) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = [value] if self.rng.random() < 0.5 else {"a": value}
        return value

    def _base(self) -> bytes:
        if self.rng.random() < 0.5:
            return self.rng.choice(CORPUS)
        return json.dumps(self.message()).encode()

    def _mutated(self, line: bytes) -> bytes:
        rng = self.rng
        for _ in range(rng.randint(1, 4)):
            start = rng.randrange(len(line) + 1)
            end = min(start + rng.randrange(8), len(line))
            match rng.randrange(5):
                case 0:
                    line = line[:start] + line[end:]
                case 1:
                    line = line[:start] + rng.choice(PIECES) + line[end:]
                case 2:
                    line = line[:end] + line[start:end] * rng.choice((1, 3, 50)) + line[end:]
                case 3:
                    line = line[:start] + rng.randbytes(end - start) + line[end:]
                case _:
                    other = rng.choice(CORPUS)
                    line = line[:start] + other[rng.randrange(len(other)) :]
        return line[:20_000]
