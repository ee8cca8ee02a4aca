"""Property tests: whatever a config or a checkpoint holds, reading it works or is refused.

To refuse is a WavenetError of one line.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save, save_file

from tests.helpers import SMALL, as_checkpoint, network
from wavenet.config import loading
from wavenet.engines.weights import pack
from wavenet.errors import EngineError, WavenetError
from wavenet.model import checkpoint, parameters
from wavenet.model.checkpoint import Model
from wavenet.model.network import WaveNet

pytestmark = pytest.mark.property
KEYS = [*loading.known_keys(), "model", "train", "audio", "layers", "x", ""]
TOML = loading.load("tiny").to_toml()
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 1200),
    st.sampled_from([2**31, 2**63, 2**64, -(2**63) - 1, 10**40]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["none", "peak", "files", "tails", "cosine", "inf", "nan", "\0", "\ud800"]),
)
values = st.recursive(
    scalars,
    lambda v: (
        st.lists(v, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), v, max_size=4)
    ),
    max_leaves=9,
)


def one_line(e: WavenetError, part: object = "") -> None:
    assert "\n" not in str(e), str(e)
    assert str(e)
    assert str(part) in str(e)


@contextmanager
def taken_or_refused(part: object = "") -> Iterator[None]:
    try:
        yield
    except WavenetError as e:
        one_line(e, part)


# --- configs --------------------------------------------------------------------------------------


@given(
    st.dictionaries(st.sampled_from(KEYS), values, max_size=4),
    st.sampled_from(["", "model", "audio", "train"]),
)
def test_any_nested_settings_are_a_config_or_refused(nested: dict[str, Any], section: str) -> None:
    inner = {k.rpartition(".")[2]: v for k, v in nested.items()}
    with taken_or_refused():
        config = loading.parse({section: inner} if section else nested)
        assert loading.parse(config.to_dict()) == config
        assert config.model.schedule


EQUALS = st.sampled_from(["=", "", " = ", "=="])
ASSIGNMENTS = st.tuples(st.sampled_from(KEYS), EQUALS, st.text(max_size=12))


@given(st.lists(ASSIGNMENTS, min_size=1, max_size=3))
def test_any_setting_on_the_command_line_is_taken_or_refused(
    settings: list[tuple[str, str, str]],
) -> None:
    texts = ["".join(parts) for parts in settings]
    with taken_or_refused():
        assert loading.load("tiny", loading.parse_assignments(texts)).model.schedule


def spoilt(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with a few of its parts cut out, doubled, or replaced by other bytes."""
    spoilt = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(spoilt)))
        length = draw(st.integers(0, 40))
        doubled = bytes(spoilt[at : at + length]) * 2
        spoilt[at : at + length] = draw(st.one_of(st.binary(max_size=12), st.just(doubled)))
    return bytes(spoilt)


@given(st.data())
def test_any_spoilt_config_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "spoilt.toml"
    path.write_bytes(data.draw(st.composite(spoilt)(TOML.encode())))
    with taken_or_refused(path):
        assert loading.load(path).model.schedule


DEEP, LONG = "[" * 100_000, "9" * 5000
ENDLESS = [f"a = {DEEP}", f"[model]\nlayers = {LONG}", "train.steps = 1e999", "\0"]


