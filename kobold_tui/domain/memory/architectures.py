"""Which layers of an architecture keep a cache, which see a window only and which keep a state.

The rules are those of llama.cpp: `load_arch_hparams` in src/models/*.cpp, `create_memory` in llama-model.cpp
and llama-arch.cpp. What is not listed here has a cache of its own kind, or is not known at all: then a dry
run tells.
"""

from __future__ import annotations

from typing import NamedTuple

from kobold_tui.domain.memory.fields import Fields


class WindowRule(NamedTuple):
    """Which layers see a sliding window: all but every `period`-th; period 0 leaves it to the file's list.

    `window` holds where the file names none, `fixed` whatever the file says, as long as it does not say 0.
    """

    period: int
    is_dense_first: bool = False
    window: int = 0
    fixed: int = 0


WINDOW_RULES: dict[str, WindowRule] = {
    "gemma2": WindowRule(2, window=4096),
    "gemma3": WindowRule(6),
    "gemma3n": WindowRule(5),
    "gemma4": WindowRule(0),
    "gemma-embedding": WindowRule(6),
    "gpt-oss": WindowRule(2),
    "cohere2": WindowRule(4),
    "cohere2moe": WindowRule(4, is_dense_first=True),
    "llama4": WindowRule(4, window=8192, fixed=8192),
    "olmo2": WindowRule(4),
    "exaone4": WindowRule(4, window=4096),
    "exaone-moe": WindowRule(4, window=128),
    "afmoe": WindowRule(4),
    "mellum": WindowRule(4),
    "smallthinker": WindowRule(4, is_dense_first=True, fixed=4096),
    "plamo3": WindowRule(8),
    "laguna": WindowRule(4, is_dense_first=True),
    "muse-glimmer": WindowRule(4),
    "modern-bert": WindowRule(3, is_dense_first=True),
    "step35": WindowRule(0),
    "mimo2": WindowRule(0),
    "granite_swa": WindowRule(0),
    "spark2_5": WindowRule(0),
    "maple": WindowRule(0),
}

RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
"""No attention at all (`llm_arch_is_recurrent`)."""

_STATE_WITHOUT_HEADS = frozenset({"jamba", "plamo2", "granitehybrid", "lfm2", "lfm2moe", "kimi-linear"})
_STATE_BY_INTERVAL = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "minimax-01": 8}
_WITHOUT_GROUPS = frozenset({"mamba", "jamba"})  # their loaders do not read the number of groups
_NEMOTRON = frozenset({"nemotron_h", "nemotron_h_moe"})

ENCODERS = frozenset(
    {
        "bert",
        "modern-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "neo-bert",
        "jina-bert-v2",
        "jina-bert-v3",
        "eurobert",
    }
)
"""The BERT family: no cache, and no output even where none is stored (`create_memory`)."""

WITHOUT_LOGITS = ENCODERS | {"gemma-embedding"}
WITHOUT_CACHE = ENCODERS | {"gemma-embedding", "dream", "llada", "llada-moe", "rnd1"}

_GENERAL_NAMES = """
llama deci falcon grok gpt2 gptj gptneox mpt baichuan starcoder refact bloom stablelm qwen qwen2
qwen2moe qwen2vl qwen3 qwen3moe qwen3vl qwen3vlmoe phi2 phi3 phimoe plamo codeshell orion internlm2
minicpm minicpm3 gemma starcoder2 xverse command-r dbrx olmo olmoe openelm arctic deepseek deepseek2
deepseek2-ocr chatglm glm4 glm4moe bitnet jais jais2 nemotron exaone granite granitemoe chameleon
plm bailingmoe bailingmoe2 dots1 arcee ernie4_5 ernie4_5-moe hunyuan-moe hunyuan-dense hunyuan_vl
hy_v3 smollm3 seed_oss grovemoe apertus minimax-m2 cogvlm pangu-embedded mistral3 mistral4 paddleocr
llama-embed maincoder
"""
_GENERAL = frozenset(_GENERAL_NAMES.split())
"""Attention in every layer, over everything."""

KNOWN = (
    _GENERAL
    | WINDOW_RULES.keys()
    | RECURRENT
    | _STATE_WITHOUT_HEADS
    | _STATE_BY_INTERVAL.keys()
    | _NEMOTRON
    | WITHOUT_CACHE
    | {"falcon-h1"}
)
"""Architectures whose cache follows the rules of this module."""


def has_unknown_cache(architecture: str) -> bool:
    """Whether only a dry run can tell what the cache takes."""
    return architecture not in KNOWN


