"""Requests of which nothing came out, under the three policies for them."""

from __future__ import annotations

import numpy as np
import pytest

from jenga_sim import Trace, run
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.replay import ReplayConfig
from jenga_sim.sim.result import Result

S = 10**9


def result(zero_output: str, policy: str = "vllm") -> Result:
    # The prompts fill their blocks: the one token beyond is the first of a new one.
    trace = Trace.from_columns(
        [0, 0, 60 * S, 120 * S], [1_024, 512, 1_024, 512], [0, 40, 0, 1], block_size=512,
        hash_ids=[[1, 2], [3], [1, 4], [3]],
    )  # fmt: skip
    replay = ReplayConfig(zero_output=zero_output)  # type: ignore[arg-type]
    return run(trace, model="llama-3.1-8b", policy=policy, replay=replay, check=True)


def test_an_engine_generates_a_token_for_each_of_them() -> None:
    one = result("one")

    assert one.requests["output_tokens"].tolist() == [1, 40, 1, 1]
    assert one.summary["total_output_tokens"] == 43
    assert any("2 of 4 requests have no output: each gener" in w for w in one.summary["warnings"])


@pytest.mark.parametrize("policy", ["vllm", "lcm", "paged"])
def test_a_prefill_costs_the_same_and_counts_no_output(policy: str) -> None:
    one, prefill = result("one", policy), result("prefill", policy)

    assert prefill.requests["output_tokens"].tolist() == [0, 40, 0, 1]
    assert prefill.summary["total_output_tokens"] == 41
    assert np.isnan(prefill.requests["ttft_ms"]).tolist() == [True, False, True, False]
    for name in ("duration", "num_steps", "prefix_hit_tokens", "memory", "completed"):
        assert prefill.summary[name] == one.summary[name]
    assert prefill.requests["e2el_ms"].tolist() == one.requests["e2el_ms"].tolist()


def test_skipped_requests_are_not_served_and_are_counted() -> None:
    skip = result("skip")

    assert skip.requests["output_tokens"].tolist() == [40, 1]
    assert any("2 of 4 requests have no output: skipped" in w for w in skip.summary["warnings"])


def test_another_word_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match="'drop' is none of one, prefill, skip"):
        result("drop")
