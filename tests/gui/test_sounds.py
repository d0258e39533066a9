"""Short tones: whole files in one place, whatever happens to the window."""

import io
import wave

from gui import sounds


def test_the_files_are_kept_once_per_user_and_none_is_left_anywhere_else(tmp_path, monkeypatch, qapp):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    sounds.Sounds()
    sounds.Sounds()  # a second window, or one after a kill
    kept = sorted(path.name for path in (tmp_path / "cache" / "bmi-runtime" / "sounds").iterdir())
    assert kept == sorted(f"{name}.wav" for name in sounds.TONES)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    for name, tones in sounds.TONES.items():
        with wave.open(str(sounds.folder() / f"{name}.wav")) as file:
            assert file.getnframes() == sum(round(length_s * sounds.RATE_HZ) for _, length_s in tones)


def test_a_damaged_file_is_written_again(tmp_path):
    path = tmp_path / "go.wav"
    path.write_bytes(b"half")
    assert sounds.keep(path, sounds.wave_file("go"))
    with wave.open(io.BytesIO(path.read_bytes())) as file:
        assert file.getframerate() == sounds.RATE_HZ
    assert [other.name for other in tmp_path.iterdir()] == ["go.wav"]


def test_without_a_place_to_write_there_is_the_bell(tmp_path, monkeypatch, qapp):
    (tmp_path / "cache").write_text("a file where a folder is needed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert sounds.Sounds().by == "the bell"
