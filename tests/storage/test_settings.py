"""Settings come from four sources in a fixed order, and each value knows its origin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kobold_tui.domain.errors import KoboldError, UsageError
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import Settings, load_settings, save_state, setting_from_text
from kobold_tui.storage.toml_file import read_toml


def test_without_any_source_all_is_at_its_default(paths: Paths) -> None:
    loaded = load_settings(paths, {})
    assert loaded.settings == Settings()
    assert loaded.origin("theme") == "default"
    assert loaded.failed == ()


def test_the_sources_rank_file_state_environment_command_line(paths: Paths) -> None:
    environ: dict[str, str] = {}
    overrides: dict[str, object] = {}

    def theme() -> tuple[str, str]:
        loaded = load_settings(paths, environ, overrides)
        assert loaded.failed == ()
        return loaded.settings.theme, loaded.origin("theme")

    paths.settings_file.write_text('theme = "file"')
    assert theme() == ("file", str(paths.settings_file))
    save_state(paths, "theme", "state")
    assert theme() == ("state", str(paths.state_file))
    environ["KOBOLD_TUI_THEME"] = "variable"
    assert theme() == ("variable", "environment (KOBOLD_TUI_THEME)")
    overrides["theme"] = "option"
    assert theme() == ("option", "command line")


def test_tables_are_merged_key_by_key(paths: Paths) -> None:
    paths.settings_file.write_text('[load]\nn_ctx = 4096\nn_batch = 256\n[keys]\nquit = "ctrl+q"\n')
    save_state(paths, "load.n_ctx", 8192)
    save_state(paths, "keys.send", "enter")
    loaded = load_settings(paths, {"KOBOLD_TUI_LOAD__N_UBATCH": "128"}, {"sampling.seed": 7})
    assert (loaded.settings.load.n_ctx, loaded.settings.load.n_batch, loaded.settings.load.n_ubatch) == (
        8192,
        256,
        128,
    )
    assert loaded.settings.keys == {"quit": "ctrl+q", "send": "enter"}
    assert loaded.settings.sampling.seed == 7
    assert loaded.origin("load.n_batch") == str(paths.settings_file)
    assert loaded.origin("load.n_ubatch") == "environment (KOBOLD_TUI_LOAD__N_UBATCH)"
    assert loaded.origin("load.n_threads") == "default"


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("LOAD__N_CTX", "8192", {"load": {"n_ctx": 8192}}),
        ("LOAD__N_CTX", "auto", {}),
        ("LOAD__SWA_FULL", "true", {"load": {"swa_full": True}}),
        ("THEME", "1984", {"theme": "1984"}),
        ("GAUGE_SECONDS", "0.5", {"gauge_seconds": 0.5}),
        ("MODELS_DIRS", "/a:/b c", {"models_dirs": ["/a", "/b c"]}),
        ("MODELS_DIRS", '["/x:y"]', {"models_dirs": ["/x:y"]}),
        ("KEYS__QUIT", "ctrl+q", {"keys": {"quit": "ctrl+q"}}),
    ],
)
def test_variables_take_the_type_of_their_setting(
    paths: Paths, variable: str, text: str, expected: dict[str, object]
) -> None:
    import msgspec

    loaded = load_settings(paths, {f"KOBOLD_TUI_{variable}": text})
    assert loaded.failed == ()
    assert loaded.settings == msgspec.convert(expected, Settings)


def test_a_wrong_variable_is_named_and_left_out(paths: Paths) -> None:
    loaded = load_settings(paths, {"KOBOLD_TUI_GAUGE_SECONDS": "1000", "KOBOLD_TUI_THEME": "paper"})
    assert loaded.settings == Settings(theme="paper")
    (failure,) = loaded.failed
    assert "KOBOLD_TUI_GAUGE_SECONDS: gauge_seconds is 1000; it must be a number" in failure.message


def test_variables_of_other_parts_are_left_alone(paths: Paths) -> None:
    assert load_settings(paths, {"KOBOLD_TUI_HOME": "/x", "KOBOLD_TUI_DEBUG": "1"}).failed == ()


@pytest.mark.parametrize("content", ["theme = ", 'theme = "a"\nload = 5', "\0"])
def test_a_broken_file_is_named_left_out_and_never_changed(paths: Paths, content: str) -> None:
    paths.settings_file.write_text(content)
    save_state(paths, "link", "slow")
    loaded = load_settings(paths, {})
    assert loaded.settings == Settings(link="slow")
    assert str(paths.settings_file) in loaded.failed[0].message
    assert paths.settings_file.read_text() == content


def test_a_wrong_override_is_wrong_usage(paths: Paths) -> None:
    with pytest.raises(UsageError, match=r"load\.n_batch is 0"):
        load_settings(paths, {}, {"load.n_batch": 0})
    with pytest.raises(UsageError, match="Did you mean theme"):
        load_settings(paths, {}, {"thme": "x"})


def test_what_is_remembered_can_be_forgotten(paths: Paths) -> None:
    save_state(paths, "last_model", "m.gguf")
    save_state(paths, "theme", "paper")
    save_state(paths, "theme", None)
    assert read_toml(paths.state_file, Settings) == Settings(last_model="m.gguf")


def test_nothing_wrong_is_ever_remembered(paths: Paths) -> None:
    save_state(paths, "theme", "paper")
    for key, value in (("theme", 5), ("nonsense", 1), ("load.n_ctx", 1), ("theme.x", 1)):
        with pytest.raises(KoboldError):
            save_state(paths, key, value)
    assert read_toml(paths.state_file, Settings) == Settings(theme="paper")


def test_a_broken_state_is_not_overwritten(paths: Paths) -> None:
    paths.state_file.write_text("broken = = 1")
    with pytest.raises(KoboldError, match="line 1"):
        save_state(paths, "theme", "paper")
    assert paths.state_file.read_text() == "broken = = 1"


REMEMBER = """
import sys
from pathlib import Path
from kobold_tui.storage.paths import Paths
from kobold_tui.storage.settings import save_state
print("ready", flush=True)
sys.stdin.readline()
for number in range(25):
    save_state(Paths.below(Path(sys.argv[1])), f"keys.{sys.argv[2]}{number}", "x")
