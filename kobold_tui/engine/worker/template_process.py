"""The process that renders chat templates: `python -m kobold_tui.engine.worker.template_process`.

A template comes with a model file from anywhere, so it is a hostile program: it runs in Jinja's sandbox, in a
process of its own with limits on memory, time, files and children, and can do no more than end this process.
Requests and replies are lines of JSON on stdin and stdout; the end of stdin ends the process.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import json
import resource
import sys
import traceback
from typing import Any

MEMORY_BYTES = 256 * 1024 * 1024
CPU_SECONDS = 5
MAX_TEXT = 16 * 1024 * 1024


class _RaisedByTemplateError(Exception):
    """The template called `raise_exception`, the usual way to refuse a conversation."""


class _BadToolsError(Exception):
    """The tools of a request are no list of objects."""


def _limit_process() -> None:
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        getattr(resource, "RLIMIT_NPROC", resource.RLIMIT_CORE): 0,
    }
    for kind, limit in limits.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))


def _limit_time() -> None:
    """Let this process compute for `CPU_SECONDS` more; the kernel ends it then."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime) + 1 + CPU_SECONDS
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _raise_exception(message: str) -> None:
    raise _RaisedByTemplateError(str(message))


def _strftime_now(pattern: str) -> str:
    return dt.datetime.now().astimezone().strftime(pattern)


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


@functools.cache
def _environment() -> Any:
    """Return the environment that model files are written for, the one of transformers."""
    import jinja2
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class GenerationTag(jinja2.ext.Extension):
        """`{% generation %}…{% endgeneration %}` marks answers for training; here it changes nothing."""

        tags = {"generation"}  # noqa: RUF012 - declared so by jinja2

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return jinja2.nodes.Scope(body, lineno=line)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[GenerationTag, "jinja2.ext.loopcontrols"],
        autoescape=False,
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


@functools.lru_cache(maxsize=4)
def _compiled(source: str) -> Any:
    return _environment().from_string(source)


def _merge_system(messages: list[dict[str, str]]) -> list[dict[str, str]] | None:
    """Put the system text in front of the first message of the user, for templates that refuse it."""
    match messages:
        case [{"role": "system", "content": system}, {"role": "user", "content": first}, *rest]:
            return [{"role": "user", "content": f"{system}\n\n{first}"}, *rest]
    return None


def _tools(text: str) -> dict[str, Any]:
    """Return the variable with the tools of a request; none where it has none."""
    if not text:
        return {}
    try:
        tools = json.loads(text)
    except ValueError as error:
        raise _BadToolsError(f"the tools are not JSON ({error})") from error
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise _BadToolsError("the tools are not a JSON list of objects")
    return {"tools": tools}


def render(request: dict[str, Any]) -> str:
    """Return the prompt of `messages` by `template` with `variables`. Raises what Jinja raises."""
    variables = {**request["variables"], **_tools(request.get("tools", ""))}
    template, messages = _compiled(request["template"]), request["messages"]
    try:
        text = template.render(messages=messages, **variables)
    except _RaisedByTemplateError:
        merged = _merge_system(messages)
        if merged is None:
            raise
        text = template.render(messages=merged, **variables)
    if len(text) > MAX_TEXT:
        raise MemoryError
    return str(text)


def _words(error: Exception) -> str:
    """Return what went wrong, with the line of the template where there is one."""
    text = str(error)[:500] or type(error).__name__
    line = getattr(error, "lineno", None)
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == "<template>":
            line = number
    return f"{text} (line {line} of the template)" if line else text


def answer(line: str) -> dict[str, str]:
    """Return the reply to a request line: `{"text"}` or `{"error"}`."""
    try:
        return {"text": render(json.loads(line))}
    except MemoryError:
        return {"error": "it takes too much memory"}
    except RecursionError:
        return {"error": "it is nested too deeply"}
    except Exception as error:  # noqa: BLE001 - a template can raise anything, and that is its own failure
        return {"error": _words(error)}


def main() -> int:
    """Answer requests until stdin ends."""
    _environment()
    _limit_process()
    for line in sys.stdin:
        _limit_time()
        sys.stdout.write(json.dumps(answer(line)) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
