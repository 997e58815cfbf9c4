"""Chat formats that can be chosen by name, for models whose file has no template or a broken one.

Each is a Jinja text in the form that model files carry, without BOS (the vocabulary adds it), and the strings
that end an answer where the model has no token for that.
"""

from __future__ import annotations

import msgspec


class BuiltinTemplate(msgspec.Struct, frozen=True):
    """A chat format: its Jinja source and its stop strings."""

    source: str
    stop: tuple[str, ...]


_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_LLAMA3 = (
    "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
# Formats without a system role put its text in front of the first message of the user.
_SPLIT_SYSTEM = (
    "{% set ns = namespace(system='') %}"
    "{% if messages and messages[0].role == 'system' %}"
    "{% set ns.system = messages[0].content ~ '\n\n' %}{% endif %}"
)
_GEMMA = _SPLIT_SYSTEM + (
    "{% for m in messages if m.role != 'system' %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else 'user' }}\n"
    "{% if m.role == 'user' %}{{ ns.system }}{% set ns.system = '' %}{% endif %}"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_MISTRAL = _SPLIT_SYSTEM + (
    "{% for m in messages if m.role != 'system' %}"
    "{% if m.role == 'assistant' %} {{ m.content | trim }}{{ eos_token }}"
    "{% else %}[INST] {{ ns.system }}{{ m.content }} [/INST]{% set ns.system = '' %}{% endif %}{% endfor %}"
)
_ALPACA = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ m.content }}\n\n"
    "{% elif m.role == 'assistant' %}### Response:\n{{ m.content }}\n\n"
    "{% else %}### Instruction:\n{{ m.content }}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}### Response:\n{% endif %}"
)
_VICUNA = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ m.content }}\n\n"
    "{% elif m.role == 'assistant' %}ASSISTANT: {{ m.content }}{{ eos_token }}\n"
    "{% else %}USER: {{ m.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
_ZEPHYR = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
_PHI3 = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
_PLAIN = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ m.content }}\n\n"
    "{% else %}{{ 'Assistant' if m.role == 'assistant' else 'User' }}: {{ m.content }}\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)

BUILTIN_TEMPLATES: dict[str, BuiltinTemplate] = {
    "chatml": BuiltinTemplate(_CHATML, ("<|im_end|>",)),
    "llama3": BuiltinTemplate(_LLAMA3, ("<|eot_id|>",)),
    "gemma": BuiltinTemplate(_GEMMA, ("<end_of_turn>",)),
    "mistral": BuiltinTemplate(_MISTRAL, ("[INST]",)),
    "alpaca": BuiltinTemplate(_ALPACA, ("\n### Instruction:",)),
    "vicuna": BuiltinTemplate(_VICUNA, ("\nUSER:",)),
    "zephyr": BuiltinTemplate(_ZEPHYR, ("<|user|>",)),
    "phi3": BuiltinTemplate(_PHI3, ("<|end|>",)),
    "plain": BuiltinTemplate(_PLAIN, ("\nUser:",)),
}
