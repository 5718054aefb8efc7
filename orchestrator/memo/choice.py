"""Which memo the settings ask for."""

from __future__ import annotations

from mesh.clock import Clock
from mesh.errors import ConfigError
from orchestrator.memo.base import Memo
from orchestrator.memo.in_process import InProcessMemo
from orchestrator.memo.settings import MemoSettings


def memo_of(settings: MemoSettings, clock: Clock) -> Memo:
    """This process's own, or the one in Redis. Its owner runs it. Raises ``ConfigError`` for a URL
    that is none, or when the package that speaks with Redis is not installed."""
    if settings.redis is None:
        return InProcessMemo(settings, clock)
    try:
        from orchestrator.memo.redis import RedisMemo
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        raise ConfigError(
            "router.memo.redis is set, and the package 'redis' is not installed; "
            "install squadron-mesh[redis], or leave router.memo.redis out"
        ) from None
    return RedisMemo(settings, clock)
