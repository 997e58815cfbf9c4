"""`make run` on a machine with NVIDIA cards: which build is tried, proven, and given up in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.setup.conftest import Checkout

ENGINE = "llama-cpp-python==1.2.3"
WHEELS = "https://abetlen.github.io/llama-cpp-python/whl/cu124"


def engine_calls(checkout: Checkout) -> list[tuple[list[str], dict[str, str]]]:
    return [call for call in checkout.calls() if call[0][-1] == ENGINE]


def test_nvcc_builds_for_the_cards_that_are_there(checkout: Checkout, with_nvcc: Callable[[], None]) -> None:
    checkout.driver("12040", "9.0", "8.9", "9.0")
    with_nvcc()
    said = checkout.set_up("run")
    assert "with CUDA for compute capability 8.9, 9.0: an estimated 10 to 30 minutes" in said
    [(arguments, variables)] = engine_calls(checkout)
    assert variables["CMAKE_ARGS"] == "-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=89;90"
    assert variables["CUDACXX"] == str(checkout.bin / "nvcc")
    assert int(variables["CMAKE_BUILD_PARALLEL_LEVEL"]) >= 1
    assert arguments[arguments.index("--no-binary") + 1] == "llama-cpp-python"
    assert "kobold-tui/builds/cuda-12.4-" in arguments[arguments.index("--cache-dir") + 1]


def test_without_nvcc_the_published_wheel_for_the_driver_is_taken(checkout: Checkout) -> None:
    checkout.driver("12040", "8.9")
    assert "the published wheel cu124" in checkout.set_up("run")
    [(arguments, variables)] = engine_calls(checkout)
    assert arguments[arguments.index("--index-url") + 1] == WHEELS
    assert arguments[arguments.index("--only-binary") + 1] == "llama-cpp-python"
    assert "CMAKE_ARGS" not in variables


def test_a_wheel_needs_no_compiler(checkout: Checkout) -> None:
    checkout.driver("12040", "8.9")
    (checkout.bin / "c++").unlink()
    assert "Ready" in checkout.set_up("run")


def test_a_missing_wheel_leads_to_the_cpu_and_says_what_would_mend_it(checkout: Checkout) -> None:
    checkout.driver("12040", "8.9")
    checkout.rule("--index-url", "ERROR: No matching distribution found for llama-cpp-python")
    said = checkout.set_up("run")
    assert f"The index of CUDA wheels (cu124) gave none for {ENGINE}." in said
    assert "The GPU stays unused for now." in said
    assert f"--index-url {WHEELS} {ENGINE}" in said
    assert "--index-url" not in engine_calls(checkout)[-1][0]
    assert checkout.set_up("run") == "", "a second run does not try again"
    checkout.program("nvidia-smi", "#!/bin/sh\nexit 1\n")
    assert checkout.set_up("run") == "", "nor does one after a change that leads to the same plan"


def test_asking_for_the_gpu_tries_again_and_accepts_nothing_less(checkout: Checkout) -> None:
    checkout.driver("12040", "8.9")
    checkout.rule("--index-url", "ERROR: No matching distribution found for llama-cpp-python")
    checkout.set_up("run")
    assert "gave none" in checkout.set_up("run", "--cuda", "1", code=1)
    checkout.rule("nothing")
    assert "Ready" in checkout.set_up("run", "--cuda", "1")


def test_asking_for_the_gpu_without_a_driver_is_an_error(checkout: Checkout) -> None:
    said = checkout.set_up("run", "--cuda", "1", code=1)
    assert "CUDA=1 asks for a GPU build. No NVIDIA driver with a card was found." in said


def test_a_failed_build_from_source_leads_to_the_wheel(
    checkout: Checkout, with_nvcc: Callable[[], None]
) -> None:
    checkout.driver("12040", "8.9")
    with_nvcc()
    checkout.rule("--no-binary", "error: -- unsupported GNU version! gcc versions later than 13")
    said = checkout.set_up("run")
    assert "The CUDA compiler (nvcc) could not build llama-cpp-python." in said
    assert "Going on with the next best: Fetching llama-cpp-python with CUDA" in said
    assert "The GPU stays unused" not in said


def test_a_build_that_sees_no_gpu_does_not_count(checkout: Checkout) -> None:
    checkout.driver("12040", "8.9")
    (checkout.root / "bindings.py").write_text("def llama_supports_gpu_offload(): return False\n")
    said = checkout.set_up("run")
    assert "The build with CUDA is installed, but sees no GPU." in said
    arguments, _ = engine_calls(checkout)[-1]
    assert "--index-url" not in arguments
    assert "--reinstall" in arguments, "the build that is there must go"


def test_cuda_libraries_are_fetched_where_the_machine_has_none(checkout: Checkout) -> None:
    checkout.driver("12040", "8.9")
    (checkout.root / "bindings.py").write_text(
        "import pathlib\n"
        "beside = pathlib.Path(__file__).parent / 'lib'\n"
        "for name in ('libcudart.so.12', 'libcublas.so.12'):\n"
        "    if not (beside / name).is_symlink(): raise OSError(name + ': cannot open shared object file')\n"
        "def llama_supports_gpu_offload(): return True\n"
    )
    said = checkout.set_up("run")
    assert "nvidia-cuda-runtime-cu12==12.4.*, nvidia-cublas-cu12==12.*" in said
    assert "The GPU stays unused" not in said


def test_a_driver_that_appears_replaces_the_build_for_the_cpu(checkout: Checkout) -> None:
    checkout.set_up("run")
    checkout.calls()
    checkout.driver("12040", "8.9")
    checkout.set_up("run")
    [(arguments, _)] = engine_calls(checkout)
    assert "--reinstall" in arguments
    assert "--index-url" in arguments


def test_cuda_0_keeps_to_the_cpu_and_goes_back_to_it(checkout: Checkout) -> None:
    checkout.driver("12040", "8.9")
    assert "for the CPU" in checkout.set_up("run", "--cuda", "0")
    assert "with CUDA" in checkout.set_up("run")
    checkout.calls()
    assert "for the CPU" in checkout.set_up("run", "--cuda", "0")
    [(arguments, _)] = engine_calls(checkout)
    assert "--reinstall" in arguments
    assert "--index-url" not in arguments


def test_a_compiler_that_appears_without_a_card_changes_nothing(
    checkout: Checkout, with_nvcc: Callable[[], None]
) -> None:
    checkout.set_up("run")
    with_nvcc()
    assert checkout.set_up("run") == ""
