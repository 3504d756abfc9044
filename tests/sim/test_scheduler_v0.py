"""The prefill-first scheduler in numbers that can be worked out by hand: who runs in which step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.specs import LayerSpec
from jenga_sim.sim.engine import Replica
from jenga_sim.sim.latency import AttentionClass, StepShape
from jenga_sim.sim.run import make_replica, prepare
from jenga_sim.sim.scheduler import Batch
from jenga_sim.traces import Trace
from tests.sim.strategies import GPU, examples, tiny_model

PREFILL_NS, DECODE_NS = 1000, 10
LARGE = 301
"""Large pages, each one block of 16 tokens. One is the null page's; 1 % of all is three."""
KEPT = 3
LAYER = LayerSpec(kind="full", variant="full", heads=2, kv_heads=1, k_dim=1, v_dim=1)
PAGE_BYTES = 16 * 2 * 2
PLENTY = 1 << 20


class TwoTimes:
    """A step with prompts takes a thousand nanoseconds, one without takes ten."""

    classes: tuple[AttentionClass, ...] = ()

    def step_ns(self, shape: StepShape) -> int:
        assert not (shape.prefills and shape.decode_rows), "a step of prompts and decodes"
        return PREFILL_NS if shape.prefills else DECODE_NS

    def copy_ns(self, moved_bytes: int, launches: int) -> int:
        raise AssertionError("large pages never move")

    def describe(self) -> dict[str, Any]:
        return {}


class Run(NamedTuple):
    """A run, and what every step of it decided."""

    replica: Replica
    steps: list[Batch]

    def admitted(self) -> dict[int, int]:
        """Step -> how many prompts it computed."""
        found = enumerate(self.steps)
        return {step: len(batch.admitted) for step, batch in found if batch.admitted}

    def admitted_at(self, slot: int) -> list[int]:
        return [step for step, batch in enumerate(self.steps) if slot in batch.admitted]


def run(
    arrivals: Sequence[int],
    prompts: Sequence[int],
    outputs: Sequence[int],
    *,
    max_model_len: int,
    max_num_seqs: int = 64,
    pool_bytes: int = PLENTY,
) -> Run:
    """One layer of full attention under policy ``jenga``, without a cache."""
    setup = prepare(
        Trace.from_columns(arrivals, prompts, outputs),
        model=tiny_model([LAYER], max_model_len),
        gpu=GPU,
        policy="jenga",
        block_size=16,
        max_num_seqs=max_num_seqs,
        kv_cache_memory_bytes=pool_bytes,
        enable_prefix_caching=False,
    )
    replica = make_replica(setup, fast=True, check=True)
    replica.latency = TwoTimes()
    schedule, steps = replica.scheduler.schedule, list[Batch]()

    def logged() -> Batch:
        batch = schedule()
        if batch.tokens:
            steps.append(batch)
        return batch

    replica.scheduler.schedule = logged
    replica.run()
    assert not replica.rejected
    return Run(replica, steps)


def burst(count: int, prompt: int, output: int, **settings: Any) -> Run:
    """Equal requests that all come at once."""
    return run([0] * count, [prompt] * count, [output] * count, **settings)


@pytest.mark.parametrize(
    ("prompt", "max_model_len", "per_step"),
    [
        (100, 600, [20, 20, 10]),  # 2,048 // 100
        (512, 600, [4] * 12 + [2]),
        (513, 600, [3] * 16 + [2]),
        (300, 4096, [13, 13, 13, 11]),  # 4,096 // 300
        (1365, 4096, [3] * 16 + [2]),
        (1366, 4096, [2] * 25),
        (3000, 3100, [1] * 50),
    ],
)
def test_as_many_prompts_as_fit_the_budget_run_in_one_step_and_none_in_part(
    prompt: int, max_model_len: int, per_step: list[int]
) -> None:
    """The budget is the longest request's length, at least 2,048 tokens."""
    done = burst(50, prompt, 3, max_model_len=max_model_len)
    assert done.admitted() == dict(enumerate(per_step))
    first = 0
    for batch, count in zip(done.steps, per_step, strict=False):
        assert batch.tokens == {first + index: prompt for index in range(count)}
        first += count


