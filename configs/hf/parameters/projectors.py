"""What joins a vision tower to the language model.

Shapes are those of transformers 5.23, and of vLLM 0.33 for checkpoints with code of their own.
Paths begin at the top of the file.
"""

from collections.abc import Callable

from ..keys import Keys
from .audio import gemma4_audio
from .blocks import hidden_of
from .tensors import Tensors, inside, linear, norm, repeated, vector
from .vision import SIGLIP, clip

Joint = Callable[[Keys, Keys, Keys], list[Tensors]]
"""Makes a projector from the file, its language model and its tower; paths begin at the top."""


def two_layers(path: str, names: tuple[str, str] = ("linear_1", "linear_2")) -> Joint:
    """Two linear layers from the tower's features to the model's."""

    def build(root: Keys, text: Keys, vision: Keys) -> list[Tensors]:
        hidden, width = hidden_of(text), vision.integer("hidden_size")
        if isinstance(root.raw("vision_feature_layer"), list):
            width *= len(root.integers("vision_feature_layer", least=-1000) or [])
        bias = root.flag("multimodal_projector_bias", default=True)
        found = linear("vision", names[0], hidden, width, bias=bias)
        found += linear("vision", names[1], hidden, hidden, bias=bias)
        return inside(path, found)

    return build


def newline(joint: Joint) -> Joint:
    """The same, with a learnt line break (``LlavaNextModel``)."""

    def build(root: Keys, text: Keys, vision: Keys) -> list[Tensors]:
        last = vector("vision", "model.image_newline", hidden_of(text))
        return [*joint(root, text, vision), last]

    return build


def gemma3(_: Keys, text: Keys, vision: Keys) -> list[Tensors]:
    """``Gemma3MultiModalProjector``."""
    width = vision.integer("hidden_size")
    matrix = vector("vision", "mm_input_projection_weight", width, hidden_of(text))
    return inside("multi_modal_projector", [matrix, *norm("mm_soft_emb_norm", width)])


def gemma4(root: Keys, text: Keys, vision: Keys) -> list[Tensors]:
    """``Gemma4MultimodalEmbedder``, and the audio tower where the file has one."""
    hidden = hidden_of(text)
    path = "model.embed_{}.embedding_projection"
    found = linear("vision", path.format("vision"), hidden, vision.integer("hidden_size"))
    audio = root.section("audio_config")
    if audio is None:
        return found
    found += inside("model.audio_tower", gemma4_audio(audio))
    width = audio.integer("output_proj_dims", "hidden_size")
    return [*found, *linear("vision", path.format("audio"), hidden, width)]


def one_layer(path: str, *, bias: bool) -> Joint:
    """One linear layer from the tower's features to the model's."""

    def build(_: Keys, text: Keys, vision: Keys) -> list[Tensors]:
        width = vision.optional_integer("vision_output_dim") or vision.integer("hidden_size")
        return linear("vision", path, hidden_of(text), width, bias=bias)

    return build


def shuffled(path: str) -> Joint:
    """One linear layer from several patches at once (``Idefics3Connector``)."""

    def build(root: Keys, text: Keys, vision: Keys) -> list[Tensors]:
        width = vision.integer("hidden_size") * root.integer("scale_factor", default=2) ** 2
        return linear("vision", path, hidden_of(text), width)

    return build


