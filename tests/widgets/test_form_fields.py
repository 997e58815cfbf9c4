"""A form's fields are those of the declaration: what it allows goes in and out, what it does not is told."""

from __future__ import annotations

import pytest

from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.load_options import LoraAdapter
from kobold_tui.domain.preset import Preset
from kobold_tui.tui.widgets.form_fields import (
    choices,
    fields_of,
    next_choice,
    parse,
    text_of,
    value_at,
    with_value,
)

FIELDS = {field.key: field for field in fields_of(Preset)}


@pytest.mark.parametrize("key", FIELDS)
def test_every_default_comes_back_from_its_text(key: str) -> None:
    value = value_at(Preset(name="x"), key)
    assert parse(FIELDS[key], text_of(FIELDS[key], value)) == value


@pytest.mark.parametrize("key", FIELDS)
def test_every_field_has_a_title_and_a_help(key: str) -> None:
    field = FIELDS[key]
    assert field.title != field.name
    assert field.help
    assert field.takes


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("load.n_ctx", "4096", 4096),
        ("load.n_ctx", "auto", "auto"),
        ("load.flash_attn", "yes", True),
        ("load.tensor_split", "3, 1", (3.0, 1.0)),
        ("load.tensor_split", "[3, 1]", (3.0, 1.0)),
        ("load.devices", "CUDA0, CPU", ("CUDA0", "CPU")),
        ("load.lora", '{path = "a", scale = 0.5}', (LoraAdapter(path="a", scale=0.5),)),
        ("memory.reserve_bytes", "1.5G", 1536 * 1024**2),
        ("memory.card_limit_bytes", "", None),
        ("sampling.seed", "none", None),
        ("sampling.mirostat", "2", 2),
        ("sampling.logit_bias", "5 = 1.5", {5: 1.5}),
        ("chat.stop", '"a, b", "\\n"', ("a, b", "\n")),
        ("chat.system_prompt", " as it is ", " as it is "),
    ],
)
def test_a_text_becomes_a_value_and_comes_back(key: str, text: str, value: object) -> None:
    field = FIELDS[key]
    assert parse(field, text) == value
    assert parse(field, text_of(field, value)) == value


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("load.n_ctx", "12", "from 256"),
        ("load.n_ctx", "4k", "a whole number"),
        ("load.n_ctx", "", "a whole number"),
        ("load.type_k", "q9", '"q8_0"'),
        ("sampling.top_p", "2", "from 0 to 1"),
        ("sampling.top_p", "x", "a number"),
        ("load.tensor_split", "1, -1", "a list"),
        ("chat.max_tokens", "0", "at least 1"),
        ("chat.template_options", "][", "a table"),
        ("chat.stop", "[" * 5000, "a list"),
        ("name", "", "not empty"),
        ("memory.reserve_bytes", "lots", "at least 0"),
    ],
)
def test_what_is_not_allowed_is_told_with_what_would_be(key: str, text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(FIELDS[key], text)
    assert told in caught.value.hint


def test_choices_go_round() -> None:
    field = FIELDS["load.split_mode"]
    assert set(choices(field)) == {"none", "layer", "tensor"}
    seen = ["layer"]
    for _ in range(3):
        seen.append(next_choice(field, seen[-1], 1))
    assert seen[-1] == "layer"
    assert len(set(seen)) == 3
    assert next_choice(field, next_choice(field, "layer", 1), -1) == "layer"


def test_a_number_has_no_choices() -> None:
    assert choices(FIELDS["load.n_batch"]) == ()
    assert next_choice(FIELDS["load.n_batch"], "512", 1) == "512"


def test_a_value_changes_where_it_belongs_and_nothing_else() -> None:
    before = Preset(name="x")
    after = with_value(before, "load.n_ctx", 1024)
    assert after.load.n_ctx == 1024
    assert with_value(after, "load.n_ctx", "auto") == before
