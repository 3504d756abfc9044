"""What the classes of transformers 5.23 assume where a file says nothing: sizes and flags.

Files of nested models leave out what equals the class default. Families that transformers lacks
follow the code that ships with their checkpoints. False flags are left out but for tied tables.
"""

import json
import re
from typing import Any

from ..keys import Keys

SAME = (
    ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"),
    ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "top_k_experts"),
    ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts"),
    ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "layers_block_type"),
    ("num_hidden_layers", "hybrid_override_pattern", "depth", "vt_num_hidden_layers"),
    ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    ("num_key_value_heads", "num_kv_heads", "n_head_kv", "num_attention_groups"),
    ("hidden_size", "n_embd", "d_model", "vt_hidden_size"),
    ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim", "vt_intermediate_size"),
    ("head_dim", "kv_channels", "attention_head_dim"),
    ("vocab_size", "padded_vocab_size"),
    ("moe_intermediate_size", "expert_ffn_hidden_size", "expert_intermediate_size"),
    ("mamba_n_heads", "mamba_num_heads", "n_mamba_heads"),
    ("mamba_n_groups", "mamba_ngroups", "n_groups"),
    ("mamba_d_state", "ssm_state_size", "state_size"),
    ("mamba_expand", "expand", "mamba_d_ssm"),
    ("num_dense_layers", "first_k_dense_replace"),
    ("layers_block_type", "hybrid_override_pattern"),
    ("block_ff_dim", "intermediate_size"),
    ("num_key_value_heads", "multi_query_group_num"),
)
"""Keys that say the same thing: a default of one does not stand beside another in the file."""


OWN = ("hidden_size", "num_hidden_layers", "vocab_size")
"""Sizes that a file of a language model alone must give: nothing is guessed of them."""

UNTOLD = ("num_nextn_predict_layers", "num_channels", "in_channels")
"""Defaults that are not worth a note: draft layers are not in the total, colours are three."""