def cohere2(root: Keys, text: Keys, vision: Keys) -> list[Tensors]:
    """``Cohere2VisionMultiModalProjector``, which is gated."""
    width = vision.integer("hidden_size") * root.integer("downsample_factor", default=2) ** 2
    inner = root.integer("alignment_intermediate_size", default=36864)
    found = linear("vision", "linear_1", inner, width, bias=True)
    found += linear("vision", "linear_2", hidden_of(text), inner // 2, bias=True)
    return inside("model.multi_modal_projector", found)


def mllama(_: Keys, text: Keys, vision: Keys) -> list[Tensors]:
    """Projects the outputs of several layers of the tower at once."""
    width = vision.integer("vision_output_dim")
    return linear("vision", "multi_modal_projector", hidden_of(text), width, bias=True)


def step3(_: Keys, text: Keys, vision: Keys) -> list[Tensors]:
    """``Step3p7MultiModalProjector``: four times the tower's features."""
    width = 4 * vision.integer("hidden_size")
    return linear("vision", "model.multi_modal_projector", hidden_of(text), width)


def mistral3(root: Keys, text: Keys, vision: Keys) -> list[Tensors]:
    """``Mistral3MultiModalProjector``: patches are merged first."""
    hidden, width = hidden_of(text), vision.integer("hidden_size")
    merged = width * root.integer("spatial_merge_size", default=2) ** 2
    found = norm("norm", width, part="vision")
    found += linear("vision", "patch_merger.merging_layer", width, merged)
    found += linear("vision", "linear_1", hidden, width)
    found += linear("vision", "linear_2", hidden, hidden)
    return inside("multi_modal_projector", found)


def lfm2(root: Keys, text: Keys, vision: Keys) -> list[Tensors]:
    """``Lfm2VlMultiModalProjector``."""
    width = vision.integer("hidden_size") * root.integer("downsample_factor", default=2) ** 2
    inner = root.integer("projector_hidden_size", default=2560)
    bias = root.flag("projector_bias", default=True)
    found = linear("vision", "linear_1", inner, width, bias=bias)
    found += linear("vision", "linear_2", hidden_of(text), inner, bias=bias)
    if root.flag("projector_use_layernorm", default=True):
        found += norm("layer_norm", width, bias=True)
    return inside("model.multi_modal_projector", found)


def kimi(_: Keys, text: Keys, vision: Keys) -> list[Tensors]:
    """``KimiK25MultiModalProjector`` of vLLM: the newer one has its norm behind, and no biases."""
    width = vision.integer("mm_hidden_size", "vt_hidden_size", "hidden_size")
    kernel = vision.integers("merge_kernel_size") or [2, 2]
    merged, hidden = width * kernel[0] * kernel[1], hidden_of(text)
    newer = vision.text("mm_projector_type") == "patchmergerv2"
    found = linear("vision", "linear_1", merged, merged, bias=not newer)
    found += linear("vision", "linear_2", hidden, merged, bias=not newer)
    found += norm("post_norm", hidden) if newer else norm("pre_norm", width, bias=True)
    return inside("mm_projector", found)


def intern(root: Keys, text: Keys, vision: Keys) -> list[Tensors]:
    """The ``mlp1`` of InternVL: patches are shuffled together first."""
    width = int(vision.integer("hidden_size") / root.number("downsample_ratio", default=0.5) ** 2)
    hidden = hidden_of(text)
    found = norm("0", width, bias=True)
    found += linear("vision", "1", hidden, width, bias=True)
    return inside("mlp1", [*found, *linear("vision", "3", hidden, hidden, bias=True)])


def minimax(root: Keys, text: Keys, vision: Keys) -> list[Tensors]:
    """``MiniMaxM3VLMultiModalProjector``: one layer each for patches and for merged patches."""
    hidden, merge = hidden_of(text), vision.integer("spatial_merge_size", default=2)
    inner = root.integer("projector_hidden_size", default=hidden)
    sizes = {
        "linear_1": (inner, vision.integer("hidden_size")),
        "linear_2": (hidden, inner),
        "merge_linear_1": (hidden, hidden * merge**2),
        "merge_linear_2": (hidden, hidden),
    }
    found = [
        tensor
        for name, (out, width) in sizes.items()
        for tensor in linear("vision", name, out, width, bias=True)
    ]
    return inside("multi_modal_projector", found)


def resampler(root: Keys, text: Keys, vision: Keys) -> list[Tensors]:
    """Learnt queries that attend to the patches (``Resampler2_5`` of MiniCPM-V)."""
    hidden, width = hidden_of(text), vision.integer("hidden_size")
    found = [vector("vision", "query", root.integer("query_num"), hidden)]
    found += linear("vision", "kv_proj", hidden, width)
    found += linear("vision", "attn.in_proj", 3 * hidden, hidden, bias=True)
    found += linear("vision", "attn.out_proj", hidden, hidden, bias=True)
    for name in ("ln_q", "ln_kv", "ln_post"):
        found += norm(name, hidden, bias=True)
    return inside("resampler", [*found, vector("vision", "proj", hidden, hidden)])


def phi3_vision(_: Keys, text: Keys, __: Keys) -> list[Tensors]:
    """CLIP-L of 336 pixels, which the file names but does not describe, and its projection."""
    path, hidden, width = "model.vision_embed_tokens", hidden_of(text), 1024
    sizes = {"hidden_size": width, "intermediate_size": 4096, "num_hidden_layers": 24}
    sizes |= {"image_size": 336, "patch_size": 14}
    tower = clip(Keys(sizes, file=text.file))
    found = inside("img_processor", tower)
    found += linear("vision", "img_projection.0", hidden, 4 * width, bias=True)
    found += linear("vision", "img_projection.2", hidden, hidden, bias=True)
    found += [vector("vision", name, 4 * width) for name in ("glb_GN", "sub_GN")]
    return inside(path, found)


def molmo(_: Keys, text: Keys, __: Keys) -> list[Tensors]:
    """CLIP-L of 336 pixels but for its last layer, with pooling of patches (vLLM's ``molmo``)."""
    width, hidden = 1024, hidden_of(text)
    found = [
        vector("vision", "class_embedding", width),
        vector("vision", "positional_embedding", 577, width),
        vector("vision", "patch_embedding", width, 588),
        vector("vision", "pad_embed", 2, 2 * width),
        *norm("pre_ln", width, bias=True),
        *repeated("resblocks", range(23), SIGLIP.tensors(width, 4096)),
    ]
    for name in ("wq", "wk", "wv"):
        found += linear("vision", f"image_pooling_2d.{name}", width, 2 * width, bias=True)
    found += linear("vision", "image_pooling_2d.wo", width, width, bias=True)
    inner = text.integer("intermediate_size") // 2
    for name in ("w1", "w3"):
        found += linear("vision", f"image_projector.{name}", inner, width)
    found += linear("vision", "image_projector.w2", hidden, inner)
    return [
        *inside("model.vision_backbone", found),
        vector("vision", "model.transformer.wte.new_embedding", 128, hidden),
    ]
