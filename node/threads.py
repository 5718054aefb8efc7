"""Blocking calls that may never return (a hung driver, a download) run in daemon threads.

``asyncio.to_thread`` will not do: its threads are joined when the interpreter exits, so that one
hung call keeps the whole process from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def start(call: Callable[[], T], *, name: str) -> Future[T]:
    """Runs ``call`` in a daemon thread of its own. The future cannot be cancelled, only left."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - handed over whole to whoever waits
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=work, name=name, daemon=True).start()
    return future


async def run(call: Callable[[], T], *, name: str) -> T:
    """Awaits ``call`` in a daemon thread; when cancelled, the thread is left to itself."""
    return await asyncio.wrap_future(start(call, name=name))
