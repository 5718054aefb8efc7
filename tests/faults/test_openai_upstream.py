"""Engine ``openai`` against upstreams that misbehave: each fault ends in one clear error."""

from __future__ import annotations

import pytest

from mesh.errors import (
    CannotAnswer,
    ContextOverflow,
    EngineFailed,
    MeshError,
    NotServed,
    Overloaded,
)
from mesh.types import FinishReason, Sampling
from node.engines.base import Failed, Prefilling, Token
from tests.conversations import CALL, SEEN, TOOLS
from tests.openai_rig import (
    HELLO,
    NOBODY,
    ask,
    assert_words,
    ended,
    failure,
    loaded,
    said,
    until_over,
    wait_for,
)
from tests.openai_upstream import (
    DEADLINE_S,
    HANG_UP,
    Behaviour,
    Connection,
    Request,
    error,
    hang_up,
    raw,
    silence,
    speak,
    status,
    stream,
    upstream,
)

SECRET = "sk-very-secret-1234"


# ---- before the first token ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "kind", "words"),
    [
        (error(403, "not for you"), EngineFailed, "403.*not for you"),
        (error(429, "slow down"), Overloaded, "429.*slow down"),
        (error(500, "it broke"), EngineFailed, "500.*it broke"),
        (
            status(502, "<html><head><title>502 Bad Gateway</title></head>", "text/html"),
            EngineFailed,
            "502.*Bad Gateway",
        ),
        (error(503, "no workers"), Overloaded, "503.*no workers"),
        (error(400, "bad logit_bias"), NotServed, "400.*bad logit_bias"),
        (
            error(400, "this model's maximum context length is 5"),
            ContextOverflow,
            "maximum context",
        ),
        (
            status(200, "<html>hello", "text/html"),
            EngineFailed,
            "127.*no chat completion: <html>hello; check",
        ),
        (status(200, "hello"), EngineFailed, "no chat completion: hello; check base_url"),
        (raw(b"data: {oh no}\n\n"), EngineFailed, "no chat completion chunk: {oh no}"),
        (raw(b"\x00\xff\xfe garbage \x80"), EngineFailed, "no chat completion: �� garbage �"),
        (raw(b'data: {"error": {"message": "cuda died"}}\n\n'), EngineFailed, "cuda died"),
        (raw(), EngineFailed, "nothing at all"),
        (hang_up, EngineFailed, "127.*broke off"),
        (
            lambda c, _: c.send("SSH-2.0-OpenSSH\r\n") or HANG_UP,
            EngineFailed,
            "127.*broke off",
        ),
        (lambda c, _: c.reply(200, "x", Content_Encoding="gzip"), EngineFailed, "broke off"),
        (raw(b"data: " + 10_000_000 * b"x"), EngineFailed, "more than 1,048,576 bytes"),
    ],
)
def test_a_fault_before_the_first_token_is_one_clear_error(
    behaviour: Behaviour, kind: type[MeshError], words: str
) -> None:
    with upstream(behaviour) as server, loaded(server) as engine:
        found = failure(ask(engine))
        assert type(found) is kind
        assert_words(found, words)
        server.answers[:] = [speak]
        assert ended(ask(engine, max_tokens=3)) is FinishReason.LENGTH, "the engine is well"


@pytest.mark.parametrize("code", [401, 404])
def test_a_key_or_model_that_is_disowned_ends_the_runner_once_nobody_else_is_answered(
    code: int,
) -> None:
    with upstream(speak, error(code, "go away"), words=10**9) as server, loaded(server) as engine:
        engine.open(1, HELLO, Sampling(max_tokens=200), (), "")
        engine.step(NOBODY)
        assert_words(failure(ask(engine)), f"{code}.*go away")
        assert ended(until_over(engine, 1)) is FinishReason.LENGTH, "it was being answered"
        engine.close(1)
        with pytest.raises(EngineFailed, match="go away"):
            engine.open(0, HELLO, Sampling(), (), "")
    with upstream(error(code, "go away")) as server, loaded(server) as engine:
        engine.open(0, HELLO, Sampling(), (), "")
        with pytest.raises(EngineFailed, match="go away"):
            engine.step(NOBODY)


