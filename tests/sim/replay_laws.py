"""When requests of a replay must arrive, worked out from their ends: plain lists, one by one."""

from collections.abc import Sequence

from jenga_sim import ReplayConfig
from tests.sim.strategies import Turn


def expected_sessions(turns: Sequence[Turn]) -> list[set[int]]:
    """Slots of each session, in order of begin: who has one name, or comes after one another."""
    sessions = [{slot, *turn.after} for slot, turn in enumerate(turns)]
    names = {turn.session for turn in turns if turn.session >= 0}
    sessions += [{s for s, turn in enumerate(turns) if turn.session == name} for name in names]
    merged: list[set[int]] = []
    for session in sessions:
        apart = [other for other in merged if not other & session]
        merged = [*apart, session.union(*(other for other in merged if other & session))]
    return sorted(merged, key=lambda session: first_of(turns, session))


def first_of(turns: Sequence[Turn], session: set[int]) -> int:
    """The first request of a session: one that waits for nobody."""
    return min(slot for slot in session if not turns[slot].after)


def expected_arrivals(
    turns: Sequence[Turn], recorded_ns: Sequence[int], end_ns: Sequence[int], replay: ReplayConfig
) -> list[int]:
    """When requests must have arrived that ended at ``end_ns``."""
    shift_ns = [0] * len(turns)
    if replay.concurrency is not None:
        sessions = expected_sessions(turns)
        # As many as there may be begin at once, the others at the ends of others, in their order.
        begins = [recorded_ns[0]] * replay.concurrency
        begins += sorted(max(end_ns[slot] for slot in session) for session in sessions)
        for session, begin in zip(sessions, begins, strict=False):
            for slot in session:
                shift_ns[slot] = begin - recorded_ns[first_of(turns, session)]
    arrivals: list[int] = []
    for turn, recorded, shift in zip(turns, recorded_ns, shift_ns, strict=True):
        ended = max((end_ns[before] for before in turn.after), default=0)
        known = turn.after and turn.delay_ns >= 0
        arrivals.append(ended + turn.delay_ns if known else max(recorded + shift, ended))
    return arrivals


def sessions_in_flight_are_as_many_as_there_may_be(
    sessions: Sequence[set[int]], arrival_ns: Sequence[int], end_ns: Sequence[int], concurrency: int
) -> None:
    """Never more than ``concurrency`` sessions, and never fewer while any has not begun."""
    begins = [min(arrival_ns[slot] for slot in session) for session in sessions]
    ends = [max(end_ns[slot] for slot in session) for session in sessions]
    assert begins == sorted(begins), "sessions begin in their order"
    for moment in {*begins, *ends}:
        begun = sum(begin <= moment for begin in begins)
        in_flight = begun - sum(end <= moment for end in ends)
        assert in_flight <= concurrency
        assert in_flight == concurrency or begun == len(sessions)
