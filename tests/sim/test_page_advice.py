"""A run says when its large pages are too large for its pool, and what would do better."""

import pytest

from jenga_sim import Trace
from jenga_sim.sim.run import make_replica, prepare
from jenga_sim.sim.setup import Setup

TRACE = Trace.from_columns([0, 10**9], [900, 3000], [40, 9])


def setup_of(model: str, policy: str, pool: int) -> Setup:
    return prepare(
        TRACE,
        model=model,
        gpu="h100-sxm",
        policy=policy,
        kv_cache_memory_bytes=pool,
        enable_prefix_caching=False,
    )


def large_page_notes(setup: Setup) -> list[str]:
    return [text for text in setup.warnings if text.startswith("the large page")]


def test_a_large_page_above_one_percent_is_noted_with_what_would_do_better() -> None:
    (text,) = large_page_notes(setup_of("qwen3.5-27b", "lcm", 40 << 30))
    assert "= 2,463,105,024 bytes, is 5.7 % of the pool, which holds 17;" in text
    assert "is expected to waste 79.5 %" in text
    assert "Better: --policy lcm-blocks (a large page of 3,207,168 bytes" in text


@pytest.mark.parametrize(
    ("model", "policy"),
    [
        ("qwen3.5-27b", "lcm-blocks"),
        ("qwen3.5-27b", "pad-lcm"),
        ("qwen3.5-27b", "max-page"),
        ("gemma-3-27b", "lcm"),
    ],
)
def test_nothing_is_noted_of_small_ones(model: str, policy: str) -> None:
    assert not large_page_notes(setup_of(model, policy, 40 << 30))


def test_the_policy_that_is_named_wastes_what_was_expected_or_less() -> None:
    """Two requests of 0.9k and 3k tokens; expected 1.6 % over longer and shorter ones."""
    waste: dict[str, float] = {}
    for policy in ("lcm", "lcm-blocks"):
        replica = make_replica(setup_of("qwen3.5-27b", policy, 40 << 30), check=True)
        replica.run()
        parts = [sum(row) for row in replica.recorder.kind_byte_ns]
        waste[policy] = 1 - parts[0] / sum(parts)
    assert waste["lcm"] > 0.9
    assert waste["lcm-blocks"] < 0.03
