"""Sightings become one row a model, with its copies and its projectors."""

from __future__ import annotations

import pytest

from kobold_tui.domain.joining import join
from kobold_tui.domain.model import Kind, ModelEntry, ModelFault, Sighting


def entry(path: str, kind: Kind = "chat", *, name: str = "", base: str = "", n_embd: int = 0) -> ModelEntry:
    return ModelEntry(
        path=path,
        name=name or path,
        architecture="llama",
        kind=kind,
        parameters=1,
        quantization="Q4_0",
        size_bytes=1,
        n_layer=1,
        n_ctx_train=1,
        n_embd=n_embd,
        chat_template=True,
        shards=1,
        source="test",
        base_model=base,
    )


def projectors(*entries: ModelEntry) -> dict[str, tuple[str, ...]]:
    rows, _ = join(Sighting(entry=item) for item in entries)
    return {row.path: row.projectors for row in rows if row.kind in {"chat", "base"}}


def test_rows_are_sorted_by_name_and_faults_by_path() -> None:
    faults = [ModelFault(path=path, reason="x") for path in ("/z", "/a", "/z")]
    models = [Sighting(entry=entry(f"/{name}", name=name)) for name in ("beta", "Alpha", "gamma")]
    rows, failed = join([*faults, *models])
    assert [row.name for row in rows] == ["Alpha", "beta", "gamma"]
    assert [fault.path for fault in failed] == ["/a", "/z"]


def test_the_first_place_gives_the_path_and_the_others_are_copies() -> None:
    rows, _ = join(
        [
            Sighting(entry=entry("/first"), content="same"),
            Sighting(entry=entry("/second"), content="same", inode=(1, 7)),
            Sighting(entry=entry("/third"), inode=(1, 7)),
            Sighting(entry=entry("/first"), content="same"),
            Sighting(entry=entry("/other"), content="different", inode=(2, 7)),
        ]
    )
    assert [(row.path, row.copies) for row in rows] == [("/first", ("/second", "/third")), ("/other", ())]


def test_without_an_identity_nothing_is_a_copy() -> None:
    rows, _ = join([Sighting(entry=entry("/a")), Sighting(entry=entry("/b"))])
    assert [row.copies for row in rows] == [(), ()]


@pytest.mark.parametrize(
    "projector",
    [
        entry("/m/mmproj-seer-7b-f16.gguf", "projector"),
        entry("/m/seer-7b.mmproj-Q8_0.gguf", "projector"),
        entry("/m/mmproj-F16.gguf", "projector", name="Seer 7B"),
        entry("/m/whatever.gguf", "projector", base="Org/Seer"),
        entry("/m/mmproj-F16.gguf", "projector", n_embd=4096),
    ],
    ids=["file name", "suffix", "own name", "base model", "width"],
)
def test_a_projector_finds_its_model_among_others(projector: ModelEntry) -> None:
    seer = entry("/m/seer-7b-Q4_K_M.gguf", name="Seer 7B", base="org/seer", n_embd=4096)
    blind = entry("/m/blind-1b-Q4_K_M.gguf", name="Blind", base="org/blind", n_embd=2048)
    assert projectors(seer, projector, blind) == {seer.path: (projector.path,), blind.path: ()}


def test_a_projector_of_unknown_owner_is_offered_to_all_models_beside_it() -> None:
    models = [entry("/m/a.gguf"), entry("/m/b.gguf"), entry("/elsewhere/c.gguf")]
    found = projectors(*models, entry("/m/mmproj-model-f16.gguf", "projector"))
    one = ("/m/mmproj-model-f16.gguf",)
    assert found == {"/m/a.gguf": one, "/m/b.gguf": one, "/elsewhere/c.gguf": ()}


def test_where_several_projectors_fit_all_are_listed() -> None:
    found = projectors(
        entry("/m/seer-Q4_0.gguf"),
        entry("/m/mmproj-seer-f32.gguf", "projector"),
        entry("/m/mmproj-seer-f16.gguf", "projector"),
    )
    assert found == {"/m/seer-Q4_0.gguf": ("/m/mmproj-seer-f16.gguf", "/m/mmproj-seer-f32.gguf")}


def test_a_projector_that_names_another_model_is_not_offered() -> None:
    found = projectors(entry("/m/blind.gguf"), entry("/m/mmproj-seer-7b-f16.gguf", "projector"))
    assert found == {"/m/blind.gguf": ()}


def test_what_a_store_knows_of_projectors_is_kept_through_joining() -> None:
    rows, _ = join(
        [
            Sighting(entry=entry("/a"), content="same"),
            Sighting(entry=entry("/b"), content="same", projectors=("/blob",)),
        ]
    )
    assert [row.projectors for row in rows] == [("/blob",)]
