"""Engine ``openai`` at the upstream's door: loading, keys, TLS, redirects, dialects."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mesh.errors import (
    ConfigError,
    InvalidRequest,
    MeshError,
    ModelFileError,
    NotServed,
    Unreachable,
)
from mesh.types import FinishReason, Sampling
from node.engines.base import Counted, Ended, ModelFacts
from node.engines.openai.engine import OpenAiEngine
from tests.openai_rig import (
    HELLO,
    ask,
    assert_words,
    ended,
    failure,
    load_error,
    loaded,
    said,
    spec,
    wait_for,
)
from tests.openai_upstream import (
    Behaviour,
    Connection,
    Request,
    error,
    hang_up,
    speak,
    status,
    upstream,
)

SECRET = "sk-very-secret-1234"


# ---- loading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listing", "kind", "words"),
    [
        (error(401, "no key"), ConfigError, "401.*no key.*api_key_file.*/v1/models"),
        (error(403, "no"), ConfigError, "403"),
        (error(429, "later"), Unreachable, "429"),
        (error(500, "x"), Unreachable, "500"),
        (error(503, "loading model"), Unreachable, "503.*loading model"),
        (status(200, "<html>"), ConfigError, "check base_url"),
        (status(302, "", Location="https://example.org/v1/models"), ConfigError, "example.org"),
        (hang_up, Unreachable, "broke off"),
        (status(200, "[" * 5_000_000), ConfigError, "larger than 4,194,304 bytes"),
    ],
)
def test_an_upstream_that_lists_no_models_is_a_clear_error_at_load(
    listing: Behaviour, kind: type[MeshError], words: str
) -> None:
    with upstream(listing=listing) as server:
        found = load_error(server.url)
        assert type(found) is kind
        assert_words(found, words)


def test_an_absent_model_is_answered_with_those_that_are_there() -> None:
    with upstream(models=("big", "bigger")) as server:
        found = load_error(server.url)
        assert isinstance(found, ModelFileError)
        assert_words(found, "no model 'tiny'; it has big, bigger")


def test_an_upstream_without_a_listing_is_taken_at_its_word() -> None:
    with upstream(listing=error(404, "no such path")) as server, loaded(server) as engine:
        assert said(ask(engine, max_tokens=1)) == "tok0 "
    with upstream(models=()) as server, loaded(server, check_model=False) as engine:
        assert said(ask(engine, max_tokens=1)) == "tok0 "
        assert [r.method for r in server.requests] == ["POST"]


def test_nobody_there_and_no_such_host_may_be_there_later() -> None:
    with upstream() as server:
        gone = server.url
    found = load_error(gone)
    assert isinstance(found, Unreachable)
    assert_words(found, "cannot be reached: Connection refused; is it up")
    found = load_error("http://no-such-host.invalid:8000/v1")
    assert isinstance(found, Unreachable)
    assert_words(found, "no-such-host.invalid.*cannot be found by its name; check base_url")


def test_an_upstream_that_goes_away_after_loading_fails_requests_by_its_name() -> None:
    with ExitStack() as stack:
        server = stack.enter_context(upstream())
        with loaded(server) as engine:
            stack.close()
            assert_words(failure(ask(engine)), f"{server.port}.*cannot be reached")


# ---- keys, TLS, redirects ------------------------------------------------------------------------


def test_the_key_and_headers_reach_the_upstream_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", SECRET)
    (tmp_path / "headers").write_text(f"X-Team: {SECRET}-team")
    options = {"api_key_env": "UPSTREAM_KEY", "headers_file": str(tmp_path / "headers")}
    echo = error(500, f"bad key {SECRET} of {SECRET}-team")
    with upstream(echo) as server, loaded(server, **options) as engine:
        found = failure(ask(engine))
        assert SECRET not in found.message
        assert_words(found, r"bad key \*\*\* of")
        for request in server.requests:
            assert request.headers["authorization"] == f"Bearer {SECRET}"
            assert request.headers["x-team"] == f"{SECRET}-team"
    with upstream(listing=error(401, f"Incorrect API key provided: {SECRET}")) as server:
        assert SECRET not in load_error(server.url, **options).message
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_with_the_key(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", SECRET)
    with upstream() as other:
        away = status(code, "", Location=f"{other.url}/chat/completions?key=1")
        with upstream(away) as server, loaded(server, api_key_env="UPSTREAM_KEY") as engine:
            assert_words(failure(ask(engine)), f"redirects.*{other.port}.*set base_url")
        assert not other.requests


def test_neither_proxies_nor_netrc_are_taken_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with upstream() as server, loaded(server) as engine:
        assert said(ask(engine, max_tokens=1)) == "tok0 "
        assert "authorization" not in server.asked[0].headers


@pytest.fixture
def tls(tmp_path: Path) -> Callable[[str], tuple[ssl.SSLContext, str]]:
    """A server's context, and the file with the certificate that signs itself, for an address."""

    def make(address: str) -> tuple[ssl.SSLContext, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([alternative(address)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = tmp_path / f"{address}.pem"
        pem.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context, str(pem)

    return make


def alternative(address: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(address))


def test_tls_is_checked_and_a_certificate_of_ones_own_can_be_named(
    tls: Callable[[str], tuple[ssl.SSLContext, str]],
) -> None:
    context, file = tls("127.0.0.1")
    with upstream(tls=context) as server:
        assert_words(load_error(server.url), "no secure connection.*certificate.*ca_file")
        with loaded(server, ca_file=file) as engine:
            assert said(ask(engine, max_tokens=2)) == "tok0 tok1 "
    context, file = tls("127.0.0.2")
    with upstream(tls=context) as server:
        assert_words(load_error(server.url, ca_file=file), "no secure connection.*127.0.0.1")
    with upstream() as server:
        words = "no secure connection.*check base_url"
        assert_words(load_error(server.url.replace("http", "https")), words)


# ---- dialects ------------------------------------------------------------------------------------


def test_parameters_that_the_upstream_does_not_take_are_said_another_way_and_remembered() -> None:
    def strict(connection: Connection, request: Request) -> None:
        if "stream_options" in request.body:
            connection.reply(422, '{"detail": [{"msg": "stream_options: extra not permitted"}]}')
        elif "max_tokens" in request.body:
            message = "Unsupported parameter 'max_tokens'; use 'max_completion_tokens' instead"
            connection.reply(400, f'{{"error": {{"message": "{message}"}}}}')
        else:
            speak(connection, request)

    with upstream(strict) as server, loaded(server, retries=0) as engine:
        for asked in (3, 4):
            assert ended(ask(engine, max_tokens=2)) is FinishReason.LENGTH
            assert len(server.asked) == asked


def test_a_connection_is_used_again_for_the_next_answer() -> None:
    with upstream(words=3) as server, loaded(server) as engine:
        for _ in range(5):
            assert ended(ask(engine)) is FinishReason.STOP
            wait_for(lambda: not engine.engine._worker._tasks)  # it has let go of it
        assert server.connections == 1


def test_facts_say_what_it_costs_and_where_it_is() -> None:
    engine = OpenAiEngine()
    with upstream(owner="vllm", context=512) as server:
        facts: ModelFacts = engine.load(
            spec(server.url, tier="premium", input_price=0.5, output_price=1.5)
        )
        engine.unload()
    assert (facts.tier, facts.input_price, facts.output_price) == ("premium", 0.5, 1.5)
    assert facts.device == "upstream (vllm)"
    assert facts.context_length == 512
    assert facts.tokenizer_hash == ""


def test_a_resume_goes_by_text_and_never_by_ids() -> None:
    with upstream() as server, loaded(server) as engine:
        with pytest.raises(InvalidRequest, match="by text"):
            engine.open(1, HELLO, Sampling(), (65, 66), "")
        assert said(ask(engine, "tok0 tok1 tok2 ", max_tokens=2)) == "tok3 tok4 "


def test_an_upstream_whose_context_is_full_says_so_and_what_the_prompt_was() -> None:
    with upstream(context=16) as server, loaded(server) as engine:
        found = ask(engine, max_tokens=100)
        assert found[-2:] == [Counted(0, 6, 3), Ended(0, FinishReason.CONTEXT)]
        assert said(found).split()[-1] == "tok9"


def test_an_answer_that_another_model_began_goes_on_or_is_refused() -> None:
    with upstream(owner="vllm") as server, loaded(server) as engine:
        assert said(ask(engine, "tok0 tok1 ", max_tokens=2)) == "tok2 tok3 "
    with upstream(owner="some-company") as server, loaded(server) as engine:
        with pytest.raises(NotServed, match="cannot continue"):
            ask(engine, "tok0 tok1 ")
        assert said(ask(engine, max_tokens=1)) == "tok0 ", "the slot is still free"
