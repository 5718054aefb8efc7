"""Settings of the memo: ``[router.memo]``."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.settings.load import check_range

_MOST_BYTES = 2**40
_YEAR_S = 366 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoSettings:
    """Earlier answers. ``max_bytes``: of all of them; ``max_answer_bytes``: of one; ``ttl_s``:
    seconds that one is kept. ``redis``: URL of a server that orchestrators share, None: each keeps
    its own; ``redis_timeout_ms``: how long a look there may take."""

    max_bytes: int = 64 * 1024 * 1024
    max_answer_bytes: int = 256 * 1024
    ttl_s: float = 3600.0
    redis: str | None = None
    redis_timeout_ms: float = 20.0

    def check(self, where: str) -> None:
        """What types cannot say. Raises ``ConfigError``."""
        check_range(where, "max_bytes", 0, self.max_bytes, _MOST_BYTES)
        check_range(where, "max_answer_bytes", 0, self.max_answer_bytes, _MOST_BYTES)
        check_range(where, "ttl_s", 0, self.ttl_s, _YEAR_S)
        check_range(where, "redis_timeout_ms", 1, self.redis_timeout_ms, 60_000)
