"""A Hugging Face model's vocabulary, from its ``tokenizer.json``: text to token ids and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from mesh.errors import InvalidRequest, ModelFileError
from node.engines.first_line import first_line

_CHATML_END = "<|im_end|>"
_SPACE = "\u2581"  # SentencePiece's stand-in for a space


class Vocabulary:
    """``folder``: of the model; ``size``: tokens that the model knows, which may be more than the
    tokenizer does; ``ends``: ids that end a turn; ``named``: the spellings of ``bos`` and ``eos``;
    ``has_template``: whether the model has a chat template. Raises ``ModelFileError``."""

    def __init__(
        self,
        folder: Path,
        *,
        size: int,
        ends: Iterable[int],
        named: Mapping[str, str],
        has_template: bool,
    ) -> None:
        path = folder / "tokenizer.json"
        try:
            source = path.read_bytes()
            self._plain = Tokenizer.from_buffer(source)
            description = json.loads(source)
        except OSError as error:
            raise ModelFileError(
                f"cannot read {path} ({error.strerror}); save the model's fast tokenizer there, "
                "with tokenizer.save_pretrained(FOLDER)"
            ) from None
        except Exception as error:  # noqa: BLE001 - the library raises bare Exception for bad JSON
            raise ModelFileError(
                f"{path} is no tokenizer ({first_line(error)}); download the model again"
            ) from None
        self._control_too = Tokenizer.from_buffer(source)
        self._plain.encode_special_tokens = True  # spelled-out control tokens stay text
        self.size = size
        self.hash = "hf-" + hashlib.sha256(source).hexdigest()
        special = {
            t["id"]: t["content"] for t in description.get("added_tokens", ()) if t["special"]
        }
        self._named = named
        # Without a template of its own, it is spoken to in ChatML, whose turns end so.
        ids = {token for token, text in special.items() if text == _CHATML_END and not has_template}
        ids |= {token for token, text in special.items() if text == named.get("eos")}
        self._ends = frozenset({*ends, *ids}) & frozenset(range(size))
        self._control = frozenset(special) | self._ends
        self._pieces = self._spellings(description, path)
        self.longest = max(map(len, self._pieces), default=1) or 1
        self._adds_space = b"".join(map(self.piece, self._encode(self._plain, "a"))) == b" a"
        with_bos: list[int] = self._control_too.encode("a").ids
        # A template says itself where its bos goes; without one the tokenizer's own rule holds.
        first = with_bos[0] if with_bos and with_bos[0] in special else None
        self.bos: int | None = None if has_template else first

    def special_text(self, name: str) -> str:
        """The spelling of ``bos`` or ``eos``, "" where there is none."""
        return self._named.get(name, "")

    def is_control(self, token: int) -> bool:
        """Whether text may become this token only where the chat template says so."""
        return token in self._control

    def ends_turn(self, token: int) -> bool:
        return token in self._ends

    def piece(self, token: int) -> bytes:
        """The raw bytes that ``token`` stands for, b"" for control tokens."""
        return self._pieces[token] if token < len(self._pieces) else b""

    def with_control(self, text: str) -> list[int]:
        """Token ids of ``text``, where spelled-out control tokens become those tokens."""
        return self._encode(self._control_too, text)

    def plain(self, text: str) -> list[int]:
        """Token ids of ``text`` as it goes on after other text; no control token comes of it."""
        if self._adds_space and text.startswith(" "):
            text = text[1:]
        return self._encode(self._plain, text)

    def check(self, tokens: Iterable[int]) -> None:
        """Raises ``InvalidRequest`` for an id that is not in the vocabulary."""
        for token in tokens:
            if not 0 <= token < self.size:
                raise InvalidRequest(f"token id {token} is not in this model's vocabulary")

    def _encode(self, tokenizer: Any, text: str) -> list[int]:
        # A lone surrogate has no UTF-8; the tokenizer would refuse the whole text for it.
        text = text.encode("utf-8", "replace").decode()
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _spellings(self, description: Mapping[str, Any], path: Path) -> list[bytes]:
        spell = _speller(description.get("decoder"))
        if spell is None:
            raise ModelFileError(
                f"{path} has a decoder that engine torch cannot read token by token; use a model "
                "with a byte-level BPE or a SentencePiece vocabulary"
            )
        added = {t["id"]: t["content"] for t in description.get("added_tokens", ())}
        pieces = []
        for token in range(self._plain.get_vocab_size(with_added_tokens=True)):
            if token in self._control:
                pieces.append(b"")
            elif token in added:
                pieces.append(added[token].encode())
            else:
                pieces.append(spell(self._plain.id_to_token(token) or ""))
        return pieces


def _speller(decoder: Mapping[str, Any] | None) -> Any:
    """What a token of the vocabulary stands for, by the tokenizer's decoder; None: unknown kind."""
    parts = [] if decoder is None else decoder.get("decoders", [decoder])
    kinds = {part["type"] for part in parts}
    if "ByteLevel" in kinds:
        return _byte_level
    replaces = any(
        part["type"] == "Replace" and part.get("pattern") == {"String": _SPACE} for part in parts
    )
    return _sentence_piece if replaces or "Metaspace" in kinds else None


def _byte_level(token: str) -> bytes:
    return b"".join(
        bytes([_BYTES[character]]) if character in _BYTES else character.encode("utf-8", "replace")
        for character in token
    )


def _sentence_piece(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])  # a byte that is in no other token
    return token.replace(_SPACE, " ").encode("utf-8", "replace")


def _byte_characters() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte (``bytes_to_unicode`` of its encoder.py)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + n): b for n, b in enumerate(others)}


_BYTES = _byte_characters()
