"""Scripts from a pipe, on a real node: their output and their exit codes."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from chat.client.main import main
from deploy.servers import free_port
from tests.processes import ClientProcess, NodeProcess

RUN_S = 30.0


class Run(NamedTuple):
    out: str
    err: str
    code: int


class ScriptRunner:
    """Runs scripts of the client on one node."""

    def __init__(self, port: int) -> None:
        self.port = port

    def script(self, *lines: str, flags: tuple[str, ...] = (), password: str | None = None) -> Run:
        return self.raw("".join(line + "\n" for line in lines).encode(), flags, password)

    def raw(self, data: bytes, flags: tuple[str, ...] = (), password: str | None = None) -> Run:
        done = subprocess.run(
            [sys.executable, "-m", "chat.client.main", "127.0.0.1", str(self.port), *flags],
            input=data,
            capture_output=True,
            timeout=RUN_S,
            env={"PATH": "", "TZ": "UTC", **({"CHAT_PASSWORD": password} if password else {})},
        )
        return Run(done.stdout.decode(), done.stderr.decode(), done.returncode)

    def sign_up(self, *names: str) -> None:
        lines = [line for name in names for line in ("2", name, f"secret-{name}")]
        assert self.script(*lines, "3").code == 0

    def as_user(self, name: str, *lines: str, flags: tuple[str, ...] = ()) -> Run:
        run = self.script(*lines, flags=("--user", name, *flags), password=f"secret-{name}")
        return run._replace(out=after_the_lists(run.out))


def after_the_lists(text: str) -> str:
    """The output of a script after the lists at its start, with the times masked."""
    text = re.sub(r"\b\d\d:\d\d\b", "HH:MM", text)
    cut = min((text.find(mark) for mark in ("\n-> ", "\nWhile") if mark in text), default=len(text))
    return text[cut + 1 :]


def without(text: str, line: str) -> str:
    """The text without a line that it has once: its place is a matter of chance, since the entry
    comes beside the reply."""
    assert text.count(line) == 1
    return text.replace(line, "")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    store = tmp_path_factory.mktemp("node") / "chat.db"
    node = NodeProcess(free_port(), store, "--presence-flap-ms", "50")
    yield node.port
    node.close()


@pytest.fixture(scope="module")
def runner(port: int) -> ScriptRunner:
    runner = ScriptRunner(port)
    runner.sign_up("ann", "bob", "cyd")
    assert runner.as_user("ann", "addfriend:bob").code == 0
    assert runner.as_user("bob", "addfriend:ann").code == 0
    return runner


# ------------------------------------------------------------------------------ transcripts


def test_a_first_visit(runner: ScriptRunner) -> None:
    run = runner.script("2", "dot", "secret-dot", "1", "dot", "secret-dot", "quit")
    assert run == Run(
        "1. login\n2. register\n3. quit\n"
        "choice: 2\nname: dot\npassword:\n"
        "Registered dot (4): log in with the name or the number.\n"
        "1. login\n2. register\n3. quit\n"
        "choice: 1\nuser: dot\npassword:\n"
        "Logged in as dot (4).\n\n"
        "Friends\nnone yet: addfriend:ID asks somebody.\n\n"
        "Groups\nnone yet: creategroup:NAME:DESC makes one, joingroup:ID joins one.\n"
        "-> quit\n",
        "",
        0,
    )


def test_groups_from_making_to_ending(runner: ScriptRunner) -> None:
    made = runner.as_user("ann", "creategroup:gophers:all about: burrows", "groupchat:gophers:one")
    number = re.findall(r"gophers \((\d+)\)", made.out)[0]
    assert without(made.out, "HH:MM [gophers] you joined.\n") == (
        "-> creategroup:gophers:all about: burrows\n"
        f"You made the group gophers ({number}); others join it with joingroup:{number}.\n"
        "-> groupchat:gophers:one\n"
        "HH:MM [gophers] you: one\n"
    )
    joined = runner.as_user("bob", f"joingroup:{number}", f"/groupchat {number} two", "showme")
    assert without(joined.out, "HH:MM [gophers] you joined.\n").startswith(
        f"-> joingroup:{number}\n"
        f"You are in the group gophers ({number}).\n"
        f"-> /groupchat {number} two\n"
        "-> showme\n"
        "HH:MM [gophers] you: two\n"
        "You are bob (2), since "
    )
    lists = runner.as_user("ann", f"list:{number}", "updatelist", f"quitgroup:{number}")
    assert lists.out.startswith(
        "While you were away\n"
        "  [gophers]\n"
        "    HH:MM bob joined.\n"
        "    HH:MM bob: two\n"
        f"-> list:{number}\n"
        f"gophers ({number})\n"
        "ID  NAME  ROLE    STATE\n"
        "1   ann   owner   online\n"
    )
    assert f"ID  NAME     DESC\n{number}   gophers  all about: burrows\n" in lists.out
    assert lists.out.endswith(
        f"-> quitgroup:{number}\n"
        "HH:MM [gophers] you left.\n"
        f"You left the group gophers ({number}).\n"
    )
    ended = runner.as_user("bob", f"deletegroup:{number}", "grouphistory:gophers")
    assert ended.out.startswith("While you were away\n  [gophers]\n    HH:MM ann left.\n")
    assert f"\nYou ended the group gophers ({number}).\n" in ended.out
    assert "You are in no group “gophers”" in ended.err


def test_a_group_is_renamed(runner: ScriptRunner) -> None:
    made = runner.as_user("ann", "creategroup:gophers:burrows")
    (number,) = re.findall(r"joingroup:(\d+)", made.out)
    assert runner.as_user("bob", f"joingroup:{number}").code == 0
    renamed = runner.as_user("ann", "renamegroup:gophers:moles", f"grouphistory:{number}")
    assert "\nThe group is called moles now.\n" in renamed.out
    assert "you renamed the group to moles." in renamed.out
    told = runner.as_user("bob", "renamegroup:moles:voles", "updatelist")
    assert "HH:MM ann renamed the group to moles.\n" in told.out
    assert f"{number}   moles  burrows\n" in told.out
    assert "owner" in told.err


def test_the_backlog_is_shown_once_at_the_next_login(runner: ScriptRunner) -> None:
    texts = [f"number {number}: see http://x:80/a" for number in range(30)]
    assert runner.as_user("ann", *(f"chat:bob:{text}" for text in texts)).code == 0
    first = runner.as_user("bob", "chat:ann:seen", flags=("--wait", "0"))
    expected = ["While you were away", "  ann", *(f"    HH:MM ann: {text}" for text in texts)]
    assert first.out.splitlines()[: len(expected)] == expected
    assert runner.as_user("bob").out == ""
    assert runner.as_user("ann").out == "While you were away\n  bob\n    HH:MM bob: seen\n"
    history = runner.as_user("ann", "history:bob:2").out
    assert history == (
        "-> history:bob:2\n"
        "bob\n"
        "  … there is more before these 2.\n"
        f"  HH:MM you: {texts[-1]}\n"
        "  HH:MM bob: seen\n"
    )


def test_two_users_at_once(runner: ScriptRunner) -> None:
    ann, bob = ClientProcess(runner.port), ClientProcess(runner.port)
    try:
        for client, name in ((ann, "ann"), (bob, "bob")):
            client.write("1", name, f"secret-{name}", "showme")
            # An entry that comes before the first command is shown as backlog.
            client.wait_for("^-> showme$")
        ann.write("chat:bob:are you there?")
        bob.wait_for(r"^\d\d:\d\d ann: are you there\?$")
        bob.write("/chat ann I am.")
        ann.wait_for(r"^\d\d:\d\d bob: I am\.$")
        bob.write("quit")
        assert bob.exit_code() == 0
        ann.wait_for(r"^\* bob is offline\.$")
        ann.end_input()
        assert ann.exit_code() == 0
        assert not ann.err
        assert not bob.err
    finally:
        ann.close()
        bob.close()


# ------------------------------------------------------------------------------ exit codes


def test_a_failed_command_is_told_with_its_line(runner: ScriptRunner) -> None:
    run = runner.as_user("ann", "# a comment", "", "chat:cyd:hello", "joingroup:999", "chta:bob:hi")
    assert run.code == 5
    assert sorted(run.err.splitlines()) == [
        "chat-client: line 3: Not sent: You are not friends; add the user first and wait until "
        "they add you. The text was: hello",
        "chat-client: line 4: joingroup: There is no such group; check its number.",
        "chat-client: line 5: There is no command “chta”; did you mean chat:ID:TEXT?",
    ]


def test_a_refused_login_or_registration_ends_a_script(runner: ScriptRunner) -> None:
    wrong = runner.script("1", "ann", "not-the-secret", "quit")
    assert wrong.code == 4
    assert wrong.err == (
        "chat-client: Cannot log in: User and secret do not match; check both and log in again.\n"
    )
    taken = runner.script("2", "ANN", "secret-ann", "3")
    assert taken.code == 4
    assert "Cannot register: Somebody has that name already" in taken.err
    assert "secret" not in (wrong.out + taken.out)
    assert runner.script("9").code == 2
    assert runner.script("1", "ann").code == 2
    assert runner.script("1", "no such name", "short").code == 4


@pytest.mark.parametrize(
    ("name", "password", "reason"),
    [
        ("two words", "long enough", "a name has 1 to 32 letters"),
        ("123", "long enough", "not digits alone"),
        ("eve", "short", "a password has 8 to 128 bytes"),
        ("eve", "ü" * 65, "a password has 8 to 128 bytes"),
    ],
)
def test_a_name_or_password_that_is_not_allowed(
    runner: ScriptRunner, name: str, password: str, reason: str
) -> None:
    run = runner.script("2", name, password)
    assert run.code == 4
    assert re.fullmatch(f"chat-client: Cannot register: .*{reason}.*\n", run.err)


def test_a_node_that_is_not_there_is_told_with_cause_and_cure() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        runner = ScriptRunner(closed.getsockname()[1])
        run = runner.script("1", "ann", "secret-ann", flags=("--connect-timeout", "0.3"))
    assert run.code == 3
    assert "connection refused" in run.err
    assert run.err.splitlines()[-1].endswith(
        "for 0.3 s; check host and port, and that the node runs."
    )


@pytest.mark.parametrize("arguments", [["nowhere"], ["h", "0"], ["h", "x"], ["h", "70000"]])
def test_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2


def test_a_password_file_that_is_not_there(runner: ScriptRunner, tmp_path: Path) -> None:
    flags = ("--user", "ann", "--password-file", str(tmp_path / "none"))
    run = runner.script(flags=flags)
    assert run.code == 2
    assert "cannot read the password file (No such file or directory)" in run.err


def test_a_script_from_a_file_with_a_password_file(runner: ScriptRunner, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret-ann\n")
    script = tmp_path / "script"
    script.write_text("showme\r\nchat:bob:without a newline at the end")
    command = [sys.executable, "-m", "chat.client.main", "127.0.0.1", str(runner.port)]
    with script.open("rb") as source:
        done = subprocess.run(
            [*command, "--user", "1", "--password-file", str(tmp_path / "password")],
            stdin=source,
            capture_output=True,
            timeout=RUN_S,
        )
    assert done.returncode == 0, done.stderr
    assert b"you to bob: without a newline at the end\n" in done.stdout


def test_staying_until_messages_have_come(runner: ScriptRunner) -> None:
    runner.as_user("bob")
    waits = ClientProcess(runner.port, "--until-messages", "2")
    try:
        waits.write("1", "bob", "secret-bob")
        waits.wait_for("^Groups")
        waits.end_input()
        assert runner.as_user("ann", "chat:bob:one", "chat:bob:two").code == 0
        assert waits.exit_code() == 0
        waits.wait_for("ann: two$")
    finally:
        waits.close()
    short = runner.as_user("bob", flags=("--until-messages", "9", "--wait", "0.1"))
    assert short.code == 5
    assert "of 9 messages came in 0.1 s." in short.err


def test_bytes_that_are_no_text(runner: ScriptRunner) -> None:
    flags = ("--user", "ann")
    run = runner.raw(b"chat:bob:\xff\xfe\nshowme\n", flags, "secret-ann")
    assert run.code == 5
    assert "line 1: That line is not UTF-8" in run.err
    assert "You are ann (1)" in run.out
    assert runner.raw(b"1\n\xff\nsecret\n").code == 2


def test_output_without_escapes(runner: ScriptRunner) -> None:
    run = runner.as_user("ann", "help", "chat:bob:\u202edesrever\u2066 日本", "history:bob:1")
    assert run.code == 0
    assert not re.search("[\x1b\u202e\u2066]", run.out)
    assert "you to bob: desrever 日本" in run.out


def test_sigterm_ends_the_client(runner: ScriptRunner) -> None:
    client = ClientProcess(runner.port)
    try:
        client.wait_for("^3. quit")
        client.signal(signal.SIGTERM)
        assert client.exit_code() == 143
        assert not client.err
    finally:
        client.close()
