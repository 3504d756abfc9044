"""A file that cannot be read right is refused with file, line, key and reason; nothing else is."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.cache_types import cache_types, kv_bytes
from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.hf.read import read_hf_config
from jenga_sim.configs.specs import ModelSpec
from tests.configs.hf_cases import CASES, GEMMA3, LLAMA, MLA, NEMOTRON_H, V4

Config = dict[str, Any]


def refusal(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_hf_config(path)
    return str(caught.value).replace(f"{path.parent}/", "")


PROBLEMS: dict[str, tuple[Config, str, str]] = {
    "unknown type": ({**LLAMA, "model_type": "lama"}, "model_type", "did you mean 'llama'"),
    "no type": ({**LLAMA, "model_type": None}, "model_type", "is missing"),
    "unknown architecture": (
        {**LLAMA, "model_type": None, "architectures": ["LamaForCausalLM"]},
        "architectures",
        "'LamaForCausalLM' is not known",
    ),
    "placeholder alone": ({**V4, "model_type": "deepseek_ref"}, "model_type", "a placeholder"),
    "no layers": ({**LLAMA, "num_hidden_layers": None}, "num_hidden_layers", "is missing"),
    "text for a number": ({**LLAMA, "num_hidden_layers": "32"}, "num_hidden_layers", 'not "32"'),
    "fraction": ({**LLAMA, "num_hidden_layers": 1.5}, "num_hidden_layers", "not 1.5"),
    "bool": ({**LLAMA, "num_hidden_layers": True}, "num_hidden_layers", "not true"),
    "negative": ({**LLAMA, "num_attention_heads": -1}, "num_attention_heads", "not -1"),
    "absurd": ({**LLAMA, "num_hidden_layers": 10**9}, "num_hidden_layers", "to 2000, not"),
    "caches shared across layers": (
        {**LLAMA, "model_type": "hunyuan_v1_moe", "use_cla": True, "cla_share_factor": 2},
        "use_cla",
        "layers share caches",
    ),
    "uneven heads": ({**LLAMA, "num_key_value_heads": 5}, "num_key_value_heads", "evenly"),
    "more KV heads": ({**LLAMA, "num_key_value_heads": 64}, "num_key_value_heads", "evenly"),
    "no head size": ({**LLAMA, "num_attention_heads": 24}, "hidden_size", "head_dim is needed"),
    "a window without a size": (
        {**LLAMA, "model_type": "qwen2", "use_sliding_window": True},
        "use_sliding_window",
        "sliding_window has no size",
    ),
    "windows named but not sized": (
        {**LLAMA, "model_type": "cwm", "layer_types": ["sliding_attention"] * 32},
        "sliding_window",
        "is missing",
    ),
    "types too few": (
        {**GEMMA3, "layer_types": ["full_attention"] * 61},
        "layer_types",
        "61 entries for 62 layers",
    ),
    "type unknown": (
        {**GEMMA3, "layer_types": ["full_attention"] * 61 + ["spiral"]},
        "layer_types[61]",
        "'spiral' is not known",
    ),
    "no types where they must be": (
        {**LLAMA, "model_type": "cwm"},
        "layer_types",
        "is missing",
    ),
    "MLA without its rank": (
        {**MLA, "model_type": "deepseek_v3", "kv_lora_rank": None},
        "kv_lora_rank",
        "is missing",
    ),
    "pattern of unknown letters": (
        {**NEMOTRON_H, "hybrid_override_pattern": "MX"},
        "hybrid_override_pattern",
        "'X' is not known",
    ),
    "pattern of another length": (
        {**NEMOTRON_H, "num_hidden_layers": 5},
        "num_hidden_layers",
        "is not the 14 blocks",
    ),
    "ratios of another length": (
        {**V4, "compress_ratios": [0, 4]},
        "compress_ratios",
        "2 entries for 4 layers and 1 draft",
    ),
    "ratio unknown": (
        {**V4, "compress_ratios": [0, 4, 8, 4]},
        "compress_ratios[2]",
        "must be 0, 4 or 128",
    ),
    "layers named twice": (
        {
            **CASES["kimi-linear-48b"][0],
            "linear_attn_config": {
                **CASES["kimi-linear-48b"][0]["linear_attn_config"],
                "full_attn_layers": [1, 4],
            },
        },
        "linear_attn_config.kda_layers",
        "do not name each of 27 layers once",
    ),
    "layers out of range": (
        {**CASES["bamba"][0], "attn_layer_indices": [9, 40]},
        "attn_layer_indices[1]",
        "must be from 0 to 31, not 40",
    ),
    "heads that do not fill the channels": (
        {**CASES["falcon-h1-7b"][0], "mamba_d_ssm": 4096},
        "mamba_n_heads",
        "are not the 4096 channels",
    ),
    "nested": (
        {"model_type": "gemma3", "text_config": {**GEMMA3, "num_attention_heads": "many"}},
        "text_config.num_attention_heads",
        "whole number",
    ),
    "section that is none": ({"model_type": "gemma3", "text_config": 5}, "text_config", "not 5"),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_problem_is_told_with_file_line_and_key(case: str, tmp_path: Path) -> None:
    config, key, reason = PROBLEMS[case]
    text = json.dumps(config, indent=1)
    message = refusal(tmp_path / "config.json", text)
    file, line, told = message.split(":", 2)
    assert file == "config.json"
    assert told.startswith(f" {key}: ")
    assert reason in told
    name = key.rpartition(".")[2].partition("[")[0]
    if f'"{name}"' in text:
        assert f'"{name}"' in text.splitlines()[int(line) - 1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "broken JSON"),
        ("{", "is the download complete?"),
        ("[1]", "must be a mapping"),
        ('{"a": 1, "a": 2}', "stands twice"),
        ("[" * 100_000, "broken JSON"),
        ('{"a": ' + "9" * 5000 + "}", "broken JSON"),
        ("version https://git-lfs.github.com/spec/v1\n", "broken JSON"),
        ("<html>not found</html>", "broken JSON"),
    ],
)
def test_what_is_no_config_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    assert reason in refusal(tmp_path / "config.json", text)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "config.json", tmp_path):
        with pytest.raises(ConfigError, match=r"config\.json: there is no such file"):
            read_hf_config(path)


def test_a_family_that_is_like_no_other_brings_no_hint_and_no_list(tmp_path: Path) -> None:
    message = refusal(tmp_path / "config.json", json.dumps({**LLAMA, "model_type": "zzz"}))
    assert "did you mean" not in message
    assert "families are known: see docs/models.md" in message
    assert len(message) < 250


def test_the_source_is_the_file_and_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "release" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**LLAMA, "vocab_size": 9}), encoding="utf-8")
    assert read_hf_config(path).source == "release/config.json (Hugging Face, llama)"


def test_a_folder_stands_for_its_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, "vocab_size": 9}), encoding="utf-8")
    assert read_hf_config(tmp_path).layers == read_hf_config(tmp_path / "config.json").layers


def test_infinity_in_an_unused_key_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps({**NEMOTRON_H, "vocab_size": 9, "time_step_limit": [0.0, float("inf")]}),
        encoding="utf-8",
    )
    assert read_hf_config(path).layers


# --- fuzz ----------------------------------------------------------------------------------------

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 70)
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["auto", "float32", "full_attention", "M*-E", "LG", "llama", "gemma3"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def damaged(draw: st.DrawFn) -> Config:
    """A file of some family in which keys are missing or hold anything."""
    config = json.loads(json.dumps(CASES[draw(st.sampled_from(sorted(CASES)))][0]))
    sections = [config, *(each for each in config.values() if isinstance(each, dict))]
    for _ in range(draw(st.integers(1, 3))):
        section = draw(st.sampled_from(sections))
        if not section:
            continue
        key = draw(st.sampled_from(sorted(section)))
        if draw(st.booleans()):
            section[key] = draw(VALUES)
        else:
            del section[key]
    return config


def read_or_refuse(path: Path, content: bytes) -> ModelSpec | None:
    path.write_bytes(content)
    try:
        return read_hf_config(path)
    except ConfigError:
        return None


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "config.json"


def check(model: ModelSpec) -> None:
    """Bytes are never negative, grow with the tokens, and stop where everything has a window."""
    sizes = [kv_bytes(model, tokens) for tokens in (0, 1, 127, 128, 4096, 10**6, 2 * 10**6)]
    assert all(size >= 0 for size in sizes)
    assert sizes == sorted(sizes)
    types = cache_types(model)
    if all(each.window or each.role in ("state", "cross") for each in types):
        longest = max((each.window or 0 for each in types), default=0)
        assert kv_bytes(model, longest) == kv_bytes(model, 10**15)
    for layer in model.layers:
        for tp in (2, 3, 8):
            rank, whole = (
                layer.kv_cache_spec(block_size=128, tp=ranks).content_bytes for ranks in (tp, 1)
            )
            assert tp * rank >= whole >= rank >= 0


@given(config=damaged())
def test_a_damaged_file_is_read_or_refused(config: Config, path: Path) -> None:
    model = read_or_refuse(path, json.dumps(config).encode())
    if model is not None:
        check(model)


@given(case=st.sampled_from(sorted(CASES)), share=st.floats(0, 1))
def test_a_truncated_file_is_refused(case: str, share: float, path: Path) -> None:
    content = json.dumps({**CASES[case][0], "vocab_size": 1}).encode()
    cut = content[: int(share * len(content))]
    assert (read_or_refuse(path, cut) is None) == (cut != content)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes, path: Path) -> None:
    assert read_or_refuse(path, content) is None


@pytest.mark.parametrize("case", CASES)
def test_the_bytes_of_every_family_obey_the_laws(case: str, path: Path) -> None:
    model = read_or_refuse(path, json.dumps({**CASES[case][0], "vocab_size": 1}).encode())
    assert model is not None
    check(model)
