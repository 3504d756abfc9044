"""Real models on tight pools, with traces whose prompts share prefixes."""

import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

from jenga_sim.configs.engine import engine_config
from jenga_sim.configs.load import load_gpu, load_model
from jenga_sim.configs.replay import ReplayConfig
from jenga_sim.policies.base import PageGroup
from jenga_sim.policies.demand import most_pages
from jenga_sim.policies.large_pages.rules import most_held
from jenga_sim.policies.presets import PRESETS, Policy, customize
from jenga_sim.sim.engine import Replica
from jenga_sim.sim.requests import FACTS, SEAT
from jenga_sim.sim.run import Setup, make_replica, prepare
from jenga_sim.sim.setup import scheduler_config, table_rules
from jenga_sim.traces import Trace
from tests.sim.strategies import REPLAYS, Turn, smallest_pool, with_turns

ATTENTION = ("gemma-3-27b", "llama-4-scout", "gpt-oss-20b", "llama-3.1-8b")
COMPRESSED = str(Path(__file__).with_name("compressed.yaml"))
"""Entries of several tokens, and four sizes of blocks."""
MODELS = (*ATTENTION, "jamba-1.5-mini", COMPRESSED)
BLOCK_SIZES = {COMPRESSED: 64}
"""Where the default would be too long for these traces."""
BLOCK = 64
"""Tokens that a hash id of these traces stands for."""


def policy_of(name: str, retention: str) -> Policy:
    """A preset with another retention."""
    return customize(PRESETS[name], {"retention": retention})


