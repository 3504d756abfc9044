"""What fit says of requests is what carvings take and runs hold; laws over drawn models."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.load import load_gpu, load_model, model_names
from jenga_sim.configs.specs import ModelSpec
from jenga_sim.policies.base import Carving, GroupingContext
from jenga_sim.policies.carving.lcm import LCMCarving
from jenga_sim.policies.presets import PRESETS, get_policy
from jenga_sim.policies.retention import Retention
from jenga_sim.sim.fit import (
    ENDLESS,
    PolicyFit,
    fit_policy,
    needed_bytes,
    waste_share,
)
from jenga_sim.sim.fit_pages import PAGE_EXACT, bytes_taken, most_requests
from jenga_sim.sim.recorder import StepRecord
from jenga_sim.sim.run import make_replica, prepare
from jenga_sim.sim.setup import Setup, policy_specs
from jenga_sim.sim.usage import PARTS
from jenga_sim.traces import Trace
from tests.sim.strategies import SpyRecorder, examples, layer_mixes
from tests.sim.test_fit import fit, resolved, tiny

GIB = 1 << 30
B200, H100 = load_gpu("b200-sxm"), load_gpu("h100-sxm")
MY_POLICY = Path(__file__).parents[2] / "docs" / "examples" / "my_policy.py"


# --- against what carvings and runs really do ----------------------------------------------------


@pytest.mark.parametrize("model", model_names())
def test_groups_are_those_of_a_run(model: str) -> None:
    """But for the block of a state, which is a whole request of whatever length."""
    spec = load_model(model)
    engine = resolved(spec, B200)
    context = GroupingContext(block_size=engine.block_size, max_model_len=engine.max_model_len)
    for policy in PRESETS.values():
        found = fit_policy(policy, spec, engine, 100 * GIB)
        specs = policy_specs(spec, engine, policy, Retention(enabled=False))
        groups = policy.group(specs, context)
        assert len(groups) == len(found.groups)
        for mine, real in zip(found.groups, groups, strict=True):
            if mine.block_size == ENDLESS:
                mine = replace(mine, block_size=real.block_size)
            assert replace(mine, spec=None) == replace(real, spec=None)


POOLS = {"gemma-3-12b": 3 * GIB, "qwen3-next-80b": 3 * GIB, "llama-3.2-11b-vision": GIB}


@pytest.mark.parametrize("policy", PRESETS)
@pytest.mark.parametrize("model", POOLS)
@pytest.mark.parametrize("tokens", [37, 2_500])
def test_as_many_requests_as_said_can_be_taken_one_after_the_other(
    model: str, policy: str, tokens: int
) -> None:
    found = fit(policy, model, POOLS[model], tensor_parallel_size=2)
    if found.carving is None:
        return
    need = found.live_pages(tokens, cross=100)
    expected = found.concurrency(tokens, cross=100)
    carving = get_policy(policy).make_carving(found.groups, found.pool_bytes)
    taken = 0
    while carving.take(taken, need):
        taken += 1
    assert taken == expected
    carving.check()


@pytest.mark.parametrize("policy", PRESETS)
@pytest.mark.parametrize("model", POOLS)
def test_bytes_are_what_the_pool_lacks_afterwards(model: str, policy: str) -> None:
    found = fit(policy, model, 16 * GIB, tensor_parallel_size=2)
    assert found.carving is not None
    mine = type("Mine", (type(found.carving),), {})
    asked = mine(found.groups, found.pool_bytes)
    for tokens in (1, 16, 17, 700, 5_000):
        need = found.live_pages(tokens)
        assert bytes_taken(found.carving, need) == bytes_taken(asked, need)


def test_a_class_of_the_users_is_asked() -> None:
    """Whole chunks of 2 MiB for each request: what n of them need is not n times in one request."""
    found = fit(f"{MY_POLICY}:Chunked", "gemma-3-12b", 3 * GIB)
    assert found.carving is not None
    pages = zip(found.live_pages(900), found.groups, strict=True)
    chunks = sum(-(-count * group.page_bytes // (2 << 20)) for count, group in pages)
    layers = [len(group.layers) for group in found.groups]
    assert found.held_bytes(900) % (2 << 20) == 0
    assert found.held_bytes(900) >= chunks * (2 << 20)
    assert len(layers) == 2
    assert found.concurrency(900) == 3 * GIB // found.held_bytes(900)
    assert found.concurrency(10**7) == 0


class Hoarder(LCMCarving):
    """Takes what no pool has."""

    def take(self, slot: int, need: Any) -> bool:
        return False


def test_a_class_that_takes_nothing_is_named() -> None:
    found = fit("lcm", "gemma-3-12b", 3 * GIB)
    with pytest.raises(ConfigError, match=r"Hoarder refuses .* pages of one request"):
        bytes_taken(Hoarder(found.groups, found.pool_bytes), found.live_pages(5))


def records(
    policy: str, model: ModelSpec, prompt: int, output: int
) -> tuple[Setup, list[StepRecord]]:
    setup = prepare(
        Trace.from_columns([0], [prompt], [output]),
        model=model,
        gpu=H100,
        policy=policy,
        kv_cache_memory_bytes=60 * GIB,
        max_num_batched_tokens=max(prompt, 64),
        max_num_seqs=1,
        async_scheduling=False,
        enable_prefix_caching=False,
    )
    replica = make_replica(setup, fast=False, check=False)
    replica.recorder = SpyRecorder(replica.meter.labels, setup.pool.bytes)
    replica.run()
    return setup, replica.recorder.records


@pytest.mark.parametrize("policy", PRESETS)
@pytest.mark.parametrize("model", ["gemma-3-12b", "qwen3-next-80b"])
def test_a_run_holds_what_was_said(model: str, policy: str) -> None:
    """In decode steps behind a prompt of one token; exactly, but for Jenga's moving windows."""
    spec = load_model(model)
    last = 1_300 if model == "gemma-3-12b" else 60
    setup, steps = records(policy, spec, 1, last)
    found = fit_policy(policy, spec, setup.engine, setup.pool.bytes)
    assert found.carving is not None
    windows = sum(1 for group in found.groups if group.window)
    parts = [PARTS.index(part) for part in ("needed", "dead", "padding", "internal")]
    for tokens in range(2, last, 7):
        record = steps[tokens - 1]
        held = sum(sum(record.parts[part]) for part in parts)
        if type(found.carving) in PAGE_EXACT:
            assert found.held_bytes(tokens) == held
        elif policy != "lcm-frugal":
            assert isinstance(found.carving, LCMCarving)
            spare = windows * found.carving.large_bytes
            assert found.held_bytes(tokens) <= held <= found.held_bytes(tokens) + spare
        assert sum(record.parts[0]) == needed_bytes(spec, tokens, setup.engine)


