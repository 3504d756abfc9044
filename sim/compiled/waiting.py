"""The queue of waiting requests: first come first served in a ring, or a heap by priority.

The same orders as ``sim.waiting``. A request waits at most once, so the queue has room for all.
"""

import numpy as np

from ...policies.compiled import inner
from ..requests import ARRIVAL_NS, NEVER, PRIORITY
from .state import (
    BY_PRIORITY,
    HEAD,
    NUM_WAITING,
    QUEUE,
    EngineArrays,
    IntArray,
)


@inner
def first(engine: EngineArrays) -> int:
    """The request to be served next; NEVER if nobody waits. Pure."""
    if engine.scalars[NUM_WAITING] == 0:
        return NEVER
    return engine.queue[QUEUE, engine.scalars[HEAD]]


@inner
def add(engine: EngineArrays, table: IntArray, slot: int) -> None:
    """Let a request that arrived wait."""
    scalars, queue = engine.scalars, engine.queue[QUEUE]
    if scalars[BY_PRIORITY]:
        _push(engine, table, slot)
    else:
        queue[(scalars[HEAD] + scalars[NUM_WAITING]) % len(queue)] = slot
        scalars[NUM_WAITING] += 1


@inner
def prepend(engine: EngineArrays, table: IntArray, slot: int) -> None:
    """Put back a request that was preempted or passed over."""
    scalars, queue = engine.scalars, engine.queue[QUEUE]
    if scalars[BY_PRIORITY]:
        _push(engine, table, slot)
    else:
        scalars[HEAD] = (scalars[HEAD] + len(queue) - 1) % len(queue)
        queue[scalars[HEAD]] = slot
        scalars[NUM_WAITING] += 1


@inner
def remove(engine: EngineArrays, table: IntArray, slot: int) -> None:
    """Remove a request, wherever it waits; the order of the others stays."""
    scalars, queue = engine.scalars, engine.queue[QUEUE]
    if scalars[BY_PRIORITY]:
        place = 0
        while queue[place] != slot:
            place += 1
        _remove_at(engine, table, place)
        return
    size, head, count = len(queue), scalars[HEAD], scalars[NUM_WAITING]
    if queue[head] == slot:
        scalars[HEAD] = (head + 1) % size
    else:
        place = 1
        while queue[(head + place) % size] != slot:
            place += 1
        for later in range(place + 1, count):
            queue[(head + later - 1) % size] = queue[(head + later) % size]
    scalars[NUM_WAITING] -= 1


@inner
def _is_before(table: IntArray, one: int, other: int) -> bool:
    """Smallest (priority, arrival, slot) first."""
    if table[PRIORITY, one] != table[PRIORITY, other]:
        return table[PRIORITY, one] < table[PRIORITY, other]
    if table[ARRIVAL_NS, one] != table[ARRIVAL_NS, other]:
        return table[ARRIVAL_NS, one] < table[ARRIVAL_NS, other]
    return one < other


@inner
def _push(engine: EngineArrays, table: IntArray, slot: int) -> None:
    place = engine.scalars[NUM_WAITING]
    engine.scalars[NUM_WAITING] += 1
    _rise(engine.queue[QUEUE], table, place, slot)


@inner
def _rise(queue: IntArray, table: IntArray, place: int, slot: int) -> None:
    """Put ``slot`` at ``place`` of the heap or above it."""
    while place > 0 and _is_before(table, slot, queue[(place - 1) // 2]):
        queue[place] = queue[(place - 1) // 2]
        place = (place - 1) // 2
    queue[place] = slot


@inner
def _remove_at(engine: EngineArrays, table: IntArray, place: int) -> None:
    queue = engine.queue[QUEUE]
    engine.scalars[NUM_WAITING] -= 1
    count = engine.scalars[NUM_WAITING]
    slot = queue[count]
    # Close the hole at ``place`` with the last entry: down as far as it goes, then up.
    while 2 * place + 1 < count:
        child = 2 * place + 1
        if child + 1 < count and _is_before(table, queue[child + 1], queue[child]):
            child += 1
        queue[place] = queue[child]
        place = child
    if place < count:
        _rise(queue, table, place, slot)


def in_order(engine: EngineArrays) -> list[int]:
    """Slots that wait, for Python; by priority in no particular order."""
    count, head = int(engine.scalars[NUM_WAITING]), int(engine.scalars[HEAD])
    return np.roll(engine.queue[QUEUE], -head)[:count].tolist()
