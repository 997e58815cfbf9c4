"""Failed commands are explained by their cause, not by their last line."""

from __future__ import annotations

import pytest

from tools.installer.diagnosis import diagnose, telling_tail

PIP_OFFLINE = (
    "WARNING: Retrying after connection broken by 'NewConnectionError(Name or service not known)'\n"
    "ERROR: Could not find a version that satisfies the requirement hatchling (from versions: none)\n"
    "ERROR: No matching distribution found for hatchling"
)
CMAKE_NO_COMPILER = (
    "CMake Error at CMakeLists.txt:3 (project):\n  No CMAKE_CXX_COMPILER could be found.\n"
    "ERROR: Failed building wheel for llama-cpp-python"
)


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        (PIP_OFFLINE, "The package index could not be reached."),
        (
            "error: Failed to fetch: `https://x/simple/`\n  dns error",
            "The package index could not be reached.",
        ),
        (CMAKE_NO_COMPILER, "No C++ compiler was found"),
        ("c++: fatal error: error writing: No space left on device\nCMake Error", "The disk is full."),
        (
            "c++: fatal error: Killed signal terminated program cc1plus\nninja: build stopped",
            "ran out of memory",
        ),
        (
            "Error: The virtual environment was not created: ensurepip is not available.",
            "virtual environments",
        ),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] ... Max retries exceeded", "its certificate is not trusted"),
        ("ERROR: Failed building wheel for llama-cpp-python", "llama-cpp-python could not be built."),
        ("(from versions: none)\nERROR: No matching distribution found for x", "gave no version at all"),
        ("ERROR: No matching distribution found for textual==99", "does not offer a version"),
        ("OSError: [Errno 13] Permission denied: '/x'", "may not be written"),
        ("something else", "A command ended with exit code 2."),
    ],
)
def test_the_cause_is_named(output: str, cause: str) -> None:
    error = diagnose(output, 2)
    assert cause in error.cause
    assert error.advice


def test_a_killed_command_was_most_likely_out_of_memory() -> None:
    assert "ran out of memory" in diagnose("", -9).cause


def test_the_tail_begins_at_the_first_error_near_the_end() -> None:
    output = "\n".join(["fine"] * 50 + ["CMake Error at x:1", "", "more"])
    assert telling_tail(output) == ["CMake Error at x:1", "more"]


def test_debugging_lines_of_the_installer_are_left_out() -> None:
    assert telling_tail("error: no\nDEBUG retrying after error\n  why") == ["error: no", "  why"]


def test_without_an_error_the_tail_is_the_last_lines() -> None:
    assert telling_tail("\n".join(f"line {n}" for n in range(40)), count=3) == [
        "line 37",
        "line 38",
        "line 39",
    ]