"""


def test_running_copies_never_lose_what_another_has_remembered(paths: Paths) -> None:
    home = paths.config_dir.parent
    copies = [
        subprocess.Popen(
            [sys.executable, "-c", REMEMBER, home, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in "ab"
    ]
    for copy in copies:
        assert copy.stdout is not None
        assert copy.stdout.readline() == b"ready\n"
    for copy in copies:
        assert copy.stdin is not None
        copy.stdin.write(b"go\n")
        copy.stdin.flush()
    for copy in copies:
        copy.communicate()
    assert [copy.returncode for copy in copies] == [0, 0]
    assert len(read_toml(paths.state_file, Settings).keys) == 50


def test_typed_texts_become_values() -> None:
    assert setting_from_text("load.n_ctx", "8192") == 8192
    assert setting_from_text("theme", "paper") == "paper"
    with pytest.raises(UsageError, match="there is no key thme"):
        setting_from_text("thme", "x")


def test_every_setting_has_a_title_and_a_description() -> None:
    from msgspec import inspect

    declared = inspect.type_info(Settings)
    assert isinstance(declared, inspect.StructType)
    for field in declared.fields:
        assert isinstance(field.type, inspect.Metadata), field.name
        schema = field.type.extra_json_schema or {}
        assert schema.get("title"), field.name
        assert schema.get("description"), field.name


def test_settings_do_not_need_the_modules_of_rare_paths(paths: Paths) -> None:
    program = (
        "import sys; import kobold_tui.storage.settings, kobold_tui.storage.presets, "
        "kobold_tui.storage.conversations; "
        "print([m for m in ('tomllib', 'tomli_w', 'sqlite3', 'difflib', 'platformdirs') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_in_place_of_the_file_is_reported(paths: Paths) -> None:
    Path(paths.settings_file).mkdir()
    assert "not a regular file" in load_settings(paths, {}).failed[0].message
