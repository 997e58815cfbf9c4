"""Templates as model files carry them: several by name, with tools, and errors that name a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import tiny_models
from tiny_models import write_tiny_llama

from kobold_tui.domain.errors import EngineError
from kobold_tui.domain.generation import GenerateRequest, Message
from kobold_tui.engine.worker.llama_backend import LlamaBackend

CHAT = (Message(role="user", content="Hi"),)
TOOLS = json.dumps([{"type": "function", "function": {"name": "weather"}}])
LoadBackend = Callable[..., LlamaBackend]
MakeModel = Callable[..., Path]


@pytest.fixture
def make_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeModel:
    """Write a model with a template, and others by name."""

    def make(template: str, **named: str) -> Path:
        def add_all(writer: gguf.GGUFWriter, text: str) -> None:
            writer.add_string("tokenizer.chat_template", text)
            for name, source in named.items():
                writer.add_string(f"tokenizer.chat_template.{name}", source)

        monkeypatch.setattr(gguf.GGUFWriter, "add_chat_template", add_all)
        return write_tiny_llama(tmp_path / "named.gguf", chat_template=template)

    return make


def test_a_named_template_of_the_file_can_be_chosen(load: LoadBackend, make_model: MakeModel) -> None:
    path = make_model("usual {{ messages[-1].content }}", rag="rag {{ messages[-1].content }}")
    assert load(path).render(CHAT, {}).text == "usual Hi"
    assert load(path, template="rag").render(CHAT, {}).text == "rag Hi"


def test_an_unknown_name_lists_those_of_the_file(load: LoadBackend, make_model: MakeModel) -> None:
    with pytest.raises(EngineError, match="rug is neither") as caught:
        load(make_model("x", rag="y"), template="rug")
    assert "auto, rag, chatml" in caught.value.hint


def test_tools_reach_the_template(load: LoadBackend, make_model: MakeModel) -> None:
    source = "{% if tools %}{{ tools[0].function.name }}|{{ tools | tojson }}{% else %}none{% endif %}"
    backend = load(make_model(source))
    assert backend.render(CHAT, {}).text == "none"
    assert backend.render(CHAT, {}, TOOLS).text == f"weather|{TOOLS}"


def test_the_template_for_tools_is_taken_where_tools_are_given(
    load: LoadBackend, make_model: MakeModel
) -> None:
    backend = load(make_model("usual", tool_use="with {{ tools | length }}"))
    assert backend.render(CHAT, {}).text == "usual"
    assert backend.render(CHAT, {}, TOOLS).text == "with 1"


def test_tools_for_a_template_that_takes_none_are_refused(load: LoadBackend, make_model: MakeModel) -> None:
    with pytest.raises(EngineError, match=r"the template in named\.gguf takes none") as caught:
        load(make_model("{{ messages[0].content }}")).render(CHAT, {}, TOOLS)
    assert caught.value.title == "Template without tools"


@pytest.mark.parametrize("tools", ["{", "{}", "[1]", '"x"'])
def test_tools_that_are_no_list_of_objects_are_refused(
    load: LoadBackend, make_model: MakeModel, tools: str
) -> None:
    with pytest.raises(EngineError, match="the tools are not"):
        load(make_model("{{ tools }}")).start(1, GenerateRequest(messages=CHAT, tools_json=tools))


def test_variables_such_as_enable_thinking_reach_the_template(
    load: LoadBackend, make_model: MakeModel
) -> None:
    backend = load(
        make_model("{% if enable_thinking is defined and not enable_thinking %}/no_think{% endif %}x")
    )
    assert backend.render(CHAT, {}).text == "x"
    assert backend.render(CHAT, {"enable_thinking": False}).text == "/no_thinkx"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("one\n\n{{ messages[0].content", "line 3 of the template"),
        ("one\n{{ nothing.at.all }}", "'nothing' is undefined (line 2 of the template)"),
        ("a\nb\nc\n{{ raise_exception('only cats') }}", "only cats (line 4 of the template)"),
        ("{% macro f() %}\n{{ 1 / 0 }}\n{% endmacro %}\n{{ f() }}", "division by zero (line 2"),
    ],
)
def test_a_template_that_fails_names_its_line(
    load: LoadBackend, make_model: MakeModel, source: str, words: str
) -> None:
    with pytest.raises(EngineError) as caught:
        load(make_model(source)).render(CHAT, {})
    assert caught.value.title == "Chat template failed"
    assert words in caught.value.message


def test_a_key_that_only_begins_like_a_template_is_none(load: LoadBackend, tmp_path: Path) -> None:
    path = tmp_path / "base.gguf"
    original = tiny_models._add_vocabulary

    def add(writer: gguf.GGUFWriter, n_vocab: int, chat_template: bool | str) -> None:
        original(writer, n_vocab, chat_template)
        writer.add_string("tokenizer.chat_templates", "not a template")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_models, "_add_vocabulary", add)
        write_tiny_llama(path, chat_template=False)
    with pytest.raises(EngineError, match="has no chat template"):
        load(path).render(CHAT, {})


def test_what_the_template_is_given_is_seen_by_start_as_well(
    load: LoadBackend, make_model: MakeModel, ask: Callable[..., Any]
) -> None:
    backend = load(make_model("{{ tools | length }}{{ messages[0].content }}"))
    request = GenerateRequest(messages=CHAT, tools_json=TOOLS, max_tokens=3)
    expected = len(backend.render(CHAT, {}, TOOLS).tokens)
    assert ask(backend, request).finished.usage.prompt_tokens == expected
