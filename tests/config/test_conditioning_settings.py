"""What a network follows, as settings: one list, with the widths that add to it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import EVERYTHING
from wavenet.config import Config, ModelConfig, loading
from wavenet.config.model import KINDS, with_found, without_found
from wavenet.errors import ConfigError


def loaded(source: str, *assignments: str) -> Config:
    return loading.load(source, loading.parse_assignments(assignments))


@pytest.mark.parametrize(
    ("source", "assignments", "followed", "bands", "channels"),
    [
        ("small", (), (), 0, 0),
        ("small", ("model.conditioning=pitch,loudness",), ("pitch", "loudness"), 0, 0),
        # In the order of layers, whatever was typed, and each once.
        ("small", ("model.conditioning=loudness, pitch,pitch",), ("pitch", "loudness"), 0, 0),
        ("small", ('model.conditioning=["segments","features"]',), ("features", "segments"), 0, 0),
        ("small", ("model.mel_bands=40",), ("mel",), 40, 0),
        ("small", ("model.label_channels=3",), ("label",), 0, 3),
        # A kind that needs a width gets the usual one, or the one that is asked for.
        ("small", ("model.conditioning=mel,label",), ("mel", "label"), 80, 16),
        ("small", ("model.conditioning=mel", "model.mel_bands=40"), ("mel",), 40, 0),
        ("small", ("model.conditioning=pitch", "model.mel_bands=40"), ("mel", "pitch"), 40, 0),
        ("vocoder", (), ("mel",), 80, 0),
        ("vocoder", ("model.conditioning=mel,pitch",), ("mel", "pitch"), 80, 0),
        ("vocoder", ("model.conditioning=pitch",), ("pitch",), 0, 0),
        ("vocoder", ("model.conditioning=",), (), 0, 0),
        ("vocoder", ("model.mel_bands=0",), (), 0, 0),
        ("vocoder", ("model.label_channels=4",), ("mel", "label"), 80, 4),
        ("voices", ("model.conditioning=label,segments",), ("label", "segments"), 0, 16),
        ("instrument", (), ("pitch", "loudness"), 0, 0),
        ("instrument", ("model.mel_bands=20",), ("mel", "pitch", "loudness"), 20, 0),
        ("instrument", ("model.conditioning=[]",), (), 0, 0),
    ],
)
def test_lists_and_widths_agree(
    source: str, assignments: tuple[str, ...], followed: tuple[str, ...], bands: int, channels: int
) -> None:
    model = loaded(source, *assignments).model
    assert model.conditioning == followed
    assert (model.mel_bands, model.label_channels) == (bands, channels)
    assert model.follows_mel == ("mel" in followed)
    assert model.follows_frames == bool({*followed} - {"label"})
    frames = len({*followed} - {"label"})
    assert model.condition_channels == frames * model.frame_channels + channels


def test_a_file_may_name_kinds_widths_or_both(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"

    def of(text: str, *assignments: str) -> ModelConfig:
        path.write_text(f"[model]\n{text}\n")
        return loaded(str(path), *assignments).model

    assert of('conditioning = ["loudness", "pitch"]').conditioning == ("pitch", "loudness")
    both = of('conditioning = ["pitch"]\nmel_bands = 20')
    assert both.conditioning == ("mel", "pitch")
    # What a file lists, an override takes away by its width.
    text = 'conditioning = ["mel", "pitch", "label"]\nmel_bands = 20\nlabel_channels = 3'
    assert of(text, "model.mel_bands=0").conditioning == ("label", "pitch")
    assert of(text, "model.mel_bands=0", "model.label_channels=0").conditioning == ("pitch",)
    # What was found goes with its kind.
    text = (
        'conditioning = ["label", "segments"]\nlabel_channels = 3\n'
        'labels = ["a"]\nsegment_labels = ["b"]'
    )
    assert of(text, "model.label_channels=0").segment_labels == ("b",)
    assert of(text, "model.label_channels=0").labels == ()
    assert of(text, "model.conditioning=label").labels == ("a",)
    assert of(text, "model.conditioning=pitch").conditioning == ("pitch",)
    with pytest.raises(
        ConfigError, match=r"mel_bands = 0: must be above 0, usually 80, or mel not"
    ):
        of('conditioning = ["mel"]')


@pytest.mark.parametrize("model", [EVERYTHING, replace(EVERYTHING, labels=(), segment_labels=())])
def test_it_survives_toml_and_python(model: ModelConfig, tmp_path: Path) -> None:
    config = Config(model=model)
    path = tmp_path / "a.toml"
    path.write_text(config.to_toml())
    assert loading.load(str(path)).model == model
    assert loading.parse(config.to_dict()).model == model
    # Overrides from Python may be tuples.
    overrides: dict[str, Any] = {"model.conditioning": ("pitch", "mel")}
    assert loading.load("vocoder", overrides).model.conditioning == ("mel", "pitch")


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("model.conditioning=pitch,melody", "must be a list of mel, label, pitch, loudness,"),
        ("model.conditioning=Pitch", "must be a list of mel, label"),
        ("model.conditioning=3", "must be a list of texts"),
        ("model.conditioning=[3]", "model.conditioning"),
        ("model.segment_labels=a,b", 'needs "segments" in model.conditioning'),
        ("model.pitch_low_hz=3000", "must be at most half of model.pitch_high_hz"),
        ("model.pitch_low_hz=1", "must be 20 to 10000 Hz"),
        ("model.features_width=5000", "must be 0 (found in the files) to 4096"),
        ("train.input_noise=-1", "must be 0 to 128 levels"),
    ],
)
def test_what_cannot_be_followed_is_refused(assignment: str, words: str) -> None:
    with pytest.raises(ConfigError) as e:
        loaded("small", assignment)
    assert words in str(e.value)


def test_segment_labels_are_all_different_and_a_window_is_as_long_as_a_hop() -> None:
    with pytest.raises(ConfigError, match="must all be different"):
        ModelConfig(conditioning=("segments",), segment_labels=("a", "a"))
    for kind in ("pitch", "features", "segments"):
        assert ModelConfig(conditioning=(kind,), frame_hop=2000).frame_spacing == 2000
    for kind in ("loudness", "mel"):
        with pytest.raises(ConfigError, match="frame_hop = 2000: must be at most"):
            ModelConfig(conditioning=(kind,), mel_bands=80 * (kind == "mel"), frame_hop=2000)


@pytest.mark.parametrize("name", ["hop", "window", "context", "channels"])
def test_settings_of_mel_frames_go_by_their_former_names(name: str, tmp_path: Path) -> None:
    value = 16
    path = tmp_path / "a.toml"
    path.write_text(f"[model]\nmel_bands = 20\nmel_{name} = {value}\nframe_window = 1000\n")
    if name != "window":
        assert getattr(loading.load(str(path)).model, f"frame_{name}") == value
    else:
        with pytest.raises(ConfigError, match=r"is called model\.frame_window now"):
            loading.load(str(path))
    assigned = loaded("vocoder", f"model.mel_{name}={value}", "model.frame_hop=8").model
    assert getattr(assigned, f"frame_{name}") == (8 if name == "hop" else value)


def test_what_was_found_is_kept_apart_from_what_was_asked_for() -> None:
    asked = without_found(EVERYTHING)
    assert (asked.labels, asked.features_width, asked.segment_labels) == ((), 0, ())
    assert with_found(asked, EVERYTHING) == EVERYTHING
    # What is named, or not followed, stays.
    named = replace(asked, labels=("x", "y"))
    assert with_found(named, EVERYTHING).labels == ("x", "y")
    pitch = replace(asked, conditioning=("pitch",), mel_bands=0, label_channels=0)
    assert with_found(pitch, EVERYTHING) == pitch
    assert KINDS == ("mel", "label", "pitch", "loudness", "features", "segments")
