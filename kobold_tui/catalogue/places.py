"""All the places that models are looked for in: the user's own folders, and the stores of other programs.

* Hugging Face: HF_HUB_CACHE, else HF_HOME/hub, else huggingface/hub in the cache folder.
* llama.cpp: LLAMA_CACHE, else llama.cpp in the cache folder (`fs_get_cache_directory` of common.cpp).
* Ollama: OLLAMA_MODELS, else ~/.ollama/models, and the folder of the system service.
* LM Studio: `models` in its home (~/.lmstudio, before that ~/.cache/lm-studio), or where its settings say.
* KoboldCpp has no folder of its own: the program and its models usually lie in one folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from kobold_tui.catalogue.ollama import OllamaStore
from kobold_tui.catalogue.stores import (
    FoldersStore,
    FolderStore,
    FoundFile,
    HuggingFaceStore,
    ModelStore,
    PackageStore,
)
from kobold_tui.domain.model import ModelFault

OWN_FOLDER = "own models"
KOBOLDCPP = "KoboldCpp"
LLAMA_CPP_CACHE = "llama.cpp cache"
LM_STUDIO = "LM Studio"
OLLAMA_SERVICE = Path("/usr/share/ollama/.ollama/models")

_KOBOLDCPP_FOLDERS = ("koboldcpp", "KoboldCpp", "koboldcpp-rocm", "koboldcpp-nocuda", "KoboldAI/models")
_MAX_SETTINGS_BYTES = 1024 * 1024


class _LmStudioSettings(msgspec.Struct, frozen=True, rename={"downloads_folder": "downloadsFolder"}):
    downloads_folder: str = ""


class LmStudioStore:
    """LM Studio's folders, wherever its pointer file and its settings put them."""

    name = LM_STUDIO

    def __init__(self, home: Path) -> None:
        self._home = home

    def find(self) -> Iterator[FoundFile | ModelFault]:
        """Yield the .gguf files of all its folders."""
        yield from FoldersStore(list(dict.fromkeys(self._folders())), self.name).find()

    def _folders(self) -> Iterator[Path]:
        homes = [self._home / ".lmstudio", self._home / ".cache" / "lm-studio"]
        pointer = _read_start(self._home / ".lmstudio-home-pointer").decode("utf-8", "replace").strip()
        if pointer and "\0" not in pointer:
            homes.insert(0, Path(pointer).expanduser())
        for home in homes:
            yield home / "models"
            try:
                settings = msgspec.json.decode(_read_start(home / "settings.json"), type=_LmStudioSettings)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            if settings.downloads_folder and "\0" not in settings.downloads_folder:
                yield Path(settings.downloads_folder)


def default_stores(
    models_dirs: Iterable[str], own_dir: Path, environ: Mapping[str, str], home: Path | None = None
) -> tuple[ModelStore, ...]:
    """Return all stores: the configured folders first, then our own, packages, and other programs' stores."""
    home = home or Path.home()
    configured = dict.fromkeys(Path(folder).expanduser() for folder in models_dirs)
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache").expanduser()
    return (
        *(FolderStore(folder, str(folder)) for folder in configured),
        FolderStore(own_dir, OWN_FOLDER, expected=False),
        PackageStore(),
        HuggingFaceStore(hugging_face_cache(environ, cache)),
        LmStudioStore(home),
        *_ollama_stores(environ, home),
        FoldersStore([home / folder for folder in _KOBOLDCPP_FOLDERS], KOBOLDCPP),
        FolderStore(_llama_cpp_cache(environ, cache), LLAMA_CPP_CACHE, expected=False),
    )


def hugging_face_cache(environ: Mapping[str, str], cache: Path) -> Path:
    """Return the folder that huggingface-hub uses; `cache` is the user's cache folder."""
    if place := environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(place).expanduser()
    if home := environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    return cache / "huggingface" / "hub"


def _ollama_stores(environ: Mapping[str, str], home: Path) -> tuple[OllamaStore, ...]:
    if place := environ.get("OLLAMA_MODELS"):
        return (OllamaStore(Path(place).expanduser(), expected=True),)
    return OllamaStore(home / ".ollama" / "models"), OllamaStore(OLLAMA_SERVICE)


def _llama_cpp_cache(environ: Mapping[str, str], cache: Path) -> Path:
    place = environ.get("LLAMA_CACHE")
    return Path(place).expanduser() if place else cache / "llama.cpp"


def _read_start(path: Path) -> bytes:
    """Return the begin of a small file, nothing where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SETTINGS_BYTES)
    except (OSError, ValueError):
        return b""
