"""The client at a pseudo terminal, on a real node."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest

from deploy.servers import free_port
from tests.processes import NodeProcess

COLUMNS, ROWS = 80, 30
WAIT_S = 20.0
CTRL_C, CTRL_D, TAB, ENTER, UP = "\x03", "\x04", "\t", "\r", "\x1b[A"


TAKE_TERMINAL = """
import os, signal, sys
os.open(os.ttyname(0), os.O_RDWR)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, sys.argv[1:])
"""
"""A session leader that opens a terminal gets its Ctrl-C. SIGINT may be ignored in the process that
starts the tests, as in a shell's background jobs; at a login terminal it is not."""


class Screen(pyte.Screen):
    """A screen that answers the terminal's queries, such as where the cursor is."""

    def __init__(self, master: int) -> None:
        super().__init__(COLUMNS, ROWS)
        self._master = master

    def write_process_input(self, data: str) -> None:
        os.write(self._master, data.encode())


class Terminal:
    """A client in a pseudo terminal, and its screen."""

    def __init__(self, port: int, *flags: str, **environment: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        command = ["-m", "chat.client.main", "127.0.0.1", str(port), *flags]
        base = {"PATH": "", "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, sys.executable, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=base | environment,
            start_new_session=True,
        )
        os.close(slave)
        self.screen = Screen(self._master)
        self._stream = pyte.ByteStream(self.screen)
        self.shown = b""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def wait(self, holds: Callable[[], bool]) -> None:
        """Until the screen is as wanted."""
        deadline = time.monotonic() + WAIT_S
        while not holds():
            assert self._read(deadline), "not so:\n" + "\n".join(self.lines())

    def _read(self, deadline: float) -> bool:
        """Whether the client wrote something; False at the deadline, or when it has ended."""
        left_s = max(0.0, deadline - time.monotonic())
        if not select.select([self._master], [], [], left_s)[0]:
            return False
        try:
            data = os.read(self._master, 65_536)
        except OSError:
            return False
        self.shown += data
        self._stream.feed(data)
        return bool(data)

    def wait_line(self, line: str) -> None:
        """Until the last line, which is the one being typed, is this one."""
        self.wait(lambda: self.lines()[-1:] == [line])

    def wait_text(self, text: str) -> None:
        self.wait(lambda: any(text in line for line in self.lines()))

    def enter(self, name: str) -> None:
        for prompt, answer in (("choice:", "1"), ("user:", name), ("password:", f"secret-{name}")):
            self.wait_line(prompt)
            self.type(answer + ENTER)
        self.wait_line("->")

    def sign_up(self, name: str) -> None:
        for prompt, answer in (("choice:", "2"), ("name:", name), ("password:", f"secret-{name}")):
            self.wait_line(prompt)
            self.type(answer + ENTER)
        self.wait_text(f"Registered {name}")

    def exit_code(self) -> int:
        deadline = time.monotonic() + WAIT_S
        while self._read(deadline):
            pass
        if time.monotonic() > deadline:
            raise AssertionError("still there:\n" + "\n".join(self.lines()))
        return self._process.wait(WAIT_S)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    node = NodeProcess(free_port(), tmp_path_factory.mktemp("node") / "chat.db")
    yield node.port
    node.close()


@pytest.fixture
def ann(port: int) -> Iterator[Terminal]:
    terminal = Terminal(port)
    yield terminal
    terminal.close()


@pytest.fixture
def bob(port: int) -> Iterator[Terminal]:
    terminal = Terminal(port, NO_COLOR="1")
    yield terminal
    terminal.close()


def test_shown_text_leaves_the_line_being_typed_as_it_is(ann: Terminal, bob: Terminal) -> None:
    for terminal, name in ((ann, "ann"), (bob, "bob")):
        terminal.sign_up(name)
        terminal.enter(name)
    ann.type("addfriend:bob" + ENTER)
    bob.wait_text("* ann (1) asks to be your friend")
    bob.type("addfriend:ann" + ENTER)
    ann.wait_text("* bob (2) and you are friends now.")
    ann.wait_line("->")

    ann.type("chat:bob:half a li")
    ann.wait_line("-> chat:bob:half a li")
    bob.type("chat:ann:日本語 and more" + ENTER)
    ann.wait_text("bob: 日本語 and more")
    ann.wait_line("-> chat:bob:half a li")
    ann.type("ne" + ENTER)
    bob.wait_text("ann: half a line")
    ann.wait_text("you to bob: half a line")
    ann.wait_line("->")
    assert sum("half a line" in line for line in ann.lines()) == 2

    ann.type(UP)
    ann.wait_line("-> chat:bob:half a line")
    ann.type(CTRL_C)
    ann.wait_line("->")
    ann.type("showm" + TAB)
    ann.wait_line("-> showme")
    ann.type(ENTER)
    ann.wait_text("You are ann (1), since")
    ann.type("list:7" + ENTER)
    ann.wait_text("list: There is no such group; check its number.")
    ann.wait_line("->")

    ann.type(CTRL_C)
    assert ann.exit_code() == 0
    bob.type("quit" + ENTER)
    assert bob.exit_code() == 0
    assert b"secret" not in ann.shown + bob.shown
    assert b"\x1b[36m" in ann.shown
    assert b"\x1b[36m" not in bob.shown


def test_a_user_may_try_again_after_a_refusal(ann: Terminal) -> None:
    ann.wait_line("choice:")
    ann.type("7" + ENTER)
    ann.wait_text("Choose 1, 2 or 3.")
    ann.wait_line("choice:")
    ann.type("1" + ENTER)
    ann.wait_line("user:")
    ann.type("nobody" + ENTER)
    ann.wait_line("password:")
    ann.type("not-a-secret" + ENTER)
    ann.wait_text("Cannot log in: User and secret do not match")
    ann.wait_line("choice:")
    ann.type("1" + ENTER)
    ann.wait_line("user:")
    ann.type(CTRL_C)
    ann.wait_line("choice:")
    ann.type("2" + ENTER)
    ann.wait_line("name:")
    ann.type("two words" + ENTER)
    ann.wait_line("password:")
    ann.type("long enough" + ENTER)
    ann.wait_text("Cannot register: a name has 1 to 32 letters")
    ann.wait_line("choice:")
    ann.type(CTRL_D)
    assert ann.exit_code() == 0


def test_a_node_that_is_not_there_is_told_and_tried_again() -> None:
    user = Terminal(free_port())
    try:
        user.wait_line("choice:")
        user.type(f"1{ENTER}")
        user.wait_line("user:")
        user.type(f"ann{ENTER}")
        user.wait_line("password:")
        user.type(f"secret-ann{ENTER}")
        user.wait_text("(connection refused); trying again.")
        user.type(CTRL_C)
        assert user.exit_code() == 130
    finally:
        user.close()


def test_a_lost_login_brings_the_menu_back(tmp_path: Path) -> None:
    """Neither token nor password are valid on the new node; the user is in the middle of a line."""
    port = free_port()
    node = NodeProcess(port, tmp_path / "old.db")
    eve = Terminal(port)
    try:
        eve.sign_up("eve")
        eve.enter("eve")
        eve.type("chat:bob:half a li")
        eve.wait_line("-> chat:bob:half a li")
        node.close()
        node = NodeProcess(port, tmp_path / "new.db")
        eve.wait_text("You are logged out: User and secret do not match")
        eve.wait_line("choice:")
        eve.sign_up("eve")
        eve.enter("eve")
        eve.type("quit" + ENTER)
        assert eve.exit_code() == 0
    finally:
        eve.close()
        node.close()


def test_a_user_named_on_the_command_line(port: int) -> None:
    user = Terminal(port, "--user", "nobody-yet")
    try:
        user.wait_line("password:")
        user.type("no-such-secret" + ENTER)
        user.wait_text("Cannot log in: User and secret do not match")
        user.sign_up("nobody-yet")
        user.enter("nobody-yet")
        user.type(CTRL_D)
        assert user.exit_code() == 0
    finally:
        user.close()
