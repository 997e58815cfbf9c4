"""What the model browser asks for beside the catalogue, over values that a test sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kobold_tui.catalogue.removal import carry_out, plan_removal
from kobold_tui.domain.errors import ModelFileError
from kobold_tui.domain.memory import ModelShape
from kobold_tui.domain.model_details import ModelDetails
from kobold_tui.services.favourites import FavouritesService, Marks
from kobold_tui.services.loading import LoadingService
from kobold_tui.services.model_files import FolderWindow, ModelFilesService
from kobold_tui.services.own_thread import OwnThread
from kobold_tui.services.suitability import SuitabilityService


class FakeBrowsing:
    """Marks in memory, real files, shapes and details by path; without a shape the size decides."""

    def __init__(self, accelerators: Callable[[], tuple[str, ...]]) -> None:
        self.marks = Marks()
        self.remembered: dict[str, object] = {}
        self.shapes: dict[str, ModelShape] = {}
        self.details: dict[str, ModelDetails] = {}
        self.judged: list[str] = []
        self._accelerators = accelerators

    def favourites(self) -> FavouritesService:
        return FavouritesService(self._edit, OwnThread("fake marks"), self.marks)

    def files(self, loading: LoadingService) -> ModelFilesService:
        def in_use() -> list[str]:
            return [instance.spec.path for instance in loading.instances()]

        return ModelFilesService(plan_removal, carry_out, in_use, FolderWindow({}), OwnThread("fake files"))

    def suitability(self) -> SuitabilityService:
        return SuitabilityService(self._read_shape, OwnThread("fake headers"), self._accelerators)

    def read_details(self, path: Path) -> ModelDetails:
        if str(path) not in self.details:
            raise ModelFileError("Not found", f"{path} does not exist.", "Check the path.")
        return self.details[str(path)]

    def _edit(self, key: str, edit: Callable[[object], object]) -> object:
        self.remembered[key] = edit(self.remembered.get(key))
        return self.remembered[key]

    def _read_shape(self, path: str) -> ModelShape:
        self.judged.append(path)
        if path not in self.shapes:
            raise ModelFileError("Not found", f"{path} does not exist.", "Check the path.")
        return self.shapes[path]
