import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.images.crops import AnyResolution, HdCrops, OverlappingCrops, Slices
from jenga_sim.configs.images.grids import PaddedGrid, PatchBudget, PatchGrid, RowGrid
from jenga_sim.configs.images.rules import FixedTokens, ImageRule
from jenga_sim.configs.images.spec import RULES, VisionSpec, vision_from_mapping
from jenga_sim.configs.images.tiles import CanvasTiles, ClosestTiles, GlobalTiles, MarkedTiles

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "image_tokens.json").read_text())
PINPOINTS = tuple((384 * h, 384 * w) for h in range(1, 7) for w in range(1, 7))
NEXT = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
LFM2 = MarkedTiles(
    patch=16, merge=2, tile=512, min_tiles=2, max_tiles=10, min_tokens=64, max_tokens=256, wrap=2
)
INTERNVL = ClosestTiles(tile=448, tile_tokens=256, max_tiles=12, wrap=2)
MEASURED: dict[str, ImageRule] = {
    "qwen2.5-vl": PatchGrid(patch=14, min_pixels=3136, max_pixels=12845056),
    "qwen2-vl, class defaults": PatchGrid(patch=14, min_pixels=56**2, max_pixels=28**2 * 1280),
    "qwen3-vl": PatchGrid(patch=16, min_pixels=65536, max_pixels=16777216),
    "glm-4.1v": PatchGrid(
        patch=14, min_pixels=12544, max_pixels=9633792, frames=2, enlarge_first=True
    ),
    "glm-4.1v, class defaults": PatchGrid(
        patch=14, min_pixels=12544, max_pixels=28**2 * 15000, frames=2, enlarge_first=True
    ),
    "kimi-k2.5": PaddedGrid(patch=14, max_patches=16384, max_side=512),
    "kimi-k3": PaddedGrid(patch=14, max_patches=65536, max_side=512),
    "gemma-3": FixedTokens(tokens=256, wrap=4),
    "gemma-4": PatchBudget(patch=16, merge=3, max_tokens=280, wrap=2),
    "gemma-4, 1120": PatchBudget(patch=16, merge=3, max_tokens=1120, wrap=2),
    "llava-1.5": FixedTokens(tokens=576),
    "paligemma": FixedTokens(tokens=256),
    "pixtral": RowGrid(patch=16, longest_edge=1024),
    "ministral-3": RowGrid(patch=14, merge=2, longest_edge=1540),
    "llama-4": GlobalTiles(tile=336, tile_tokens=144, max_tiles=16),
    "llama-3.2-vision": CanvasTiles(tile=560, tile_tokens=1601, max_tiles=4),
    "lfm2.5-vl": LFM2,
    "lfm2-vl, not split": MarkedTiles(
        patch=16, merge=2, tile=512, min_tiles=1, max_tiles=1, min_tokens=64, max_tokens=256, wrap=2
    ),
    "internvl3": INTERNVL,
    "internvl2 (vLLM)": INTERNVL,
    "llava-next": AnyResolution(tile=336, side=24, canvases=NEXT),
    "llava-onevision": AnyResolution(tile=384, side=27, canvases=PINPOINTS, max_tiles_kept=9),
    "molmo (vLLM)": OverlappingCrops(),
}
BY_HAND: dict[str, ImageRule] = {
    "phi-3.5-vision": HdCrops(max_crops=4),
    "phi-3-vision": HdCrops(max_crops=16),
    "minicpm-v-2.6": Slices(slice=448, slice_tokens=64, max_slices=9),
}
EVERY = MEASURED | BY_HAND
SIDES = st.integers(1, 9000)


@pytest.mark.parametrize("family", GOLDEN["tokens"])
def test_tokens_are_what_processors_make(family: str):
    for (width, height), measured in zip(GOLDEN["sizes"], GOLDEN["tokens"][family], strict=True):
        if measured is None:
            with pytest.raises(ConfigError, match=r"the processor refuses it$"):
                MEASURED[family].count(width, height)
        else:
            found = MEASURED[family].count(width, height)
            assert [found.embeddings, found.separators] == measured, (width, height)


def test_every_measured_family_is_tested():
    assert set(MEASURED) == set(GOLDEN["tokens"])
    assert {rule.name for rule in EVERY.values()} == set(RULES)


