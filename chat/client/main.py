"""`chat-client HOST PORT`: the command."""

import argparse
import asyncio
import os
import random
import secrets
import signal
import sys
from pathlib import Path
from typing import Any

from chat.client.driver import SessionDriver
from chat.client.scripts import ScriptMode
from chat.client.session.client_session import ClientSession
from chat.client.session.ports.notices import AnyNotice
from chat.client.terminal.console import open_console
from chat.client.terminal.interactive import InteractiveMode
from chat.client.terminal.line_mode import LineMode, Options
from chat.client.terminal.run import (
    EXIT_INTERNAL_ERROR,
    EXIT_INTERRUPTED,
    EXIT_TERMINATED,
    EXIT_USAGE,
)


def main(argv: list[str] | None = None) -> int:
    """Runs the client until the user or the script ends it; the exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        options = _options(arguments)
    except OSError as error:
        reason = error.strerror or str(error)
        print(f"chat-client: cannot read the password file ({reason}).", file=sys.stderr)
        return EXIT_USAGE
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        return asyncio.run(_run(arguments.host, arguments.port, options))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


async def _run(host: str, port: int, options: Options) -> int:
    loop = asyncio.get_running_loop()
    session = ClientSession(secrets.token_hex(8), random.random)
    async with open_console(lambda: session.roster) as console:
        mode: LineMode

        def show(notice: AnyNotice) -> None:
            mode.take(notice)

        driver = SessionDriver(session, host, port, show)

        def internal_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            loop.default_exception_handler(context)
            mode.interrupt(EXIT_INTERNAL_ERROR, "Stopped at an internal error; see above.")

        mode_class = InteractiveMode if console.interactive else ScriptMode
        mode = mode_class(console, session, driver.feed, options)
        loop.set_exception_handler(internal_error)
        loop.add_signal_handler(signal.SIGTERM, mode.interrupt, EXIT_TERMINATED)
        try:
            return await mode.run()
        finally:
            driver.close()


# ---------------------------------------------------------------------------- options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chat-client",
        description="Chats on the node at HOST PORT. On a terminal: a menu, then a prompt; help "
        "shows the commands. From a pipe: the same answers and commands, a line each; lines that "
        "begin with # are left out.",
        epilog="exit codes: 0 all was done, 1 an internal error, 2 wrong usage, "
        "3 no connection, 4 login or register refused, 5 something of a script was not done "
        "(stderr says what), 130 interrupted, 143 terminated",
    )
    parser.add_argument("host", metavar="HOST", help="where the node is, such as 127.0.0.1")
    parser.add_argument("port", metavar="PORT", type=_port, help="its port, such as 6000")
    parser.add_argument(
        "--user", metavar="NAME", help="log in at once, without the menu; a name or a number"
    )
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="the first line is the password (default: the variable CHAT_PASSWORD, else asked)",
    )
    scripts = parser.add_argument_group("with a pipe")
    scripts.add_argument(
        "--connect-timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="give up after so long without a connection (default 10)",
    )
    scripts.add_argument(
        "--wait",
        type=_seconds,
        metavar="SECONDS",
        help="stay so long after the last line, and show what comes",
    )
    scripts.add_argument(
        "--until-messages",
        type=_count,
        metavar="N",
        help="stay after the last line until N texts of others have come, at most as long as "
        "--wait says (default 30); to come short is a failure",
    )
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    """Raises OSError if the password file cannot be read."""
    password = None
    if arguments.user is not None:
        password = os.environ.get("CHAT_PASSWORD")
        if arguments.password_file is not None:
            path: Path = arguments.password_file
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
            password = text.partition("\n")[0].rstrip("\r")
    return Options(
        where=f"{arguments.host} port {arguments.port}",
        user=arguments.user,
        password=password,
        connect_timeout_s=arguments.connect_timeout,
        wait_s=arguments.wait,
        until_messages=arguments.until_messages,
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text} is no port; give a number from 1 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds from 0 to 86400")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:10]) <= 10**9):
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
