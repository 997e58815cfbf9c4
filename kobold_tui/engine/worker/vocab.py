"""The model's vocabulary: text to tokens and tokens to bytes.

Pieces are bytes, not text: a character can be spread over several tokens.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

from kobold_tui.engine.worker.bindings import C
from kobold_tui.engine.worker.dry_sampler import DrySampler

_PIECE_BYTES = 256
_NO_TOKEN = -1


class Vocab:
    """Wraps a `llama_vocab`, which lives as long as its model."""

    def __init__(self, model: int) -> None:
        self.handle: int = C.llama_model_get_vocab(model)
        self.n_tokens: int = C.llama_vocab_n_tokens(self.handle)
        self.bos: int = C.llama_vocab_bos(self.handle)
        self.eos: int = C.llama_vocab_eos(self.handle)
        self.bos_text = self._text(self.bos)
        self.eos_text = self._text(self.eos)
        self.dry = DrySampler(self.handle)
        self._pieces: dict[int, bytes] = {}

    def _text(self, token: int) -> str:
        if token == _NO_TOKEN:
            return ""
        return (C.llama_vocab_get_text(self.handle, token) or b"").decode("utf-8", "replace")

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return token ids; `add_special` puts the model's own first and last tokens around them."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        buffer = (C.llama_token * room)()
        count = C.llama_tokenize(self.handle, data, len(data), buffer, room, add_special, parse_special)
        if count < 0:
            buffer = (C.llama_token * -count)()
            count = C.llama_tokenize(self.handle, data, len(data), buffer, -count, add_special, parse_special)
        return list(buffer[:count])

    def tokenize_prompt(self, text: str) -> list[int]:
        """Return the tokens of a prompt: special tokens are read, BOS is added unless the text has it.

        An end token that the vocabulary would put behind every text is left out: the model must go on.
        """
        has_bos = bool(self.bos_text) and text.startswith(self.bos_text)
        tokens = self.tokenize(text, add_special=not has_bos, parse_special=True)
        adds_eos = not has_bos and C.llama_vocab_get_add_eos(self.handle)
        if adds_eos and len(tokens) > 1 and tokens[-1] == self.eos:
            tokens.pop()
        return tokens

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token as they appear in text; control tokens have none."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._read_piece(token)
        return known

    def control_tokens(self, texts: Iterable[str]) -> dict[int, bytes]:
        """Return those of the texts that are one control token each, with the bytes that `piece` omits."""
        found = {}
        for text in texts:
            tokens = self.tokenize(text, add_special=False, parse_special=True)
            if len(tokens) == 1 and not self.piece(tokens[0]):
                found[tokens[0]] = text.encode()
        return found

    def text(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens, special ones written out; broken UTF-8 becomes U+FFFD."""
        valid = [token for token in tokens if 0 <= token < self.n_tokens]
        native = (C.llama_token * len(valid))(*valid)
        size = 16 * len(valid) + 16
        buffer = ctypes.create_string_buffer(size)
        length = C.llama_detokenize(self.handle, native, len(valid), buffer, size, False, True)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = C.llama_detokenize(self.handle, native, len(valid), buffer, -length, False, True)
        return buffer.raw[: max(length, 0)].decode("utf-8", "replace")

    def _read_piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        length = C.llama_token_to_piece(self.handle, token, buffer, _PIECE_BYTES, 0, False)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = C.llama_token_to_piece(self.handle, token, buffer, -length, 0, False)
        return buffer.raw[: max(length, 0)]

    def is_eog(self, token: int) -> bool:
        """Whether the token ends an answer; a vocabulary can have several such tokens."""
        return bool(C.llama_vocab_is_eog(self.handle, token))
