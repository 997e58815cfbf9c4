"""Which models there are, and which one a person means by a name or a path."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from kobold_tui.domain.errors import UsageError
from kobold_tui.domain.model import ModelEntry, ModelFault
from kobold_tui.services.loop_bound import LoopBound
from kobold_tui.services.own_thread import OwnThread


class ModelsService(LoopBound):
    """The catalogue, scanned in a thread of its own; rows arrive as they are found."""

    def __init__(
        self,
        scan: Callable[[], Iterable[ModelEntry | ModelFault]],
        read_entry: Callable[[Path, str], ModelEntry],
        thread: OwnThread,
        default_model: str = "",
    ) -> None:
        super().__init__()
        self._scan = scan
        self._read_entry = read_entry
        self._thread = thread
        self._default_model = default_model

    async def scan(self) -> AsyncIterator[ModelEntry | ModelFault]:
        """Yield every model and every file that only looks like one."""
        self.check_loop()
        async for batch in self._thread.stream(self._scan):
            for item in batch:
                yield item

    async def list_models(self) -> tuple[tuple[ModelEntry, ...], tuple[ModelFault, ...]]:
        """Return all models sorted by name, and all faults."""
        items = [item async for item in self.scan()]
        models = sorted(
            (item for item in items if isinstance(item, ModelEntry)), key=lambda m: m.name.casefold()
        )
        return tuple(models), tuple(item for item in items if isinstance(item, ModelFault))

    async def resolve(self, reference: str | None) -> ModelEntry:
        """Return the model that `reference` names: a path, a file name, or (part of) a name.

        None stands for the settings' default, else for the only chat model there is. Raises UsageError
        where that leaves none or several, ModelFileError where the file is broken.
        """
        self.check_loop()
        reference = reference or self._default_model
        if reference and _looks_like_path(reference):
            return await self._thread.call(self._read_entry, Path(reference), "command line")
        models, _ = await self.list_models()
        if not reference:
            return _the_only(models)
        if not _named(reference, models) and reference.casefold().endswith(".gguf"):
            return await self._thread.call(self._read_entry, Path(reference), "command line")
        return _by_name(reference, models)


def _looks_like_path(reference: str) -> bool:
    return "/" in reference or reference.startswith("~") or Path(reference).exists()


def _the_only(models: tuple[ModelEntry, ...]) -> ModelEntry:
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


def _by_name(reference: str, models: tuple[ModelEntry, ...]) -> ModelEntry:
    found = _named(reference, models)
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            "Which model?", f"{reference!r} fits {_names(found)}.", "Write more of the name, or its path."
        )
    raise UsageError(
        "Unknown model", f"No model is called {reference!r}.", _near(reference.casefold(), models)
    )


def _named(reference: str, models: tuple[ModelEntry, ...]) -> list[ModelEntry]:
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
