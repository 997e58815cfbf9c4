"""`kobold-tui chat` answers prompts, pipes and files, and says in words and status what went wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import CommandLine
from fake_world import World, model

from kobold_tui.domain.errors import Failure
from kobold_tui.domain.model import ModelEntry
from kobold_tui.engine.script import Fault, Script


@pytest.fixture
def chat(command_line: CommandLine) -> CommandLine:
    """A command line with one chat model that echoes what it is told."""
    command_line.world = World([model("tiny")], Script())
    return command_line


def test_a_prompt_is_answered_on_standard_output_alone(chat: CommandLine) -> None:
    outcome = chat.run("chat", "-p", "Say hello")
    assert (outcome.status, outcome.out, outcome.err) == (0, "Say hello\n", "")


def test_the_json_document_has_every_promised_field(chat: CommandLine) -> None:
    document = chat.run("chat", "tiny", "-p", "one two three", "--json").json
    assert document["text"] == "one two three"
    assert document["finish_reason"] == "stop"
    assert document["completion_tokens"] == 3
    assert {"prompt_tokens", "seconds_to_first_token", "tokens_per_second"} <= document.keys()


def test_a_pipe_is_a_prompt(chat: CommandLine) -> None:
    assert chat.run("chat", piped="from the pipe\n").out == "from the pipe\n"


def test_a_pipe_follows_the_prompt(chat: CommandLine) -> None:
    assert chat.run("chat", "-p", "Sum up:", "--json", piped="text\n").json["text"] == "Sum up:\n\ntext"


def test_a_raw_prompt_is_sent_as_it_is(chat: CommandLine) -> None:
    chat.run("chat", "--raw", "-p", " Once upon", piped="not this")
    assert chat.requests[-1].prompt == " Once upon"
    assert chat.requests[-1].messages == ()


def test_bytes_that_are_no_text_do_not_stop_a_pipe(chat: CommandLine) -> None:
    assert chat.run("chat", piped=b"caf\xe9").out == "caf\ufffd\n"


def test_options_beat_the_preset(chat: CommandLine) -> None:
    chat.run(
        *("chat", "-p", "x", "-s", "Be brief.", "--seed", "7", "--temperature", "0"),
        *("--max-tokens", "9", "--threads", "3"),
    )
    request = chat.requests[-1]
    assert (request.sampling.seed, request.sampling.temperature, request.max_tokens) == (7, 0.0, 9)
    assert request.messages[0].content == "Be brief."
    options = chat.loads[-1].options
    assert (options.n_threads, options.n_threads_batch) == (3, 3)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--temperature", "-1", "temperature: expected `float` >= 0.0"),
        ("--max-tokens", "0", "max_tokens: expected `int` >= 1"),
        ("--threads", "0", "n_threads"),
        ("--seed", "x", "invalid int value: 'x'"),
    ],
)
def test_a_value_out_of_range_is_wrong_usage(chat: CommandLine, option: str, value: str, words: str) -> None:
    outcome = chat.run("chat", "-p", "x", option, value)
    assert outcome.status == 2
    assert words in outcome.err
    assert chat.world.engines == {}


def test_nothing_to_answer_is_wrong_usage(chat: CommandLine) -> None:
    outcome = chat.run("chat", piped="\n")
    assert outcome.status == 2
    assert "Nothing to answer" in outcome.err
    assert chat.world.engines == {}


def test_answers_to_scripts_are_private_and_conversations_are_kept(chat: CommandLine) -> None:
    chat.run("chat", "-p", "x")
    assert chat.private is True
    chat.run("chat", typed=["x"])
    assert chat.private is False


def test_an_unknown_model_names_near_ones(chat: CommandLine) -> None:
    outcome = chat.run("chat", "tini", "-p", "x", "--json")
    assert outcome.status == 2
    assert "tini" in outcome.json["error"]["message"]
    assert "tiny-Q4_1.gguf" in outcome.json["error"]["hint"]


def test_several_models_and_no_name_list_what_there_is(chat: CommandLine) -> None:
    chat.world = World([model("first"), model("second")])
    outcome = chat.run("chat", "-p", "x")
    assert outcome.status == 2
    assert "first-Q4_1.gguf" in outcome.err
    assert "second-Q4_1.gguf" in outcome.err


def test_a_model_that_writes_no_text_is_refused_before_it_is_loaded(chat: CommandLine) -> None:
    chat.world = World([model("minilm", "embedding")])
    outcome = chat.run("chat", "minilm", "-p", "x")
    assert outcome.status == 2
    assert "minilm is of the kind embedding" in outcome.err
    assert chat.world.engines == {}


def test_a_load_that_fails_is_told_with_status_one(chat: CommandLine) -> None:
    failure = Failure(title="Not a model", message="tiny.gguf is truncated.", hint="Download it again.")
    chat.world = World([model("tiny")], Script(refuse_load=failure))
    outcome = chat.run("chat", "-p", "x", "--json")
    assert outcome.status == 1
    assert outcome.json == {
        "error": {"title": "Not a model", "message": "tiny.gguf is truncated.", "hint": "Download it again."}
    }


def test_a_model_that_dies_leaves_the_text_so_far_and_the_reason(chat: CommandLine) -> None:
    chat.world = World(
        [model("tiny")], Script(reply="one two three four", at_answer=Fault(kind="kill"), after_tokens=2)
    )
    outcome = chat.run("chat", "-p", "x", "--json")
    assert outcome.status == 1
    assert outcome.json["text"] == "one two"
    assert outcome.json["finish_reason"] == "error"
    assert outcome.json["error"]["message"]


def test_in_words_a_death_ends_the_line_of_the_text(chat: CommandLine) -> None:
    chat.world = World(
        [model("tiny")], Script(reply="one two three four", at_answer=Fault(kind="kill"), after_tokens=2)
    )
    outcome = chat.run("chat", "-p", "x")
    assert outcome.status == 1
    assert outcome.out == "one two\n"
    assert outcome.err


def batch_file(folder: Path, *lines: object) -> str:
    file = folder / "batch.jsonl"
    file.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return str(file)


def test_a_batch_answers_every_line_with_one_load(chat: CommandLine, tmp_path: Path) -> None:
    file = batch_file(tmp_path, {"prompt": "first", "id": "a"}, '"second"', "", {"prompt": "third"})
    outcome = chat.run("chat", "--batch", file)
    assert outcome.status == 0
    assert [line["text"] for line in outcome.json_lines] == ["first", "second", "third"]
    assert [line["index"] for line in outcome.json_lines] == [0, 1, 2]
    assert outcome.json_lines[0]["id"] == "a"
    assert len(chat.loads) == 1


def test_prompts_of_a_batch_do_not_know_each_other(chat: CommandLine, tmp_path: Path) -> None:
    chat.run("chat", "--batch", batch_file(tmp_path, '"first"', {"prompt": "second", "system": "Short."}))
    assert [message.content for message in chat.requests[-1].messages] == ["Short.", "second"]


def test_a_batch_comes_through_a_pipe(chat: CommandLine) -> None:
    assert chat.run("chat", "--batch", "-", piped='"only"\n').json["text"] == "only"


def test_a_wrong_line_is_named_before_the_model_is_loaded(chat: CommandLine, tmp_path: Path) -> None:
    outcome = chat.run("chat", "--batch", batch_file(tmp_path, '"good"', {"promt": "typo"}))
    assert outcome.status == 2
    assert "batch.jsonl, line 2" in outcome.err
    assert chat.world.engines == {}


def test_one_prompt_that_kills_the_model_does_not_end_the_batch(chat: CommandLine, tmp_path: Path) -> None:
    chat.world = World([model("tiny")], Script(at_answer=Fault(kind="abort"), after_tokens=1))
    outcome = chat.run("chat", "--batch", batch_file(tmp_path, '"a b"', '"c d"'))
    assert outcome.status == 1
    assert [line["text"] for line in outcome.json_lines] == ["a", "c"]
    assert all(line["error"]["message"] for line in outcome.json_lines)


def test_a_conversation_goes_on_until_the_end_of_input(chat: CommandLine) -> None:
    outcome = chat.run("chat", typed=["first", "", "second"])
    assert outcome.status == 0
    assert outcome.out == "first\nsecond\n"
    told = [message.content for message in chat.requests[-1].messages]
    assert told == ["first", "first", "second"]


def test_exit_ends_a_conversation_and_new_begins_another(chat: CommandLine) -> None:
    outcome = chat.run("chat", typed=["first", "/new", "second", "/exit", "third"])
    assert outcome.out == "first\nsecond\n"
    assert len(chat.world.store.conversations()) == 2
    assert [message.content for message in chat.requests[-1].messages] == ["second"]


def test_an_unknown_slash_command_is_explained_and_a_path_is_a_message(chat: CommandLine) -> None:
    outcome = chat.run("chat", typed=["/help", "/etc/hosts explained"])
    assert outcome.out == "/etc/hosts explained\n"
    assert "/exit" in outcome.err


def test_a_conversation_survives_the_death_of_its_model(chat: CommandLine) -> None:
    chat.world = World([model("tiny")], Script(at_answer=Fault(kind="kill"), after_tokens=1))
    outcome = chat.run("chat", typed=["first message", "second message"])
    assert outcome.status == 0
    assert outcome.out == "first\nsecond\n"
    assert len(chat.loads) == 2


def test_chat_model_is_chosen_by_kind(chat: CommandLine) -> None:
    entries: list[ModelEntry] = [model("minilm", "embedding"), model("tiny")]
    chat.world = World(entries, Script())
    assert chat.run("chat", "-p", "hello").out == "hello\n"
