"""Serves one backend over the wire: a reader thread for what cannot wait, the main thread for the model.

The reader answers pings, notes cancels, and ends the process at end of file or at a broken frame: a worker
never outlives the program, not even in the middle of a decode. Everything else is done on the main thread,
between two decodes while answers are running.
"""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
import time
import traceback
from typing import NoReturn, assert_never

from kobold_tui.domain.errors import Failure, KoboldError
from kobold_tui.domain.generation import Finished, GenerateEvent
from kobold_tui.domain.instance import LoadPhase
from kobold_tui.engine import wire
from kobold_tui.engine.worker.backend import Backend, IsCancelled, ReportProgress
from kobold_tui.engine.worker.delta_buffer import DeltaBuffer

_Question = wire.Embed | wire.Rerank | wire.Tokenize | wire.Detokenize | wire.Render | wire.DryRun
EXIT_DONE, EXIT_FAILED, EXIT_BROKEN_FRAME = 0, 1, 2


def serve(connection: socket.socket, backend: Backend) -> int:
    """Answer requests until `Unload`; returns the exit code of the process."""
    return _Server(_Connection(connection), backend).run()


class _Connection:
    """Frames over a socket; any thread may send, one reads. A lost peer ends the process."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._lock = threading.Lock()

    def send(self, reply: wire.AnyReply) -> None:
        data = wire.encode(reply)
        try:
            with self._lock:
                self._socket.sendall(data)
        except OSError:
            _end_process(EXIT_DONE)

    def receive(self) -> wire.AnyRequest:
        """Return the next request. Raises EOFError at the end and FrameError for anything else."""
        length = wire.body_length(self._read(wire.HEADER_BYTES))
        return wire.decode_request(self._read(length))

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            try:
                chunk = self._socket.recv(min(count - len(data), 1 << 20))
            except OSError as error:
                raise EOFError from error
            if not chunk:
                raise EOFError
            data += chunk
        return bytes(data)


def _end_process(code: int) -> NoReturn:
    """End at once, whatever the other threads do; the kernel gives all memory back."""
    os._exit(code)


class _Server:
    def __init__(self, connection: _Connection, backend: Backend) -> None:
        self._connection = connection
        self._backend = backend
        self._inbox: queue.SimpleQueue[wire.AnyRequest] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._active: set[int] = set()
        self._deltas = DeltaBuffer(self._send_event)

    def run(self) -> int:
        self._connection.send(self._backend.hello())
        threading.Thread(target=self._read, name="wire-reader", daemon=True).start()
        while True:
            for request in self._take_requests():
                if isinstance(request, wire.Unload):
                    return self._unload(request)
                self._handle(request)
            if self._backend.busy and not self._step():
                return EXIT_FAILED

    def _read(self) -> None:
        """Read the wire until it ends, and the process with it (reader thread)."""
        try:
            while True:
                match self._connection.receive():
                    case wire.Ping(id=request_id):
                        self._connection.send(wire.Done(id=request_id))
                    case wire.Cancel(target=target) as request:
                        self._cancelled.add(target)
                        self._inbox.put(request)
                        self._backend.interrupt()
                    case request:
                        self._inbox.put(request)
        except EOFError:
            _end_process(EXIT_DONE)
        except wire.FrameError as error:
            print(f"broken frame from the program: {error}", file=sys.stderr, flush=True)  # noqa: T201 - log
            _end_process(EXIT_BROKEN_FRAME)

    def _take_requests(self) -> list[wire.AnyRequest]:
        """Return what has arrived; waits for something only while nothing is computed."""
        requests = [] if self._backend.busy else [self._inbox.get()]
        while not self._inbox.empty():
            requests.append(self._inbox.get())
        return requests

    def _handle(self, request: wire.AnyRequest) -> None:
        """Carry a request out; whatever it raises is its answer."""
        try:
            reply = self._dispatch(request)
        except KoboldError as error:
            reply = wire.Refused(id=request.id, failure=error.failure)
        except Exception as error:  # noqa: BLE001 - one bad request must not cost the loaded model
            traceback.print_exc()
            reply = wire.Refused(id=request.id, failure=_internal_error(error))
        if reply is not None:
            self._connection.send(reply)

    def _dispatch(self, request: wire.AnyRequest) -> wire.AnyReply | None:
        """Carry out what changes something, and ask for the rest."""
        backend, number = self._backend, request.id
        match request:
            case wire.Load(spec=spec):
                report, cancelled = self._reporter(number), self._is_cancelled(number)
                return wire.Loaded(id=number, info=backend.load(spec, report, cancelled))
            case wire.Generate(request=generate):
                backend.start(number, generate)
                self._active.add(number)
                return None
            case wire.Cancel(target=target):
                self._cancelled.discard(target)
                backend.cancel(target)
                return None
            case wire.SetLora(scales=scales):
                backend.set_lora(scales)
                return wire.Done(id=number)
            case wire.Ping() | wire.Unload():
                return wire.Done(id=number)
            case _:
                return self._ask(request)

    def _ask(self, request: _Question) -> wire.AnyReply:
        backend, number = self._backend, request.id
        match request:
            case wire.Embed(request=embed):
                return wire.Embedded(id=number, embeddings=backend.embed(embed, self._is_cancelled(number)))
            case wire.Rerank(request=rerank):
                return wire.Reranked(id=number, scores=backend.rerank(rerank, self._is_cancelled(number)))
            case wire.Tokenize(text=text, add_special=add, parse_special=parse):
                tokens = backend.tokenize(text, add_special=add, parse_special=parse)
                return wire.Tokens(id=number, tokens=tokens)
            case wire.Detokenize(tokens=tokens):
                return wire.Text(id=number, text=backend.detokenize(tokens))
            case wire.Render(messages=messages, template_options=options, tools_json=tools):
                prompt = backend.render(messages, options, tools)
                return wire.Rendered(id=number, text=prompt.text, tokens=prompt.tokens)
            case wire.DryRun(spec=spec, cards=cards):
                return wire.Memory(id=number, estimate=backend.dry_run(spec, cards))
            case _:
                assert_never(request)

    def _unload(self, request: wire.Unload) -> int:
        self._backend.unload()
        self._connection.send(wire.Done(id=request.id))
        return EXIT_DONE

    def _reporter(self, request_id: int) -> ReportProgress:
        def report(phase: LoadPhase, fraction: float | None) -> None:
            self._connection.send(wire.Progress(id=request_id, phase=phase, fraction=fraction))

        return report

    def _is_cancelled(self, request_id: int) -> IsCancelled:
        return lambda: request_id in self._cancelled

    def _step(self) -> bool:
        """Advance all answers; false when the backend broke and its answers were told."""
        try:
            for request_id, event in self._backend.step():
                self._deltas.add(request_id, event, time.monotonic())
        except Exception as error:  # noqa: BLE001 - every running answer must hear of it
            traceback.print_exc()
            failure = error.failure if isinstance(error, KoboldError) else _internal_error(error)
            for request_id in self._active:
                self._connection.send(wire.Refused(id=request_id, failure=failure))
            return False
        self._deltas.flush(time.monotonic())
        return True

    def _send_event(self, request_id: int, event: GenerateEvent) -> None:
        self._connection.send(wire.Event(id=request_id, event=event))
        if isinstance(event, Finished):
            self._active.discard(request_id)
            self._deltas.forget(request_id)


def _internal_error(error: Exception) -> Failure:
    return Failure(
        title="Internal error",
        message=f"The worker failed unexpectedly: {type(error).__name__}: {error}.",
        hint="The log pane has the details; please report them.",
    )
