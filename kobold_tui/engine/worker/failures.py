"""llama.cpp's log lines as sentences: what is wrong with which file, and what to do.

A failed load is a null pointer; the reason stands in the first error line of the log, not in the last.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kobold_tui.domain.errors import EngineError, ModelFileError
from kobold_tui.domain.load_options import LoadOptions

_DOWNLOAD_AGAIN = "Download the file again and compare its size with the source's."
_NEWER_BUILD = "A newer llama-cpp-python may know it; `kobold-tui doctor` says which one is installed."
_LESS_MEMORY = "Choose fewer GPU layers, a smaller context, a quantised KV cache or a smaller quantisation."
_PREFIX = re.compile(r"^(?:\S+: )?(?:error loading model(?: \w+)*: )?")


class _Rule(NamedTuple):
    pattern: str
    title: str
    message: str
    hint: str


_FILE_RULES = (
    _Rule(
        r"data is not within the file bounds|failed to read tensor|unexpectedly reached end of file"
        r"|failed to read (?:key|tensor|header|the)|corrupted or incomplete",
        "Model file is incomplete",
        "{file} ends before its tensors do.",
        _DOWNLOAD_AGAIN,
    ),
    _Rule(
        r"invalid magic|failed to read magic",
        "Not a GGUF file",
        "{file} is not a GGUF model file.",
        "Choose a file that ends in .gguf.",
    ),
    _Rule(
        r"GGUF file is version|bad GGUF version|version .* not supported|byte order|host endianness",
        "Unknown GGUF version",
        "{file} is written in a version of GGUF that this llama.cpp cannot read: {reason}.",
        _NEWER_BUILD,
    ),
    _Rule(
        r"unknown model architecture: ''",
        "Unknown architecture",
        "{file} does not say which architecture its model has.",
        "The file is not a whole model; download it again.",
    ),
    _Rule(
        r"unknown model architecture: '([^']+)'",
        "Unknown architecture",
        "{file} is a model of architecture {1}, which this llama.cpp does not know.",
        _NEWER_BUILD,
    ),
    _Rule(
        r"unknown (?:pre-)?tokenizer(?: type)?: '([^']*)'",
        "Unknown tokenizer",
        "{file} uses the tokenizer {1}, which this llama.cpp does not know.",
        _NEWER_BUILD,
    ),
    _Rule(
        r"tensor '([^']*)' not found",
        "Tensor missing",
        "{file} lacks the tensor {1}.",
        "The file was converted for another version of llama.cpp or is damaged.",
    ),
    _Rule(
        r"tensor '([^']*)' has wrong shape; (.*)",
        "Wrong tensor shape",
        "In {file} the tensor {1} does not fit the model: {2}.",
        "The file is damaged, or a metadata override does not suit it.",
    ),
    _Rule(
        r"tensor '([^']*)' has invalid data|found nan|invalid data",
        "Invalid numbers in the model",
        "{file} holds numbers that are not numbers: {reason}.",
        _DOWNLOAD_AGAIN,
    ),
    _Rule(
        r"number of key value pairs|number of tensors|exceeds maximum|must be in|duplicate|invalid .* dim",
        "Model file is damaged",
        "{file} has an impossible header: {reason}.",
        _DOWNLOAD_AGAIN,
    ),
    _Rule(
        r"failed to open GGUF file '?([^' ]*)|failed to open|split",
        "Model file cannot be opened",
        "{file} or a part of it cannot be opened: {reason}.",
        "Check that every part of a split model lies in the same folder and may be read.",
    ),
    _Rule(
        r"does not support split buffers|invalid value for main_gpu|split_mode",
        "Placement is not possible",
        "{file} cannot be placed on the cards as asked: {reason}.",
        "Change the split mode, the main GPU or the list of devices.",
    ),
)
_MEMORY_PATTERN = (
    r"out of memory|failed to allocate|cudaMalloc|unable to allocate|ErrorOutOfDeviceMemory|bad_alloc"
)
_PARTS_OF_CONTEXT = (
    (
        r"for kv cache",
        "its KV cache",
        "Choose a smaller context, a quantised KV cache or fewer GPU layers.",
    ),
    (r"for rs cache", "its recurrent state", "Choose fewer slots or fewer GPU layers."),
    (
        r"compute \w* ?buffers",
        "its compute buffers",
        "Choose a smaller micro-batch, a smaller context or fewer GPU layers.",
    ),
)
_CONTEXT_RULES = (
    _Rule(
        r"V cache quantization requires flash_attn|quantized V cache|requires flash",
        "Quantised V cache needs flash attention",
        "The context of {file} asks for a V cache of type {type_v} without flash attention.",
        "Switch flash attention on or take type f16 for V.",
    ),
    _Rule(
        r"(?:with|of) block size (\d+) does not divide|block size",
        "KV cache type does not fit",
        "The KV cache types {type_k}/{type_v} do not fit the head size of {file}: {reason}.",
        "Take f16 or another quantisation for the cache.",
    ),
)


def _fill(rule: _Rule, found: re.Match[str], **values: str) -> tuple[str, str, str]:
    groups = [found.group(0), *(group or "" for group in found.groups())]
    return rule.title, rule.message.format(*groups, **values), rule.hint


def _match(rules: Sequence[_Rule], lines: Sequence[str], **values: str) -> tuple[str, str, str] | None:
    for line in lines:
        for rule in rules:
            if found := re.search(rule.pattern, line):
                return _fill(rule, found, reason=reason([line]), **values)
    return None


def reason(lines: Sequence[str]) -> str:
    """Return the first error line without the function names in front of it."""
    if not lines:
        return "llama.cpp gave no reason"
    return _PREFIX.sub("", lines[0]).rstrip(". ")


def load_failure(path: Path, lines: Sequence[str]) -> EngineError | ModelFileError:
    """Return the error for weights that could not be loaded; `lines` are the error lines of the log."""
    tail = tuple(lines)
    if any(re.search(_MEMORY_PATTERN, line) for line in lines):
        return EngineError(
            "Not enough memory",
            f"The weights of {path.name} do not fit: {reason(lines)}.",
            _LESS_MEMORY,
            tail,
        )
    if words := _match(_FILE_RULES, lines, file=str(path)):
        return ModelFileError(*words, tail)
    return EngineError(
        "Model cannot be loaded",
        f"{path} cannot be loaded: {reason(lines)}.",
        "The log pane shows everything that llama.cpp wrote.",
        tail,
    )


def _part_without_room(lines: Sequence[str]) -> tuple[str, str]:
    """Return what of a context found no room, in words, and what makes it smaller."""
    for pattern, part, hint in _PARTS_OF_CONTEXT:
        if any(re.search(pattern, line) for line in lines):
            return f", there is no room for {part}", hint
    return "", _LESS_MEMORY


def context_failure(path: Path, options: LoadOptions, n_ctx: int, lines: Sequence[str]) -> EngineError:
    """Return the error for a context that could not be made."""
    tail = tuple(lines)
    values = {"file": path.name, "type_k": options.type_k, "type_v": options.type_v}
    if words := _match(_CONTEXT_RULES, lines, **values):
        return EngineError(*words, tail)
    if any(re.search(_MEMORY_PATTERN, line) for line in lines):
        part, hint = _part_without_room(lines)
        return EngineError(
            "Not enough memory for the context",
            f"A context of {n_ctx:,} tokens for {path.name} does not fit{part}: {reason(lines)}.",
            hint,
            tail,
        )
    return EngineError(
        "Context cannot be made",
        f"llama.cpp refuses a context of {n_ctx:,} tokens for {path.name}: {reason(lines)}.",
        "Try the default options; the log pane shows everything that llama.cpp wrote.",
        tail,
    )


def check_file(path: Path) -> None:
    """Raise ModelFileError, in words, for a path that cannot be a model before llama.cpp is asked."""
    if path.is_dir():
        raise ModelFileError("Not a file", f"{path} is a folder, not a model file.", "Choose a .gguf in it.")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError as error:
        raise ModelFileError("No such file", f"There is no file {path}.", "Check the path.") from error
    except OSError as error:
        raise ModelFileError(
            "Model file cannot be read", f"{path} cannot be read: {error.strerror}.", "Check who may read it."
        ) from error
    if not magic:
        raise ModelFileError("Model file is empty", f"{path} is empty.", _DOWNLOAD_AGAIN)
    if magic != b"GGUF":
        shown = magic.decode("ascii", "replace")
        raise ModelFileError(
            "Not a GGUF file",
            f"{path} is not a GGUF model file: it begins with {shown!r} and not with 'GGUF'.",
            "Choose a file that ends in .gguf; a web page saved in its place has to be downloaded again.",
        )