# --- laws ----------------------------------------------------------------------------------------

LENGTHS = st.integers(1, 400)


@examples(60)
@given(layer_mixes(), LENGTHS, st.integers(0, 40), st.sampled_from([1, 3, 4, 16]))
def test_no_policy_holds_less_than_needed_nor_than_ideal(
    layers: Any, tokens: int, cross: int, block: int
) -> None:
    model, engine = tiny(layers, block_size=block)
    needed = needed_bytes(model, tokens, engine, cross)
    ideal = fit_policy("ideal", model, engine, 1 << 21).held_bytes(tokens, cross)
    assert ideal == needed
    for policy in PRESETS:
        found = fit_policy(policy, model, engine, 1 << 21)
        if found.refused is None:
            held = found.held_bytes(tokens, cross)
            assert held >= needed
            assert 0 <= waste_share(needed, held) <= 1


@examples(60)
@given(layer_mixes(), LENGTHS, st.integers(1, 200))
def test_longer_requests_hold_no_less_where_nothing_is_recycled(
    layers: Any, tokens: int, more: int
) -> None:
    model, engine = tiny(layers)
    for policy in PRESETS:
        found = fit_policy(policy, model, engine, 1 << 21)
        if found.refused is None and not any(group.window for group in found.groups):
            shorter, longer = (found.held_bytes(n) for n in (tokens, tokens + more))
            assert shorter <= longer


@examples(60)
@given(layer_mixes(), LENGTHS, st.integers(2_000, 400_000))
def test_requests_at_once_fit_the_pool_and_one_more_is_not_taken(
    layers: Any, tokens: int, pool: int
) -> None:
    model, engine = tiny(layers)
    for policy in PRESETS:
        found = fit_policy(policy, model, engine, pool)
        if found.carving is None:
            continue
        count = found.concurrency(tokens)
        need = found.live_pages(tokens)
        if count is None:
            assert not any(need)
            continue
        assert count * found.held_bytes(tokens) <= pool or type(found.carving) not in PAGE_EXACT
        assert_taken(found.carving, found, need, count)


def assert_taken(like: Carving, found: PolicyFit, need: Any, count: int) -> None:
    """``count`` requests are taken one after the other, and not one more."""
    carving = type(like)(found.groups, found.pool_bytes)
    assert most_requests(carving, need) == count
    for slot in range(min(count, 3_000)):
        assert carving.take(slot, need)
    assert count > 3_000 or not carving.take(count, need)


@examples(60)
@given(layer_mixes(), st.integers(2_000, 100_000), st.integers(0, 100_000))
def test_a_larger_pool_serves_no_shorter_requests(layers: Any, pool: int, more: int) -> None:
    """But for SGLang's parts: one more slot of states leaves less for attention."""
    model, engine = tiny(layers)
    for policy in PRESETS:
        small, large = (fit_policy(policy, model, engine, size) for size in (pool, pool + more))
        if small.refused is None and policy != "static-sglang":
            assert large.refused is None
            one, two = small.longest(), large.longest()
            assert two is None or (one is not None and one <= two)
            assert small.longest_allowed() <= large.longest_allowed() <= engine.max_model_len
        for found in (small, large):
            longest, limit = found.longest(), engine.max_model_len
            assert found.longest_allowed() == (limit if longest is None else min(longest, limit))