def sliding_window(fields: Fields) -> int:
    """Return the window of an architecture's sliding layers in tokens, 0 where it has none."""
    rule = WINDOW_RULES.get(fields.architecture)
    if fields.architecture == "lfm2":
        return fields.integer("attention.sliding_window")
    if rule is None or (fields.architecture == "exaone4" and fields.n_trunk != 64):
        return 0
    if not fields.has("attention.sliding_window"):
        return rule.window
    window = fields.integer("attention.sliding_window")
    return rule.fixed or window if window else 0


def sliding_layers(fields: Fields) -> tuple[bool, ...]:
    """Return for each layer whether it sees a sliding window only (`set_swa_pattern`, `load_swa_pattern`)."""
    if not sliding_window(fields):
        return (False,) * fields.n_layer
    listed = fields.flags("attention.sliding_window_pattern")
    if listed is not None:
        return listed
    if fields.architecture == "lfm2":
        return tuple(count != 0 for count in fields.per_layer("attention.head_count_kv"))
    rule = WINDOW_RULES[fields.architecture]
    period = fields.integer("attention.sliding_window_pattern", rule.period)
    last = 0 if rule.is_dense_first else period - 1
    return tuple(
        layer < fields.n_trunk and (rule.period > 0 or period > 0) and (period == 0 or layer % period != last)
        for layer in range(fields.n_layer)
    )


def recurrent_layers(fields: Fields) -> tuple[bool, ...]:
    """Return for each layer whether it keeps a state (`is_recr`)."""
    architecture, layers = fields.architecture, range(fields.n_layer)
    if architecture in RECURRENT or architecture == "falcon-h1":
        return tuple(layer < fields.n_trunk for layer in layers)
    heads = fields.per_layer("attention.head_count_kv", fields.per_layer("attention.head_count"))
    if architecture in _STATE_WITHOUT_HEADS:
        return tuple(count == 0 for count in heads)
    if architecture in _NEMOTRON:
        widths = fields.per_layer("feed_forward_length")
        return tuple(not (heads[layer] or widths[layer]) and layer < fields.n_trunk for layer in layers)
    if architecture in _STATE_BY_INTERVAL:
        listed = fields.flags("attention.recurrent_layers")
        if listed is not None:
            return listed
        interval = fields.integer("full_attention_interval", _STATE_BY_INTERVAL[architecture]) or 1
        return tuple(layer < fields.n_trunk and (layer + 1) % interval != 0 for layer in layers)
    return (False,) * fields.n_layer


def attention_layers(fields: Fields, recurrent: tuple[bool, ...]) -> tuple[bool, ...]:
    """Return for each layer whether it keeps keys and values (the filters of `create_memory`)."""
    architecture, layers = fields.architecture, range(fields.n_layer)
    if architecture in RECURRENT or architecture in WITHOUT_CACHE:
        return (False,) * fields.n_layer
    end = fields.n_trunk
    if architecture == "gemma3n":
        end = min(end, 20)
    if architecture == "gemma4":
        end = min(end, max(fields.n_layer - fields.integer("attention.shared_kv_layers"), 0))
    if architecture == "falcon-h1":
        return tuple(layer < end for layer in layers)
    if architecture in _NEMOTRON:
        widths = fields.per_layer("feed_forward_length")
        return tuple(layer < end and not recurrent[layer] and not widths[layer] for layer in layers)
    return tuple(layer < end and not recurrent[layer] for layer in layers)


def state_sizes(fields: Fields) -> tuple[int, int]:
    """Return the numbers of one sequence's convolution and recurrent state (`n_embd_r`, `n_embd_s`)."""
    kernel = fields.integer("ssm.conv_kernel")
    n_head = max(fields.per_layer("attention.head_count"), default=0)
    if size := fields.integer("wkv.head_size"):
        return fields.integer("token_shift_count", 2) * fields.n_embd, fields.n_embd * size
    if length := fields.integer("shortconv.l_cache"):
        return fields.n_embd * (length - 1), _selective_state(fields)
    if size := fields.integer("kda.head_dim"):
        return 3 * (kernel - 1 if kernel else 3) * n_head * size, size * size * n_head
    if fields.architecture == "minimax-01":
        size = fields.integer("attention.key_length", fields.n_embd // max(n_head, 1))
        return _convolution(fields, kernel), size * size * n_head
    return _convolution(fields, kernel), _selective_state(fields)


def _convolution(fields: Fields, kernel: int) -> int:
    n_groups = 0 if fields.architecture in _WITHOUT_GROUPS else fields.integer("ssm.group_count")
    groups = 2 * n_groups * fields.integer("ssm.state_size")
    return max(kernel - 1, 0) * (fields.integer("ssm.inner_size") + groups)


def _selective_state(fields: Fields) -> int:
    return fields.integer("ssm.state_size") * fields.integer("ssm.inner_size")