TABLE = """\
afmoe: vocab_size=200192 hidden_size=2048 intermediate_size=6144 moe_intermediate_size=1408
    num_hidden_layers=32 num_dense_layers=1 num_attention_heads=16 head_dim=128
    tie_word_embeddings=false num_experts=64 num_experts_per_tok=6 num_shared_experts=2
apertus: vocab_size=131072 hidden_size=4096 intermediate_size=14336 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false
arcee: vocab_size=32000 hidden_size=2560 intermediate_size=18432 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false
aria_text: vocab_size=32000 hidden_size=4096 intermediate_size=4096 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false moe_num_experts=8 moe_topk=2
    moe_num_shared_experts=2
axk1: vocab_size=163840 hidden_size=7168 intermediate_size=18432 moe_intermediate_size=2048
    num_hidden_layers=61 num_attention_heads=64 num_key_value_heads=64 n_shared_experts=1
    n_routed_experts=192 kv_lora_rank=512 q_lora_rank=1536 qk_rope_head_dim=64 v_head_dim=128
    qk_nope_head_dim=128 num_experts_per_tok=8 tie_word_embeddings=false
baichuan: tie_word_embeddings=false
baichuan_m1: tie_word_embeddings=false
bailing_hybrid: vocab_size=157184 hidden_size=2560 intermediate_size=6144
    moe_intermediate_size=768 num_hidden_layers=42 num_attention_heads=32 num_key_value_heads=32
    n_shared_experts=1 kv_lora_rank=512 qk_rope_head_dim=64 v_head_dim=128 qk_nope_head_dim=128
    num_experts_per_tok=8 first_k_dense_replace=2 tie_word_embeddings=false num_local_experts=512
    head_dim=128 short_conv_kernel_size=4 layer_group_size=6
bailing_moe: tie_word_embeddings=false
bailing_moe_v2: tie_word_embeddings=false use_qk_norm=true
bamba: vocab_size=128000 tie_word_embeddings=false hidden_size=4096 intermediate_size=14336
    num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8 mamba_n_heads=128
    mamba_d_head="auto" mamba_n_groups=1 mamba_d_state=256 mamba_d_conv=4 mamba_expand=2
    mamba_conv_bias=true
bitnet: vocab_size=128256 hidden_size=2560 intermediate_size=6912 num_hidden_layers=30
    num_attention_heads=20 num_key_value_heads=5 tie_word_embeddings=false
bloom: vocab_size=250880 hidden_size=64 n_layer=2 n_head=8 tie_word_embeddings=true
chatglm: tie_word_embeddings=false
clip_vision_model: hidden_size=768 intermediate_size=3072 num_hidden_layers=12
    num_attention_heads=12 num_channels=3 image_size=224 patch_size=32
codegen: vocab_size=50400 n_positions=2048 n_embd=4096 n_layer=28 n_head=16
    tie_word_embeddings=false
cohere: vocab_size=256000 hidden_size=8192 intermediate_size=22528 num_hidden_layers=40
    num_attention_heads=64 tie_word_embeddings=true
cohere2: vocab_size=256000 hidden_size=8192 intermediate_size=22528 num_hidden_layers=40
    num_attention_heads=64 tie_word_embeddings=true
cohere2_moe: vocab_size=256000 hidden_size=8192 intermediate_size=22528 num_hidden_layers=40
    num_attention_heads=64 head_dim=128 tie_word_embeddings=true num_experts_per_tok=2
    num_experts=8 num_shared_experts=0 sliding_window_pattern=4
cwm: vocab_size=128256 hidden_size=6144 intermediate_size=21504 num_hidden_layers=64
    num_attention_heads=48 num_key_value_heads=8 tie_word_embeddings=false head_dim=128
deepseek: tie_word_embeddings=false
deepseek_v2: vocab_size=102400 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false first_k_dense_replace=0 kv_lora_rank=512
    q_lora_rank=1536 n_routed_experts=64 n_shared_experts=2 qk_nope_head_dim=128
    qk_rope_head_dim=64 v_head_dim=128 moe_intermediate_size=1407
deepseek_v3: vocab_size=129280 hidden_size=7168 intermediate_size=18432 moe_intermediate_size=2048
    num_hidden_layers=61 num_attention_heads=128 num_key_value_heads=128 n_shared_experts=1
    n_routed_experts=256 kv_lora_rank=512 q_lora_rank=1536 qk_rope_head_dim=64 v_head_dim=128
    qk_nope_head_dim=128 num_experts_per_tok=8 first_k_dense_replace=3 tie_word_embeddings=false
deepseek_v32: vocab_size=129280 hidden_size=7168 intermediate_size=18432
    moe_intermediate_size=2048 num_hidden_layers=61 num_attention_heads=128
    num_key_value_heads=128 n_shared_experts=1 n_routed_experts=256 kv_lora_rank=512
    q_lora_rank=1536 qk_rope_head_dim=64 v_head_dim=128 qk_nope_head_dim=128 num_experts_per_tok=8
    tie_word_embeddings=false index_head_dim=128 index_n_heads=64 head_dim=64
    first_k_dense_replace=3
deepseek_v4: vocab_size=129280 hidden_size=4096 moe_intermediate_size=2048 num_hidden_layers=43
    num_attention_heads=64 num_key_value_heads=1 head_dim=512 q_lora_rank=1024
    num_experts_per_tok=6 n_routed_experts=256 n_shared_experts=1 hc_mult=4 o_groups=8
    o_lora_rank=1024 index_n_heads=64 index_head_dim=128 num_nextn_predict_layers=1
    tie_word_embeddings=false
diffllama: vocab_size=32000 hidden_size=2048 intermediate_size=8192 num_hidden_layers=16
    num_attention_heads=32 tie_word_embeddings=false
dots1: vocab_size=152064 hidden_size=4608 intermediate_size=10944 moe_intermediate_size=1408
    num_hidden_layers=62 num_attention_heads=32 num_key_value_heads=32 first_k_dense_replace=0
    tie_word_embeddings=false
emu3_text_model: vocab_size=184622 hidden_size=4096 intermediate_size=14336 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=8 tie_word_embeddings=false
ernie4_5: vocab_size=103424 hidden_size=1024 intermediate_size=3072 num_hidden_layers=18
    num_attention_heads=16 num_key_value_heads=2 tie_word_embeddings=true head_dim=128
ernie4_5_moe: vocab_size=103424 hidden_size=2560 intermediate_size=12288 num_hidden_layers=28
    num_attention_heads=20 num_key_value_heads=4 tie_word_embeddings=true
    moe_intermediate_size=1536 moe_k=6 moe_num_experts=64 moe_num_shared_experts=2
    moe_layer_start_index=1 moe_layer_end_index=-1 moe_layer_interval=1
exaone: tie_word_embeddings=true
exaone4: vocab_size=102400 hidden_size=4096 intermediate_size=16384 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=32 tie_word_embeddings=false
    sliding_window_pattern=4
exaone_moe: vocab_size=102400 hidden_size=4096 intermediate_size=16384 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=32 tie_word_embeddings=false
    sliding_window_pattern=4 first_k_dense_replace=1 moe_intermediate_size=1024 num_experts=64
    num_experts_per_tok=8 num_shared_experts=1
falcon: vocab_size=65024 hidden_size=4544 num_hidden_layers=32 num_attention_heads=71
    multi_query=true parallel_attn=true tie_word_embeddings=true
falcon_h1: vocab_size=128000 tie_word_embeddings=false hidden_size=4096 intermediate_size=14336
    num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8 mamba_d_ssm=1024
    mamba_n_heads=128 mamba_d_head="auto" mamba_n_groups=1 mamba_d_state=256 mamba_d_conv=4
    mamba_expand=2 mamba_conv_bias=true
falcon_mamba: vocab_size=50280 hidden_size=768 state_size=16 num_hidden_layers=32 expand=2
    conv_kernel=4 use_conv_bias=true time_step_rank="auto" tie_word_embeddings=true
flex_olmo: vocab_size=100352 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false num_experts_per_tok=5 num_experts=7
gemma: vocab_size=256000 hidden_size=3072 intermediate_size=24576 num_hidden_layers=28
    num_attention_heads=16 num_key_value_heads=16 head_dim=256 tie_word_embeddings=true
gemma2: vocab_size=256000 hidden_size=2304 intermediate_size=9216 num_hidden_layers=26
    num_attention_heads=8 num_key_value_heads=4 head_dim=256 tie_word_embeddings=true
gemma3_text: vocab_size=262208 hidden_size=2304 intermediate_size=9216 num_hidden_layers=26
    num_attention_heads=8 num_key_value_heads=4 head_dim=256 tie_word_embeddings=true
gemma3n_text: vocab_size=262400 hidden_size=2048 intermediate_size=16384 num_hidden_layers=35
    num_attention_heads=8 num_key_value_heads=2 head_dim=256 tie_word_embeddings=true
    vocab_size_per_layer_input=262144 hidden_size_per_layer_input=256 altup_num_inputs=4
    num_kv_shared_layers=15 laurel_rank=64
gemma4_text: vocab_size=262144 hidden_size=2304 intermediate_size=9216 num_hidden_layers=30
    num_attention_heads=8 num_key_value_heads=4 head_dim=256 tie_word_embeddings=true
    vocab_size_per_layer_input=262144 hidden_size_per_layer_input=256 num_kv_shared_layers=0
    global_head_dim=512
gemma4_vision: hidden_size=768 intermediate_size=3072 num_hidden_layers=16 num_attention_heads=12
    num_key_value_heads=12 head_dim=64 patch_size=16 position_embedding_size=10240
glm: vocab_size=151552 hidden_size=4096 intermediate_size=13696 num_hidden_layers=40
    num_attention_heads=32 num_key_value_heads=2 head_dim=128 tie_word_embeddings=false
    attention_bias=true
glm4: vocab_size=151552 hidden_size=4096 intermediate_size=13696 num_hidden_layers=40
    num_attention_heads=32 num_key_value_heads=2 head_dim=128 tie_word_embeddings=false
    attention_bias=true
glm4_moe: vocab_size=151552 hidden_size=4096 intermediate_size=10944 num_hidden_layers=46
    num_attention_heads=96 num_key_value_heads=8 tie_word_embeddings=false
    moe_intermediate_size=1408 num_experts_per_tok=8 n_shared_experts=1 n_routed_experts=128
    first_k_dense_replace=1
glm4_moe_lite: vocab_size=154880 hidden_size=2048 intermediate_size=10240
    moe_intermediate_size=1536 num_hidden_layers=47 num_attention_heads=20 num_key_value_heads=20
    n_shared_experts=1 n_routed_experts=64 kv_lora_rank=512 q_lora_rank=768 qk_rope_head_dim=64
    v_head_dim=256 qk_nope_head_dim=192 num_experts_per_tok=4 tie_word_embeddings=false
glm4v: vocab_size=151552 hidden_size=4096 intermediate_size=13696 num_hidden_layers=40
    num_attention_heads=32 num_key_value_heads=2
glm4v_moe: vocab_size=151424 hidden_size=4096 intermediate_size=10944 num_hidden_layers=46
    num_attention_heads=96 num_key_value_heads=8 tie_word_embeddings=false attention_bias=true
    moe_intermediate_size=1408 num_experts_per_tok=8 n_shared_experts=1 n_routed_experts=128
    first_k_dense_replace=1
glm4v_moe_text: vocab_size=151424 hidden_size=4096 intermediate_size=10944 num_hidden_layers=46
    num_attention_heads=96 num_key_value_heads=8 tie_word_embeddings=false attention_bias=true
    moe_intermediate_size=1408 num_experts_per_tok=8 n_shared_experts=1 n_routed_experts=128
    first_k_dense_replace=1
glm4v_moe_vision: depth=24 hidden_size=1536 num_heads=12 in_channels=3 image_size=336
    patch_size=14 spatial_merge_size=2 temporal_patch_size=2 out_hidden_size=4096
    intermediate_size=13696
glm4v_text: vocab_size=151552 hidden_size=4096 intermediate_size=13696 num_hidden_layers=40
    num_attention_heads=32 num_key_value_heads=2
glm4v_vision: depth=24 hidden_size=1536 num_heads=12 in_channels=3 image_size=336 patch_size=14
    spatial_merge_size=2 temporal_patch_size=2 out_hidden_size=4096 intermediate_size=13696
glm_moe_dsa: vocab_size=154880 hidden_size=6144 intermediate_size=12288 moe_intermediate_size=2048
    num_hidden_layers=78 num_attention_heads=64 num_key_value_heads=64 n_shared_experts=1
    n_routed_experts=256 kv_lora_rank=512 q_lora_rank=2048 qk_rope_head_dim=64 v_head_dim=256
    qk_nope_head_dim=192 num_experts_per_tok=8 tie_word_embeddings=false index_head_dim=128
    index_n_heads=32 head_dim=64 first_k_dense_replace=3
gpt2: vocab_size=50257 n_positions=1024 n_embd=768 n_layer=12 n_head=12 tie_word_embeddings=true
gpt_bigcode: vocab_size=50257 n_positions=1024 n_embd=768 n_layer=12 n_head=12 multi_query=true
    tie_word_embeddings=true
gpt_neox: vocab_size=50432 hidden_size=6144 num_hidden_layers=44 num_attention_heads=64
    intermediate_size=24576 tie_word_embeddings=false use_parallel_residual=true
    attention_bias=true
gpt_oss: num_hidden_layers=36 num_local_experts=128 vocab_size=201088 hidden_size=2880
    intermediate_size=2880 head_dim=64 num_attention_heads=64 num_key_value_heads=8
    tie_word_embeddings=false num_experts_per_tok=4 attention_bias=true
gptj: vocab_size=50400 n_positions=2048 n_embd=4096 n_layer=28 n_head=16 tie_word_embeddings=false
granite: vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false
granite_swa: vocab_size=100352 hidden_size=2560 intermediate_size=8192 num_hidden_layers=24
    num_attention_heads=20 num_key_value_heads=4 tie_word_embeddings=true
granitemoe: vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false num_local_experts=8 num_experts_per_tok=2
granitemoe_shared: vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false num_local_experts=8 num_experts_per_tok=2
    shared_intermediate_size=0
granitemoe_swa: vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false num_local_experts=8 num_experts_per_tok=2
    shared_intermediate_size=0
granitemoehybrid: vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false num_local_experts=8 num_experts_per_tok=2
    shared_intermediate_size=1024 mamba_n_heads=128 mamba_n_groups=1 mamba_d_state=256
    mamba_d_head="auto" mamba_d_conv=4 mamba_expand=2 mamba_conv_bias=true
granitemoeshared: vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false num_local_experts=8 num_experts_per_tok=2
    shared_intermediate_size=0
helium: vocab_size=48000 hidden_size=2560 intermediate_size=7040 num_hidden_layers=24
    num_attention_heads=20 num_key_value_heads=20 head_dim=128 tie_word_embeddings=false
hunyuan_v1_dense: vocab_size=290943 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false
hunyuan_v1_moe: vocab_size=290943 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false num_experts=1 moe_topk=1
hy_v3: vocab_size=120832 hidden_size=4096 intermediate_size=13312 num_hidden_layers=80
    num_attention_heads=64 num_key_value_heads=8 head_dim=128 tie_word_embeddings=false
    num_experts=192 num_experts_per_tok=8 num_shared_experts=1 moe_intermediate_size=1536
hymba: tie_word_embeddings=true
hyperclovax: vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false
idefics3_vision: hidden_size=1152 intermediate_size=3072 num_hidden_layers=12
    num_attention_heads=16 num_channels=3 image_size=224 patch_size=32 vision_use_head=false
internlm: bias=true tie_word_embeddings=false
internlm2: bias=true tie_word_embeddings=false
internlm3: vocab_size=128512 hidden_size=4096 intermediate_size=10240 num_hidden_layers=48
    num_attention_heads=32 num_key_value_heads=2 tie_word_embeddings=false head_dim=128
internvl_vision: hidden_size=1024 num_hidden_layers=24 num_attention_heads=16
    intermediate_size=4096 norm_type="layer_norm" image_size=[448,448] patch_size=[14,14]
    num_channels=3
jais2: vocab_size=150272 hidden_size=3328 intermediate_size=26624 num_hidden_layers=32
    num_attention_heads=26 tie_word_embeddings=false attention_bias=true mlp_bias=true
jamba: vocab_size=65536 tie_word_embeddings=false hidden_size=4096 intermediate_size=14336
    num_hidden_layers=32 num_attention_heads=32 num_key_value_heads=8 num_experts_per_tok=2
    num_experts=16 expert_layer_period=2 expert_layer_offset=1 attn_layer_period=8
    attn_layer_offset=4 mamba_d_state=16 mamba_d_conv=4 mamba_expand=2 mamba_dt_rank="auto"
    mamba_conv_bias=true
kimi_k2: vocab_size=129280 hidden_size=7168 intermediate_size=18432 moe_intermediate_size=2048
    num_hidden_layers=61 num_attention_heads=128 num_key_value_heads=128 n_shared_experts=1
    n_routed_experts=256 kv_lora_rank=512 q_lora_rank=1536 qk_rope_head_dim=64 v_head_dim=128
    qk_nope_head_dim=128 num_experts_per_tok=8 first_k_dense_replace=3 tie_word_embeddings=false
kimi_k25_vision: patch_size=14 num_attention_heads=16 num_hidden_layers=27 hidden_size=1152
    intermediate_size=4304 merge_kernel_size=[2,2] init_pos_emb_height=64 init_pos_emb_width=64
kimi_linear: tie_word_embeddings=false
laguna: vocab_size=100352 hidden_size=2048 intermediate_size=8192 num_hidden_layers=40
    num_attention_heads=48 num_key_value_heads=8 tie_word_embeddings=false
    moe_intermediate_size=512 shared_expert_intermediate_size=512 num_experts_per_tok=8
    num_experts=256 head_dim=128
lfm2: vocab_size=65536 hidden_size=2560 intermediate_size=12288 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=8 tie_word_embeddings=true conv_L_cache=3
    block_multiple_of=256 block_ffn_dim_multiplier=1.0 block_auto_adjust_ff_dim=true
lfm2_moe: vocab_size=65536 hidden_size=2048 intermediate_size=7168 moe_intermediate_size=1792
    num_hidden_layers=32 tie_word_embeddings=true num_attention_heads=32 num_key_value_heads=8
    conv_L_cache=3 num_dense_layers=2 num_experts_per_tok=4 num_experts=32
llama: vocab_size=32000 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false
llama4_text: vocab_size=202048 hidden_size=5120 intermediate_size=8192 intermediate_size_mlp=16384
    num_hidden_layers=48 num_attention_heads=40 num_key_value_heads=8 head_dim=128
    tie_word_embeddings=false num_experts_per_tok=1 num_local_experts=16
    interleave_moe_layer_step=1 use_qk_norm=true
llama4_vision_model: hidden_size=768 num_hidden_layers=34 num_attention_heads=16 num_channels=3
    intermediate_size=5632 vision_output_dim=7680 image_size=448 patch_size=14
    projector_input_dim=4096 projector_output_dim=4096
longcat: vocab_size=131072 hidden_size=6144 num_layers=28 num_attention_heads=64
    tie_word_embeddings=false ffn_hidden_size=12288 q_lora_rank=1536 kv_lora_rank=512
    qk_nope_head_dim=128 qk_rope_head_dim=64 head_dim=64 v_head_dim=128 moe_topk=12
    n_routed_experts=512 zero_expert_num=256 expert_ffn_hidden_size=2048
longcat_flash: vocab_size=131072 hidden_size=6144 num_layers=28 num_attention_heads=64
    tie_word_embeddings=false ffn_hidden_size=12288 q_lora_rank=1536 kv_lora_rank=512
    qk_nope_head_dim=128 qk_rope_head_dim=64 head_dim=64 v_head_dim=128 moe_topk=12
    n_routed_experts=512 zero_expert_num=256 expert_ffn_hidden_size=2048
mamba: vocab_size=50280 hidden_size=768 state_size=16 num_hidden_layers=32 expand=2 conv_kernel=4
    use_conv_bias=true time_step_rank="auto" tie_word_embeddings=true
mamba2: num_heads=128 head_dim=64 vocab_size=32768 hidden_size=4096 state_size=128
    num_hidden_layers=64 expand=2 conv_kernel=4 n_groups=8 use_conv_bias=true
    time_step_rank="auto" tie_word_embeddings=false
mellum: vocab_size=98304 hidden_size=2304 intermediate_size=7168 num_hidden_layers=28
    num_attention_heads=32 num_key_value_heads=4 tie_word_embeddings=false
    moe_intermediate_size=896 num_experts_per_tok=8 num_experts=64 head_dim=128
mimo: tie_word_embeddings=false
mimo_v2: vocab_size=152576 hidden_size=4096 intermediate_size=16384 num_hidden_layers=48
    num_attention_heads=64 num_key_value_heads=4 tie_word_embeddings=false
    moe_intermediate_size=2048 num_experts_per_tok=8 n_routed_experts=256 head_dim=192
    v_head_dim=128 swa_num_attention_heads=64 swa_num_key_value_heads=8
mimo_v2_flash: vocab_size=152576 hidden_size=4096 intermediate_size=16384 num_hidden_layers=48
    num_attention_heads=64 num_key_value_heads=4 tie_word_embeddings=false
    moe_intermediate_size=2048 num_experts_per_tok=8 n_routed_experts=256 head_dim=192
    v_head_dim=128 swa_num_attention_heads=64 swa_num_key_value_heads=8
minicpm: tie_word_embeddings=true
minicpm3: vocab_size=73448 hidden_size=2560 intermediate_size=6400 num_hidden_layers=62
    num_attention_heads=40 num_key_value_heads=40 tie_word_embeddings=true kv_lora_rank=256
    q_lora_rank=768 qk_nope_head_dim=64 qk_rope_head_dim=32
minicpmv: tie_word_embeddings=false
minimax: vocab_size=32000 hidden_size=4096 intermediate_size=14336 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=8 tie_word_embeddings=false num_experts_per_tok=2
    num_local_experts=8
minimax_m1: tie_word_embeddings=false
minimax_m2: vocab_size=200064 hidden_size=3072 intermediate_size=1536 num_hidden_layers=62
    num_attention_heads=48 num_key_value_heads=8 head_dim=128 tie_word_embeddings=false
    num_experts_per_tok=8 num_local_experts=256
minimax_m3: vocab_size=200064 hidden_size=6144 intermediate_size=3072 num_hidden_layers=60
    num_attention_heads=64 num_key_value_heads=4 head_dim=128 tie_word_embeddings=false
    num_experts_per_tok=4 num_local_experts=128 dense_intermediate_size=12288
    shared_intermediate_size=3072 index_n_heads=4 index_head_dim=128
minimax_m3_vl_text: vocab_size=200064 hidden_size=6144 intermediate_size=3072 num_hidden_layers=60
    num_attention_heads=64 num_key_value_heads=4 head_dim=128 tie_word_embeddings=false
    num_experts_per_tok=4 num_local_experts=128 dense_intermediate_size=12288
    shared_intermediate_size=3072 index_n_heads=4 index_head_dim=128
minimax_m3_vl_vision: hidden_size=1280 intermediate_size=5120 num_hidden_layers=32
    num_attention_heads=16 num_channels=3 image_size=2016 patch_size=14 temporal_patch_size=2
    spatial_merge_size=2
minimax_text_01: tie_word_embeddings=false
ministral: vocab_size=32000 hidden_size=4096 intermediate_size=14336 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=8 tie_word_embeddings=false
ministral3: vocab_size=131072 hidden_size=4096 intermediate_size=14336 num_hidden_layers=34
    num_attention_heads=32 num_key_value_heads=8 head_dim=128 tie_word_embeddings=false
mistral: vocab_size=32000 hidden_size=4096 intermediate_size=14336 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=8 tie_word_embeddings=false
mistral4: vocab_size=131072 hidden_size=4096 intermediate_size=12288 moe_intermediate_size=2048
    num_hidden_layers=36 num_attention_heads=32 num_key_value_heads=32 n_shared_experts=1
    n_routed_experts=128 kv_lora_rank=256 q_lora_rank=1024 qk_rope_head_dim=64 v_head_dim=128
    qk_nope_head_dim=64 num_experts_per_tok=4 first_k_dense_replace=0 tie_word_embeddings=false
mixtral: vocab_size=32000 hidden_size=4096 intermediate_size=14336 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=8 tie_word_embeddings=false num_experts_per_tok=2
    num_local_experts=8
mllama_text_model: vocab_size=128256 hidden_size=4096 num_hidden_layers=40 num_attention_heads=32
    num_key_value_heads=8 intermediate_size=14336 tie_word_embeddings=false
mllama_vision_model: hidden_size=1280 num_hidden_layers=32 num_global_layers=8 num_channels=3
    intermediate_size=5120 vision_output_dim=7680 image_size=448 patch_size=14 max_num_tiles=4
molmo: tie_word_embeddings=false qkv_bias=true
mpt: d_model=2048 n_heads=16 n_layers=24 vocab_size=50368 norm_type="low_precision_layernorm"
    tie_word_embeddings=true
nemotron: vocab_size=256000 hidden_size=6144 intermediate_size=24576 num_hidden_layers=32
    num_attention_heads=48 tie_word_embeddings=false
nemotron-nas: tie_word_embeddings=false
nemotron_h: vocab_size=131072 hidden_size=4096 tie_word_embeddings=false num_attention_heads=32
    num_key_value_heads=8 head_dim=128 intermediate_size=21504 ssm_state_size=128
    mamba_num_heads=128 mamba_head_dim=64 n_groups=8 conv_kernel=4 expand=2 use_conv_bias=true
    n_routed_experts=8 n_shared_experts=1 moe_intermediate_size=7688
    moe_shared_expert_intermediate_size=7688 num_experts_per_tok=2 num_nextn_predict_layers=0
olmo: vocab_size=50304 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false
olmo2: vocab_size=50304 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false
olmo3: vocab_size=50304 hidden_size=4096 intermediate_size=11008 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false
olmoe: vocab_size=50304 hidden_size=2048 intermediate_size=2048 num_hidden_layers=16
    num_attention_heads=16 tie_word_embeddings=false num_experts_per_tok=8 num_experts=64
opt: vocab_size=50272 hidden_size=768 num_hidden_layers=12 ffn_dim=3072 num_attention_heads=12
    enable_bias=true tie_word_embeddings=true
orion: tie_word_embeddings=false
phi: vocab_size=51200 hidden_size=2048 intermediate_size=8192 num_hidden_layers=24
    num_attention_heads=32 tie_word_embeddings=false
phi3: vocab_size=32064 hidden_size=3072 intermediate_size=8192 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false
phi3_v: vocab_size=32064 hidden_size=3072 intermediate_size=8192 num_hidden_layers=32
    num_attention_heads=32 tie_word_embeddings=false
phi4_multimodal: vocab_size=200064 hidden_size=3072 intermediate_size=8192 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=8 tie_word_embeddings=false
phi4mm: tie_word_embeddings=true
phimoe: vocab_size=32064 hidden_size=4096 intermediate_size=6400 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=8 tie_word_embeddings=false num_experts_per_tok=2
    num_local_experts=16
pixtral: hidden_size=1024 intermediate_size=4096 num_hidden_layers=24 num_attention_heads=16
    num_channels=3 image_size=1024 patch_size=16
qwen: tie_word_embeddings=false
qwen2: vocab_size=151936 hidden_size=4096 intermediate_size=22016 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=32 tie_word_embeddings=false
qwen2_5_omni_text: vocab_size=152064 hidden_size=3584 intermediate_size=18944 num_hidden_layers=28
    num_attention_heads=28 num_key_value_heads=4 tie_word_embeddings=true
qwen2_5_omni_vision_encoder: depth=32 hidden_size=3584 intermediate_size=3420 num_heads=16
    in_channels=3 patch_size=14 spatial_merge_size=2 temporal_patch_size=2 out_hidden_size=3584
qwen2_5_vl: vocab_size=152064 hidden_size=8192 intermediate_size=29568 num_hidden_layers=80
    num_attention_heads=64 num_key_value_heads=8
qwen2_5_vl_text: vocab_size=152064 hidden_size=8192 intermediate_size=29568 num_hidden_layers=80
    num_attention_heads=64 num_key_value_heads=8
qwen2_5_vl_vision: depth=32 hidden_size=3584 intermediate_size=3420 num_heads=16 in_channels=3
    patch_size=14 spatial_merge_size=2 temporal_patch_size=2 out_hidden_size=3584
qwen2_moe: vocab_size=151936 hidden_size=2048 intermediate_size=5632 num_hidden_layers=24
    num_attention_heads=16 num_key_value_heads=16 tie_word_embeddings=false decoder_sparse_step=1
    moe_intermediate_size=1408 shared_expert_intermediate_size=5632 num_experts_per_tok=4
    num_experts=60 qkv_bias=true
qwen2_vl: vocab_size=152064 hidden_size=8192 intermediate_size=29568 num_hidden_layers=80
    num_attention_heads=64 num_key_value_heads=8
qwen2_vl_text: vocab_size=152064 hidden_size=8192 intermediate_size=29568 num_hidden_layers=80
    num_attention_heads=64 num_key_value_heads=8
qwen2_vl_vision: depth=32 embed_dim=1280 hidden_size=3584 mlp_ratio=4 num_heads=16 in_channels=3
    patch_size=14 spatial_merge_size=2 temporal_patch_size=2
qwen3: vocab_size=151936 hidden_size=4096 intermediate_size=22016 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=32 head_dim=128 tie_word_embeddings=false
qwen3_5_moe_text: vocab_size=248320 hidden_size=2048 num_hidden_layers=40 num_attention_heads=16
    num_key_value_heads=2 tie_word_embeddings=false head_dim=256 linear_conv_kernel_dim=4
    linear_key_head_dim=128 linear_value_head_dim=128 linear_num_key_heads=16
    linear_num_value_heads=32 moe_intermediate_size=512 shared_expert_intermediate_size=512
    num_experts_per_tok=8 num_experts=256 attn_output_gate=true
qwen3_5_moe_vision: depth=27 hidden_size=1152 intermediate_size=4304 num_heads=16 in_channels=3
    patch_size=16 spatial_merge_size=2 temporal_patch_size=2 out_hidden_size=3584
    num_position_embeddings=2304
qwen3_5_text: vocab_size=248320 hidden_size=4096 intermediate_size=12288 num_hidden_layers=32
    num_attention_heads=16 num_key_value_heads=4 tie_word_embeddings=false head_dim=256
    linear_conv_kernel_dim=4 linear_key_head_dim=128 linear_value_head_dim=128
    linear_num_key_heads=16 linear_num_value_heads=32 attn_output_gate=true
qwen3_5_vision: depth=27 hidden_size=1152 intermediate_size=4304 num_heads=16 in_channels=3
    patch_size=16 spatial_merge_size=2 temporal_patch_size=2 out_hidden_size=3584
    num_position_embeddings=2304
qwen3_moe: vocab_size=151936 hidden_size=2048 intermediate_size=6144 num_hidden_layers=24
    num_attention_heads=32 num_key_value_heads=4 tie_word_embeddings=false decoder_sparse_step=1
    moe_intermediate_size=768 num_experts_per_tok=8 num_experts=128
qwen3_next: vocab_size=151936 hidden_size=2048 intermediate_size=5632 num_hidden_layers=48
    num_attention_heads=16 num_key_value_heads=2 tie_word_embeddings=false head_dim=256
    linear_conv_kernel_dim=4 linear_key_head_dim=128 linear_value_head_dim=128
    linear_num_key_heads=16 linear_num_value_heads=32 decoder_sparse_step=1
    moe_intermediate_size=512 shared_expert_intermediate_size=512 num_experts_per_tok=10
    num_experts=512 attn_output_gate=true
qwen3_omni_moe_text: vocab_size=3584 hidden_size=2048 intermediate_size=18944 num_hidden_layers=28
    num_attention_heads=28 num_key_value_heads=4 decoder_sparse_step=1 moe_intermediate_size=768
    num_experts_per_tok=8 num_experts=128
qwen3_vl_moe_text: vocab_size=151936 hidden_size=2048 intermediate_size=5632 num_hidden_layers=24
    num_attention_heads=16 num_key_value_heads=16 tie_word_embeddings=true decoder_sparse_step=1
    moe_intermediate_size=1408 num_experts_per_tok=4 num_experts=60
qwen3_vl_moe_vision: depth=27 hidden_size=1152 intermediate_size=4304 num_heads=16 in_channels=3
    patch_size=16 spatial_merge_size=2 temporal_patch_size=2 out_hidden_size=3584
    num_position_embeddings=2304 deepstack_visual_indexes=[8,16,24]
qwen3_vl_text: vocab_size=151936 hidden_size=4096 intermediate_size=22016 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=32 head_dim=128
qwen3_vl_vision: depth=27 hidden_size=1152 intermediate_size=4304 num_heads=16 in_channels=3
    patch_size=16 spatial_merge_size=2 temporal_patch_size=2 out_hidden_size=3584
    num_position_embeddings=2304 deepstack_visual_indexes=[8,16,24]
recurrent_gemma: num_hidden_layers=26 vocab_size=256000 hidden_size=2560 intermediate_size=7680
    num_attention_heads=10 conv1d_width=4 block_types=["recurrent","recurrent","attention"]
    tie_word_embeddings=true
seed_oss: vocab_size=155136 hidden_size=4096 intermediate_size=27648 num_hidden_layers=64
    num_attention_heads=80 num_key_value_heads=8 tie_word_embeddings=false attention_bias=true
    head_dim=128
siglip2_vision_model: hidden_size=768 intermediate_size=3072 num_hidden_layers=12
    num_attention_heads=12 num_channels=3 patch_size=16 vision_use_head=true num_patches=256
siglip_headless: vision_use_head=false
siglip_vision_model: hidden_size=768 intermediate_size=3072 num_hidden_layers=12
    num_attention_heads=12 num_channels=3 image_size=224 patch_size=16 vision_use_head=true
smollm3: vocab_size=128256 hidden_size=2048 intermediate_size=11008 num_hidden_layers=36
    num_attention_heads=16 num_key_value_heads=4 tie_word_embeddings=true
smolvlm_vision: hidden_size=1152 intermediate_size=3072 num_hidden_layers=12
    num_attention_heads=16 num_channels=3 image_size=224 patch_size=32 vision_use_head=false
solar_open: vocab_size=196608 hidden_size=4096 num_hidden_layers=48 num_attention_heads=64
    num_key_value_heads=8 tie_word_embeddings=false moe_intermediate_size=1280
    num_experts_per_tok=8 n_shared_experts=1 n_routed_experts=128 head_dim=128
stablelm: vocab_size=50304 intermediate_size=6912 hidden_size=2560 num_hidden_layers=32
    num_attention_heads=32 num_key_value_heads=32 tie_word_embeddings=false
starcoder2: vocab_size=49152 hidden_size=3072 intermediate_size=12288 num_hidden_layers=30
    num_attention_heads=24 num_key_value_heads=2 use_bias=true tie_word_embeddings=true
step3p5: vocab_size=128815 hidden_size=4096 intermediate_size=11264 num_hidden_layers=45
    num_attention_heads=64 num_key_value_heads=8 head_dim=128 tie_word_embeddings=false
    num_experts_per_tok=8 num_local_experts=128 moe_intermediate_size=1280 n_routed_experts=288
    share_expert_dim=1280
step3p5_vision: hidden_size=1536 num_hidden_layers=47 num_attention_heads=16 num_channels=3
    image_size=728 patch_size=14 mlp_ratio=5.833333333333333
step3p7: vocab_size=128815 hidden_size=4096 intermediate_size=11264 num_hidden_layers=45
    num_attention_heads=64 num_key_value_heads=8 head_dim=128 tie_word_embeddings=false
    num_experts_per_tok=8 num_local_experts=128 moe_intermediate_size=1280 n_routed_experts=288
    share_expert_dim=1280
step3p7_text: vocab_size=128815 hidden_size=4096 intermediate_size=11264 num_hidden_layers=45
    num_attention_heads=64 num_key_value_heads=8 head_dim=128 tie_word_embeddings=false
    num_experts_per_tok=8 num_local_experts=128 moe_intermediate_size=1280 n_routed_experts=288
    share_expert_dim=1280
vaultgemma: vocab_size=256000 hidden_size=2304 intermediate_size=9216 num_hidden_layers=26
    num_attention_heads=8 num_key_value_heads=4 head_dim=256 tie_word_embeddings=true
xverse: tie_word_embeddings=false
youtu: vocab_size=128256 hidden_size=2048 intermediate_size=6144 num_hidden_layers=32
    num_attention_heads=16 num_key_value_heads=16 kv_lora_rank=512 q_lora_rank=1536
    qk_rope_head_dim=64 v_head_dim=128 qk_nope_head_dim=128 tie_word_embeddings=true
zamba2: vocab_size=32000 hidden_size=2560 num_hidden_layers=54 mamba_d_state=64 mamba_d_conv=4
    mamba_expand=2 mamba_ngroups=1 n_mamba_heads=8 use_conv_bias=true num_attention_heads=32
    num_mem_blocks=1 adapter_rank=128 tie_word_embeddings=true
"""
"""Defaults by ``model_type`` of the language model or of the vision tower."""


def class_defaults(section: Keys, family: str) -> Keys:
    """The section with what the class of its family assumes; null in a file is not absent."""
    given = set(section)
    if not section.path:
        given.update(OWN)
    defaults = {
        name: value
        for name, value in _defaults(family).items()
        if name not in given and not any(given.intersection(same) for same in SAME if name in same)
    }
    return section.with_defaults(defaults)


def assumed(section: Keys) -> list[str]:
    """A note on sizes that are not the file's: transformers takes them too, without a word."""
    names = [name for name in section.assumed if name not in UNTOLD]
    if not names:
        return []
    place = f"{section.path}: " if section.path else ""
    return [f"{place}{', '.join(names)}: not in the file, counted as the model's class assumes"]


def _defaults(family: str) -> dict[str, Any]:
    found = re.search(rf"^{re.escape(family)}:((?: .*\n?)+)", TABLE, re.MULTILINE)
    pairs = found[1].split() if found else []
    return {name: json.loads(value) for name, _, value in (pair.partition("=") for pair in pairs)}
