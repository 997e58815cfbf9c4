"""The backend that is llama.cpp: one model, its answers, its vectors and its chat template."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence

from kobold_tui.domain.errors import EngineError
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
from kobold_tui.domain.instance import LoadSpec, ModelInfo
from kobold_tui.domain.memory import MemoryEstimate
from kobold_tui.domain.virtual_card import VirtualCard
from kobold_tui.engine import wire
from kobold_tui.engine.worker import bindings, dry_run, rerank, templates
from kobold_tui.engine.worker.abort_flag import AbortFlag
from kobold_tui.engine.worker.backend import IsCancelled, ReportProgress
from kobold_tui.engine.worker.decode import Decoder
from kobold_tui.engine.worker.embed import Embedder
from kobold_tui.engine.worker.generation import Generation, text_stream
from kobold_tui.engine.worker.model import Model, load_model
from kobold_tui.engine.worker.sampling import SamplerChain
from kobold_tui.engine.worker.weights import cancelled_error


class LlamaBackend:
    """Implements `Backend`; what a model cannot do is refused in words."""

    def __init__(self, renderer: templates.TemplateRenderer | None = None) -> None:
        bindings.initialise()
        self._abort = AbortFlag()
        self._renderer = renderer or templates.TemplateRenderer()
        self._model: Model | None = None
        self._decoder: Decoder | None = None
        self._embedder: Embedder | None = None
        self._template: templates.ChatTemplate | None = None
        self._tool_template: templates.ChatTemplate | None = None

    def hello(self) -> wire.Hello:
        """Return the process, the library's version and the devices it found."""
        return wire.Hello(
            pid=os.getpid(),
            llama_cpp_version=bindings.version(),
            gpu_offload_supported=bindings.supports_gpu_offload(),
            devices=bindings.gpu_names(),
        )

    def load(self, spec: LoadSpec, report: ReportProgress, cancelled: IsCancelled) -> ModelInfo:
        """Load a model; a failed load leaves nothing behind, so that another can follow."""
        if self._model is not None:
            raise EngineError(
                "Already loaded", f"This worker holds {self._model.name}.", "Stop it before loading another."
            )
        started = time.monotonic()
        if not spec.embedding:
            self._renderer.start()
        model = load_model(spec, report, cancelled, self._abort)
        try:
            self._finish_load(model, report, cancelled)
        except BaseException:
            model.close()
            raise
        self._model = model
        return model.info(
            has_chat_template=self._template is not None, seconds_to_load=time.monotonic() - started
        )

    def _finish_load(self, model: Model, report: ReportProgress, cancelled: IsCancelled) -> None:
        report("template", None)
        in_file = model.weights.chat_templates
        self._template = templates.resolve(model.spec.template, in_file, model.name)
        self._tool_template = templates.resolve(model.spec.template, in_file, model.name, tools=True)
        report("warmup", None)
        if not cancelled():
            model.warm_up()
        if cancelled():
            raise cancelled_error(model.weights.path)
        if not model.weights.cannot_generate and not model.shape.embeddings:
            self._decoder = Decoder(model)

    @property
    def _loaded(self) -> Model:
        if self._model is None:
            raise EngineError("No model", "No model is loaded in this process.", "Load a model first.")
        return self._model

    def _decoder_for(self, model: Model) -> Decoder:
        """Return what generates text. Raises EngineError that says why this model does not."""
        if why := model.weights.cannot_generate:
            raise EngineError("No text generation", f"{model.name} {why}.", "Choose a chat or base model.")
        if self._decoder is None:
            raise EngineError(
                "No text generation",
                f"{model.name} was loaded for embeddings.",
                "Load it again as a chat or base model.",
            )
        return self._decoder

    def start(self, request_id: int, request: GenerateRequest) -> None:
        """Accept a generation. Raises EngineError for what cannot be answered."""
        model = self._loaded
        decoder = self._decoder_for(model)
        rendered = None if request.prompt is not None else self._render(request.messages, request)
        text = (request.prompt if rendered is None else rendered) or ""
        prompt = model.vocab.tokenize_prompt(text + request.prefill)
        decoder.check_prompt(prompt)
        extra_stop = self._template.stop if rendered is not None and self._template else ()
        stream = text_stream(request, extra_stop, None if rendered is None else text + request.prefill)
        chain = SamplerChain(model.vocab, request.sampling, prompt, model.n_ctx_seq)
        decoder.start(Generation(request_id, request, prompt, chain, stream))

    @property
    def busy(self) -> bool:
        """Whether an answer is running or waiting."""
        return self._decoder is not None and self._decoder.busy

    def step(self) -> Iterable[tuple[int, GenerateEvent]]:
        """Advance every answer by one decode."""
        return self._decoder.step() if self._decoder is not None else ()

    def cancel(self, request_id: int) -> None:
        """End an answer at the next step."""
        if self._decoder is not None:
            self._decoder.cancel(request_id)

    def interrupt(self) -> None:
        """Make a running decode return soon."""
        self._abort.set()

    def embed(self, request: EmbedRequest, cancelled: IsCancelled) -> Embeddings:
        """Return one vector for each text."""
        return self._embedder_for(self._loaded).embed(request, cancelled)

    def rerank(self, request: RerankRequest, cancelled: IsCancelled) -> Scores:
        """Return one score for each document."""
        model = self._loaded
        return rerank.rerank(self._embedder_for(model), model.vocab, model.name, request, cancelled)

    def _embedder_for(self, model: Model) -> Embedder:
        if self._embedder is None:
            self._embedder = Embedder(model)
        return self._embedder

    def set_lora(self, scales: Sequence[float]) -> None:
        """Change the scales of the loaded adapters; cached beginnings of prompts are forgotten."""
        if self.busy:
            raise EngineError(
                "Answers are running",
                f"The adapters of {self._loaded.name} cannot change in the middle of an answer.",
                "Wait for the answer or stop it.",
            )
        self._loaded.scale_adapters(scales)
        if self._decoder is not None:
            self._decoder.forget_all()

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> tuple[int, ...]:
        """Return token ids."""
        vocab = self._loaded.vocab
        return tuple(vocab.tokenize(text, add_special=add_special, parse_special=parse_special))

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Return text; ids outside the vocabulary are left out."""
        return self._loaded.vocab.text(tokens)

    def render(
        self,
        messages: Sequence[Message],
        template_options: dict[str, bool | int | float | str],
        tools_json: str = "",
    ) -> RenderedPrompt:
        """Return the prompt of these messages and its tokens."""
        model = self._loaded
        request = GenerateRequest(
            messages=tuple(messages), template_options=template_options, tools_json=tools_json
        )
        text = self._render(request.messages, request)
        return RenderedPrompt(text=text, tokens=tuple(model.vocab.tokenize_prompt(text)))

    def _render(self, messages: Sequence[Message], request: GenerateRequest) -> str:
        model = self._loaded
        if any(message.images for message in messages):
            raise EngineError(
                "Images are not read",
                "This build of the program does not read images yet.",
                "Send text only.",
            )
        template = self._tool_template if request.tools_json else self._template
        if template is None:
            raise templates.missing(model.name)
        variables: templates.Variables = {
            "bos_token": model.vocab.bos_text,
            "eos_token": model.vocab.eos_text,
            **request.template_options,
        }
        return self._renderer.render(template, messages, variables, request.tools_json)

    def dry_run(self, spec: LoadSpec, cards: tuple[VirtualCard, ...] | None = None) -> MemoryEstimate:
        """Return the memory that `spec` would take; what is loaded now keeps running."""
        if cards is not None:
            raise EngineError("No planner", "This worker holds a model and plans for no other hardware.")
        return dry_run.measure(spec)

    def unload(self) -> None:
        """Free everything."""
        self._renderer.close()
        for part in (self._decoder, self._embedder, self._model):
            if part is not None:
                part.close()
        self._decoder = self._embedder = self._model = None