@pytest.mark.parametrize("text", [*ENDLESS, "[model]\nlayers = 1979-05-27"])
def test_numbers_and_nesting_without_end(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(WavenetError) as e:
        loading.load(path)
    one_line(e.value)


@pytest.mark.parametrize("source", ["", ".", "\0", "a\0b.toml", "x" * 5000, "~", "/", "*.toml"])
def test_sources_that_cannot_be_files(source: str) -> None:
    with pytest.raises(WavenetError) as e:
        loading.load(source)
    one_line(e.value)


# --- checkpoints ----------------------------------------------------------------------------------


@cache
def trained() -> Model:
    """A whole checkpoint of a small network: weights, their EMA, and Adam's moments."""
    ema_only = as_checkpoint(network(SMALL), step=7)
    parts = ("model", "average", "adam.mean", "adam.square")
    arrays = {f"{part}.{k}": v for part in parts for k, v in ema_only.weights.items()}
    return Model(ema_only.config, arrays, ema_only.training)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "whole.safetensors"
    checkpoint.save(path, trained())
    return path


def check(path: Path) -> None:
    """Loading gives an error of one line, or a checkpoint that a network and a trainer accept."""
    for resume in (False, True):
        try:
            loaded = checkpoint.load(path, resume=resume)
            pack(loaded.config.model, loaded.weights)
        except EngineError as e:
            # This is how a spoilt weight is refused.
            one_line(e, "holds NaN or infinite")
            continue
        except WavenetError as e:
            one_line(e, path)
            continue
        WaveNet.from_arrays(loaded.config.model, loaded.weights)
        if resume:
            network = WaveNet.from_arrays(loaded.config.model, loaded.part("model"))
            shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
            assert shapes == parameters.expected_shapes(loaded.config.model)
            assert loaded.training.step >= 0


@given(st.data())
def test_any_spoilt_checkpoint_is_read_or_refused(whole: Path, data: st.DataObject) -> None:
    content = whole.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    if data.draw(st.booleans()):
        # Most damage to the numbers behind the header is harmless.
        changed = data.draw(st.composite(spoilt)(content[:header])) + content[header:]
    else:
        changed = data.draw(st.composite(spoilt)(content))
    path = whole.with_name("spoilt.safetensors")
    path.write_bytes(changed)
    check(path)


@given(st.data())
def test_any_foreign_description_is_read_or_refused(whole: Path, data: st.DataObject) -> None:
    """A good file whose metadata differs in one entry, or altogether."""
    good = trained()
    config, training = good.config.to_dict(), dict(vars(good.training))
    about: Any = {"format": 1, "config": config, "training": training}
    nested, keys = about, list(about)
    while True:
        key = data.draw(st.sampled_from(keys))
        if isinstance(nested[key], dict) and nested[key] and data.draw(st.integers(0, 3)):
            nested, keys = nested[key], list(nested[key])
            continue
        if data.draw(st.integers(0, 4)):
            nested[key] = data.draw(values)
        else:
            del nested[key]
        break
    if data.draw(st.integers(0, 9)) == 0:
        about = data.draw(st.just(about) | values)
    text = json.dumps(about)
    path = whole.with_name("foreign.safetensors")
    save_file({k: np.asarray(v) for k, v in good.arrays.items()}, path, metadata={"wavenet": text})
    check(path)


@given(st.data())
def test_any_other_arrays_are_read_or_refused(whole: Path, data: st.DataObject) -> None:
    arrays = load_file(whole)
    names = st.lists(st.sampled_from(sorted(arrays)), min_size=1, max_size=3, unique=True)
    for name in data.draw(names):
        array = arrays.pop(name)
        match data.draw(st.sampled_from(["gone", "renamed", "type", "shape", "nan", "empty"])):
            case "renamed":
                part = data.draw(st.sampled_from(["model.", "average.", "adam.mean.", "", "x."]))
                arrays[part + data.draw(st.text(max_size=6))] = array
            case "type":
                kinds = ["float64", "float16", "int32", "uint8", "bool"]
                arrays[name] = array.astype(data.draw(st.sampled_from(kinds)))
            case "shape":
                length = data.draw(st.integers(0, array.size))
                arrays[name] = np.ascontiguousarray(array.reshape(-1)[:length])
            case "nan":
                arrays[name] = np.full_like(array, data.draw(st.sampled_from([np.nan, np.inf])))
            case "empty":
                arrays[name] = np.zeros((0, *array.shape[1:]), np.float32)
    path = whole.with_name("arrays.safetensors")
    about = {"format": 1, "config": trained().config.to_dict(), "training": {"step": 7}}
    path.write_bytes(save(arrays, metadata={"wavenet": json.dumps(about)}))
    check(path)


NONSENSE = [DEEP, f'{{"format": 1, "config": {LONG}}}', "", "null", "[]", '{"format": []}']


@pytest.mark.parametrize("text", NONSENSE)
def test_descriptions_without_end_or_sense(whole: Path, text: str) -> None:
    path = whole.with_name("deep.safetensors")
    save_file(load_file(whole), path, metadata={"wavenet": text})
    with pytest.raises(WavenetError) as e:
        checkpoint.load(path)
    one_line(e.value)
