"""Which build fits which cards, driver and compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kobold_tui.hardware.cuda_build import BuildProbe, choose_build, installed_requirement, read_nvml

NVCC = BuildProbe((12, 4), ("8.9",), "/usr/bin/nvcc", (12, 4), ("7.5", "8.9", "9.0"))


@pytest.mark.parametrize(
    ("driver", "cards", "tag"),
    [
        ((11, 8), ("8.6",), "cu118"),
        ((12, 0), ("8.6",), "cu118"),
        ((12, 1), ("8.6",), "cu121"),
        ((12, 4), ("8.9",), "cu124"),
        ((12, 9), ("9.0",), "cu125"),
        ((13, 0), ("9.0",), "cu130"),
        ((13, 9), ("7.5", "12.0"), "cu132"),
        ((13, 0), ("6.1", "8.6"), "cu125"),
        ((11, 8), ("9.0",), None),
        ((11, 4), ("8.6",), None),
        ((12, 4), ("5.2",), None),
    ],
)
def test_the_newest_wheel_that_driver_and_every_card_can_run_is_chosen(
    driver: tuple[int, int], cards: tuple[str, ...], tag: str | None
) -> None:
    plan = choose_build(BuildProbe(driver, cards))
    assert plan.index_tag == tag
    assert plan.kind == ("cuda-wheel" if tag else "cpu")


def test_a_compiler_that_knows_the_cards_builds_from_source() -> None:
    plan = choose_build(NVCC._replace(compute_capabilities=("9.0", "8.9", "9.0")), installer="pip install")
    assert plan.kind == "cuda-source"
    assert plan.cmake_args == "-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=89;90"
    assert plan.command.startswith(f'CUDACXX=/usr/bin/nvcc CMAKE_ARGS="{plan.cmake_args}" pip install ')


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (NVCC._replace(compute_capabilities=("12.0",)), "cannot compile for compute capability 12.0"),
        (NVCC._replace(nvcc_cuda=(13, 0)), "/usr/bin/nvcc is CUDA 13.0, the driver runs 12.4."),
        (NVCC._replace(nvcc=None), "There is no CUDA compiler (nvcc)."),
    ],
)
def test_a_compiler_that_does_not_fit_gives_way_to_the_wheel(probe: BuildProbe, reason: str) -> None:
    plan = choose_build(probe)
    assert plan.kind == "cuda-wheel"
    assert reason in plan.reason


def test_a_compiler_that_does_not_list_its_cards_is_trusted() -> None:
    assert choose_build(NVCC._replace(nvcc_capabilities=())).kind == "cuda-source"


@pytest.mark.parametrize("probe", [BuildProbe(), BuildProbe((12, 4), ()), BuildProbe(nvcc="/usr/bin/nvcc")])
def test_without_driver_or_card_the_cpu_is_meant(probe: BuildProbe) -> None:
    plan = choose_build(probe)
    assert plan.kind == "cpu"
    assert plan.reason == "No NVIDIA driver with a card was found."


def test_cuda_0_means_the_cpu_whatever_is_there() -> None:
    assert choose_build(NVCC, "0").kind == "cpu"


def test_where_no_wheels_are_published_the_reason_names_the_cards() -> None:
    plan = choose_build(BuildProbe((12, 4), ("8.7",), has_wheels=False))
    assert plan.kind == "cpu"
    assert "driver for CUDA 12.4, compute capability 8.7" in plan.reason


def test_the_command_is_for_this_interpreter_and_replaces_the_build() -> None:
    command = choose_build(NVCC).command
    assert sys.executable in command
    assert "--force-reinstall --no-cache-dir --no-deps" in command
    assert command.endswith(installed_requirement())


def test_the_shell_takes_the_command_as_it_is(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    show = tmp_path / "install"
    show.write_text(f'#!/bin/sh\nprintf "%s\\n" "$CMAKE_ARGS" "$CUDACXX" "$@" > {seen}\n')
    show.chmod(0o755)
    plan = choose_build(NVCC, installer=str(show), requirement="llama-cpp-python==1.2.3")
    subprocess.run(plan.command, shell=True, check=True)
    lines = seen.read_text().splitlines()
    assert lines[:2] == [plan.cmake_args, "/usr/bin/nvcc"]
    assert lines[-1] == "llama-cpp-python==1.2.3"


def test_nvml_is_asked_for_every_card(nvml_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "FAKE_CUDA", "13000")
    monkeypatch.setitem(os.environ, "FAKE_CARDS", "8.9 9.0 12.0")
    assert read_nvml(str(nvml_folder / "libnvidia-ml.so.1")) == ((13, 0), ("8.9", "9.0", "12.0"))


def test_a_driver_library_that_does_not_start_counts_as_none(nvml_folder: Path) -> None:
    assert read_nvml(str(nvml_folder / "libnvidia-ml.so.1")) == (None, ())
    assert read_nvml("libnothing-of-that-name.so") == (None, ())
