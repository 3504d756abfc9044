"""Where a multimodal checkpoint keeps its parts, by ``model_type`` of the whole file.

Paths follow the checkpoints, since quantisation rules go by them.
"""

from dataclasses import dataclass, replace

from ..keys import Keys
from .defaults import assumed, class_defaults
from .projectors import (
    Joint,
    cohere2,
    gemma3,
    gemma4,
    intern,
    kimi,
    lfm2,
    minimax,
    mistral3,
    mllama,
    molmo,
    newline,
    one_layer,
    phi3_vision,
    resampler,
    shuffled,
    step3,
    two_layers,
)
from .tensors import Tensors, belonging, inside
from .towers import TOWERS


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A multimodal checkpoint.

    Attributes:
        model: Path of the language model.
        head: What stands before the output head.
        tower: Path of the vision tower.
        kind: The tower's ``model_type`` where the file does not say.
        joint: The projector.
        always: Whether the class makes a tower of its defaults where the file has none.
        missing: What of the checkpoint is not counted.
    """

    model: str = "model.language_model"
    head: str = ""
    tower: str = "model.visual"
    kind: str = ""
    joint: Joint = lambda root, text, vision: []
    always: bool = False
    missing: str = ""


OUTSIDE = Layout(model="language_model.model", head="language_model", tower="vision_tower")
"""A checkpoint that keeps a whole language model in one module."""


PROJECTOR = "multi_modal_projector"


GEMMA4 = Layout(tower="model.vision_tower", kind="gemma4_vision", joint=gemma4)


LLAVA = replace(
    OUTSIDE, tower="vision_tower", kind="clip_vision_model", joint=two_layers(PROJECTOR)
)


KIMI = replace(OUTSIDE, tower="vision_tower", kind="kimi_k25_vision", joint=kimi)


IDEFICS = Layout(
    model="model.text_model",
    tower="model.vision_model",
    kind="idefics3_vision",
    joint=shuffled("model.connector.modality_projection.proj"),
)


STEP = Layout(tower="model.vision_model", kind="step3p5_vision", joint=step3, always=True)


PHI4 = Layout(model="model", missing="its vision and audio towers")

LAYOUTS = {
    "qwen2_vl": Layout(model="model", tower="visual", kind="qwen2_vl_vision"),
    "qwen2_5_vl": Layout(model="model", tower="visual", kind="qwen2_5_vl_vision"),
    "qwen3_vl": Layout(kind="qwen3_vl_vision"),
    "qwen3_vl_moe": Layout(kind="qwen3_vl_moe_vision"),
    "qwen3_5": Layout(kind="qwen3_5_vision"),
    "qwen3_5_moe": Layout(kind="qwen3_5_moe_vision"),
    "glm4v": Layout(kind="glm4v_vision"),
    "glm4v_moe": Layout(kind="glm4v_moe_vision"),
    "glm46v": Layout(kind="glm4v_vision"),
    "gemma3": replace(OUTSIDE, tower="vision_tower", kind="siglip_vision_model", joint=gemma3),
    "gemma3n": Layout(missing="its vision tower (MobileNet-V5) and its audio tower"),
    "gemma4": GEMMA4,
    "paligemma": replace(
        OUTSIDE,
        tower="vision_tower",
        kind="siglip_vision_model",
        joint=one_layer(f"{PROJECTOR}.linear", bias=True),
    ),
    "llama4": replace(
        OUTSIDE,
        tower="vision_model",
        kind="llama4_vision_model",
        joint=one_layer(f"{PROJECTOR}.linear_1", bias=False),
        always=True,
    ),
    "mllama": replace(
        OUTSIDE, tower="vision_model", kind="mllama_vision_model", joint=mllama, always=True
    ),
    "llava": LLAVA,
    "vipllava": LLAVA,
    "llava_next": replace(
        OUTSIDE,
        tower="vision_tower",
        kind="clip_vision_model",
        joint=newline(two_layers(PROJECTOR)),
    ),
    "llava_onevision": replace(
        OUTSIDE,
        tower="vision_tower",
        kind="siglip_vision_model",
        joint=newline(two_layers(PROJECTOR)),
    ),
    "mistral3": replace(OUTSIDE, tower="vision_tower", kind="pixtral", joint=mistral3),
    "ministral3": replace(OUTSIDE, tower="vision_tower", kind="pixtral", joint=mistral3),
    "lfm2_vl": Layout(tower="model.vision_tower", kind="siglip2_vision_model", joint=lfm2),
    "kimi_k25": KIMI,
    "kimi_k3": KIMI,
    "kimi_vl": KIMI,
    "internvl_chat": replace(OUTSIDE, tower="vision_model", kind="intern_vit_6b", joint=intern),
    "internvl": Layout(
        tower="model.vision_tower", kind="internvl_vision", joint=intern, always=True
    ),
    "idefics3": IDEFICS,
    "smolvlm": IDEFICS,
    "cohere2_vision": Layout(tower="model.vision_tower", kind="siglip_vision_model", joint=cohere2),
    "minimax_m3_vl": replace(
        OUTSIDE, tower="vision_tower", kind="minimax_m3_vl_vision", joint=minimax
    ),
    "step3p7": STEP,
    "minicpmv": Layout(
        model="llm.model", head="llm", tower="vpm", kind="siglip_headless", joint=resampler
    ),
    "phi3_v": Layout(model="model", joint=phi3_vision, always=True),
    "molmo": Layout(model="model.transformer", joint=molmo, always=True),
    "qwen2_5_omni": Layout(
        model="thinker.model",
        head="thinker",
        tower="thinker.visual",
        kind="qwen2_5_omni_vision_encoder",
        missing="its audio tower and its talker",
    ),
    "qwen3_omni_moe": Layout(
        model="thinker.model",
        head="thinker",
        tower="thinker.visual",
        kind="qwen3_vl_moe_vision",
        missing="its audio tower and its talker",
    ),
    "phi4_multimodal": PHI4,
    "phi4mm": PHI4,
}
"""Layouts by ``model_type`` of the file."""


def tower_tensors(root: Keys, text: Keys, layout: Layout) -> tuple[list[Tensors], list[str]]:
    """The tower and the projector; and notes on what is guessed or left out."""
    section = root.section("vision_config") or _thinker(root)
    notes = [f"Not counted: {layout.missing}."] if layout.missing else []
    if section is None and not layout.always:
        return [], notes
    kind = section.text("model_type") if section is not None else None
    kind = kind if kind in TOWERS else layout.kind
    if not kind:
        found = layout.joint(root, text, section or Keys({}, file=root.file))
        lost = [] if found or layout.missing else ["Not counted: its vision tower."]
        return belonging("vision", found), [*notes, *lost]
    if section is None:
        notes.append("vision_config is missing: the vision tower is that of the class's defaults.")
    vision = class_defaults(section or Keys({}, file=root.file, path="vision_config"), kind)
    found = inside(layout.tower, TOWERS[kind](vision))
    found += layout.joint(root, text, vision)
    return belonging("vision", found), [*notes, *(assumed(vision) if section is not None else [])]


def _thinker(root: Keys) -> Keys | None:
    thinker = root.section("thinker_config")
    return thinker.section("vision_config") if thinker is not None else None
