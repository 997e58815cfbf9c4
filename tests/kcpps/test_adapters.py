"""Chat adapters become templates: names become built-in ones, tags become Jinja that runs nothing."""

from __future__ import annotations

from typing import Any

import jinja2.sandbox
import pytest
from kcpps_talk import imported, meaning, rows

from kobold_tui.engine.worker.builtin_templates import BUILTIN_TEMPLATES
from kobold_tui.storage.kcpps.adapters import EXPORTED, TEMPLATES

TAGS = {
    "system_start": "<s>\n",
    "system_end": "</s>\n",
    "user_start": "<u>",
    "user_end": "</u>",
    "assistant_start": "<a>",
    "assistant_end": "</a>",
}
TALK = [
    {"role": "system", "content": "S"},
    {"role": "user", "content": " U "},
    {"role": "assistant", "content": "A"},
    {"role": "user", "content": "{{ 7 * 7 }}"},
]


def rendered(template: str, messages: list[dict[str, str]] = TALK) -> str:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(messages=messages, add_generation_prompt=True)


def test_tags_stand_around_what_each_role_says() -> None:
    found = imported({"chatcompletionsadapter": TAGS})
    assert rendered(found.template) == "<s>\nS</s>\n<u> U </u><a>A</a><u>{{ 7 * 7 }}</u><a>"
    assert found.preset.chat.stop == ("</a>", "<u>", "<s>")
    assert rows(found)["chatcompletionsadapter"].status == "approximated"


def test_an_answer_may_begin_with_tags_of_its_own() -> None:
    found = imported(
        {"chatcompletionsadapter": {**TAGS, "assistant_gen": "<a><think>", "chat_start": "<bos>"}}
    )
    assert rendered(found.template).startswith("<bos><s>")
    assert rendered(found.template).endswith("<a><think>")


@pytest.mark.parametrize(
    "tag",
    [
        "{{ 1/0 }}",
        "{% endfor %}",
        '"}} {{ x }}',
        "'",
        "\\",
        "\\n",
        "😀 é",
        "\x00\x1b",
        "{# c #}",
        "%}",
        '"',
        "\u2028",
    ],
)
def test_a_tag_is_text_whatever_stands_in_it(tag: str) -> None:
    template = imported({"chatcompletionsadapter": {"user_start": tag}}).template
    assert rendered(template, [{"role": "user", "content": "x"}]) == f"{tag}x"


@pytest.mark.parametrize(
    ("adapter", "template"),
    [
        ("AutoGuess", "auto"),
        ("", "auto"),
        ("autoguess.json", "auto"),
        ("ChatML", "chatml"),
        ("chatml.JSON", "chatml"),
        ("Llama-3", "llama3"),
        ("Mistral-V3-Tekken", "mistral"),
        ("Nonesuch", "auto"),
        (["guess"], "auto"),
    ],
)
def test_a_name_is_a_built_in_template(adapter: Any, template: str) -> None:
    assert meaning(chatcompletionsadapter=adapter).chat.template == template


def test_an_unknown_name_is_reported() -> None:
    assert (
        rows(imported({"chatcompletionsadapter": "Nonesuch"}))["chatcompletionsadapter"].status
        == "unsupported"
    )


def test_every_template_that_an_adapter_can_become_exists() -> None:
    assert set(TEMPLATES.values()) <= set(BUILTIN_TEMPLATES)
    assert set(EXPORTED) <= set(BUILTIN_TEMPLATES)
    assert all(meaning(chatcompletionsadapter=name).chat.template == ours for ours, name in EXPORTED.items())


@pytest.mark.parametrize("text", ['{"user_start": "<u>"}', "{'user_start': '<u>', 'n': None}"])
def test_tags_are_read_from_json_and_from_python(text: str) -> None:
    assert "<u>" in imported({"chatcompletionsadapter": text}).template


def test_the_sampling_of_an_adapter_counts_below_the_defaults_of_requests() -> None:
    adapter = {**TAGS, "temperature": 0.4, "top_k": 7, "max_length": 99}
    preset = meaning(chatcompletionsadapter=adapter, gendefaults={"temperature": 0.9})
    assert (preset.sampling.temperature, preset.sampling.top_k, preset.chat.max_tokens) == (0.9, 7, 99)


def test_jinja_beats_an_adapter_and_a_file_beats_both() -> None:
    assert meaning(jinja=True, chatcompletionsadapter="ChatML").chat.template == "auto"
    assert meaning(jinja=True, jinjatemplate="t.jinja").chat.template == "t.jinja"
    assert imported({"jinjatemplate": "https://h/t.jinja"}).downloads[0].file_name == "t.jinja"


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ({"jinjathink": "true"}, {"enable_thinking": True}),
        ({"jinjathink": "false", "jinja_kwargs": '{"x": 1}'}, {"x": 1, "enable_thinking": False}),
        ({"reasoningeffort": "low"}, {"reasoning_effort": "low"}),
        ({"reasoningeffort": "none"}, {"enable_thinking": False}),
        ({"jinjathink": "default", "reasoningeffort": "default"}, {}),
    ],
)
def test_variables_of_the_template_come_along(values: dict[str, Any], options: dict[str, Any]) -> None:
    assert meaning(**values).chat.template_options == options