def test_a_refusal_carries_when_to_come_back() -> None:
    for headers, seconds in (({"Retry_After": "30"}, 30.0), ({}, None)):
        with upstream(error(429, "slow down", **headers)) as server, loaded(server) as engine:
            assert failure(ask(engine)).retry_after_s == seconds
            # What lies beyond retry_within_s is not waited for.
            assert len(server.asked) == (1 if seconds else 2)


@pytest.mark.parametrize(
    "fault",
    [
        error(500, "x"),
        error(502, "x"),
        error(503, "x"),
        error(429, "x", Retry_After="0"),
        error(429, "x", Retry_After="0.1"),
        hang_up,
    ],
)
def test_what_may_pass_is_tried_again_before_the_first_token(fault: Behaviour) -> None:
    with (
        upstream(fault, fault, speak) as server,
        loaded(server, retries=2, retry_within_s=60) as engine,
    ):
        found = ask(engine, max_tokens=3)
        assert said(found) == "tok0 tok1 tok2 "
        assert len(server.asked) == 3


@pytest.mark.parametrize("fault", [error(400, "x"), error(403, "x"), raw(), silence])
def test_what_will_not_pass_is_asked_once(fault: Behaviour) -> None:
    with upstream(fault) as server, loaded(server, first_token_timeout_s=0.2) as engine:
        failure(ask(engine))
        assert len(server.asked) == 1


def test_retries_are_as_many_as_allowed() -> None:
    with (
        upstream(error(500, "x")) as server,
        loaded(server, retries=3, retry_within_s=60) as engine,
    ):
        failure(ask(engine))
        assert len(server.asked) == 4
    for never in ({"retries": 0}, {"retry_within_s": 0.0}, {"retry_within_s": 0.1}):
        with upstream(error(500, "x")) as server, loaded(server, **never) as engine:
            failure(ask(engine))
            assert len(server.asked) == 1, "no pause is as short as that"


def test_an_upstream_that_says_nothing_is_given_up_in_time_and_told_so() -> None:
    with upstream(silence) as server, loaded(server, first_token_timeout_s=0.2) as engine:
        assert_words(failure(ask(engine)), "no token within 0.2 s")
        assert server.closed_by_client.wait(DEADLINE_S)


def test_signs_of_life_grow_while_the_upstream_thinks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("engine", "worker"):
        monkeypatch.setattr(f"node.engines.openai.{module}.SIGN_S", 0.02)
    with upstream(silence) as server, loaded(server, first_token_timeout_s=0.3) as engine:
        found = ask(engine)
        signs = [e.done for e in found if isinstance(e, Prefilling)]
        assert signs == list(range(1, len(signs) + 1))
        assert len(signs) > 2
        assert failure(found)


def test_comments_are_no_tokens() -> None:
    def ping(connection: Connection, _: Request) -> object:
        connection.begin()
        for _n in range(3):
            connection.chunk(": ping\n\n")
        connection.until_closed()
        return HANG_UP

    with upstream(ping) as server, loaded(server, first_token_timeout_s=0.2) as engine:
        assert_words(failure(ask(engine)), "no token within 0.2 s")


# ---- after the first token -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("then", "words"),
    [
        (hang_up, "broke off"),
        (lambda c, _: c.end(), "broke off before its end"),
        (lambda c, _: c.chunk('data: {"choices": [{"delta"') or HANG_UP, "broke off"),
        (silence, "silent for 0.2 s"),
        (lambda c, _: c.event({"error": {"message": "out of memory"}}), "out of memory"),
        (lambda c, _: c.event("garbage"), "no chat completion chunk: garbage"),
        (lambda c, _: c.chunk("data: " + 10_000_000 * "x"), "more than 1,048,576 bytes"),
        (lambda c, _: c.send("zz\r\nno chunk") or HANG_UP, "broke off"),
    ],
)
def test_half_an_answer_is_never_taken_for_a_whole_one_nor_begun_again(
    then: Behaviour, words: str
) -> None:
    limit = 0.2 if then is silence else 10.0
    with (
        upstream(stream("a ", "b ", then=then)) as server,
        loaded(server, token_timeout_s=limit, retries=2) as engine,
    ):
        found = ask(engine)
        assert said(found) == "a b "
        assert type(failure(found)) is EngineFailed
        assert_words(failure(found), words)
        assert len(server.asked) == 1


