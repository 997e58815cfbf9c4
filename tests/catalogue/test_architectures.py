"""The list of architectures is that of the installed llama.cpp."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys

import pytest

from kobold_tui.catalogue.architectures import ENCODERS, LLAMA_CPP, NO_TEXT

NAMES_OF_THE_LIBRARY = """
import ctypes, json, pathlib, llama_cpp
library = ctypes.CDLL(str(next(pathlib.Path(llama_cpp.__file__).parent.glob("lib/libllama.so.0"))))
try:
    name = library._Z13llm_arch_name8llm_arch
except AttributeError:
    print("null")
    sys.exit()
name.restype = ctypes.c_char_p
names = []
while (found := name(len(names)).decode()) != "(unknown)":
    names.append(found)
print(json.dumps(names))
"""


def test_the_list_is_that_of_the_library() -> None:
    if importlib.metadata.version("llama-cpp-python") != "0.3.36":
        pytest.skip("the list is that of llama-cpp-python 0.3.36")
    done = subprocess.run(
        [sys.executable, "-c", NAMES_OF_THE_LIBRARY], capture_output=True, text=True, check=False
    )
    names = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    if names is None:
        pytest.skip("this build of llama.cpp does not tell its architectures")
    assert set(names) == LLAMA_CPP


def test_what_is_said_of_architectures_is_said_of_known_ones() -> None:
    assert ENCODERS <= LLAMA_CPP
    assert NO_TEXT <= LLAMA_CPP
