"""Which rows the model list has for which words and orders, and what a row keeps at every width."""

from __future__ import annotations

import pytest
from fake_world import GIB, model
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len

from kobold_tui.domain.model import ModelEntry, ModelFault
from kobold_tui.services.favourites import Marks
from kobold_tui.tui.widgets.model_arrangement import Arranger, Heading, Order, Row, Stock
from kobold_tui.tui.widgets.model_columns import Look, draw_row, titles
from kobold_tui.tui.widgets.model_table import pending_words

SMOL = replace(model("SmolLM2 135M", size_bytes=GIB // 10), family="SmolLM2")
QWEN = replace(model("Qwen3 30B A3B", size_bytes=17 * GIB), family="Qwen3", path="/models/qwen/a.gguf")
DEEP = replace(model("DeepSeek V3", size_bytes=400 * GIB), copies=("/elsewhere/deep.gguf",))
FAULT = ModelFault(path="/models/half.gguf", reason="The file is truncated.")
ALL = Stock(models=(SMOL, QWEN, DEEP), failed=(FAULT,))


def arranged(order: Order, stock: Stock = ALL) -> list[str]:
    rows = Arranger(lambda _model: None).arrange(stock, order)
    return [row.name if isinstance(row, ModelEntry) else getattr(row, "title", "fault") for row in rows]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("SMOL", ["SmolLM2 135M"]),
        ("smllm", ["SmolLM2 135M"]),
        ("smollm2135", ["SmolLM2 135M"]),
        ("Q4_1 deep", ["DeepSeek V3"]),
        ("30b qw", ["Qwen3 30B A3B"]),
        ("dv3", []),
        ("qwen zebra", []),
        ("b3q", []),
        ("half", ["Cannot be used", "fault"]),
    ],
)
def test_every_word_must_be_there_with_its_letters_close_together(words: str, found: list[str]) -> None:
    assert arranged(Order(words=words)) == found


def test_better_matches_come_first() -> None:
    made_from = replace(model("A model"), base_model="someone/zebra")
    stock = Stock(models=(made_from, model("Uzebra"), model("Zebra")))
    assert arranged(Order(words="zebra"), stock) == ["Zebra", "Uzebra", "A model"]


def test_favourites_come_first_by_whichever_place_then_the_last_used() -> None:
    marks = Marks(favourites=("/elsewhere/deep.gguf",), recent=(SMOL.path, QWEN.path))
    stock = replace(ALL, marks=marks)
    assert arranged(Order(), stock)[:3] == ["DeepSeek V3", "SmolLM2 135M", "Qwen3 30B A3B"]
    assert arranged(Order(sort="name"), stock)[:3] == ["DeepSeek V3", "Qwen3 30B A3B", "SmolLM2 135M"]


def test_sizes_begin_with_the_largest_and_can_be_turned_round() -> None:
    assert arranged(Order(sort="size"))[:3] == ["DeepSeek V3", "Qwen3 30B A3B", "SmolLM2 135M"]
    assert arranged(Order(sort="size", is_reversed=True))[:3] == [
        "SmolLM2 135M",
        "Qwen3 30B A3B",
        "DeepSeek V3",
    ]


def test_folders_are_groups_and_a_search_opens_folded_ones() -> None:
    order = Order(group="folder", closed=frozenset({"/models"}))
    assert arranged(order) == ["/models", "/models/qwen", "Qwen3 30B A3B", "Cannot be used", "fault"]
    assert arranged(replace(order, words="smol")) == ["/models", "SmolLM2 135M"]


def test_a_family_is_one_group_however_it_is_written() -> None:
    stock = Stock(models=tuple(replace(model(name), family=name) for name in ("Llama", "llama")))
    assert arranged(Order(group="family"), stock) == ["Llama", "Llama", "llama"]


ROWS: list[Row] = [
    SMOL,
    replace(QWEN, projectors=("/p.gguf",), quantization="UD-Q2_K_XL"),
    replace(model("名前の長いモデル" * 5), kind="adapter"),
    FAULT,
    Heading(title="a group", count=3, n_bytes=GIB),
]


@given(st.sampled_from(ROWS), st.integers(30, 220))
def test_every_row_is_as_wide_as_its_list(row: Row, width: int) -> None:
    cells = draw_row(row, Look(fit="gpu", is_favourite=True), width)
    assert sum(cell_len(text) for text, _ in cells) == width
    assert sum(cell_len(text) for text, _ in titles(width, "size", is_reversed=False)) == width


@given(st.integers(30, 220))
def test_no_width_loses_name_quantisation_size_or_mark(width: int) -> None:
    row = "".join(text for text, _ in draw_row(SMOL, Look(fit="partly"), width))
    assert row.index("◐") < row.index("Smo") < row.index("Q4_1") < row.index("102 MiB")


def test_a_wide_list_says_in_words_where_a_model_runs() -> None:
    row = "".join(text for text, _ in draw_row(SMOL, Look(fit="partly"), 130))
    assert "partly on GPU" in row


def test_places_that_do_not_answer_are_named() -> None:
    assert pending_words(("/mnt/nas",)) == "still looking in /mnt/nas …"
    assert pending_words(("a", "b", "c", "d")) == "still looking in a, b and 2 more places …"
    assert pending_words(("",)) == "looking for models …"
    assert pending_words(()) == ""
