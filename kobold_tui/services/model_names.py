"""Which of the models a person means by a name or a part of one."""

from __future__ import annotations

from pathlib import Path

from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.model import ModelEntry


def looks_like_path(reference: str) -> bool:
    """Whether a reference can only be a path."""
    return "/" in reference or reference.startswith("~") or Path(reference).exists()


def the_only(models: tuple[ModelEntry, ...]) -> ModelEntry:
    """Return the only chat model, else the only model. Raises UsageError."""
    candidates = [model for model in models if model.kind == "chat"] or list(models)
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise UsageError(
            "No model found",
            "There is no GGUF model in any known place.",
            "Name a file, or add a folder: --models-dir DIR.",
        )
    raise UsageError(
        "Which model?", f"There are {len(candidates)} models: {_names(candidates)}.", "Name one of them."
    )


def by_name(reference: str, models: tuple[ModelEntry, ...]) -> ModelEntry:
    """Return the one model of that name. Raises UsageError where there is none or several."""
    found = named(reference, models)
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            "Which model?", f"{reference!r} fits {_names(found)}.", "Write more of the name, or its path."
        )
    raise UsageError(
        "Unknown model", f"No model is called {reference!r}.", _near(reference.casefold(), models)
    )


def named(reference: str, models: tuple[ModelEntry, ...]) -> list[ModelEntry]:
    """Return the models of that very name, else those whose name holds it."""
    wanted = reference.casefold()
    exact = [model for model in models if wanted in _identities(model)]
    return exact or [model for model in models if any(wanted in name for name in _identities(model))]


def _identities(model: ModelEntry) -> tuple[str, ...]:
    path = Path(model.path)
    return model.name.casefold(), path.name.casefold(), path.stem.casefold()


def _names(models: list[ModelEntry], most: int = 12) -> str:
    names = [Path(model.path).name for model in models[:most]]
    return ", ".join(names) + (f" and {len(models) - most} more" if len(models) > most else "")


def _near(wanted: str, models: tuple[ModelEntry, ...]) -> str:
    import difflib

    by_name = {name: model for model in models for name in _identities(model)}
    near = dict.fromkeys(
        Path(by_name[n].path).name for n in difflib.get_close_matches(wanted, by_name, n=5, cutoff=0.5)
    )
    if near:
        return f"Did you mean {', '.join(near)}?"
    return (
        f"There are: {_names(list(models))}."
        if models
        else "There is no model yet; add a folder with --models-dir DIR."
    )
