"""A loaded model's vocabulary: text to token ids and back, through llama.cpp's own tokenizer."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

import llama_cpp as llama

from mesh.errors import InvalidRequest

_PIECE_BYTES = 256  # room for nearly any token; longer ones are asked for again


class Vocabulary:
    """``model``: a live ``llama_model``; it must outlive this object."""

    def __init__(self, model: Any) -> None:
        self._vocab = llama.llama_model_get_vocab(model)
        self._buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        self.size: int = llama.llama_vocab_n_tokens(self._vocab)
        attribute = llama.LLAMA_TOKEN_ATTR_CONTROL | llama.LLAMA_TOKEN_ATTR_UNKNOWN
        self._control = frozenset(
            token
            for token in range(self.size)
            if llama.llama_vocab_get_attr(self._vocab, token) & attribute
        )
        self.longest = max((len(self.piece(token)) for token in range(self.size)), default=1) or 1
        # A SentencePiece vocabulary puts a space before every text that it is given.
        self._adds_space = b"".join(map(self.piece, self._tokenize("a", False))) == b" a"

    @property
    def bos(self) -> int | None:
        """The token that opens every text, None where the model wants none."""
        token: int = llama.llama_vocab_bos(self._vocab)
        return token if token >= 0 and llama.llama_vocab_get_add_bos(self._vocab) else None

    def special_text(self, name: str) -> str:
        """The spelling of the ``bos`` or ``eos`` token, "" where there is none."""
        find = {"bos": llama.llama_vocab_bos, "eos": llama.llama_vocab_eos}[name]
        token: int = find(self._vocab)
        if token < 0:
            return ""
        text: bytes = llama.llama_vocab_get_text(self._vocab, token)
        return text.decode("utf-8", "replace")

    @property
    def handle(self) -> Any:
        """The ``llama_vocab``."""
        return self._vocab

    def is_control(self, token: int) -> bool:
        """Whether text may become this token only where the chat template says so."""
        return token in self._control

    def ends_turn(self, token: int) -> bool:
        return bool(llama.llama_vocab_is_eog(self._vocab, token))

    def piece(self, token: int) -> bytes:
        """The raw bytes that ``token`` stands for, b"" for control tokens."""
        count = llama.llama_token_to_piece(
            self._vocab, token, self._buffer, len(self._buffer), 0, False
        )
        if count < 0:
            self._buffer = ctypes.create_string_buffer(-count)
            count = llama.llama_token_to_piece(self._vocab, token, self._buffer, -count, 0, False)
        return self._buffer.raw[:count]

    def with_control(self, text: str) -> list[int]:
        """Token ids of ``text``, where spelled-out control tokens become those tokens."""
        return self._tokenize(text, True)

    def plain(self, text: str) -> list[int]:
        """Token ids of ``text`` as it goes on after other text; no control token comes of it."""
        if self._adds_space and text.startswith(" "):
            text = text[1:]
        return self._tokenize(text, False)

    def check(self, tokens: Iterable[int]) -> None:
        """Raises ``InvalidRequest`` for an id that is not in the vocabulary: llama.cpp would give
        up the whole batch for it."""
        for token in tokens:
            if not 0 <= token < self.size:
                raise InvalidRequest(f"token id {token} is not in this model's vocabulary")

    def whole(self, text: str) -> list[int]:
        """A text by itself, with the marks that the model wants around one (BERT's ``[CLS]`` and
        ``[SEP]``, an end of text); what spells a control token stays text."""
        return self._tokenize(text, False, add_special=True)

    def _tokenize(self, text: str, parse_special: bool, add_special: bool = False) -> list[int]:
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        ids = (llama.llama_token * room)()
        count = llama.llama_tokenize(
            self._vocab, data, len(data), ids, room, add_special, parse_special
        )
        if count < 0:
            room = -count
            ids = (llama.llama_token * room)()
            count = llama.llama_tokenize(
                self._vocab, data, len(data), ids, room, add_special, parse_special
            )
        return list(ids[: max(count, 0)])
