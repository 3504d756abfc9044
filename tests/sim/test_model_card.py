"""What a model card says of a deployment, held against the parts it is made of."""

from dataclasses import replace

import pytest

from jenga_sim.configs.engine import GIB, engine_config
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.load import load_gpu, load_model
from jenga_sim.configs.pairs import with_draft
from jenga_sim.sim.model_card import ROOM, fewest_gpus, model_card
from jenga_sim.sim.pool import RANKS, kv_pool

H100 = load_gpu("h100-sxm")
LENGTHS = (1024, 16384, 32768, 131072)


@pytest.mark.parametrize("name", ["gemma-4-31b", "gpt-oss-20b", "qwen3.5-27b", "deepseek-v4-flash"])
def test_requests_are_served_at_once_just_where_one_is_served_at_all(name: str) -> None:
    """32k tokens of gemma-4-31b fit one H100 three times decoding; no such prompt is computed."""
    card = model_card(load_model(name), H100, lengths=LENGTHS)

    for policy in card.deployment.policies:
        for at in policy.at:
            served = policy.longest is None or at.tokens <= policy.longest
            assert bool(at.concurrency) == served, (policy.name, at.tokens)


def test_the_chunk_decides_whether_a_long_prompt_is_served() -> None:
    def at_once(chunk: int) -> int | None:
        settings = {"tensor_parallel_size": 1, "max_num_batched_tokens": chunk}
        model = load_model("gemma-4-31b")
        card = model_card(model, H100, lengths=(32768,), policies=("vllm",), settings=settings)
        return card.deployment.policies[0].at[0].concurrency

    assert at_once(8192) == 0
    assert at_once(2048) == 3


@pytest.mark.parametrize(
    ("name", "gpus"),
    [
        ("gemma-3-27b", 1),
        ("llama-3.1-70b", 4),
        ("qwen3-next-80b", 4),
        ("llama-4-scout", 8),
        ("llama-4-maverick", 40),
    ],
)
def test_the_fewest_gpus_that_leave_a_tenth_for_caches_are_chosen(name: str, gpus: int) -> None:
    model = load_model(name)

    def share(ranks: int) -> float:
        try:
            engine = engine_config(tensor_parallel_size=ranks).resolve(model, H100)
            return kv_pool(model, H100, engine).bytes / (0.92 * H100.memory_bytes)
        except ConfigError:
            return 0.0

    assert fewest_gpus(model, H100, {}) == gpus
    assert share(gpus) >= ROOM
    assert all(share(ranks) < ROOM for ranks in RANKS[: RANKS.index(gpus)])


def test_a_given_overhead_counts_when_the_number_of_gpus_is_chosen() -> None:
    model = load_model("gemma-3-27b")
    counts = [
        model_card(model, H100, overhead=size, policies=()).deployment.engine.tp
        for size in (None, 40 * GIB)
    ]
    assert counts == [1, 2]


def test_the_stage_with_the_draft_decides_how_many_gpus_there_are() -> None:
    """Half of qwen3-32b takes one GPU; with qwen3-30b-a3b beside it the last stage takes two."""
    target = load_model("qwen3-32b")
    pair = with_draft(target, load_model("qwen3-30b-a3b"), 2)
    cards = [model_card(model, H100, policies=(), stages=2) for model in (target, pair)]
    assert [card.deployment.engine.tp for card in cards] == [1, 2]
    assert cards[1].deployment.layers == (32, 111)


def test_a_model_that_no_number_of_ranks_holds_is_shown_on_one_gpu_with_the_reason() -> None:
    """Maverick's heads split over 40 ranks at most, whose shares are larger than such a GPU."""
    small = replace(H100, memory_bytes=16 * GIB)
    card = model_card(load_model("llama-4-maverick"), small)

    assert card.deployment.engine.tp == 1
    assert card.deployment.policies == ()
    assert "does not fit 1 x h100-sxm" in str(card.deployment.problem)
    assert "Use larger GPUs" in str(card.deployment.problem)