def test_a_model_that_sees_is_shown_images_and_one_that_does_not_is_not_asked() -> None:
    with upstream(words=3) as server:
        with (
            loaded(server) as blind,
            pytest.raises(CannotAnswer, match=r"^messages\[0\]\.parts\[1\] is an image"),
        ):
            blind.open(0, SEEN, Sampling(), (), "")
        assert server.asked == []
        with loaded(server, vision=True) as sees:
            sees.open(0, SEEN, Sampling(), (), "")
            assert ended(until_over(sees)) == FinishReason.STOP
        content = server.asked[0]["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text"]


def test_calls_and_results_reach_the_upstream_and_its_own_end_the_answer() -> None:
    end = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}\n\n'
    with upstream(raw(end, b"data: [DONE]\n\n")) as server, loaded(server) as engine:
        engine.open(0, TOOLS, Sampling(), (), "")
        assert ended(until_over(engine)) == FinishReason.TOOL_CALLS
        turns = server.asked[0]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool"]
    assert turns[1]["tool_calls"][0]["function"]["arguments"] == CALL.arguments


def test_an_answer_that_lost_only_its_counts_is_whole() -> None:
    for then in (hang_up, silence):

        def stop(connection: Connection, request: Request, then: Behaviour = then) -> object:
            connection.delta("", finish_reason="stop")
            return then(connection, request)

        with upstream(stream("a ", then=stop)) as server, loaded(server) as engine:
            found = ask(engine)
            assert said(found) == "a "
            assert ended(found) is FinishReason.STOP


@pytest.mark.parametrize("whole", [False, True])
def test_an_upstream_that_ignores_max_tokens_is_cut_off_and_sees_it(whole: bool) -> None:
    def talk_on(connection: Connection, _: Request) -> object:
        connection.begin()
        try:
            while True:
                connection.delta("word " * (60 if whole else 1))
        except OSError:
            connection.upstream.closed_by_client.set()
            return HANG_UP

    with upstream(talk_on) as server, loaded(server) as engine:
        found = ask(engine, max_tokens=5)
        assert ended(found) is FinishReason.LENGTH
        assert len([e for e in found if isinstance(e, Token)]) == 5
        assert server.closed_by_client.wait(DEADLINE_S)


def test_closing_a_slot_closes_its_connection_whatever_the_upstream_is_at() -> None:
    with upstream(silence) as server, loaded(server) as engine:
        engine.open(0, HELLO, Sampling(), (), "")
        wait_for(lambda: bool(server.asked))
        engine.close(0)
        assert server.closed_by_client.wait(DEADLINE_S)
    with upstream(stream("a ", then=silence)) as server, loaded(server) as engine:
        engine.open(0, HELLO, Sampling(), (), "")
        engine.step(NOBODY)
        engine.close(0)
        assert server.closed_by_client.wait(DEADLINE_S)


def test_closing_a_slot_ends_the_wait_between_two_tries() -> None:
    with (
        upstream(error(503, "x", Retry_After="30")) as server,
        loaded(server, retries=9, retry_within_s=60) as engine,
    ):
        engine.open(0, HELLO, Sampling(), (), "")
        wait_for(lambda: bool(server.asked))
        engine.close(0)
        server.answers[:] = [speak]
        assert said(ask(engine, max_tokens=2)) == "tok0 tok1 "


def test_unloading_closes_what_is_open() -> None:
    with upstream(stream("a ", then=silence)) as server:
        with loaded(server) as engine:
            engine.open(0, HELLO, Sampling(), (), "")
            engine.step(NOBODY)
        assert server.closed_by_client.wait(DEADLINE_S)


def test_a_reader_that_does_not_come_back_holds_up_the_upstream_and_costs_no_timeout() -> None:
    with upstream(words=10**9) as server, loaded(server, token_timeout_s=1.5) as engine:
        engine.open(0, HELLO, Sampling(max_tokens=10**6), (), "")
        engine.step(NOBODY)
        stream_ = engine.engine._open[0]
        wait_for(lambda: stream_._blocked)
        assert not wait_for(lambda: len(stream_._events) > 100, seconds=2.0)
        found = [e for _ in range(500) for e in engine.step(NOBODY)]
        assert not any(isinstance(e, Failed) for e in found)
        texts = [e.data.decode() for e in found if isinstance(e, Token)]
        assert texts == [f"tok{n} " for n in range(1, 501)]
