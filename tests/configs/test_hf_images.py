import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.hf.images.read import READERS, read_vision
from jenga_sim.configs.hf.keys import Keys, read_keys
from jenga_sim.configs.images.spec import VisionSpec, vision_from_mapping

ROOT = Path(__file__).parents[2]
DATA = ROOT / os.environ.get("JENGA_SIM_DATA", "../shared/data") / "hf_configs"
GOLDEN = json.loads((ROOT / "tests" / "golden" / "image_tokens.json").read_text())

# What of a config.json the readers look at, shortened; hidden sizes are made up where 64.
CONFIGS: dict[str, dict[str, Any]] = {
    "qwen2.5-vl": {
        "model_type": "qwen2_5_vl",
        "hidden_size": 3584,
        "vision_config": {"spatial_patch_size": 14, "spatial_merge_size": 2, "patch_size": 14},
    },
    "qwen3-vl": {
        "model_type": "qwen3_vl",
        "text_config": {"hidden_size": 4096},
        "vision_config": {"patch_size": 16, "deepstack_visual_indexes": [8, 16, 24]},
    },
    "glm-4.1v": {"model_type": "glm4v", "hidden_size": 64, "vision_config": {"patch_size": 14}},
    "kimi-k2.5": {
        "model_type": "kimi_k25",
        "text_config": {"hidden_size": 7168},
        "vision_config": {"patch_size": 14, "merge_kernel_size": [2, 2], "model_type": ""},
    },
    "gemma-3": {
        "model_type": "gemma3",
        "mm_tokens_per_image": 256,
        "text_config": {"hidden_size": 2560},
        "vision_config": {"image_size": 896, "patch_size": 14},
    },
    "gemma-4": {
        "model_type": "gemma4",
        "vision_soft_tokens_per_image": 280,
        "text_config": {"hidden_size": 2816},
        "vision_config": {"patch_size": 16, "pooling_kernel_size": 3, "default_output_length": 280},
    },
    "paligemma": {
        "model_type": "paligemma",
        "text_config": {"hidden_size": 2304},
        "vision_config": {"image_size": 224, "patch_size": 14},
    },
    "llava-1.5": {
        "model_type": "llava",
        "text_config": {"hidden_size": 4096},
        "vision_config": {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14},
    },
    "pixtral": {
        "model_type": "llava",
        "text_config": {"hidden_size": 5120},
        "vision_config": {"model_type": "pixtral", "image_size": 1024, "patch_size": 16},
    },
    "ministral-3": {
        "model_type": "ministral3",
        "spatial_merge_size": 2,
        "text_config": {"hidden_size": 3072},
        "vision_config": {"model_type": "pixtral", "image_size": 1540, "patch_size": 14},
    },
    "llama-4": {
        "model_type": "llama4",
        "text_config": {"hidden_size": 5120},
        "vision_config": {"image_size": 336, "patch_size": 14, "pixel_shuffle_ratio": 0.5},
    },
    "llama-3.2-vision": {
        "model_type": "mllama",
        "text_config": {"hidden_size": 4096},
        "vision_config": {"image_size": 560, "patch_size": 14, "max_num_tiles": 4},
    },
    "lfm2.5-vl": {
        "model_type": "lfm2_vl",
        "max_tiles": 10,
        "text_config": {"hidden_size": 2048},
        "vision_config": {"patch_size": 16},
    },
    "lfm2-vl, not split": {
        "model_type": "lfm2_vl",
        "do_image_splitting": False,
        "text_config": {"hidden_size": 2048},
        "vision_config": {"patch_size": 16},
    },
    "internvl2 (vLLM)": {
        "model_type": "internvl_chat",
        "force_image_size": 448,
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "use_thumbnail": True,
        "max_dynamic_patch": 12,
        "llm_config": {"hidden_size": 2048},
        "vision_config": {"image_size": 448, "patch_size": 14},
    },
    "internvl3": {
        "model_type": "internvl",
        "image_seq_length": 256,
        "text_config": {"hidden_size": 64},
        "vision_config": {"image_size": [448, 448], "patch_size": [14, 14]},
    },
    "llava-next": {
        "model_type": "llava_next",
        "image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
        "text_config": {"hidden_size": 64},
        "vision_config": {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14},
    },
    "llava-onevision": {
        "model_type": "llava_onevision",
        "vision_aspect_ratio": "anyres_max_9",
        "text_config": {"hidden_size": 64},
        "vision_config": {"model_type": "siglip_vision_model", "image_size": 384, "patch_size": 14},
    },
    "molmo (vLLM)": {"model_type": "molmo", "hidden_size": 3584},
    "kimi-k3": {
        "model_type": "kimi_k3",
        "text_config": {"hidden_size": 7168},
        "vision_config": {"patch_size": 14, "merge_kernel_size": [2, 2]},
    },
}
OTHERS: dict[str, dict[str, Any]] = {
    "phi-3.5-vision": {
        "model_type": "phi3_v",
        "_name_or_path": "Phi-3.5-vision-instruct",
        "hidden_size": 3072,
        "img_processor": {"num_img_tokens": 144},
    },
    "minicpm-v-2.6": {
        "model_type": "minicpmv",
        "version": 2.6,
        "query_num": 64,
        "hidden_size": 3584,
        "slice_config": {"max_slice_nums": 9},
        "vision_config": {"patch_size": 14},
    },
    "gemma-3n": {
        "model_type": "gemma3n",
        "vision_soft_tokens_per_image": 256,
        "text_config": {"hidden_size": 64},
        "vision_config": {"model_type": "gemma3n_vision"},
    },
}
EVERY = CONFIGS | OTHERS


