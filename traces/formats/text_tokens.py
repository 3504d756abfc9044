"""Tokens of texts: by a tokenizer if one is named, else estimated.

Either way a text becomes a string of bytes with four bytes per token, so that lengths and blocks of
it are the same arithmetic: a tokenizer's ids as 32-bit integers, or the text's own UTF-8 bytes,
since four characters of English are about one token.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ...configs.errors import TraceError
from ..problems import Problems
from ..source import Source

BYTES_PER_TOKEN = 4

Encode = Callable[[str], bytes]
"""From a text to four bytes per token."""


def count_tokens(encoded: bytes | int) -> int:
    """Return how many tokens an encoded text, or a number of its bytes, is; 0 for no text only."""
    size = encoded if isinstance(encoded, int) else len(encoded)
    return max(size // BYTES_PER_TOKEN, min(size, 1))


def encoder(source: Source) -> Encode:
    """Return what encodes the texts of a source.

    Raises:
        TraceError: A tokenizer is named that cannot be loaded, or the package for it is absent.
    """
    if source.tokenizer is not None:
        return _with_tokenizer(source.tokenizer)
    return lambda text: text.encode()


def note_estimate(source: Source, problems: Problems) -> None:
    """Note that lengths are estimates, if no tokenizer is named."""
    if source.tokenizer is None:
        problems.notes.append(
            f"tokens of texts are estimated: {BYTES_PER_TOKEN} bytes of UTF-8 each; name a "
            "tokenizer to count them"
        )


def _with_tokenizer(path: str) -> Encode:
    try:
        package: Any = importlib.import_module("tokenizers")
    except ImportError:
        raise TraceError(
            f"{path}: counting tokens needs the package tokenizers; install it with: "
            "pip install 'jenga-sim[text]'"
        ) from None
    try:
        tokenizer: Any = package.Tokenizer.from_file(path)
    # The package raises plain Exception for a file that is missing or no tokenizer.
    except Exception as error:
        raise TraceError(f"{path}: is no tokenizer.json: {error}") from None

    def encode(text: str) -> bytes:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        return np.array(ids, dtype="<i4").tobytes()

    return encode
