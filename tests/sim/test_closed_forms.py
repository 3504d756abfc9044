"""Numbers that can be worked out by hand or by counting one by one."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.engine import engine_config
from jenga_sim.configs.load import load_gpu, load_model
from jenga_sim.configs.specs import Kind, KVCacheSpec, LayerSpec, ModelSpec
from jenga_sim.policies.demand_kernels import kind_code
from jenga_sim.sim.compiled.roofline import attention_pairs
from jenga_sim.sim.latency import AnalyticalLatency, Prefill, StepShape
from jenga_sim.sim.recorder import StepRecord
from jenga_sim.sim.run import make_replica, prepare
from jenga_sim.sim.usage import PARTS
from jenga_sim.traces import Trace
from tests.sim.strategies import GPU, SpyRecorder, examples, layer_mixes, tiny_model

H100 = load_gpu("h100-sxm")


def records_of_one_request(
    model: ModelSpec, policy: str, *, prompt: int, output: int, cross: int = 0
) -> list[StepRecord]:
    """Steps of a request alone on a large pool, its prompt in one chunk."""
    setup = prepare(
        Trace.from_columns([0], [prompt], [output], cross_tokens=[cross]),
        model=model,
        gpu=H100,
        policy=policy,
        kv_cache_memory_bytes=200 * 2**30,
        max_num_batched_tokens=prompt,
        max_num_seqs=1,
        async_scheduling=False,
        enable_prefix_caching=False,
    )
    replica = make_replica(setup, fast=False, check=True)
    replica.recorder = SpyRecorder(replica.meter.labels, setup.pool.bytes)
    replica.run()
    return replica.recorder.records


def dead_share(record: StepRecord) -> Fraction:
    """Dead bytes of those that the request's tokens take: what the papers call waste."""
    needed, dead = (sum(record.parts[PARTS.index(part)]) for part in ("needed", "dead"))
    return Fraction(dead, needed + dead)


def test_paged_wastes_79_6_percent_of_llama_3_2_vision() -> None:
    """43 text and 6,193 encoder tokens in 40 layers, of which 32 read text and 8 the encoder's."""
    model = load_model("llama-3.2-11b-vision")
    (record,) = records_of_one_request(model, "paged", prompt=43, output=1, cross=6193)
    share = dead_share(record)
    assert share == 1 - Fraction(43 * 32 + 6193 * 8, (43 + 6193) * 40)
    assert f"{float(share):.3%}" == "79.586%"


def test_paged_wastes_a_quarter_of_gemma_2_at_its_full_length() -> None:
    """Half of the layers read the last 4,096 of 8,192 tokens."""
    model = replace(load_model("gemma-2-27b"), max_model_len=16384)
    records = records_of_one_request(model, "paged", prompt=8191, output=2)
    assert records[-1].tokens == 1
    assert dead_share(records[-1]) == Fraction(1, 4)


def test_paged_wastes_56_25_percent_of_ministral_at_131072_tokens() -> None:
    """27 of 36 layers read the last 32,768 tokens."""
    model = replace(load_model("ministral-8b"), max_model_len=1 << 18)
    records = records_of_one_request(model, "paged", prompt=131071, output=2)
    assert dead_share(records[-1]) == Fraction(5625, 10000)


@pytest.mark.parametrize("policy", ["vllm", "lcm", "static", "ideal"])
@pytest.mark.parametrize(
    ("name", "prompt", "cross"), [("gemma-2-27b", 8191, 0), ("llama-3.2-11b-vision", 43, 6193)]
)
def test_policies_that_know_the_kinds_waste_nothing_there(
    policy: str, name: str, prompt: int, cross: int
) -> None:
    model = replace(load_model(name), max_model_len=16384)
    records = records_of_one_request(model, policy, prompt=prompt, output=2, cross=cross)
    assert dead_share(records[-1]) == 0


def test_buddy_layers_pad_a_fifth_of_gemma_3s_windows() -> None:
    """52 window layers in the room of 64, 10 full layers in that of 16, at 1,024 tokens."""
    (record,) = records_of_one_request(
        load_model("gemma-3-27b"), "buddy-layers", prompt=1024, output=1
    )
    rows = {part: record.parts[PARTS.index(part)] for part in ("needed", "padding", "internal")}
    assert sum(rows["internal"]) == 0
    shares = [
        Fraction(padding, padding + needed)
        for padding, needed in zip(rows["padding"], rows["needed"], strict=True)
    ]
    assert [float(share) for share in shares] == [0.1875, 0.375]
    held = sum(rows["padding"]) + sum(rows["needed"])
    assert Fraction(sum(rows["padding"]), held) == 1 - Fraction(62, 80)


@pytest.mark.parametrize(
    ("policy", "padded"),
    [
        ("max-page", [0, Fraction(42, 52)]),
        ("buddy-bytes", [Fraction(28, 80), 0]),
        ("pad-lcm", [Fraction(8, 60), 0]),
        ("gcd-page", [0, 0]),
    ],
)
def test_padding_of_gemma_3_by_layers(policy: str, padded: list[Fraction]) -> None:
    (record,) = records_of_one_request(load_model("gemma-3-27b"), policy, prompt=1024, output=1)
    rows = [record.parts[PARTS.index(part)] for part in ("padding", "needed")]
    assert [Fraction(a, a + b) for a, b in zip(*rows, strict=True)] == padded


def test_a_state_in_several_pages_is_padded_by_the_page() -> None:
    """Bamba's 29 states in pages of 11 attention blocks each; 16 tokens fill one block."""
    (record,) = records_of_one_request(load_model("bamba-9b"), "lcm-blocks", prompt=16, output=1)
    state, page, block = 2_147_840, 11 * 196_608, 196_608
    rows = {part: record.parts[PARTS.index(part)] for part in ("needed", "padding", "internal")}
    assert rows["needed"] == [29 * state, block]
    assert rows["padding"] == [29 * (page - state), 0]
    assert rows["internal"] == [0, 10 * block]