def read(data: dict[str, Any], family: str = "llama") -> tuple[VisionSpec | None, list[str]]:
    return read_vision(Keys(data, file="absent/config.json", text=json.dumps(data)), family)


def known(data: dict[str, Any]) -> VisionSpec:
    spec, _ = read(data)
    assert spec is not None
    return spec


def in_folder(
    folder: Path, config: dict[str, Any], processor: dict[str, Any], name: str = "preprocessor"
) -> tuple[VisionSpec | None, list[str]]:
    (folder / "config.json").write_text(json.dumps(config))
    (folder / f"{name}_config.json").write_text(json.dumps(processor))
    return read_vision(read_keys(folder), "llama")


@pytest.mark.parametrize("family", CONFIGS)
def test_a_file_gives_the_tokens_that_were_measured(family: str):
    spec = known(CONFIGS[family])
    separators = 3 if family == "kimi-k3" else 0  # those that vLLM adds, not transformers
    for (width, height), measured in zip(GOLDEN["sizes"], GOLDEN["tokens"][family], strict=True):
        if measured is not None:
            found = spec.count(width, height)
            assert found.embeddings == measured[0]
            assert found.separators == measured[1] + separators


@pytest.mark.parametrize(
    ("family", "width", "height", "tokens", "token_bytes"),
    [
        ("phi-3.5-vision", 1920, 1080, 757, 6144),
        ("minicpm-v-2.6", 1920, 1080, 598, 7168),
        ("gemma-3n", 512, 512, 260, 128),
        ("qwen3-vl", 1024, 1024, 1024, 32768),
        ("kimi-k2.5", 1024, 1024, 37 * 37, 14336),
    ],
)
def test_bytes_follow_hidden_size_and_levels(
    family: str, width: int, height: int, tokens: int, token_bytes: int
):
    spec = known(EVERY[family])
    assert (spec.image_tokens(width, height), spec.token_bytes) == (tokens, token_bytes)


