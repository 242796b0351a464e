"""Running asynchronous tests on asyncio's own loop and on uvloop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeAlias

import pytest

LIMIT_S = 20.0

Run: TypeAlias = Callable[[Coroutine[None, None, None]], None]


def runner(loop_factory: Callable[[], asyncio.AbstractEventLoop] | None) -> Run:
    """Runs to the end, or fails after LIMIT_S; an error that the loop could only log fails too."""

    async def limited(work: Coroutine[None, None, None]) -> None:
        unhandled: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: unhandled.append(str(context))
        )
        await asyncio.wait_for(work, LIMIT_S)
        assert not unhandled

    def run(work: Coroutine[None, None, None]) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as loop:
            loop.run(limited(work))

    return run


@pytest.fixture(params=["asyncio", "uvloop"], name="run")
def fixture_run(request: pytest.FixtureRequest) -> Run:
    if request.param == "asyncio":
        return runner(asyncio.SelectorEventLoop)
    return runner(pytest.importorskip("uvloop").new_event_loop)
