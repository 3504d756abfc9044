"""Facts about a trace as a whole: its sidecar file, and what reading it found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta as Rule

from ..configs.errors import TraceError

DEFAULT_BLOCK_SIZE = 512
"""Tokens that one hash id stands for in the published Mooncake traces."""


NO_TIMES = "no arrival times: all requests arrive at once; give --rate"
"""Note on a trace of lengths alone; another rate makes it untrue."""

OWN_CLOCKS = (
    "every session has its own clock and starts at 0: replay with --replay closed --concurrency N, "
    "or let sessions arrive with --session-rate R"
)
"""Note on sessions that were recorded one by one; a rate of sessions makes it untrue."""


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about a trace as a whole.

    Attributes:
        name: File name without folder.
        format: Format that it was read from.
        sha256: Digest of the file's raw bytes (compressed bytes for ``.gz``; of the digests of all
            files for a folder); empty if the trace does not come from a file.
        block_size: Tokens that one hash id stands for.
        hash_tail: Whether a partly filled last block has an id (ceil) or not (floor); empty if it
            is not known or differs.
        hash_scope: global, or session if ids were local to a session before they were read.
        tokenizer: What counted the tokens.
        time_quantum_ms: Resolution of the arrivals, where it is coarse.
        source: Where the trace was published.
        licence: Under which terms.
        shared_prefix_tokens: Tokens that all sessions share although their ids do not say so.
        skipped_lines: Bad lines that reading left out.
        sorted_lines: Lines that arrived before a line above them and that reading moved.
        notes: What the user should know about how the file was read.
    """

    name: str = "columns"
    format: str = ""
    sha256: str = ""
    block_size: int = DEFAULT_BLOCK_SIZE
    hash_tail: str = ""
    hash_scope: str = "global"
    tokenizer: str = ""
    time_quantum_ms: float = 0.0
    source: str = ""
    licence: str = ""
    shared_prefix_tokens: int = 0
    skipped_lines: int = 0
    sorted_lines: int = 0
    notes: tuple[str, ...] = ()


PLAIN = Meta()
"""Nothing is known."""


class Sidecar(msgspec.Struct, forbid_unknown_fields=False, omit_defaults=True):
    """The file ``NAME.meta.json`` beside a trace."""

    jenga_trace: Literal[1] = 1
    block_size: Annotated[int, Rule(ge=1)] | None = None
    hash_tail: Literal["ceil", "floor"] | None = None
    hash_scope: Literal["global", "session"] | None = None
    tokenizer: str | None = None
    time_quantum_ms: Annotated[float, Rule(ge=0)] | None = None
    source: str | None = None
    licence: str | None = None
    sha256: str | None = None
    shared_prefix_tokens: Annotated[int, Rule(ge=0)] | None = None


def sidecar_path(path: Path) -> Path:
    """Return where a sidecar is: ``a.jsonl`` and ``a.jsonl.gz`` have ``a.meta.json``."""
    name = path.name
    for suffix in (".gz", ".jsonl", ".json", ".csv"):
        name = name.removesuffix(suffix)
    # Not with_name: the folders "." and "/" have no name.
    return path.parent / f"{name}.meta.json"


def read_sidecar(path: Path) -> Sidecar | None:
    """Read the sidecar of the trace ``path``; None if there is none.

    Raises:
        TraceError: It is no JSON object of the expected keys.
    """
    sidecar = sidecar_path(path)
    if not os.path.isfile(sidecar):
        return None
    try:
        return msgspec.json.decode(sidecar.read_bytes(), type=Sidecar)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise TraceError(f"{sidecar}: {error}") from None
    except OSError as error:
        raise TraceError(f"{sidecar}: cannot be read: {error.strerror or error}") from None


def with_sidecar(meta: Meta, sidecar: Sidecar | None) -> Meta:
    """Return the facts of a file, those of its sidecar over those of its format."""
    if sidecar is None:
        return meta
    known = msgspec.structs.asdict(sidecar)
    known = {key: value for key, value in known.items() if value is not None}
    for key in ("jenga_trace", "sha256"):
        known.pop(key, None)
    return msgspec.structs.replace(meta, **known)


def sidecar_of(meta: Meta, sha256: str) -> Sidecar:
    """Return what belongs beside a written trace of these facts.

    Args:
        meta: The facts.
        sha256: Digest of the written file.
    """
    return Sidecar(
        block_size=meta.block_size,
        hash_tail=meta.hash_tail or None,  # type: ignore[arg-type]
        hash_scope=meta.hash_scope or None,  # type: ignore[arg-type]
        tokenizer=meta.tokenizer or None,
        time_quantum_ms=meta.time_quantum_ms or None,
        source=meta.source or None,
        licence=meta.licence or None,
        sha256=sha256,
        shared_prefix_tokens=meta.shared_prefix_tokens or None,
    )
