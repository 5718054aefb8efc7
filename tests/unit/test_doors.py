"""Shares of the open files, whose a connection is, and who is hung up."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.doors.crowd import GREETING_S, QUIET_S, Connection, Why, hung_up
from mesh.doors.files import FILES_A_LINK, LEAST, MOST_LINKS, Shares, shares
from mesh.doors.origin import of_address, of_grpc
from training.rigs.odd_start import odd

FEW = Shares(connections=6, a_connector=3, links=1)


def connection(
    fd: int, origin: str = "10.0.0.1", *, since: float = 0.0, said: bool = True, quiet: float = 0.0
) -> Connection:
    return Connection(fd, 1000 + fd, origin, since, said, quiet)


@given(st.integers(LEAST, 1_000_000))
def test_shares_leave_files_to_the_process_itself(limit: int) -> None:
    found = shares(limit)
    assert found.connections + FILES_A_LINK * found.links <= limit - 50
    assert 1 <= found.a_connector <= found.connections
    assert 1 <= found.links <= MOST_LINKS


@pytest.mark.parametrize(
    ("peer", "origin"),
    [
        ("ipv4:127.0.0.1:4711", "127.0.0.1"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("ipv6:[2001:db8:1:2:3:4:5:6]:1", "2001:db8:1:2::/64"),
        ("ipv6:[::ffff:10.0.0.7]:1", "10.0.0.7"),
        ("ipv6:[fe80::1%25eth0]:1", "fe80::/64"),
        ("unix:", "unix"),
        ("", ""),
    ],
)
def test_a_call_is_its_address_whatever_the_port(peer: str, origin: str) -> None:
    assert of_grpc(peer) == origin


def test_what_is_no_address_stands_for_itself() -> None:
    assert of_address("somewhere") == "somewhere"


def test_who_says_nothing_is_hung_up_after_a_while_and_not_before() -> None:
    silent = connection(3, since=10.0, said=False)
    assert hung_up([silent], FEW, 10.0 + GREETING_S) == []
    assert hung_up([silent], FEW, 10.1 + GREETING_S) == [(silent, Why.NO_GREETING)]


def test_who_greeted_and_fell_silent_is_hung_up() -> None:
    quiet, alive = connection(3, quiet=QUIET_S + 0.1), connection(4, quiet=QUIET_S)
    assert hung_up([quiet, alive], FEW, 100.0) == [(quiet, Why.QUIET)]


def test_of_one_address_the_silent_go_first_then_the_newest() -> None:
    old, newer, newest = (connection(fd, since=float(fd)) for fd in (3, 4, 6))
    silent = connection(2, since=2.5, said=False)
    late = connection(5, since=5.0, said=False)
    gone = hung_up([silent, late, newest, old, newer], FEW, 6.5)
    assert gone == [(late, Why.ADDRESS_FULL), (silent, Why.ADDRESS_FULL)]
    assert (connection(7, since=7.0), Why.ADDRESS_FULL) in hung_up(
        [old, newer, newest, connection(7, since=7.0)], FEW, 7.0
    )


def test_a_full_process_hangs_up_who_has_most() -> None:
    many = [connection(fd, "10.0.0.1", since=float(fd)) for fd in range(3)]
    more = [connection(10 + fd, "10.0.0.2", since=0.5) for fd in range(3)]
    one = connection(20, "10.0.0.3", since=9.0)
    gone = hung_up([*many, *more, one], FEW, 9.0)
    assert len(gone) == 1
    assert gone[0][0].origin != "10.0.0.3"
    assert gone[0][1] is Why.FULL


def _limited(code: str, files: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        odd([sys.executable, "-c", code], limits={resource.RLIMIT_NOFILE: files}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("package", ["node", "orchestrator"])
def test_with_too_few_files_a_process_says_how_many_it_needs(package: str) -> None:
    settings = '{"name": "x", "bind": "127.0.0.1:0"}'
    if package == "node":
        settings = (
            '{"name": "x", "bind": "tcp://127.0.0.1:0", '
            '"models": [{"source": "x", "specialties": ["chat"]}]}'
        )
    code = f"from {package}.__main__ import main; import sys; sys.exit(main([{settings!r}]))"
    done = _limited(code, 64)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert f"64 open files (ulimit -n), and needs at least {LEAST}" in done.stderr


def test_files_of_others_are_looked_at_even_when_none_is_left() -> None:
    code = """
import socket
from mesh.doors.connections import Connections, hang_up
listener = socket.create_server(("127.0.0.1", 0), backlog=50)
theirs, ours = [], []
look = Connections()
while True:
    try:
        theirs.append(socket.create_connection(listener.getsockname()))
        ours.append(listener.accept()[0])
    except OSError:
        break
theirs[0].send(b"x")
found = [each for each in look.look(1.0, 40) if each is not None]
assert len(found) == len(ours), (found, len(ours))
assert [each.said for each in sorted(found, key=lambda each: each.fd)].count(True) == 1
silent = next(each for each in found if not each.said)
hang_up(silent)
left = [each for each in ours if each.fileno() == silent.fd]
assert left[0].recv(1) == b""
print("looked")
"""
    done = _limited(code, 40)
    assert done.stdout == "looked\n", done.stderr
