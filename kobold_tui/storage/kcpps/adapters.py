"""KoboldCpp's chat adapters: a name becomes a built-in template, tags become a Jinja template.

An adapter states the text around what each role says. A template made of it puts each tag into a Jinja text
literal, so that nothing in a tag is run.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

GUESSED = ("", "autoguess")
TEMPLATES = {
    "chatml": "chatml",
    "chatmlnothinking": "chatml",
    "llama3": "llama3",
    "gemma2": "gemma",
    "gemma3": "gemma",
    "gemma": "gemma",
    "mistralv1": "mistral",
    "mistralv2v3": "mistral",
    "mistralv3tekken": "mistral",
    "mistral": "mistral",
    "mistralinstruct": "mistral",
    "alpaca": "alpaca",
    "vicuna": "vicuna",
    "zephyr": "zephyr",
    "phi3mini": "phi3",
    "phi3": "phi3",
}
"""Built-in templates by adapter, in small letters without signs."""

EXPORTED = {
    "chatml": "ChatML",
    "llama3": "Llama-3",
    "gemma": "Gemma-2",
    "mistral": "Mistral-V1",
    "alpaca": "Alpaca",
    "vicuna": "Vicuna",
    "phi3": "Phi-3-Mini",
}
"""Adapters by built-in template."""

_ROLES = ("system", "user", "assistant", "tools")
_TAGS = frozenset(f"{role}_{end}" for role in _ROLES for end in ("start", "end"))
_TEXTS = _TAGS | {"assistant_gen", "chat_start"}
_LONGEST_TEXT = 64 * 1024
_LONGEST_TAG = 4096


class Tags(msgspec.Struct, frozen=True):
    """The texts of an adapter by name, and its further keys, which are sampling."""

    texts: dict[str, str]
    others: dict[str, Any]


def builtin_template(name: str) -> str | None:
    """Return the built-in template for the name of an adapter, None for an unknown one."""
    return TEMPLATES.get(re.sub(r"[^a-z0-9]", "", name.lower().removesuffix(".json")))


def tags_of(value: object) -> Tags | None:
    """Return the tags of an object, or of a text that holds one as JSON or Python; None without any."""
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, Mapping):
        return None
    texts = {
        key: text[:_LONGEST_TAG]
        for key, text in value.items()
        if key in _TEXTS and isinstance(text, str) and text
    }
    return Tags(texts, {key: item for key, item in value.items() if key not in _TEXTS}) if texts else None


def jinja_template(texts: Mapping[str, str]) -> str:
    """Return the template that writes these tags around what each role says."""
    branches = "".join(
        f"{{%- {'if' if role == 'system' else 'elif'} m.role == {_literal(role)} -%}}{_turn(texts, role)}"
        for role in ("system", "user")
    )
    tools = f"{{%- elif m.role == 'tool' -%}}{_turn(texts, 'tools')}"
    begin = texts.get("assistant_gen") or texts.get("assistant_start", "")
    return (
        f"{_text(texts.get('chat_start', ''))}"
        "{%- for m in messages -%}"
        f"{branches}{tools}{{%- else -%}}{_turn(texts, 'assistant')}{{%- endif -%}}"
        "{%- endfor -%}"
        f"{{%- if add_generation_prompt -%}}{_text(begin)}{{%- endif -%}}"
    )


def stop_strings(texts: Mapping[str, str]) -> list[str]:
    """Return what ends an answer: the end of the assistant's turn and the beginning of another one."""
    ends = (texts.get(name, "").strip() for name in ("assistant_end", "user_start", "system_start"))
    return list(dict.fromkeys(end for end in ends if len(end) > 1))


def _turn(texts: Mapping[str, str], role: str) -> str:
    before, after = (_text(texts.get(f"{role}_{end}", "")) for end in ("start", "end"))
    return f"{before}{{{{- m.content -}}}}{after}"


def _text(text: str) -> str:
    return f"{{{{- {_literal(text)} -}}}}" if text else ""


def _literal(text: str) -> str:
    """Return a text literal of Jinja, which reads escapes as Python does."""
    return json.dumps(text, ensure_ascii=False)


def _parsed(text: str) -> Any:
    if len(text) > _LONGEST_TEXT or not text.lstrip().startswith("{"):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return None