def test_every_reader_is_tested():
    tested = {config["model_type"] for config in EVERY.values()}
    same = {"qwen2_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "glm4v_moe"}
    assert tested | same | {"pixtral", "mistral3"} == set(READERS)


def test_only_mllama_keeps_tokens_for_cross_attention():
    cross = [name for name, data in EVERY.items() if known(data).where == "cross"]
    assert cross == ["llama-3.2-vision"]


def test_a_model_without_images_has_none():
    assert read({"model_type": "llama", "hidden_size": 64}) == (None, [])
    assert read({"hidden_size": 64}) == (None, [])


def test_an_unknown_tower_is_named_and_not_guessed():
    spec, notes = read({"model_type": "newvl", "hidden_size": 64, "vision_config": {}})
    assert spec is None
    assert notes == ["images: the vision tower of newvl is not known; image tokens are not"]


def test_the_family_stands_in_for_a_missing_model_type():
    spec, _ = read({"hidden_size": 64, "vision_config": {"patch_size": 14}}, "qwen2_vl")
    assert spec is not None
    assert spec.image_tokens(280, 280) == 100


def test_deepstack_levels_have_the_default_of_the_class():
    data = {"model_type": "qwen3_vl", "text_config": {"hidden_size": 64}, "vision_config": {}}
    assert known(data | {"vision_config": {"patch_size": 16}}).deepstack_levels == 3
    none = {"deepstack_visual_indexes": []}
    assert known(data | {"vision_config": none}).deepstack_levels == 0
    assert known(data | {"model_type": "qwen3_5"}).deepstack_levels == 0


@pytest.mark.parametrize(
    ("family", "processor", "size", "tokens"),
    [
        ("qwen2.5-vl", {"min_pixels": 784, "max_pixels": 1003520}, (4000, 4000), 35 * 35),
        (
            "qwen2.5-vl",
            {"size": {"shortest_edge": 784, "longest_edge": 1003520}},
            (4000, 4000),
            1225,
        ),
        ("kimi-k2.5", {"media_proc_cfg": {"in_patch_limit": 100}}, (1400, 1400), 25),
        ("kimi-k2.5", {"max_patches": 100, "size": {"max_height": 512}}, (1400, 1400), 25),
        ("gemma-4", {"max_soft_tokens": 70}, (1000, 1000), 64 + 2),
        ("ministral-3", {"size": {"longest_edge": 280}}, (2800, 2800), 110),
        ("llama-4", {"max_patches": 1}, (2000, 2000), 147),
        ("llama-3.2-vision", {"max_image_tiles": 1}, (2000, 2000), 1601),
        ("lfm2.5-vl", {"do_image_splitting": False}, (2000, 2000), 258),
        ("internvl3", {"crop_to_patches": False}, (2000, 2000), 258),
        ("internvl3", {"max_patches": 4}, (2000, 2000), 5 * 256 + 2),
        ("phi-3.5-vision", {"num_crops": 1}, (2000, 2000), 2 * 144 + 1 + 24),
        ("minicpm-v-2.6", {"max_slice_nums": 1, "use_image_id": False}, (2000, 2000), 66),
        ("molmo (vLLM)", {"max_crops": 1}, (2000, 2000), 2 * (144 + 2 + 12)),
        ("llava-next", {"image_grid_pinpoints": [[336, 672]]}, (672, 336), 576 + 24 * 48 + 24),
    ],
)
def test_the_processors_file_overrides(
    tmp_path: Path, family: str, processor: dict[str, Any], size: tuple[int, int], tokens: int
):
    spec, notes = in_folder(tmp_path, EVERY[family], processor)
    assert spec is not None
    assert spec.image_tokens(*size) == tokens
    assert notes == []


def test_the_combined_processors_file_is_preferred(tmp_path: Path):
    in_folder(tmp_path, EVERY["gemma-4"], {"max_soft_tokens": 140})
    nested = {"image_processor": {"max_soft_tokens": 70}}
    spec, _ = in_folder(tmp_path, EVERY["gemma-4"], nested, "processor")
    assert spec is not None
    assert spec.most_image_tokens == 72
    spec, _ = in_folder(tmp_path, EVERY["gemma-4"], {"processor_class": "X"}, "processor")
    assert spec is not None
    assert spec.most_image_tokens == 142


def test_what_stands_in_for_the_processors_file_is_noted():
    _, notes = read(EVERY["qwen2.5-vl"])
    assert len(notes) == 1
    assert "3,136 to 12,845,056 pixels are those of the published checkpoints" in notes[0]
    _, notes = read(EVERY["kimi-k3"])
    assert "are not counted" in notes[1]


def test_pan_and_scan_is_noted(tmp_path: Path):
    spec, notes = in_folder(tmp_path, EVERY["gemma-3"], {"do_pan_and_scan": True})
    assert spec is not None
    assert notes == ["images: pan and scan is on, but its crops are not counted"]


@pytest.mark.parametrize(
    ("family", "change", "note"),
    [
        ("phi-3.5-vision", {"_name_or_path": "mine"}, "num_crops is in no preprocessor_config"),
        ("minicpm-v-2.6", {"version": 2.5}, "before 2.6 is not covered"),
        ("llama-4", {"resize_to_max_canvas": True}, "resize_to_max_canvas is on"),
        ("llava-1.5", {"vision_config": {"model_type": "siglip"}}, "type siglip is not covered"),
        ("llava-next", {"vision_feature_select_strategy": "full"}, "is not default"),
        ("gemma-3", {"text_config": {}}, "hidden_size is missing"),
    ],
)
def test_what_no_rule_covers_is_noted(family: str, change: dict[str, Any], note: str):
    spec, notes = read(EVERY[family] | change)
    assert spec is None
    assert note in notes[0]


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("gemma-3", {"mm_tokens_per_image": -1}, "mm_tokens_per_image: must be from 1"),
        ("gemma-3", {"vision_config": 3}, "vision_config: must be a mapping"),
        ("qwen2.5-vl", {"vision_config": {"patch_size": "x"}}, r"vision_config\.patch_size: must"),
        (
            "llava-next",
            {"image_grid_pinpoints": [[1, 2, 3]]},
            r"image_grid_pinpoints\[0\]: must be",
        ),
        ("llava-onevision", {"vision_aspect_ratio": "pad"}, "must be anyres_max_ and a number"),
        ("kimi-k2.5", {"vision_config": {"merge_kernel_size": [2, 3]}}, "the same along both"),
        ("internvl3", {"vision_config": {"image_size": [4, 5]}}, "one size for both sides"),
        ("llama-4", {"vision_config": {"pixel_shuffle_ratio": 0}}, "pixel_shuffle_ratio: must"),
    ],
)
def test_an_impossible_value_is_an_error(family: str, change: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=rf"absent/config\.json:1: .*{message}"):
        read(EVERY[family] | change)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2000),
    st.floats(allow_nan=True),
    st.text(max_size=3),
    st.lists(st.integers(-1, 500), max_size=3),
    st.dictionaries(st.sampled_from(["height", "a"]), st.integers(0, 9), max_size=2),
)


