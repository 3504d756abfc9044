"""What prompts share, from their block ids alone: no model, no policy, no time of service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..columns import NONE
from ..columns import IntColumn as IntArray
from .blocks import Prompts
from .counts import Distribution
from .exact import exact_sum
from .lru import SIZES_TOKENS, LruFigures, lru_figures
from .reuse import Reuse, walk
from .sessions import SessionFigures, Sessions, given_sessions, session_figures
from .tree import followers, previous_turns, session_codes, shared_blocks

_NS_PER_S = 10**9


@dataclass(frozen=True)
class PrefixFigures:
    """What a cache that forgets nothing finds: the most that any other can.

    Attributes:
        references: Blocks of all prompts together.
        unique: Different blocks among them.
        block_hit: Share of the references that are in a prefix of blocks which earlier prompts had.
        any_hit: Share of the references to blocks that were there before, wherever they stand.
            More than ``block_hit`` only if ids are not chained.
        token_hit: Prompt tokens in hit prefixes over all prompt tokens. The last block of a prompt
            may hold fewer tokens than the others.
        requests_with_hit: Share of the requests whose first block hits.
        used_once: Share of the different blocks with a single reference.
        widest_fork: Most different blocks that follow one; how many ways part from the most common
            shared prefix.
        conflicts: Blocks that follow different blocks in different prompts. If there are any, ids
            stand for the content of a block alone, not for all that is before it.
        reuse_s: Time from one request for a block to the next; None without any.
        chain_share: Share of the hit blocks that the session itself had before; the rest is shared
            between sessions. None if nothing hits, or sessions are neither given nor inferred.
        chain_inferred: Whether that follows from shared blocks, for want of given sessions.
    """

    references: int
    unique: int
    block_hit: float
    any_hit: float
    token_hit: float
    requests_with_hit: float
    used_once: float
    widest_fork: int
    conflicts: int
    reuse_s: Distribution | None
    chain_share: float | None
    chain_inferred: bool


@dataclass(frozen=True)
class PromptFigures:
    """All that block ids and sessions of a trace say. None stands for parts that it lacks.

    Attributes:
        prefixes: Sharing with a cache that forgets nothing; None without block ids.
        lru: Hits of LRU caches of some sizes; None without block ids.
        sessions: Sessions, given or inferred. None if a trace has none, and either no block ids or
            some that are not chained.
    """

    prefixes: PrefixFigures | None
    lru: LruFigures | None
    sessions: SessionFigures | None


def prompt_figures(
    prompts: Prompts,
    codes: IntArray | None = None,
    think_ns: IntArray | None = None,
    sizes_tokens: Sequence[int] = SIZES_TOKENS,
) -> PromptFigures:
    """Figures of the prompts of a trace.

    Args:
        prompts: The prompts; traces without block ids have no runs.
        codes: Number of the session of each request, or -1 for none; None if no request has one.
        think_ns: Recorded time since the previous answer, -1 where unknown.
        sizes_tokens: Sizes of LRU caches to report.
    """
    given = None if codes is None else given_sessions(codes)
    if not prompts.references:
        return PromptFigures(None, None, _session_figures(prompts, given, None, think_ns))
    prefixes, sessions, reuse = _sharing(prompts, given)
    figures = _session_figures(prompts, sessions, reuse, think_ns)
    return PromptFigures(prefixes, lru_figures(prompts, sizes_tokens), figures)


def prefix_figures(prompts: Prompts, codes: IntArray | None = None) -> PrefixFigures | None:
    """Sharing alone, with a cache that forgets nothing; None without block ids.

    Args:
        prompts: The prompts of a trace.
        codes: As in ``prompt_figures``.
    """
    if not prompts.references:
        return None
    return _sharing(prompts, None if codes is None else given_sessions(codes))[0]


def _sharing(
    prompts: Prompts, given: Sessions | None
) -> tuple[PrefixFigures, Sessions | None, Reuse]:
    reuse = walk(prompts)
    hits = int(reuse.hit_blocks.sum())
    sessions, chain = given, None
    if given is not None:
        chain = _own_hits(prompts, given, hits)
    elif not reuse.conflicts:
        shared = shared_blocks(prompts, reuse)
        previous = previous_turns(prompts, reuse, shared)
        sessions = Sessions(session_codes(previous), previous, inferred=True)
        own = reuse.hit_blocks - np.minimum(reuse.hit_blocks, shared)
        chain = int(own[previous != NONE].sum())
    prefixes = PrefixFigures(
        references=prompts.references,
        unique=prompts.unique,
        block_hit=hits / prompts.references,
        any_hit=(prompts.references - prompts.unique) / prompts.references,
        token_hit=exact_sum(reuse.hit_tokens) / max(exact_sum(prompts.input_tokens), 1),
        requests_with_hit=int((reuse.hit_blocks > 0).sum()) / len(prompts),
        used_once=reuse.used_once / prompts.unique,
        widest_fork=int(followers(prompts, reuse).max()),
        conflicts=reuse.conflicts,
        reuse_s=reuse.times_ns.result(per=_NS_PER_S),
        chain_share=chain / hits if chain is not None and hits else None,
        chain_inferred=given is None,
    )
    return prefixes, sessions, reuse


def _own_hits(prompts: Prompts, sessions: Sessions, hits: int) -> int:
    """Hit blocks if sessions shared nothing; a request without a session is one of its own."""
    alone = np.arange(len(prompts), dtype=np.int64) + int(sessions.codes.max()) + 1
    scoped = prompts.scoped(np.where(sessions.codes >= 0, sessions.codes, alone))
    if scoped.unique == prompts.unique:  # no block occurs in two sessions
        return hits
    return int(walk(scoped).hit_blocks.sum())


def _session_figures(
    prompts: Prompts,
    sessions: Sessions | None,
    reuse: Reuse | None,
    think_ns: IntArray | None,
) -> SessionFigures | None:
    if sessions is None:
        return None
    hit_tokens = None if reuse is None else reuse.hit_tokens
    return session_figures(sessions, prompts.arrival_ns, prompts.input_tokens, hit_tokens, think_ns)
