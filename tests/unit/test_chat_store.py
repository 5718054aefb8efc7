"""Conversations are kept as private files: whole, never two writers at once, damaged ones left."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.cli.chat.keeping import Keeper
from mesh.cli.chat.saved import STOPPED, SavedChat, Turn, name_from
from mesh.cli.chat.store import ChatStore
from mesh.errors import ConfigError
from mesh.types import Role

TURN = Turn(prompt="Where is Paris?", answer="In France.", ended="stop", asked=5.0, node="a")
CHAT = SavedChat(
    name="paris", created=5.0, changed=6.0, system="be brief", specialty="chat", turns=(TURN,)
)


def test_what_is_kept_comes_back_as_it_was(tmp_path: Path) -> None:
    store = ChatStore(tmp_path / "chats")
    assert store.names() == ()
    assert store.latest() is None
    store.save(CHAT)
    assert store.load("paris") == CHAT
    assert store.names() == ("paris",)


def test_a_file_and_its_folder_are_for_this_user_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = ChatStore(tmp_path / "chats")
        store.save(CHAT)
    finally:
        os.umask(before)
    assert (tmp_path / "chats").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "chats" / "paris.json").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "chats") == ["paris.json"]


def test_the_last_changed_is_the_latest(tmp_path: Path) -> None:
    store = ChatStore(tmp_path)
    for age, name in ((30, "old"), (10, "new"), (20, "between")):
        store.save(replace(CHAT, name=name))
        os.utime(tmp_path / f"{name}.json", (1_000_000 - age, 1_000_000 - age))
    assert store.names() == ("new", "between", "old")
    assert store.latest() == "new"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b'{"version": 1}', b"\xff\xfe", b"[" * 100_000, b'{"version": "x"}'],
    ids=repr,
)
def test_a_damaged_file_is_told_in_a_sentence_and_left(tmp_path: Path, content: bytes) -> None:
    store = ChatStore(tmp_path)
    store.save(CHAT)
    (tmp_path / "torn.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"torn\.json is damaged: .*it is left as it is"):
        store.load("torn")
    assert set(store.names()) == {"paris", "torn"}
    assert store.load("paris") == CHAT
    with store.claimed("torn") as name:
        assert name == "torn-2"
    assert (tmp_path / "torn.json").read_bytes() == content


def test_nobody_waits_at_a_pipe_that_is_called_as_a_conversation(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "odd.json")
    with pytest.raises(ConfigError, match=r"cannot read .*odd\.json"):
        ChatStore(tmp_path).load("odd")


def test_a_newer_file_is_not_read_by_halves(tmp_path: Path) -> None:
    (tmp_path / "next.json").write_text('{"version": 2, "created": 1, "changed": 1}')
    with pytest.raises(ConfigError, match="newer Squadron"):
        ChatStore(tmp_path).load("next")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "x" * 65])
def test_what_is_no_name_of_a_file_is_refused(tmp_path: Path, name: str) -> None:
    store = ChatStore(tmp_path)
    for act in (store.load, store.delete, lambda n: store.save(replace(CHAT, name=n))):
        with pytest.raises(ConfigError, match="is not usable"):
            act(name)


def test_an_unknown_name_says_where_the_known_ones_are_listed(tmp_path: Path) -> None:
    for act in (ChatStore(tmp_path).load, ChatStore(tmp_path).delete):
        with pytest.raises(ConfigError, match="no conversation 'rome'; `mesh chats` lists"):
            act("rome")


def test_a_conversation_has_one_writer_at_a_time(tmp_path: Path) -> None:
    store, other = ChatStore(tmp_path), ChatStore(tmp_path)
    store.save(CHAT)
    with store.held("paris"):
        with pytest.raises(ConfigError, match=rf"open elsewhere \(pid {os.getpid()}\)"):
            other.held("paris").__enter__()
        with pytest.raises(ConfigError, match="open elsewhere"):
            other.delete("paris")
    with other.held("paris"):
        pass
    other.delete("paris")
    assert os.listdir(tmp_path) == []


def test_a_hold_ends_with_its_process_however_that_dies(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from mesh.cli.chat.store import ChatStore\n"
        f"with ChatStore(Path({str(tmp_path)!r})).held('paris'):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=str(holder.pid)):
            ChatStore(tmp_path).held("paris").__enter__()
        holder.kill()
        holder.wait(10)
    with ChatStore(tmp_path).held("paris"):
        pass


def test_a_lock_given_back_while_it_was_opened_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, meanwhile, flock = ExitStack(), ExitStack(), fcntl.flock
    before.enter_context(ChatStore(tmp_path).held("paris"))

    def late(file: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        before.close()
        meanwhile.enter_context(ChatStore(tmp_path).held("paris"))
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with meanwhile, pytest.raises(ConfigError, match="open elsewhere"):
        ChatStore(tmp_path).held("paris").__enter__()


def test_a_chat_holds_the_conversation_that_it_is_in_and_no_other(tmp_path: Path) -> None:
    store = ChatStore(tmp_path)
    for name in ("one", "two"):
        store.save(replace(CHAT, name=name))
    keeper = Keeper(store)
    keeper.open("one")
    chat = keeper.open("two")
    with store.held("one"), pytest.raises(ConfigError, match="open elsewhere"):
        store.held("two").__enter__()
    chat = keeper.save(chat, "three")
    with store.held("two"), pytest.raises(ConfigError, match="open elsewhere"):
        store.held("three").__enter__()
    with pytest.raises(ConfigError, match="there is a conversation 'one' already"):
        keeper.save(chat, "one")
    assert keeper.open("three") == chat
    keeper.release()
    with store.held("three"):
        pass


def test_two_that_begin_with_the_same_words_have_two_names(tmp_path: Path) -> None:
    store = ChatStore(tmp_path)
    with store.claimed("paris") as one, store.claimed("paris") as two:
        assert (one, two) == ("paris", "paris-2")
        store.save(replace(CHAT, name=two))
    with store.claimed("paris") as again, store.claimed("paris") as third:
        assert (again, third) == ("paris", "paris-3")


def test_a_full_disk_keeps_what_there_was(tmp_path: Path) -> None:
    store = ChatStore(tmp_path)
    store.save(CHAT)
    long = replace(CHAT, turns=(replace(TURN, answer="x" * 100_000),))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(ConfigError, match="cannot keep conversations: File too large"):
            store.save(long)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert store.load("paris") == CHAT
    assert os.listdir(tmp_path) == ["paris.json"]


def test_a_disk_without_room_for_a_name_is_no_reason_to_try_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try would leave a lock behind, and there would be no end of them."""
    plain = os.write

    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr("mesh.cli.chat.store.write_whole", lambda *_: full(0, b""))
    keeper = Keeper(ChatStore(tmp_path))
    with pytest.raises(ConfigError, match="No space left"):
        keeper.keep(replace(CHAT, name=""))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "write", plain)