@pytest.mark.parametrize(
    ("family", "width", "height", "embeddings", "separators"),
    [
        # 336 px crops: one row of (n + 1) * 144 + 1 + (rows + 1) * 12.
        # 1000 x 1000, 4 crops: 2 x 2 crops: 5 * 144 + 1 + 3 * 12 = 757.
        ("phi-3.5-vision", 1000, 1000, 757, 0),
        # 1920 x 1080: ratio 1.78: 2 across, ceil(2 / 1.78) = 2 down (378 px pad to 672): 757.
        ("phi-3.5-vision", 1920, 1080, 757, 0),
        # 2000 x 500: ratio 4: 4 across, 1 down: 5 * 144 + 1 + 2 * 12 = 745; upright 781.
        ("phi-3.5-vision", 2000, 500, 745, 0),
        ("phi-3.5-vision", 500, 2000, 781, 0),
        # 16 crops, 1920 x 1080: 5 across, ceil(5 / 1.78) = 3 down: 16 * 144 + 1 + 4 * 12 = 2353.
        ("phi-3-vision", 1920, 1080, 2353, 0),
        # Not larger than one slice: 64, two marks and <image_id>0</image_id>.
        ("minicpm-v-2.6", 448, 448, 64, 5),
        # 800 x 600: 480,000 / 200,704 = 2.4, so 3 slices wanted, 2 to 4 tried. The logarithm of 4:3
        # (0.288) is nearest to that of 2 x 2 (0): 5 * 64; 5 + 4 pairs of marks + 1 line end.
        ("minicpm-v-2.6", 800, 600, 320, 14),
        # 1920 x 1080: 10.3, so 9 wanted, 8 or 9 tried; ln(1.78) = 0.575 is nearest 4 x 2 (0.693),
        # 3 x 3 being 0: 9 * 64; 5 + 8 pairs + 1 line end.
        ("minicpm-v-2.6", 1920, 1080, 576, 22),
        # 448 x 4480: 10, so 9: 1 x 9 (ln 1/9) against 1 x 8 and ln 1/10: 10 * 64; 5 + 18 + 8.
        ("minicpm-v-2.6", 448, 4480, 640, 31),
    ],
)
def test_tokens_computed_by_hand(
    family: str, width: int, height: int, embeddings: int, separators: int
):
    found = BY_HAND[family].count(width, height)
    assert (found.embeddings, found.separators) == (embeddings, separators)


@pytest.mark.parametrize("family", EVERY)
@given(width=SIDES, height=SIDES)
def test_tokens_are_positive_and_bounded(family: str, width: int, height: int):
    oblong = max(width, height) / min(width, height)
    try:
        found = EVERY[family].count(width, height)
    except ConfigError:
        assert oblong > 200
        return
    assert found.embeddings >= 1
    assert found.separators >= 0
    if oblong <= 200:
        assert found.total <= EVERY[family].most


@pytest.mark.parametrize("family", ["qwen2.5-vl", "qwen3-vl"])
@given(width=st.integers(1, 4000), height=st.integers(1, 4000))
def test_native_grids_lie_between_their_limits(family: str, width: int, height: int):
    rule = MEASURED[family]
    assert isinstance(rule, PatchGrid)
    if max(width, height) > 20 * min(width, height):
        return
    tokens, token = rule.count(width, height).total, (rule.patch * rule.merge) ** 2
    assert rule.min_pixels / token <= tokens <= rule.max_pixels / token


@pytest.mark.parametrize(("family", "longest"), [("qwen2.5-vl", 3000), ("ministral-3", 1540)])
@given(data=st.data())
def test_within_the_limits_a_wider_image_takes_no_fewer_tokens(
    family: str, longest: int, data: st.DataObject
):
    sides = st.integers(200, longest)
    height, (narrow, wide) = data.draw(sides), sorted((data.draw(sides), data.draw(sides)))
    assert EVERY[family].count(narrow, height).total <= EVERY[family].count(wide, height).total


@pytest.mark.parametrize("family", ["qwen3-vl", "kimi-k2.5", "gemma-4", "llama-3.2-vision"])
@given(width=SIDES, height=SIDES)
def test_a_turned_image_takes_as_many_tokens(family: str, width: int, height: int):
    if max(width, height) <= 200 * min(width, height):
        rule = EVERY[family]
        assert rule.count(width, height).total == rule.count(height, width).total


@pytest.mark.parametrize("family", EVERY)
def test_a_side_must_be_positive(family: str):
    with pytest.raises(ConfigError, match="0 x 5 pixels: both sides must be at least 1"):
        EVERY[family].count(0, 5)