def trace_of(seed: int, *, count: int, longest: int, gap_ns: int, share: bool) -> Trace:
    """Prompts that start with one of three texts, and some that are sent again; or all apart."""
    rng = np.random.default_rng(seed)
    prompts: list[int] = []
    hash_ids: list[list[int]] = []
    fresh = 1000
    for _ in range(count):
        if share and prompts and rng.random() < 0.25:
            again = int(rng.integers(len(prompts)))
            prompts.append(prompts[again])
            hash_ids.append(hash_ids[again])
            continue
        prompt = int(rng.integers(1, longest))
        blocks = -(-prompt // BLOCK)
        known = int(rng.integers(0, blocks + 1)) if share else 0
        text = 100 * int(rng.integers(3))
        prompts.append(prompt)
        own = list(range(fresh, fresh + blocks - known))
        hash_ids.append([*range(text, text + known), *own])
        fresh += len(own)
    return Trace.from_columns(
        np.cumsum(rng.integers(0, gap_ns, count)),
        prompts,
        rng.integers(1, 160, count),
        priority=rng.integers(0, 3, count),
        hash_ids=hash_ids,
        block_size=BLOCK,
    )


def conversations_of(
    seed: int, *, count: int, longest: int, gap_ns: int
) -> tuple[Trace, tuple[Turn, ...]]:
    """Five conversations side by side: each turn sends all that was said before, and more."""
    rng = np.random.default_rng(seed)
    at = np.cumsum(rng.integers(0, gap_ns, count))
    outputs = rng.integers(1, 160, count)
    prompts: list[int] = []
    hash_ids: list[list[int]] = []
    turns: list[Turn] = []
    latest: dict[int, int] = {}
    for slot in range(count):
        talk = int(rng.integers(5))
        before = latest.get(talk)
        said = 0 if before is None else prompts[before] + int(outputs[before])
        prompt = said + int(rng.integers(1, longest // 3))
        if prompt > longest:
            # The conversation has become too long: another one begins in its place.
            before, prompt = None, int(rng.integers(1, longest))
        known = [] if before is None else hash_ids[before][: prompts[before] // BLOCK]
        blocks = -(-prompt // BLOCK)
        own = [1000 * slot + index for index in range(blocks - len(known))]
        delay_ns = int(rng.choice([-1, 0, 0, int(rng.integers(gap_ns))]))
        turns.append(Turn(() if before is None else (before,), delay_ns))
        prompts.append(prompt)
        hash_ids.append([*known, *own])
        latest[talk] = slot
    priority = rng.integers(0, 3, count)
    trace = Trace.from_columns(
        at, prompts, outputs, priority=priority, hash_ids=hash_ids, block_size=BLOCK
    )
    return trace, tuple(turns)


MOST_STEPS = 30_000
"""No case needs nearly as many."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run, and how scarce memory is."""

    model: str
    policy: str
    retention: str
    trace: Trace
    room: int
    """Eighths of the largest request beyond the first: 0 holds just one."""
    engine: dict[str, Any]
    turns: tuple[Turn, ...] = ()
    replay: ReplayConfig | None = None

    def chosen_policy(self) -> Policy:
        """The preset with the retention of this case."""
        return policy_of(self.policy, self.retention)

    def setup(self) -> Setup:
        """Everything resolved."""
        return prepare(
            with_turns(self.trace, self.turns),
            model=self.model,
            gpu="h100-sxm",
            policy=self.chosen_policy(),
            kv_cache_memory_bytes=self.pool_bytes(),
            replay=self.replay,
            **self.engine,
        )

    def pool_bytes(self) -> int:
        """The fewest bytes in which the largest request fits, and ``room`` more."""
        engine = self.engine
        groups = _groups(self.model, self.policy, self.retention, engine["max_model_len"])
        batches = 2 if engine["async_scheduling"] else 1
        limits = (batches * engine["max_num_batched_tokens"], engine["max_model_len"])
        trace = self.trace
        largest = int((trace.input_tokens + trace.output_tokens).max())
        pages = sum(most_pages(group, largest, 0, *limits, batches) for group in groups)
        return groups[0].page_bytes * (1 + pages + pages * self.room // 8)

    def run(self, *, fast: bool, check: bool = False) -> Replica:
        """Run to the end."""
        replica = make_replica(self.setup(), fast=fast, check=check)
        replica.hooks.should_stop = lambda: replica.recorder.num_steps > MOST_STEPS
        replica.run()
        assert not replica.truncated, "the run makes no progress"
        return replica

    def without_cache(self) -> "Case":
        """The same with the prefix cache off."""
        return replace(self, engine=self.engine | {"enable_prefix_caching": False})


AnyCase = TypeVar("AnyCase", bound=Case)


@cache
def _groups(model: str, policy: str, retention: str, longest: int) -> tuple[PageGroup, ...]:
    setup = prepare(
        Trace.from_columns([0], [1], [1]),
        model=model,
        gpu="h100-sxm",
        policy=policy_of(policy, retention),
        kv_cache_memory_bytes=1 << 40,
        max_model_len=longest,
        block_size=BLOCK_SIZES.get(model),
    )
    return setup.groups


RETENTIONS = {
    "gemma-3-27b": ("dense", "junction", "interval(256)"),
    "llama-4-scout": ("dense", "junction"),
    "gpt-oss-20b": ("dense", "junction", "interval(64)"),
    "llama-3.1-8b": ("dense", "junction"),
    "jamba-1.5-mini": ("dense", "junction", "interval(240)"),
    COMPRESSED: ("dense", "junction", "interval(128)"),
}
"""Those with an interval must have windows or states; a block of jamba has 80 tokens here."""


@st.composite
def cases(
    draw: st.DrawFn,
    models: tuple[str, ...] = MODELS,
    *,
    share: bool = True,
    reserve: tuple[bool, ...] = (True, False),
) -> Case:
    """A model, a policy and a trace; all settings of the scheduler that move a cached page."""
    model = draw(st.sampled_from(models))
    retention = draw(st.sampled_from(RETENTIONS[model]))
    hybrid = model == "jamba-1.5-mini" or retention.startswith("interval") or draw(st.booleans())
    trace = trace_of(
        draw(st.integers(0, 1 << 30)),
        count=draw(st.integers(8, 16)),
        longest=draw(st.sampled_from([100, 700, 1700])),
        gap_ns=draw(st.sampled_from([1, 50_000_000, 400_000_000])),
        share=share,
    )
    engine: dict[str, Any] = {
        "max_model_len": 2048,
        "max_num_seqs": draw(st.sampled_from([3, 16])),
        "max_num_batched_tokens": draw(st.sampled_from([100, 512, 2048])),
        "scheduling_policy": draw(st.sampled_from(["fcfs", "priority"])),
        "scheduler_reserve_full_isl": draw(st.sampled_from(reserve)),
        "long_prefill_token_threshold": draw(st.sampled_from([0, 0, 90])),
        "async_scheduling": draw(st.booleans()),
        "watermark": draw(st.sampled_from([0.0, 0.0, 0.05])),
        "block_size": BLOCK_SIZES.get(model),
    }
    return Case(
        model=model,
        policy="vllm" if hybrid else "vllm-nohybrid",
        retention=retention,
        trace=trace,
        # Where no kind keeps much, many requests fit where one does.
        room=draw(st.sampled_from([0, 0, 1] if model == COMPRESSED else [0, 2, 8, 16, 40])),
        engine=engine,
    )


@st.composite
def conversations(draw: st.DrawFn, case: st.SearchStrategy[AnyCase]) -> AnyCase:
    """A case of ``case`` with conversations, whose turns wait for those before them."""
    trace, turns = conversations_of(
        draw(st.integers(0, 1 << 30)),
        count=draw(st.integers(12, 20)),
        longest=draw(st.sampled_from([700, 1700])),
        gap_ns=draw(st.sampled_from([1, 50_000_000, 400_000_000])),
    )
    return replace(draw(case), trace=trace, turns=turns, replay=draw(st.sampled_from(REPLAYS)))


# --- Jenga's two levels of pages

LARGE = {
    "lcm": PRESETS["lcm"],
    "lcm-frugal": PRESETS["lcm-frugal"],
    "pad-lcm": PRESETS["pad-lcm"],
    "lcm-blocks": PRESETS["lcm-blocks"],
    "gcd pages": customize(PRESETS["lcm"], {"grouping": "gcd_page"}),
    "jenga": PRESETS["jenga"],
    "jenga with blocks": customize(PRESETS["jenga"], {"grouping": "lcm_blocks"}),
}
"""Presets, and what makes blocks of several pages out of windows and under scheduler v0."""


@dataclass(frozen=True, kw_only=True)
class LargeCase(Case):
    """A run on Jenga's pool."""

    def chosen_policy(self) -> Policy:
        """See Case."""
        return LARGE[self.policy]

    def pool_bytes(self) -> int:
        """The fewest bytes in which the largest request fits, and ``room`` eighths more."""
        policy = self.chosen_policy()
        engine = engine_config(**self.engine).resolve(load_model(self.model), load_gpu("h100-sxm"))
        config = scheduler_config(engine, policy.scheduler)
        rules = table_rules(policy.scheduler, config, caches=True)
        groups = large_groups(self.model, self.policy, engine.max_model_len)
        large = math.lcm(*(group.page_bytes for group in groups))
        ratios = [large // group.page_bytes for group in groups]
        longest = int((self.trace.input_tokens + self.trace.output_tokens).max())
        need = most_held(rules, groups, ratios, longest, 0, caches=True)
        watermark = config.watermark if policy.scheduler == "v0" else 0.0
        least = smallest_pool(policy.make_carving, groups, need, watermark)
        return least + least * self.room // 8


@cache
def large_groups(model: str, policy: str, longest: int) -> tuple[PageGroup, ...]:
    """Page groups under a policy of ``LARGE``."""
    return prepare(
        Trace.from_columns([0], [1], [1]),
        model=model,
        gpu="h100-sxm",
        policy=LARGE[policy],
        kv_cache_memory_bytes=1 << 36,
        max_model_len=longest,
        block_size=BLOCK_SIZES.get(model),
    ).groups


@st.composite
def large_cases(draw: st.DrawFn, policy: str, models: tuple[str, ...] = MODELS) -> LargeCase:
    """Like ``cases``, under a policy of ``LARGE``."""
    case = draw(cases(models))
    return LargeCase(
        model=case.model,
        policy=policy,
        retention="dense",
        trace=case.trace,
        room=case.room,
        engine=case.engine,
    )


# --- runs compared


def outcome(replica: Replica) -> dict[str, Any]:
    """Everything that a run recorded, comparable with ``==``."""
    recorder = vars(replica.recorder)
    return {
        # Seats are the compiled engine's alone.
        **dict(zip(FACTS[:SEAT], replica.requests.table[:SEAT].tolist(), strict=True)),
        **{f"recorder.{name}": value for name, value in recorder.items()},
        "rejected": replica.rejected,
        "end_ns": replica.now_ns,
    }


def assert_same(case: Case, seen: Counter[str]) -> None:
    """A case gives the same figures step by step and compiled."""
    slow = case.run(fast=False, check=seen["runs"] % 4 == 0)
    fast = case.run(fast=True)
    expected, found = outcome(slow), outcome(fast)
    for name, value in expected.items():
        assert found[name] == value, name
    seen["runs"] += 1
    seen["hits"] += any(tokens > 0 for tokens in fast.requests.hit)
    seen["preemptions"] += any(fast.requests.preemptions)
    seen["async"] += bool(case.engine["async_scheduling"])


def enough(seen: Counter[str]) -> None:
    """Runs hit, and preempted, often enough."""
    print(dict(seen))
    assert seen["hits"] >= 0.5 * seen["runs"]
    assert seen["preemptions"] >= 0.1 * seen["runs"]
    assert seen["async"] >= 0.2 * seen["runs"]
