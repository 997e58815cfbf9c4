"""What every engine can do, whether it is a worker process, a remote endpoint or a fake.

An engine is one model. Its state has one writer, the engine itself; `watch` gives every change in order.
All methods belong to the event loop that the engine was created on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

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
from kobold_tui.domain.instance import InstanceId, InstanceState, LoadSpec, ModelInfo
from kobold_tui.domain.memory import MemoryEstimate

StateListener = Callable[[InstanceState], None]


class Engine(Protocol):
    """One model that can be loaded, asked and stopped; errors are EngineError with words for people."""

    @property
    def id(self) -> InstanceId:
        """Name of the instance."""
        ...

    @property
    def state(self) -> InstanceState:
        """The present state."""
        ...

    @property
    def spec(self) -> LoadSpec | None:
        """What is loaded, or was asked for last; None before the first load."""
        ...

    @property
    def pid(self) -> int | None:
        """Process that holds the model, None where there is none."""
        ...

    @property
    def log_tail(self) -> tuple[str, ...]:
        """The last lines that the model's process wrote, oldest first."""
        ...

    def watch(self, listener: StateListener) -> Callable[[], None]:
        """Call `listener` on every change of state, on the engine's loop; returns how to stop it."""
        ...

    async def ensure_ready(self, spec: LoadSpec) -> ModelInfo:
        """Load `spec` unless it is loaded already; cancelling the call cancels the load.

        Raises EngineError when the model cannot be loaded; the state is then `Failed`.
        """
        ...

    def generate(self, request: GenerateRequest) -> AsyncGenerator[GenerateEvent, None]:
        """Stream an answer, ending with exactly one `Finished`; closing it (`aclose`) cancels it.

        Raises EngineError when the request is refused or the process dies meanwhile.
        """
        ...

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Return one vector for each text."""
        ...

    async def rerank(self, request: RerankRequest) -> Scores:
        """Return how relevant each document is to the query. Raises EngineError unless it is a reranker."""
        ...

    async def set_lora(self, scales: Sequence[float]) -> None:
        """Change how strongly the loaded LoRA adapters act, in their order; 0 switches one off.

        Raises EngineError for a number of scales that is not that of the adapters, and while answers run.
        """
        ...

    async def tokenize(
        self, text: str, *, add_special: bool = False, parse_special: bool = False
    ) -> tuple[int, ...]:
        """Return token ids."""
        ...

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids; bytes that are no valid UTF-8 become U+FFFD."""
        ...

    async def render(
        self,
        messages: Sequence[Message],
        template_options: dict[str, bool | int | float | str] | None = None,
        *,
        tools_json: str = "",
    ) -> RenderedPrompt:
        """Return the prompt that `generate` would evaluate for these messages."""
        ...

    async def dry_run(self, spec: LoadSpec) -> MemoryEstimate:
        """Return the exact memory that `spec` would take on the real devices, without loading it.

        Works in any state: where no process runs one is started for it and ended afterwards.
        """
        ...

    async def ping(self) -> float:
        """Return the seconds that the worker's reader takes to answer, even while the model computes."""
        ...

    async def stop(self) -> None:
        """Unload and end the process: by message, then terminate, then kill. Idempotent."""
        ...