def test_cross_attention_tokens_are_not_in_the_sequence():
    vision = VisionSpec(sizes=EVERY["llama-3.2-vision"], hidden=4096, where="cross")
    assert vision.image_tokens(1120, 1120) == 4 * 1601
    assert vision.sequence_tokens(1120, 1120) == 1
    assert vision.embedding_tokens(1120, 1120) == 6404


def test_the_encoder_cache_holds_embeddings_of_every_level():
    vision = VisionSpec(sizes=EVERY["qwen3-vl"], hidden=4096, deepstack_levels=3)
    assert vision.token_bytes == 32768
    assert vision.embedding_bytes(1024, 1024) == 1024 * 32768
    gemma = VisionSpec(sizes=EVERY["gemma-3"], hidden=2560)
    assert (gemma.image_tokens(900, 700), gemma.embedding_tokens(900, 700)) == (260, 256)
    assert gemma.embedding_bytes(900, 700) == 256 * 5120
    assert gemma.most_image_tokens == 260


@pytest.mark.parametrize("family", EVERY)
def test_a_mapping_holds_every_rule(family: str):
    vision = VisionSpec(sizes=EVERY[family], hidden=512, deepstack_levels=1, where="cross")
    mapping = vision.to_mapping()
    assert mapping["rule"] == vision.rule
    assert vision_from_mapping(json.loads(json.dumps(mapping))) == vision


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rule": "guess"}, "vision: rule: must be one of fixed, .* not 'guess'"),
        ({"rule": None}, "vision: rule: must be one of"),
        ({"tokens": 0}, "vision: fixed: tokens: must be at least 1, not 0"),
        ({"tokens": "many"}, "vision: tokens: must be a whole number .* not 'many'"),
        ({"tokens": True}, "vision: tokens: must be a whole number"),
        ({"tokens": None}, "vision: tokens: must be a whole number"),
        ({"hidden": 0}, "vision: hidden: must be a whole number from 1"),
        ({"where": "beside"}, "vision: where: must be one of sequence, cross, not 'beside'"),
        ({"max_tiles": 4}, "vision: max_tiles: is no setting of the rule fixed"),
        ({"rule": "patch-grid", "tokens": None}, "vision: tokens: is no setting"),
    ],
)
def test_a_wrong_mapping_is_an_error(change: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        vision_from_mapping({"rule": "fixed", "hidden": 8, "tokens": 4} | change)


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("qwen3-vl", {"min_pixels": 2, "max_pixels": 1}, "patch-grid: min_pixels: must be at most"),
        ("internvl3", {"min_tiles": 13}, "closest-tiles: min_tiles: must be at most max_tiles, 12"),
        ("lfm2.5-vl", {"min_tokens": 257}, "marked-tiles: min_tokens: must be at most max_tokens"),
        ("llava-next", {"canvases": [[336, 335]]}, r"any-resolution: canvases: .* tile \(336\)"),
        ("llava-next", {"canvases": [[336]]}, r"canvases: must be a list of \[height, width\]"),
        ("llava-next", {"canvases": 5}, r"canvases: must be a list of \[height, width\]"),
        (
            "molmo (vLLM)",
            {"left_margin": 20},
            "overlapping-crops: left_margin: must leave some of the crop",
        ),
        ("lfm2.5-vl", {"tolerance": 0}, "tolerance: must be a number above 0, not 0"),
        ("lfm2.5-vl", {"thumbnail": 1}, "thumbnail: must be true or false"),
    ],
)
def test_contradictory_settings_are_errors(family: str, change: dict[str, object], message: str):
    mapping = VisionSpec(sizes=EVERY[family], hidden=8).to_mapping()
    with pytest.raises(ConfigError, match=f"vision: {message}"):
        vision_from_mapping(mapping | change)


def test_a_missing_setting_is_an_error():
    with pytest.raises(ConfigError, match=r"m\.yaml: tokens: is missing; the rule fixed needs it"):
        vision_from_mapping({"rule": "fixed", "hidden": 8}, source="m.yaml")


def test_bounds_are_reached_by_the_rules_that_can():
    assert INTERNVL.count(448 * 4, 448 * 3).total == INTERNVL.most == 13 * 256 + 2
    four = EVERY["llama-4"]
    assert four.count(336 * 4, 336 * 4).total == four.most == 17 * 144 + 16 + 3
    assert math.isclose(EVERY["qwen2.5-vl"].most, 16384)
    assert EVERY["molmo (vLLM)"].most >= EVERY["molmo (vLLM)"].count(4000, 3000).total
