"""What a worker process serves: llama.cpp itself, or the scripted stand-in that tests faults.

All methods run on the worker's main thread, except `interrupt`, which the reader thread calls.
Errors are KoboldError; anything else that escapes ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Protocol

from kobold_tui.domain.generation import (
    Embeddings,
    EmbedRequest,
    GenerateEvent,
    GenerateRequest,
    Message,
    RenderedPrompt,
    RerankRequest,
    Scores,
)
from kobold_tui.domain.instance import LoadPhase, LoadSpec, ModelInfo
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.virtual_card import VirtualCard
from kobold_tui.engine import wire

ReportProgress = Callable[[LoadPhase, float | None], None]
IsCancelled = Callable[[], bool]
Role = Literal["virtual", "real", "log"]
"""What a planner plans for: virtual cards, the real ones, or these where only the log can be trusted."""


class Backend(Protocol):
    """One model and the requests that run on it."""

    def hello(self) -> wire.Hello:
        """Return the first frame: process, protocol version and the library's build."""
        ...

    def load(self, spec: LoadSpec, report: ReportProgress, cancelled: IsCancelled) -> ModelInfo:
        """Load a model; `cancelled` is polled and true ends the load with an error."""
        ...

    def start(self, request_id: int, request: GenerateRequest) -> None:
        """Accept a generation; it advances by `step`."""
        ...

    @property
    def busy(self) -> bool:
        """Whether `step` has something to do."""
        ...

    def step(self) -> Iterable[tuple[int, GenerateEvent]]:
        """Advance every running generation by one decode and return what came out, by request id."""
        ...

    def cancel(self, request_id: int) -> None:
        """End a generation; its `Finished` comes out of the next `step`. Unknown ids are ignored."""
        ...

    def interrupt(self) -> None:
        """Make a computation that is under way return soon (reader thread; sets a flag, nothing else)."""
        ...

    def embed(self, request: EmbedRequest, cancelled: IsCancelled) -> Embeddings:
        """Return one vector for each text."""
        ...

    def rerank(self, request: RerankRequest, cancelled: IsCancelled) -> Scores:
        """Return one score for each document."""
        ...

    def set_lora(self, scales: Sequence[float]) -> None:
        """Change the scales of the loaded adapters."""
        ...

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> tuple[int, ...]:
        """Return token ids."""
        ...

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Return text."""
        ...

    def render(
        self,
        messages: Sequence[Message],
        template_options: dict[str, bool | int | float | str],
        tools_json: str = "",
    ) -> RenderedPrompt:
        """Return the prompt of these messages."""
        ...

    def dry_run(self, spec: LoadSpec, cards: tuple[VirtualCard, ...] | None = None) -> MemoryEstimate:
        """Return the memory that `spec` would take, without loading it, on `cards` if these are given."""
        ...

    def unload(self) -> None:
        """Free the model; nothing is called afterwards."""
        ...