def test_a_burst_is_computed_first_and_then_decoded_together() -> None:
    """50 prompts of 100 tokens: three steps of prompts, then each of 6 more tokens for all."""
    done = burst(50, 100, 7, max_model_len=600)
    assert len(done.steps) == 3 + 6
    assert all(batch.tokens == dict.fromkeys(range(50), 1) for batch in done.steps[3:])
    requests = done.replica.requests
    waits = [first - PREFILL_NS for first in requests.first_token_ns]
    assert sum(waits) == 20 * 0 + 20 * PREFILL_NS + 10 * 2 * PREFILL_NS
    assert sum(requests.last_token_ns) == 50 * (3 * PREFILL_NS + 6 * DECODE_NS)
    gaps = done.replica.recorder.gaps.counts
    # The first prompts stand still while the others are computed.
    assert gaps == {
        2 * PREFILL_NS + DECODE_NS: 20,
        PREFILL_NS + DECODE_NS: 20,
        DECODE_NS: 10 + 50 * 5,
    }


@examples(25)
@given(
    count=st.integers(1, 40),
    prompt=st.integers(1, 700),
    output=st.integers(1, 12),
    seats=st.integers(1, 50),
    max_model_len=st.integers(712, 4000),
)
def test_a_burst_runs_in_waves_of_max_num_seqs(
    count: int, prompt: int, output: int, seats: int, max_model_len: int
) -> None:
    """Everybody of a wave ends in one step; one token comes with the prompt."""
    done = burst(count, prompt, output, max_model_len=max_model_len, max_num_seqs=seats)
    per_step = max(max_model_len, 2048) // prompt
    expected: dict[int, int] = {}
    step = 0
    while count:
        # With one token each, who is computed leaves before the next step.
        wave = min(count, seats if output > 1 else min(seats, per_step))
        count -= wave
        while wave:
            expected[step] = min(wave, per_step)
            wave -= expected[step]
            step += 1
        step += output - 1
    assert done.admitted() == expected
    assert len(done.steps) == step
    prompts = len(expected)
    total = prompts * PREFILL_NS + (step - prompts) * DECODE_NS
    assert max(done.replica.requests.last_token_ns) == total


def test_who_decodes_stands_still_while_a_prompt_is_computed() -> None:
    """The second comes during the first decode, which is the second step; it runs in the third."""
    done = run([0, PREFILL_NS + 1], [40, 70], [5, 2], max_model_len=600)
    assert [batch.tokens for batch in done.steps] == [
        {0: 40},
        {0: 1},
        {1: 70},
        {0: 1, 1: 1},
        {0: 1},
        {0: 1},
    ]
    assert list(done.replica.requests.last_token_ns) == [2 * PREFILL_NS + 4 * DECODE_NS, 2020]


# --- the watermark


def crowd(second: int, *, output: int) -> Run:
    """Two prompts of 150 and ``second`` whole blocks; 300 large pages are there for both."""
    return run(
        [0, 0],
        [150 * 16, second * 16],
        [output, output],
        max_model_len=8192,
        pool_bytes=(LARGE + 1) * PAGE_BYTES,
    )


def test_an_admission_leaves_one_percent_of_the_large_pages() -> None:
    done = crowd(300 - 150 - KEPT, output=5)
    assert done.replica.scheduler.tables.free_pages() == (300,)
    assert done.admitted() == {0: 2}


def test_an_admission_that_would_leave_a_page_less_waits_for_the_first_to_end() -> None:
    """The first has five tokens after step 4."""
    done = crowd(300 - 150 - KEPT + 1, output=5)
    assert done.admitted() == {0: 1, 5: 1}


def test_a_decode_may_take_what_an_admission_leaves_and_then_the_youngest_is_preempted() -> None:
    """Each takes a page in step 1, and the first the last one in step 17.

    The second then has 17 tokens more than its prompt, in 149 blocks. Those are there, with three
    to spare, when the first is gone, whose 65th token comes in step 64.
    """
    done = crowd(147, output=65)
    assert [step for step, batch in enumerate(done.steps) if batch.preempted] == [17]
    assert done.steps[17].preempted == [1]
    assert done.steps[17].tokens == {0: 1}
    assert done.admitted_at(1) == [0, 65]
    assert done.steps[65].tokens == {1: 147 * 16 + 17}
    assert len(done.steps) == 65 + 1 + (65 - 17 - 1)