def test_a_folder_that_refuses_locks_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(ConfigError, match="No locks"), ChatStore(tmp_path).claimed("a"):
        raise AssertionError("claimed without a lock")
    assert len(list(tmp_path.iterdir())) <= 1


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot keep conversations: "):
        ChatStore(tmp_path / "file" / "chats").save(CHAT)
    with pytest.raises(ConfigError, match="cannot read conversations: "):
        ChatStore(tmp_path / "file").names()


def test_everything_of_a_conversation_is_kept(tmp_path: Path) -> None:
    store = ChatStore(tmp_path / "a" / "b")
    whole = replace(CHAT, specialty=None, model="smol", turns=(TURN, replace(TURN, resumes=2)))
    store.save(whole)
    assert store.load("paris") == whole


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ChatStore(tmp_path)
    store.save(CHAT)
    size = (tmp_path / "paris.json").stat().st_size
    monkeypatch.setattr("mesh.cli.chat.store.MAX_CHAT_BYTES", size)
    assert store.load("paris") == CHAT
    monkeypatch.setattr("mesh.cli.chat.store.MAX_CHAT_BYTES", size - 1)
    with pytest.raises(ConfigError, match=r"/paris\.json is damaged: it is over 0 MiB"):
        store.load("paris")


def test_what_is_no_file_is_neither_read_nor_deleted(tmp_path: Path) -> None:
    path = tmp_path / "paris.json"
    path.mkdir()
    store = ChatStore(tmp_path)
    for what, act in (("read", store.load), ("delete", store.delete)):
        with pytest.raises(ConfigError) as refused:
            act("paris")
        assert refused.value.message == f"cannot {what} conversations: Is a directory: {path}"
    assert store.moved(CHAT, "rome").name == "rome", "the old name stays, and is no reason to fail"


def test_a_disk_that_is_full_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match=r"cannot keep conversations: .*[Nn]o space.*free some"):
        ChatStore(tmp_path).save(CHAT)


def test_one_that_went_while_it_was_deleted_is_deleted(tmp_path: Path) -> None:
    class Racing(ChatStore):
        @contextmanager
        def held(self, name: str) -> Iterator[None]:
            with super().held(name):
                (tmp_path / "paris.json").unlink()
                yield

    store = Racing(tmp_path)
    store.save(CHAT)
    store.delete("paris")
    assert store.names() == ()


def test_a_lock_that_went_while_it_was_opened_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, flock = ExitStack(), fcntl.flock
    before.enter_context(ChatStore(tmp_path).held("paris"))

    def late(file: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        before.close()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with (
        ChatStore(tmp_path).held("paris"),
        pytest.raises(ConfigError, match="open elsewhere"),
    ):
        ChatStore(tmp_path).held("paris").__enter__()


def test_a_name_that_stays_or_that_is_the_first_loses_no_file(tmp_path: Path) -> None:
    store = ChatStore(tmp_path)
    assert store.moved(replace(CHAT, name=""), "paris") == CHAT
    assert store.moved(CHAT, "paris") == CHAT
    assert store.load("paris") == CHAT


def test_another_name_takes_the_file_along(tmp_path: Path) -> None:
    store = ChatStore(tmp_path)
    store.save(CHAT)
    assert store.moved(CHAT, "france") == replace(CHAT, name="france")
    assert store.names() == ("france",)


def test_a_stopped_answer_is_part_of_the_conversation() -> None:
    chat = replace(CHAT, turns=(replace(TURN, answer="In Fr", ended=STOPPED),))
    assert [(each.role, each.text) for each in chat.messages] == [
        (Role.SYSTEM, "be brief"),
        (Role.USER, "Where is Paris?"),
        (Role.ASSISTANT, "In Fr"),
    ]


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("What is the capital of France, please?", "what-is-the-capital-of"),
        ("Où est l'Élysée ?", "ou-est-lelysee"),
        ("  ", "chat"),
        ("日本語", "chat"),
        ("x" * 100, "x" * 32),
        ("a" * 30 + " bcd", "a" * 30),
        ("a" * 15 + " " + "b" * 16, "a" * 15 + "-" + "b" * 16),
        ("a" * 10 + " " + "b" * 22 + " c", "a" * 10),
        ("a" * 10 + " " + "b" * 21 + " c", "a" * 10 + "-" + "b" * 21),
        ("." * 399 + "ab", "a"),
        ("\x1b[31mred", "31mred"),
    ],
)
def test_a_name_is_made_of_the_first_words(prompt: str, name: str) -> None:
    assert name_from(prompt) == name
