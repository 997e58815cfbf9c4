"""TOML files are read strictly, with errors that name the place, and written whole or not at all."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kobold_tui.domain.errors import KoboldError
from kobold_tui.domain.load_options import LoadOptions
from kobold_tui.domain.preset import ChatOptions, Preset
from kobold_tui.domain.sampling import SamplingOptions
from kobold_tui.storage.settings import Settings
from kobold_tui.storage.toml_file import read_toml, write_atomically, write_toml


def complaint(path: Path, text: str | bytes, type_: type[Settings] | type[Preset] = Settings) -> KoboldError:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(KoboldError) as caught:
        read_toml(path, type_)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.toml"


def test_a_file_becomes_a_value(path: Path) -> None:
    path.write_text(
        'theme = "paper"\nmodels_dirs = ["~/m"]\ngauge_seconds = 2\n'
        '[load]\nn_gpu_layers = 12\nn_ctx = "auto"\ntensor_split = [3, 1]\n[sampling.logit_bias]\n17 = -1.5\n'
    )
    settings = read_toml(path, Settings)
    assert (settings.theme, settings.models_dirs, settings.gauge_seconds) == ("paper", ("~/m",), 2.0)
    assert settings.load == LoadOptions(n_gpu_layers=12, tensor_split=(3, 1))
    assert settings.sampling.logit_bias == {17: -1.5}


def test_a_byte_order_mark_and_windows_lines_are_no_errors(path: Path) -> None:
    path.write_bytes(b'\xef\xbb\xbftheme = "paper"\r\n')
    assert read_toml(path, Settings).theme == "paper"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[load]\nn_ctxx = 1", "there is no key load.n_ctxx", "Did you mean n_ctx?"),
        ("zzzzz = 1", "there is no key zzzzz", "Known here: theme, models_dirs"),
        ('[load]\nn_batch = "big"', 'load.n_batch is "big"; it must be a whole number from 1 to 65536', ""),
        ("[load]\nn_ctx = 3", "load.n_ctx is 3; it must be a whole number from 256 to 16777216 or", ""),
        (
            "[load]\nn_ctx = true",
            'load.n_ctx is true; it must be a whole number from 256 to 16777216 or "auto"',
            "",
        ),
        ('link = "medium"', 'link is "medium"; it must be "auto", "fast" or "slow"', ""),
        ("theme = 7", "theme is 7; it must be a text that is not empty", ""),
        ("gauge_seconds = 1000", "gauge_seconds is 1000; it must be a number from 0.1 to 60", ""),
        ('models_dirs = ["a", 5]', "models_dirs[2] is 5; it must be a text in quotes", ""),
        ('[keys]\nquit = "q"\nsend = 4', "keys.send is 4; it must be a text in quotes", ""),
        ("load = 5", "load is 5; it must be a table", ""),
        ("[chat]\nmax_tokens = -1", "chat.max_tokens is -1; it must be a whole number of at least 1", ""),
        ('[[load.lora]]\npath = "x"\nscale = "y"', 'load.lora[1].scale is "y"; it must be a number', ""),
        ("theme = 'a'\nlink = = 3", "at line 2, column 8", "Mend that line"),
        (b"theme = 'a'\nlink = '\xff'", "line 2 is not UTF-8 text", "UTF-8"),
        ("#" * 1_048_577, "larger than 1 MiB", "right file"),
        ("a = " + "[" * 5000, "", ""),
    ],
)
def test_a_mistake_is_named_with_what_would_be_right(
    path: Path, text: str | bytes, message: str, hint: str
) -> None:
    error = complaint(path, text)
    assert message in error.message
    assert hint in error.hint


def test_a_missing_key_is_named(path: Path) -> None:
    assert "name is missing" in complaint(path, "kind = 'chat'", Preset).message


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KoboldError, match="No such file"):
        read_toml(tmp_path / "absent.toml", Settings)
    with pytest.raises(KoboldError, match="not a regular file"):
        read_toml(tmp_path, Settings)
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(KoboldError, match="not a regular file"):
        read_toml(tmp_path / "pipe.toml", Settings)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
presets = st.builds(
    Preset,
    name=texts.filter(bool),
    description=texts,
    load=st.builds(
        LoadOptions, n_gpu_layers=st.one_of(st.just("auto"), st.integers(0, 100)), use_mmap=st.booleans()
    ),
    sampling=st.builds(
        SamplingOptions,
        temperature=st.floats(0, 100),
        seed=st.one_of(st.none(), st.integers(0, 2**32 - 2)),
        logit_bias=st.dictionaries(st.integers(0, 10**6), st.floats(-100, 100), max_size=3),
    ),
    chat=st.builds(ChatOptions, system_prompt=texts, stop=st.lists(texts, max_size=3).map(tuple)),
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(preset=presets)
def test_what_is_written_is_read_the_same(path: Path, preset: Preset) -> None:
    write_toml(path, preset)
    assert read_toml(path, Preset) == preset


@pytest.mark.parametrize("text", ["a\r\nb", "a\rb\n", "\n\r\n", 'q"""\n"', "back\\\\slash\n\\"])
def test_texts_that_cannot_stand_in_several_lines_are_kept(path: Path, text: str) -> None:
    write_toml(path, Preset(name="n", chat=ChatOptions(system_prompt=text)))
    assert read_toml(path, Preset).chat.system_prompt == text


def test_texts_of_several_lines_stay_readable(path: Path) -> None:
    write_toml(path, Preset(name="n", chat=ChatOptions(system_prompt="one\ntwo\n")))
    assert '"""\none\ntwo\n"""' in path.read_text()


def test_files_are_private_and_replaced_at_once(path: Path) -> None:
    write_atomically(path, b"old")
    before = path.stat()
    with path.open("rb") as reader:
        write_atomically(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != before.st_ino
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_link_is_followed_to_its_target(tmp_path: Path, path: Path) -> None:
    real = tmp_path / "dotfiles" / "settings.toml"
    real.parent.mkdir()
    real.write_bytes(b"old")
    path.symlink_to(real)
    write_atomically(path, b"new")
    assert path.is_symlink()
    assert real.read_bytes() == b"new"


def test_missing_folders_are_made_private(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "c.toml", b"x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


FULL_DISK = """
import resource, sys
from pathlib import Path
from kobold_tui.domain.errors import KoboldError
from kobold_tui.storage.toml_file import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_atomically(Path(sys.argv[1]), b"x" * 100_000)
except KoboldError as error:
    print(error.message)
"""


def test_a_full_disk_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=True)
    assert f"{path}: File too large" in done.stdout
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "d.toml").mkdir()
    with pytest.raises(KoboldError, match="Is a directory"):
        write_atomically(tmp_path / "d.toml", b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["d.toml"]
