"""Which blocks stay cached: the names, and the rule stated block by block."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import ConfigError
from jenga_sim.policies.caching import layout
from jenga_sim.policies.presets import PRESETS, customize
from jenga_sim.policies.retention import Retention, parse_retention
from tests.policies.cache_pools import ALIGNED, CHUNKED, FULL, SLIDING, Group, keeps, make_pool
from tests.sim.strategies import examples

DENSE = layout.DENSE


# --- names


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("none", Retention(enabled=False)),
        ("dense", Retention(enabled=True, interval=None)),
        ("junction", Retention(enabled=True, interval=0)),
        ("interval(16)", Retention(enabled=True, interval=16)),
        ("interval(4096)", Retention(enabled=True, interval=4096)),
    ],
)
def test_a_name_means(name: str, meaning: Retention) -> None:
    assert parse_retention(name) == meaning
    assert customize(PRESETS["vllm"], {"retention": name}).retention == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Dense",
        "lru",
        "interval",
        "interval()",
        "interval(0)",
        "interval(-16)",
        "interval(1.5)",
        "interval(16) ",
        "junction,dense",
        "interval(N)",
    ],
)
def test_any_other_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ConfigError, match="none, dense, junction, interval") as error:
        parse_retention(name)
    assert repr(name) in str(error.value)
    with pytest.raises(ConfigError, match=r"policy\.retention"):
        customize(PRESETS["vllm"], {"retention": name})


def test_only_vllm_and_jenga_with_its_kin_cache_prefixes_of_their_own_accord() -> None:
    cached = {name: policy.retention for name, policy in PRESETS.items()}
    expected = {"vllm": "junction", "vllm-nohybrid": "junction"}
    expected |= dict.fromkeys(["lcm", "lcm-frugal", "jenga", "pad-lcm", "lcm-blocks"], "dense")
    assert cached == dict.fromkeys(PRESETS, "none") | expected


# --- the rule


def boundaries(interval: int, alignment: int, prompt: int, junction: int, most: int) -> set[int]:
    """Lengths at which a later request is expected to resume."""
    if interval == DENSE:
        return set(range(alignment, most + 1, alignment))
    kept = {(prompt - 1) // alignment * alignment, junction // alignment * alignment}
    if interval:
        kept |= set(range(interval, most + 1, interval))
    return kept - {0}


def kept_blocks(group: Group, resumed: set[int], most: int) -> set[int]:
    """Blocks of ``group`` that a request reads which resumes at one of these lengths."""
    blocks: set[int] = set()
    for tokens in resumed:
        end = tokens // group.block
        count = 1
        if group.kind == SLIDING:
            count = math.ceil((group.window - 1) / group.block)
        blocks |= set(range(max(0, end - count), end))
    return {block for block in blocks if (block + 1) * group.block <= most}


@st.composite
def cases(draw: st.DrawFn) -> tuple[Group, int, int, int, int]:
    """A group, the scheduler's block, the retention interval, prompt and junction."""
    block = draw(st.sampled_from([1, 2, 4, 16]))
    alignment = block * draw(st.integers(1, 4))
    kind = draw(st.sampled_from([SLIDING, ALIGNED]))
    window = draw(st.integers(2, 6 * block + 3)) if kind == SLIDING else 0
    interval = draw(st.sampled_from([DENSE, 0, alignment, 2 * alignment, 5 * alignment]))
    prompt = draw(st.integers(1, 30 * block))
    junction = draw(st.sampled_from([0, 1, 2, 3])) * draw(st.integers(0, 10 * block))
    return Group(kind, block, window), alignment, interval, prompt, min(junction, prompt)


@examples(400)
@given(case=cases())
def test_windows_and_states_keep_what_a_request_reads_that_resumes_at_a_boundary(
    case: tuple[Group, int, int, int, int],
) -> None:
    group, alignment, interval, prompt, junction = case
    arrays = make_pool([group, Group(FULL, alignment)], interval=interval)
    assert arrays.settings[layout.ALIGNMENT] == alignment
    most = 40 * alignment
    count = most // group.block
    kept = {index for index in range(count) if keeps(arrays, index, prompt, junction)}
    resumed = boundaries(interval, alignment, prompt, junction, most + 60 * alignment)
    expected = kept_blocks(group, resumed, most)
    if group.kind == ALIGNED and interval == DENSE:
        expected = set(range(count))  # also the states that no hit can end at
    assert kept == expected


@pytest.mark.parametrize("interval", [DENSE, 0, 64])
@pytest.mark.parametrize("kind", [FULL, CHUNKED])
def test_full_attention_and_chunks_keep_every_block(kind: int, interval: int) -> None:
    arrays = make_pool([Group(kind, 16, 64)], interval=interval)
    for index in range(20):
        assert keeps(arrays, index, 100, 0)


def kept_of_gemma(interval: int, prompt: int, junction: int = 0) -> list[int]:
    """Blocks of gemma-3's window that stay, out of 2,560 tokens in blocks of 16."""
    arrays = make_pool([Group(SLIDING, 16, 1024)], interval=interval)
    return [index for index in range(160) if keeps(arrays, index, prompt, junction)]


def test_a_window_of_1024_tokens_keeps_64_blocks_before_a_boundary() -> None:
    assert kept_of_gemma(DENSE, 2000) == list(range(160))
    assert kept_of_gemma(0, 2000) == list(range(60, 124)), "1,984 tokens are 124 blocks"
    assert kept_of_gemma(0, 2001) == list(range(61, 125)), "2,000 of them can be hit"
    assert kept_of_gemma(0, 2000, junction=1500) == list(range(29, 124))
    assert kept_of_gemma(2048, 100) == [*range(6), *range(64, 128)]
    assert kept_of_gemma(1024, 100) == list(range(160))
