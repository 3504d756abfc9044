"""The tree that chained block ids form, and the sessions that show in it.

A block hangs below the block before it. Where many different blocks follow one, prompts that begin
alike part: all up to there is a shared prefix, such as a system prompt or a document. What a
request finds beyond that is its own conversation.
"""

from __future__ import annotations

import numpy as np

from ..columns import IntColumn as IntArray
from .blocks import Prompts
from .reuse import NONE, Reuse

MOST_FOLLOWERS = 8
"""Different blocks that may follow one within a conversation (answers are edited and retried).

With 8 the rule counts 7,411 and 2,473 sessions in the two Mooncake traces.
"""


def followers(prompts: Prompts, reuse: Reuse) -> IntArray:
    """How many different blocks follow each block; one entry per different block.

    A block that follows several counts at the first of them only.
    """
    return np.bincount(reuse.before[reuse.before >= 0], minlength=prompts.unique)


def shared_blocks(prompts: Prompts, reuse: Reuse) -> IntArray:
    """How many leading blocks of each prompt belong to a shared prefix; n entries.

    They end with its last block that more than ``MOST_FOLLOWERS`` different ones follow in the
    whole trace, later requests included.
    """
    fork = followers(prompts, reuse) > MOST_FOLLOWERS
    shared = np.zeros(len(prompts), dtype=np.int64)
    for chunk in prompts.chunks():
        shared[chunk.requests] = chunk.through_last(np.flatnonzero(fork[chunk.blocks]))
    return shared


def previous_turns(prompts: Prompts, reuse: Reuse, shared: IntArray) -> IntArray:
    """The request that each one continues, or ``NONE`` where a session begins; n entries.

    A request goes on from the last one that had the deepest block of its hit, provided that the
    hit is longer than its shared prefix and that the other arrived before it.

    Args:
        prompts: The prompts of a trace.
        reuse: What ``walk`` makes of them.
        shared: What ``shared_blocks`` makes of both.
    """
    arrival = prompts.arrival_ns
    follows = (reuse.hit_blocks > shared) & (arrival > arrival[reuse.source])
    return np.where(follows, reuse.source, NONE)


def session_codes(previous: IntArray) -> IntArray:
    """Number the sessions from 0 in order of their first turns; n entries.

    Args:
        previous: The earlier request that each one continues, or ``NONE``.
    """
    root = np.where(previous == NONE, np.arange(len(previous)), previous)
    while np.any(root != root[root]):
        root = root[root]
    return (np.cumsum(previous == NONE) - 1)[root]
