"""Chat templates: the usual ones render, hostile ones end with a sentence, and the model lives on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_tiny_llama

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import GenerateRequest, Message
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.engine.worker.builtin_templates import BUILTIN_TEMPLATES
from kobold_tui.engine.worker.llama_backend import LlamaBackend
from kobold_tui.engine.worker.templates import ChatTemplate, TemplateRenderer

CHAT = (
    Message(role="system", content="Be brief."),
    Message(role="user", content="Hi"),
    Message(role="assistant", content="Hello"),
    Message(role="user", content="Bye"),
)
SPECIALS: dict[str, bool | int | float | str] = {"bos_token": "<s>", "eos_token": "</s>"}
LoadBackend = Callable[..., LlamaBackend]
Ask = Callable[[LlamaBackend, GenerateRequest], Any]


@pytest.fixture
def renderer() -> Iterator[TemplateRenderer]:
    made = TemplateRenderer()
    yield made
    made.close()


def render(renderer: TemplateRenderer, source: str, **variables: Any) -> str:
    return renderer.render(ChatTemplate(source, "the template"), CHAT, {**SPECIALS, **variables})


def test_blocks_are_trimmed_as_model_files_expect(renderer: TemplateRenderer) -> None:
    source = "{{ bos_token }}\n  {% for m in messages %}\n{{ m.role }}\n  {% endfor %}\nend"
    assert render(renderer, source) == "<s>\nsystem\nuser\nassistant\nuser\nend"


def test_what_transformers_offers_to_templates_is_there(renderer: TemplateRenderer) -> None:
    source = (
        "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
        "{% generation %}{{ m.content | tojson }}{% endgeneration %}{% endfor %}"
        "{{ {'é': 1} | tojson }}{{ strftime_now('%Y') | length }}{{ enable_thinking }}{{ tools is defined }}"
    )
    assert render(renderer, source, enable_thinking=False) == '"Be brief."{"é": 1}4FalseFalse'


def test_a_template_that_refuses_says_so_in_its_own_words(renderer: TemplateRenderer) -> None:
    with pytest.raises(EngineError, match="only cats may speak") as caught:
        render(renderer, "{{ raise_exception('only cats may speak') }}")
    assert "--raw" in caught.value.hint


def test_a_template_without_system_role_gets_the_text_with_the_first_message(
    renderer: TemplateRenderer,
) -> None:
    source = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{{ messages[0].content }}"
    )
    assert render(renderer, source) == "Be brief.\n\nHi"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% include '/etc/passwd' %}",
        "{% for a in range(1000000000) %}{% endfor %}",
        "{{ 'a' * 300000000 }}",
        "{{ ('a' * 300000000) | length }}",
        "{% set ns = namespace(x='a') %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{{ messages[0].content",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_a_hostile_template_is_an_error_and_the_next_one_renders(
    renderer: TemplateRenderer, source: str
) -> None:
    with pytest.raises(EngineError) as caught:
        render(renderer, source)
    assert caught.value.title in {"Chat template failed", "Chat template ended"}
    assert render(renderer, "{{ messages[1].content }}") == "Hi"


def test_a_template_that_never_ends_is_ended_and_the_model_still_answers(
    tmp_path: Path, ask: Ask, load: LoadBackend
) -> None:
    forever = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    path = write_tiny_llama(tmp_path / "forever.gguf", chat_template=forever)
    backend = load(path, renderer=TemplateRenderer(timeout_seconds=0.3))
    with pytest.raises(EngineError, match=r"the template in forever.gguf took over 0.3 seconds"):
        backend.start(1, GenerateRequest(messages=CHAT))
    answer = ask(backend, GenerateRequest(prompt="hello", max_tokens=5))
    assert answer.finished.usage.completion_tokens == 5


def test_a_process_that_answers_nonsense_is_ended() -> None:
    renderer = TemplateRenderer(command=(sys.executable, "-c", "print('nonsense'); input()"))
    with pytest.raises(EngineError, match="Chat template ended"):
        render(renderer, "x")
    renderer.close()


@pytest.mark.parametrize("name", BUILTIN_TEMPLATES)
def test_every_built_in_template_holds_the_whole_conversation_in_order(
    renderer: TemplateRenderer, name: str
) -> None:
    text = render(renderer, BUILTIN_TEMPLATES[name].source)
    places = [text.index(message.content) for message in CHAT]
    assert places == sorted(places)
    assert text.count("Be brief.") == 1


def test_chatml_is_what_its_models_were_trained_on(renderer: TemplateRenderer) -> None:
    assert render(renderer, BUILTIN_TEMPLATES["chatml"].source) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_model_without_template_refuses_messages_and_takes_raw_text(
    tmp_path: Path, load: LoadBackend, ask: Ask
) -> None:
    path = write_tiny_llama(tmp_path / "base.gguf", chat_template=False)
    backend = load(path)
    with pytest.raises(EngineError, match=r"base\.gguf has no chat template") as caught:
        backend.start(1, GenerateRequest(messages=CHAT))
    assert "chatml" in caught.value.hint
    assert ask(backend, GenerateRequest(prompt="hello", max_tokens=5)).finished.reason == "length"


def test_a_template_can_be_chosen_by_name_or_file(
    tmp_path: Path, load: LoadBackend, tiny_llama: Path
) -> None:
    (tmp_path / "own.jinja").write_text("<<{{ messages[-1].content }}>>", encoding="utf-8")
    assert load(tiny_llama, template="plain").render(CHAT, {}).text.endswith("User: Bye\nAssistant:")
    assert load(tiny_llama, template=str(tmp_path / "own.jinja")).render(CHAT, {}).text == "<<Bye>>"


def test_an_unknown_template_name_is_refused_with_the_known_ones(load: LoadBackend, tiny_llama: Path) -> None:
    with pytest.raises(EngineError, match="chatlm is neither") as caught:
        load(tiny_llama, template="chatlm")
    assert "chatml" in caught.value.hint


def test_a_rendered_prompt_gets_bos_once(load: LoadBackend, tmp_path: Path) -> None:
    with_bos = write_tiny_llama(
        tmp_path / "bos.gguf", chat_template="{{ bos_token }}{{ messages[-1].content }}"
    )
    without = write_tiny_llama(tmp_path / "none.gguf", chat_template="{{ messages[-1].content }}")
    assert load(with_bos).render(CHAT, {}).tokens.count(1) == 1
    assert load(without).render(CHAT, {}).tokens.count(1) == 1


def test_the_stop_strings_of_a_built_in_template_end_the_answer(
    load: LoadBackend, tiny_llama: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load(tiny_llama, template="plain", options=LoadOptions(n_threads=1))
    chat = GenerateRequest(messages=CHAT, max_tokens=60, sampling=SamplingOptions(temperature=0))
    whole = ask(backend, chat).text
    plain = BUILTIN_TEMPLATES["plain"]
    stops = type(plain)(plain.source, (whole[20:26],))
    monkeypatch.setitem(BUILTIN_TEMPLATES, "plain", stops)
    stopped = ask(load(tiny_llama, template="plain"), chat)
    assert stopped.text == whole[: whole.index(whole[20:26])]
    assert stopped.finished.reason == "stop"


def test_a_prompt_that_ends_in_an_open_think_tag_begins_with_thinking(
    load: LoadBackend, ask: Ask, tmp_path: Path
) -> None:
    path = write_tiny_llama(tmp_path / "t.gguf", chat_template="{{ messages[-1].content }}<think>\n")
    answer = ask(load(path), GenerateRequest(messages=CHAT, max_tokens=10))
    assert answer.text == ""
    assert answer.reasoning


def test_long_conversations_pass_through_the_pipes(renderer: TemplateRenderer) -> None:
    long = Message(role="user", content="ü" * 2_000_000)
    text = renderer.render(ChatTemplate("{{ messages[0].content }}", "t"), [long], SPECIALS)
    assert json.dumps(text) == json.dumps(long.content)