def test_ideal_holds_the_bytes_of_the_formula() -> None:
    """gemma-3-27b at 10,000 tokens: 52 layers of 1,024 tokens, 10 of all."""
    model = load_model("gemma-3-27b")
    record = records_of_one_request(model, "ideal", prompt=9999, output=2)[-1]
    assert sum(record.parts[0]) == (52 * 1024 + 10 * 10_000) * 2 * 16 * 128 * 2


# --- time ----------------------------------------------------------------------------------------


def test_a_request_alone_takes_the_steps_that_the_latency_model_says() -> None:
    """TTFT is the sum of the prompt's chunks, E2E adds one decode per further token."""
    model, prompt, output, chunk = load_model("gemma-3-27b"), 5000, 40, 2048
    setup = prepare(
        Trace.from_columns([7], [prompt], [output]),
        model=model,
        gpu=H100,
        policy="lcm",
        max_num_batched_tokens=chunk,
        async_scheduling=False,
    )
    replica = make_replica(setup)
    replica.run()
    latency = AnalyticalLatency(model, H100, setup.engine)
    ends = [2048, 4096, 5000]
    sizes = [2048, 2048, 904]
    chunks = [
        StepShape(
            num_tokens=new,
            num_samples=int(end == prompt),
            decode_rows=0,
            decode_reads=(0,) * len(latency.classes),
            prefills=(Prefill(new, end, 0),),
        )
        for new, end in zip(sizes, ends, strict=True)
    ]
    ttft = sum(latency.step_ns(shape) for shape in chunks)
    assert replica.requests.scheduled_ns[0] == 7
    assert replica.requests.first_token_ns[0] - 7 == ttft
    decodes = sum(
        latency.step_ns(
            StepShape(
                num_tokens=1,
                num_samples=1,
                decode_rows=1,
                decode_reads=tuple(
                    min(length, c.spec.window) if c.spec.window else length for c in latency.classes
                ),
            )
        )
        for length in range(prompt + 1, prompt + output)
    )
    assert replica.requests.last_token_ns[0] - 7 == ttft + decodes


def latency_of(layers: tuple[LayerSpec, ...], most: int = 64) -> AnalyticalLatency:
    model = tiny_model(layers, 4000)
    engine = engine_config(max_num_batched_tokens=most, max_num_seqs=most)
    return AnalyticalLatency(model, GPU, engine.resolve(model, GPU))


def decode_shape(rows: int, reads: tuple[int, ...]) -> StepShape:
    return StepShape(num_tokens=rows, num_samples=rows, decode_rows=rows, decode_reads=reads)


@examples(100)
@given(layers=layer_mixes(), rows=st.integers(1, 63), data=st.data())
def test_more_work_never_takes_less_time(
    layers: tuple[LayerSpec, ...], rows: int, data: st.DataObject
) -> None:
    latency = latency_of(layers)
    reads = tuple(data.draw(st.integers(0, 10**6)) for _ in latency.classes)
    least = latency.step_ns(decode_shape(rows, reads))
    assert latency.step_ns(decode_shape(rows + 1, reads)) >= least
    for index in range(len(reads)):
        longer = (*reads[:index], reads[index] + 1000, *reads[index + 1 :])
        assert latency.step_ns(decode_shape(rows, longer)) > least
    new, text = data.draw(st.integers(1, 63)), data.draw(st.integers(64, 4000))
    cross = data.draw(st.integers(0, 50))

    def chunk(new: int, text: int, cross: int) -> int:
        prefills = (Prefill(new, text, cross),)
        return latency.step_ns(StepShape(new, 0, 0, (0,) * len(reads), prefills))

    assert chunk(new + 1, text + 1, cross) >= chunk(new, text, cross)
    assert chunk(new, text, cross + 1) >= chunk(new, text, cross)
    if not any(layer.kind == "chunked_local" for layer in layers):
        assert chunk(new, text + 1, cross) >= chunk(new, text, cross)


def pairs_of(spec: KVCacheSpec, new: int, text: int, cross: int = 0) -> int:
    return attention_pairs(kind_code(spec.kind), spec.window, new, text, cross)


def test_a_long_prompt_takes_as_long_in_attention_however_it_is_cut() -> None:
    spec = LayerSpec(
        kind="sliding_window", variant="swa", heads=1, kv_heads=1, k_dim=1, v_dim=1, window=100
    ).kv_cache_spec(block_size=1, tp=1)
    whole = pairs_of(spec, 1000, 1000)
    cuts = [0, 1, 99, 100, 101, 550, 1000]
    parts = [pairs_of(spec, end - start, end) for start, end in pairwise(cuts)]
    assert sum(parts) == whole


@examples(300)
@given(
    kind=st.sampled_from(["full", "sliding_window", "chunked_local", "cross", "mla"]),
    window=st.integers(1, 40),
    before=st.integers(0, 80),
    new=st.integers(1, 80),
    cross=st.integers(0, 50),
)
def test_pairs_are_counted_as_one_by_one(
    kind: Kind, window: int, before: int, new: int, cross: int
) -> None:
    spec = KVCacheSpec(kind=kind, variant=kind, block_size=1, entry_bytes=4, window=window)

    def keys(query: int) -> int:
        if kind == "cross":
            return cross
        if kind == "sliding_window":
            return sum(query - window < key <= query for key in range(query + 1))
        if kind == "chunked_local":
            return sum(key // window == query // window for key in range(query + 1))
        return query + 1

    counted = sum(keys(query) for query in range(before, before + new))
    assert pairs_of(spec, new, before + new, cross) == counted