@pytest.mark.parametrize("family", EVERY)
@given(data=st.data())
def test_any_value_gives_a_rule_or_an_error(family: str, data: st.DataObject):
    config = json.loads(json.dumps(EVERY[family]))
    place = data.draw(st.sampled_from([config, config.get("vision_config", config)]))
    names = [name for name in place if name != "model_type"] or ["patch_size"]
    place[data.draw(st.sampled_from(names))] = data.draw(VALUES)
    try:
        spec, notes = read(config)
        if spec is None:
            assert notes or "vision_config" not in config or config["vision_config"] is None
        else:
            assert spec.image_tokens(640, 480) <= spec.most_image_tokens
    except ConfigError:
        pass


def test_real_files_give_a_rule_or_a_note():
    files = sorted(DATA.glob("*/config.json"))
    if not files:
        pytest.skip(f"{DATA} is absent; set JENGA_SIM_DATA to the folder with hf_configs")
    seen = 0
    for file in files:
        keys = read_keys(file)
        spec, notes = read_vision(keys, "")
        if "vision_config" in keys or "img_processor" in keys:
            seen += 1
            assert spec is not None or notes, file
        if spec is not None:
            assert vision_from_mapping(spec.to_mapping()) == spec
            assert 64 <= spec.image_tokens(1920, 1080) <= spec.most_image_tokens
    assert seen >= 30
