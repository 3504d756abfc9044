"""Start-up figures are those of the real vLLM 0.33: for 37 models, and for random mixes of layers.

``kv_cache_groups.golden.json`` holds what vLLM made of models that are rebuilt here layer by layer.
``kv_cache_groups_random.golden.json`` holds cases with random layers, and what vLLM made of them or
how it refused them.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from jenga_sim.configs.engine import engine_config
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.load import load_gpu, load_model, model_names
from jenga_sim.policies.base import GroupingContext
from jenga_sim.policies.grouping.vllm import to_page_groups, vllm, vllm_layer_groups
from jenga_sim.sim.cases import read_case
from jenga_sim.sim.startup import Startup, startup_of_case, startup_of_model
from jenga_sim.sim.vllm_specs import vllm_specs

GOLDEN = Path(__file__).parents[1] / "golden" / "vllm"
MODELS: dict[str, Any] = json.loads((GOLDEN / "kv_cache_groups.golden.json").read_text())
RANDOM: list[Any] = json.loads((GOLDEN / "kv_cache_groups_random.golden.json").read_text())
V4: list[Any] = json.loads((GOLDEN / "deepseek_v4_groups.golden.json").read_text())
Layer = dict[str, Any]


def full(heads: int, size: int, **other: Any) -> Layer:
    return {"kind": "full", "kv_heads": heads, "head_size": size, **other}


def window(heads: int, size: int, tokens: int) -> Layer:
    return {**full(heads, size), "kind": "sliding_window", "window": tokens}


def chunk(heads: int, size: int, tokens: int) -> Layer:
    return {**full(heads, size), "kind": "chunked_local", "chunk": tokens}


def mla(size: int, dtype: str = "bf16") -> Layer:
    return {"kind": "mla", "head_size": size, "dtype": dtype, "block_size": 64}


def state(
    conv: list[int], ssm: list[int], page: int, *, dtype: str = "bf16", align: int = 0
) -> Layer:
    """A state, kept whole or at blocks of ``align`` tokens."""
    return {
        "kind": "mamba",
        "shapes": [conv, ssm],
        "dtypes": ["bf16", dtype],
        "mode": "align" if align else "none",
        "mamba_block_size": align or 131072,
        "page_size_padded": page,
    }


def repeated(times: int, *pattern: Layer) -> list[Layer]:
    return [{"pattern": list(pattern), "repeat": times}]


def jamba(block: int, dtype: str) -> list[Layer]:
    mamba = state([8192, 3], [8192, 16], block * 4096, dtype=dtype)
    return repeated(4, *[mamba] * 4, full(8, 128, block_size=block), *[mamba] * 3)


def bamba() -> list[Layer]:
    mamba = state([8448, 3], [128, 64, 128], 528 * 4096)
    attention = full(8, 128, block_size=528)
    return [layer for n in (9, 8, 8) for layer in ({**mamba, "count": n}, attention)] + [
        {**mamba, "count": 4}
    ]


def qwen3_next(block: int, dtype: str, align: int = 0) -> list[Layer]:
    delta = state([3, 8192], [32, 128, 128], block * 2048, dtype=dtype, align=align)
    return repeated(12, delta, delta, delta, full(2, 256, block_size=block))


GEMMA_2_27B = repeated(23, window(16, 128, 4096), full(16, 128))
GEMMA_3_27B = [
    *repeated(10, *[window(16, 128, 1024)] * 5, full(16, 128)),
    {**window(16, 128, 1024), "count": 2},
]
GPT_OSS_20B = repeated(12, window(8, 64, 128), full(8, 64))
SCOUT_TP8 = repeated(12, *[chunk(1, 128, 8192)] * 3, full(1, 128))
NEMOTRON = repeated(
    4, *[state([10240, 3], [128, 64, 128], 528 * 4096)] * 6, full(8, 128, block_size=528)
)
LAYERS: dict[str, list[Layer]] = {
    "Llama-3.1-8B": [full(8, 128, count=32)],
    "Gemma-2-27B (46L, SW 4096 1:1, ctx 8192)": GEMMA_2_27B,
    "Gemma-3-12B (48L)": repeated(8, *[window(8, 256, 1024)] * 5, full(8, 256)),
    "Gemma-3-27B (62L)": GEMMA_3_27B,
    "Gemma-3-27B hybrid off": GEMMA_3_27B,
    "gpt-oss-20b (24L, SW128 1:1)": GPT_OSS_20B,
    "gpt-oss-120b (36L)": repeated(18, window(8, 64, 128), full(8, 64)),
    "gpt-oss-20b + EAGLE draft (1 full layer)": [*GPT_OSS_20B, full(8, 64)],
    "Llama-4-Scout TP8 rank (48L, chunk 8192 3:1)": SCOUT_TP8,
    "Llama-4-Scout TP8 hybrid off": SCOUT_TP8,
    "Jamba-1.5-Mini bf16 state, APC off": jamba(80, "bf16"),
    "Jamba-1.5-Mini fp32 ssm, APC off": jamba(144, "fp32"),
    "Nemotron-H-8B like (24 mamba2 + 4 attn), APC off": NEMOTRON,
    "Bamba-9B (29 mamba2 + 3 attn), APC off": bamba(),
    "Qwen3-Next-80B TP1 fp32 ssm, APC off": qwen3_next(1056, "fp32"),
    "Qwen3-Next-80B TP1 bf16 ssm, APC on": qwen3_next(544, "bf16", align=544),
    "DeepSeek-V3.2 (61 MLA fp8 656B + 61 indexer 132B)": repeated(
        61, mla(656, "fp8"), mla(132, "fp8")
    ),
    "DeepSeek-V3 bf16 MLA 576": [{**mla(576), "count": 61}],
    "Gemma-2-27B + Gemma-2-2B draft": [
        *GEMMA_2_27B,
        *repeated(13, window(4, 256, 4096), full(4, 256)),
    ],
}


def model_case(recorded: str) -> dict[str, Any]:
    """The case behind the name of a recording."""
    name, layout = recorded.split(" | ")
    golden = MODELS[recorded]
    return {
        "name": name,
        "layers": LAYERS[name],
        "requests": [],
        "block_size": 16,
        "kv_bytes": golden.get("kv_bytes", 40 << 30),
        "max_model_len": golden.get("max_model_len", 8192),
        "hybrid": "hybrid off" not in name,
        "enable_prefix_caching": "APC off" not in name,
        "kv_cache_layout": layout,
    }


def start(case: dict[str, Any], folder: Path) -> Startup:
    path = folder / "x.json"
    path.write_text(json.dumps(case), encoding="utf-8")
    return startup_of_case(path)


def described(startup: Startup, *extra: str) -> dict[str, Any]:
    """The figures, without the fields of groups that a recording lacks."""
    figures = startup.describe()
    for group in figures["groups"]:
        for name in extra:
            del group[name]
    return figures


def test_there_are_37_groupings_and_one_refusal() -> None:
    assert sum("error" not in golden for golden in MODELS.values()) == 37
    assert sum("error" in golden for golden in MODELS.values()) == 1


@pytest.mark.parametrize("recorded", [name for name, g in MODELS.items() if "error" not in g])
def test_the_figures_of_a_model_are_those_of_vllm(recorded: str, tmp_path: Path) -> None:
    ours = described(start(model_case(recorded), tmp_path), "kind", "layer_indices")
    assert ours == MODELS[recorded]


@pytest.mark.parametrize("recorded", [name for name, g in MODELS.items() if "error" in g])
def test_what_vllm_refuses_is_reported_as_its_limit(recorded: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        start(model_case(recorded), tmp_path)
    message = str(caught.value)
    assert MODELS[recorded]["error"] in message  # the recording is cut off within the list
    assert "'layers.72.sliding_window'" not in message, "layers of the draft are not missed"
    assert "limit of vLLM" in message
    assert "LBNHC" in message


# --- DeepSeek-V4-Flash: compressed attention


def start_v4(settings: dict[str, Any]) -> Startup:
    """Start-up of the shipped model under the settings of a recording."""
    engine = {
        "max_num_seqs": 256,
        "max_num_batched_tokens": 8192,
        "async_scheduling": False,
        "kv_cache_memory_bytes": 100 << 30,
        **settings,
    }
    manager: dict[str, Any] = {
        "enable_prefix_caching": True,
        "hybrid": True,
        "kv_cache_layout": "BLHNC",
    }
    manager |= {name: engine.pop(name) for name in tuple(engine) if name in manager}
    model, gpu = load_model("deepseek-v4-flash"), load_gpu("b200-sxm")
    return startup_of_model(model, gpu, engine_config(**engine).resolve(model, gpu), **manager)


@pytest.mark.parametrize("recording", V4, ids=lambda r: r["name"])
def test_compressed_caches_get_the_groups_and_figures_of_vllm(recording: Any) -> None:
    """vLLM was given the specs that its classes of this model return: blocks of 256, 64, 8 and 4
    tokens, pages padded to 576 bytes (fp8) or 512, in the order in which it registers them."""
    golden = recording["vllm"]
    if "error" not in golden:
        assert described(start_v4(recording["settings"]), "kind") == golden
        return
    with pytest.raises(ConfigError) as caught:
        start_v4(recording["settings"])
    words = golden["error"].split(" Layer ")[0]

    assert words in str(caught.value)


def test_compressed_attention_lies_in_blocks_unless_told_otherwise() -> None:
    model, gpu = load_model("deepseek-v4-flash"), load_gpu("b200-sxm")
    engine = engine_config(kv_cache_memory_bytes=100 << 30).resolve(model, gpu)
    named = startup_of_model(model, gpu, engine, kv_cache_layout="BLHNC")
    assert startup_of_model(model, gpu, engine).describe() == named.describe()


def test_the_random_recordings_hold_what_is_hard_to_get_right() -> None:
    refusals = [r["vllm"]["error"] for r in RANDOM if "error" in r["vllm"]]
    assert {text.split(":")[0] for text in refusals} == {
        "AssertionError",
        "NotImplementedError",
        "StopIteration",
        "ValueError",
    }
    made = [r["vllm"] for r in RANDOM if "error" not in r["vllm"]]
    assert sum(g["hash_block_size"] < g["scheduler_block_size"] for g in made) >= 5
    types = {group["type"] for g in made if len(g["groups"]) > 1 for group in g["groups"]}
    assert {t for t in types if t.startswith("Uniform")} >= {
        "Uniform[FullAttentionSpec]",
        "Uniform[SlidingWindowSpec]",
        "Uniform[ChunkedLocalAttentionSpec]",
        "Uniform[MambaSpec]",
        "Uniform[MLAAttentionSpec]",
    }


@pytest.mark.parametrize("recording", RANDOM, ids=lambda r: r["case"]["name"])
def test_random_layers_get_the_figures_or_the_refusal_of_vllm(
    recording: Any, tmp_path: Path
) -> None:
    golden = recording["vllm"]
    if "error" not in golden:
        assert described(start(recording["case"], tmp_path), "kind") == golden
        return
    with pytest.raises(ConfigError) as caught:
        start(recording["case"], tmp_path)
    # What vLLM says after these words are figures in its own units, and advice.
    words = re.split(r" \(\d|; a backend|; got| Padding is only|: $", golden["error"])[0]
    assert words in str(caught.value)
    estimate = re.search(r"estimated maximum model length is (\d+)", golden["error"])
    if estimate:
        assert f"up to {int(estimate[1]):,} fits" in str(caught.value)


@pytest.mark.parametrize("recording", RANDOM[::5], ids=lambda r: r["case"]["name"])
def test_page_groups_of_any_layout_are_of_one_size(recording: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(recording["case"]), encoding="utf-8")
    setup = read_case(path)
    case = setup.case
    context = GroupingContext(
        block_size=case.block_size,
        max_model_len=case.max_model_len,
        kv_cache_layout=case.kv_cache_layout,
    )
    try:
        groups = vllm_layer_groups(setup.specs, context, hybrid=case.hybrid)
    except ConfigError:
        return
    pages = to_page_groups(groups)
    assert {page.page_bytes for page in pages} == {max(group.page_bytes for group in groups)}
    assert [page.content_bytes for page in pages] == [group.content_bytes for group in groups]
    assert [len(page.layers) for page in pages] == [len(group.specs) for group in groups]


@pytest.mark.parametrize("name", model_names())
def test_every_model_of_the_zoo_starts_in_the_default_layout(name: str) -> None:
    model, gpu = load_model(name), load_gpu("h100-sxm")
    engine = engine_config(kv_cache_memory_bytes=1 << 40).resolve(model, gpu)
    startup = startup_of_model(model, gpu, engine)
    assert sorted(spec.layer for group in startup.groups for spec in group.specs) == list(
        range(len(model.layers))
    )
    assert startup.capacity.max_concurrency > 1


def test_states_of_a_model_are_kept_at_blocks_if_prefixes_are_cached() -> None:
    model, gpu = load_model("qwen3-next-80b"), load_gpu("h100-sxm")
    engine = engine_config(kv_cache_memory_bytes=40 << 30, max_model_len=100_000)
    on, off = (
        {
            (spec.mamba_cache_mode, spec.block_size)
            for spec in vllm_specs(model, engine.resolve(model, gpu), enable_prefix_caching=caching)
            if spec.is_state
        }
        for caching in (True, False)
    )
    assert on == {("align", 576)}
    assert off == {("none", 100_000)}, "one state stands for the longest request of the engine"


def test_a_case_for_its_layers_may_cache_prefixes_and_have_no_requests(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(model_case("Llama-3.1-8B | BLNHC")), encoding="utf-8")
    assert len(read_case(path).specs) == 32


def test_a_grouping_context_leaves_the_layout_to_the_layers() -> None:
    context = GroupingContext(block_size=16, max_model_len=100)
    assert context.kv_cache_layout is None
    with pytest.raises(ConfigError, match="caches nothing"):
        vllm((), context)
