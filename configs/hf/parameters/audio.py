"""The audio tower of Gemma-4 (transformers 5.23, ``Gemma4AudioModel``)."""

from ..keys import Keys
from .blocks import MOST_LAYERS
from .tensors import Tensors, belonging, inside, linear, norm, norms, repeated, vector


def gemma4_audio(audio: Keys) -> list[Tensors]:
    """A conformer behind two convolutions that quarter the time axis."""
    hidden = audio.integer("hidden_size")
    out = audio.integer("output_proj_dims", default=hidden)
    channels = audio.integers("subsampling_conv_channels", least=1) or [128, 32]
    if len(channels) != 2:
        audio.fail("subsampling_conv_channels", "must be two numbers")
    first, second = channels
    convolutions = [
        vector("vision", "layer0.conv", first, 1, 3, 3),
        *norm("layer0.norm", first),
        vector("vision", "layer1.conv", second, first, 3, 3),
        *norm("layer1.norm", second),
        *linear("vision", "input_proj_linear", hidden, 32 * second),
    ]
    layers = range(audio.integer("num_hidden_layers", most=MOST_LAYERS))
    found = inside("subsample_conv_projection", convolutions)
    found += repeated("layers", layers, _layer(audio, hidden))
    found += linear("vision", "output_proj", out, hidden, bias=True)
    return belonging("vision", found)


def _layer(audio: Keys, hidden: int) -> list[Tensors]:
    found = norms(["norm_pre_attn", "norm_post_attn", "norm_out"], hidden)
    for name in ("feed_forward1", "feed_forward2"):
        feed = linear("vision", "ffw_layer_1.linear", 4 * hidden, hidden)
        feed += linear("vision", "ffw_layer_2.linear", hidden, 4 * hidden)
        feed += norms(["pre_layer_norm", "post_layer_norm"], hidden)
        found += inside(name, feed)
    dim = hidden // audio.integer("num_attention_heads")
    mixer = [vector("vision", "per_dim_scale", dim)]
    for name in ("q_proj.linear", "k_proj.linear", "v_proj.linear", "post.linear"):
        mixer += linear("vision", name, hidden, hidden)
    mixer += linear("vision", "relative_k_proj", hidden, hidden)
    kernel = audio.integer("conv_kernel_size")
    convolution = [
        *linear("vision", "linear_start.linear", 2 * hidden, hidden),
        *linear("vision", "linear_end.linear", hidden, hidden),
        vector("vision", "depthwise_conv1d", hidden, 1, kernel),
        *norms(["pre_layer_norm", "conv_norm"], hidden),
    ]
    return [*found, *inside("self_attn", mixer), *inside("lconv1d", convolution)]
