"""The stack view: it says what `wavenet receptive-field` says, and quickly, whatever is asked."""

import json
import shlex
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.helpers import VARIANTS, train_run, training_recordings, wavenet, write_recordings
from wavenet.analysis import path_counts
from wavenet.analysis.report import StackReport
from wavenet.config import loading
from wavenet.studio import stack, stack_drawing
from wavenet.studio.server import create_app
from wavenet.studio.stack import SETTINGS
from wavenet.studio.studio import Studio

GAPS = {"dilations": "4,4,4,4"}
# In seconds, on a busy machine: a slider does not wait for longer.
QUICK = 5.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "studio" / "runs").mkdir(parents=True)
    return tmp_path / "studio"


@pytest.fixture
def client(root: Path) -> TestClient:
    return TestClient(create_app(Studio(root)), base_url="http://127.0.0.1")


def ask(client: TestClient, name: str = "stack", **given: object) -> dict[str, Any]:
    response = client.get(f"/api/{name}", params={k: str(v) for k, v in given.items()})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def refused(client: TestClient, name: str = "stack", **given: object) -> str:
    """The one line with which a request is refused, soon."""
    began = time.monotonic()
    response = client.get(f"/api/{name}", params={k: str(v) for k, v in given.items()})
    assert time.monotonic() - began < QUICK
    assert response.status_code == 400, response.text
    line: str = response.json()["error"]
    assert "\n" not in line
    assert len(line) < 500
    return line


def as_query(model: Any) -> dict[str, str]:
    """The settings of a network as a page gives them."""
    values = {name: getattr(model, name) for name in SETTINGS if name != "sample_rate"}
    if model.dilations is not None:
        values = {k: v for k, v in values.items() if k not in ("layers", "dilation_cycle")}
    texts = {}
    for name, value in values.items():
        if value is not None:
            listed = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            texts[name] = listed.lower() if isinstance(value, bool) else listed
    return texts


def test_the_gaps_of_4_4_4_4_are_named(client: TestClient) -> None:
    answer = ask(client, **GAPS)
    coverage = answer["coverage"]
    assert coverage["gaps"] == [[1, 3], [5, 7], [9, 11], [13, 15]]
    assert (coverage["covered"], coverage["uncovered"], coverage["gap_count"]) == (5, 12, 4)
    assert "12 of 17 samples are never heard: lags 1-3, 5-7, 9-11, 13-15" in answer["advice"][1]
    assert answer["tree"]["levels"][0] == [0, 0, 4, 4, 8, 8, 12, 12, 16, 16]
    assert answer["tree"]["uncovered"] == [1, 3, 5, 7, 9, 11, 13, 15]


@pytest.mark.parametrize("start", [*loading.preset_names(), "demo-voice", "demo-flute"])
def test_every_start_has_the_figures_of_its_report(client: TestClient, start: str) -> None:
    answer = ask(client, start=start)
    printed = json.loads(wavenet("receptive-field", start, "--json").stdout)[0]
    assert answer["advice"] == printed["advice"]
    for name in ("receptive_field", "parameters", "macs_per_sample", "state_bytes", "layers"):
        assert answer[name] == printed[name]
    assert answer["coverage"]["covered"] == printed["coverage"]["samples_heard"]
    assert answer["pitch_periods"] == printed["pitch_periods"]


@pytest.mark.parametrize("name", [name for name in VARIANTS if "conditioned" not in name])
def test_every_variant_has_the_figures_of_its_report(client: TestClient, name: str) -> None:
    query = as_query(VARIANTS[name])
    answer = ask(client, **query, sample_rate=8000, pitch=220)
    overrides = stack._overrides({**query, "sample_rate": "8000"})
    config = loading.load("small", overrides)
    for setting in query:
        assert getattr(config.model, setting) == getattr(VARIANTS[name], setting)
    report = StackReport("small", config, 220.0)
    expected = json.loads(json.dumps(report.to_dict()))
    assert answer["advice"] == expected["advice"]
    assert answer["macs_per_sample"] == expected["macs_per_sample"]
    counts = report.path_counts
    assert counts is not None
    heights = [-np.inf if p is None else p for p in answer["coverage"]["bars"]["log2_paths"]]
    assert np.allclose(heights, counts.log2_paths, atol=1e-3)
    bottom = answer["tree"]["levels"][0]
    covered = [lag for i in range(0, len(bottom), 2) for lag in range(bottom[i], bottom[i + 1] + 1)]
    assert covered == np.flatnonzero(counts.covered).tolist()


def test_the_command_says_the_same_in_a_terminal(client: TestClient) -> None:
    given = {"growth": "coprime", "dilation_cycle": 29, "layers": 9, "kernel_size": 3}
    for query in (GAPS, {**given, "smooth": "true", "pitch": 220.5}, {"start": "music"}):
        answer = ask(client, **query)
        program, *words = shlex.split(answer["command"])
        assert program == "wavenet"
        printed = json.loads(wavenet(*words, "--json").stdout)[0]
        assert printed["advice"] == answer["advice"]
        assert printed["layers"] == answer["layers"]


def test_the_paths_to_a_sample_are_counted_and_shown(client: TestClient) -> None:
    covered = ask(client, "stack/paths", **GAPS, lag=8)
    assert covered["words"] == "lag 8, 0.50 ms back: 6 paths lead there"
    # Of each layer from the first on: from what to what its lines lead.
    assert covered["edges"][0] == [4, 8, 8, 8]
    assert covered["edges"][3] == [0, 0, 0, 4]
    missed = ask(client, "stack/paths", **GAPS, lag=7)
    assert missed["covered"] is False
    assert missed["words"].endswith("no path leads there, so it is never heard")
    assert missed["edges"] == []


def test_every_line_to_a_sample_is_part_of_a_path(client: TestClient) -> None:
    given = {"dilations": "1,3,7,2", "kernel_size": "2,3,2,2", "smooth": "true"}
    answer = ask(client, "stack/paths", **given, lag=11)
    taps = loading.load("small", stack._overrides(given)).model.all_offsets
    below, above = {11}, [{11}]
    for flat, offsets in zip(answer["edges"], taps, strict=True):
        lines = set(zip(flat[::2], flat[1::2], strict=True))
        assert {end for _, end in lines} <= below
        assert {end - first for first, end in lines} <= {*offsets}
        below = {first for first, _ in lines}
        above.append(below)
    assert below == {0}
    runs = [[*zip(flat[::2], flat[1::2], strict=True)] for flat in answer["levels"]]
    assert [{lag for a, b in level for lag in range(a, b + 1)} for level in runs] == above


def test_paths_in_words() -> None:
    words = map(stack_drawing.paths_in_words, [-np.inf, 0.0, np.log2(12), 40.3])
    assert [*words] == ["no path", "1 path", "12 paths", "about 2^40 paths"]


def test_what_a_page_may_choose_is_what_the_settings_allow(client: TestClient) -> None:
    options = ask(client, "stack/options")
    assert options["settings"]["growth"]["choices"] == ["doubling", "fibonacci", "coprime"]
    assert options["settings"]["layers"]["high"] == 1000
    assert options["cycles"]["fibonacci"][:6] == [1, 2, 3, 5, 8, 13]
    starts = {start["id"]: start["kind"] for start in options["starts"]}
    assert starts["small"] == "preset"
    assert starts["demo-voice"] == "model"
    assert set(options["settings"]) == set(ask(client)["settings"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"layers": "0"}, "model.layers = 0: must be 1 to 1000"),
        ({"layers": "many"}, "`layers` 'many': is not a whole number"),
        ({"layers": "9" * 5000}, "is not a whole number"),
        ({"layers": "1e3"}, "is not a whole number"),
        ({"dilations": ""}, "must list 1 to 1000 numbers"),
        ({"dilations": "1,x"}, "`dilations` 'x': is not a whole number"),
        ({"dilations": "1," * 5000}, "`dilations`: lists more than 1,000 numbers"),
        ({"dilations": "0," * 1000}, "0 is not within 1 to 2^20"),
        ({"dilations": "1,2", "kernel_size": "2,2,2"}, "one for each of 2 layers"),
        ({"dilation_cycle": 100}, "must be a power of two"),
        ({"growth": "\0\n" * 500}, "input should be 'doubling'"),
        ({"smooth": "perhaps"}, "model.smooth"),
        ({"pitch": "nan"}, "`pitch` 'nan': is not a number in Hz"),
        ({"pitch": "0"}, "`pitch` 0: must be 1 to 20,000"),
        ({"newest": "1"}, "`newest` 1: must be 2 to"),
        ({"sample_rate": "1"}, "audio.sample_rate = 1"),
        ({"start": "/etc/passwd"}, "is no preset, trained model or run that is shown here"),
        ({"start": "../configs/small.toml"}, "is no preset"),
        ({"steps": "3"}, "`steps`: is not known"),
        ({"layrs": "3"}, "did you mean layers?"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(
    client: TestClient, given: dict[str, object], words: str
) -> None:
    assert words in refused(client, **given)


def test_a_lag_outside_the_field_is_refused(client: TestClient) -> None:
    assert refused(client, "stack/paths", **GAPS, lag=17) == "`lag` 17: must be 0 to 16"
    assert "must be 0 to 16" in refused(client, "stack/paths", **GAPS, lag=-1)
    assert "is not a whole number" in refused(client, "stack/paths", **GAPS)


def test_a_parameter_given_twice_is_refused(client: TestClient) -> None:
    response = client.get("/api/stack?layers=3&layers=4")
    assert (response.status_code, "twice" in response.text) == (400, True)


@pytest.mark.parametrize(
    "given",
    [
        {"layers": 1000, "dilation_cycle": 2**20},
        {"layers": 1000, "dilation_cycle": 2**20, "kernel_size": 64, "layer": "hybrid"},
        {"dilations": ",".join(["1048576"] * 7)},
        {"dilations": ",".join(str(2**i) for i in range(1, 20))},
        {"dilations": ",".join(str(2**i) for i in range(1, 17))},
        {"context": "pyramid", "pyramid_window": 2**20},
        {"dilations": "700", "context": "pyramid", "pyramid_window": 2048},
        {"layers": 1000, "dilation_cycle": 64},
        {"layers": 64, "residual_channels": 8192, "gate_channels": 8192},
    ],
)
def test_the_largest_stacks_are_answered_soon_and_briefly(
    client: TestClient, given: dict[str, object]
) -> None:
    for name, more in (("stack", {}), ("stack/paths", {"lag": 500})):
        began = time.monotonic()
        response = client.get(f"/api/{name}", params={**given, **more})
        assert response.status_code == 200, response.text
        assert time.monotonic() - began < QUICK
        assert len(response.content) < 400_000


def test_a_field_that_is_too_long_says_so(client: TestClient) -> None:
    long = {"layers": 1000, "dilation_cycle": 2**20}
    answer = ask(client, **long)
    assert answer["coverage"] is None
    assert answer["tree"]["refusal"].startswith("1000 layers are more than a tree is drawn of")
    assert "paths and gaps are not counted: the field is too long" in answer["advice"]
    words = ask(client, "stack/paths", **long, lag=5)["words"]
    assert words.endswith("paths are not counted")


def test_a_long_field_comes_in_bars_and_columns_that_hold_all_of_it(client: TestClient) -> None:
    answer = ask(client, start="music", dilations=",".join(str(2**i) for i in range(1, 14)))
    bars, coverage = answer["coverage"]["bars"], answer["coverage"]
    assert sum(bars["uncovered"]) == coverage["uncovered"] == (answer["receptive_field"] - 1) // 2
    assert len(bars["uncovered"]) <= stack_drawing.MAX_BARS
    assert coverage["gap_count"] > len(coverage["gaps"]) == stack_drawing.MAX_GAPS
    tree = answer["tree"]
    assert tree["levels"][0][-1] == (answer["receptive_field"] - 1) // tree["unit"]
    assert max(map(len, tree["edges"])) <= 2 * stack_drawing.MAX_EDGES


def test_the_tree_may_be_of_the_newest_samples_alone(client: TestClient) -> None:
    tree = ask(client, start="music", newest=64)["tree"]
    assert (tree["newest"], tree["unit"]) == (64, 1)
    assert tree["levels"][0] == [0, 63]
    assert ask(client, **GAPS, newest=64)["tree"]["newest"] == 17


def test_only_a_trained_model_as_it_was_trained_is_measured(client: TestClient) -> None:
    assert ask(client)["measurable_on"] == []
    assert ask(client, start="demo-voice")["measurable_on"][:1] in (["speech"], [])
    assert ask(client, start="demo-voice", layers=3)["measurable_on"] == []
    for given, words in (
        ({}, "is a preset, which has no weights to measure"),
        ({"start": "demo-voice", "on": "../.."}, "must be one of"),
        ({"start": "demo-voice", "path": "/"}, "`path`: is not known here"),
        ({"start": ["demo-voice"]}, "is no preset"),
    ):
        response = client.post("/api/stack/measure", json=given)
        assert response.status_code == 400
        assert words in response.json()["error"]


def test_a_run_is_offered_and_measured_on_its_recordings(
    client: TestClient, root: Path, config_file: Path
) -> None:
    takes = write_recordings(root / "takes", training_recordings())
    settings = ("train.steps=2", "train.sample_seconds=0")
    train_run(takes, root / "runs" / "first", *settings, config=str(config_file))
    starts = ask(client, "stack/options")["starts"]
    (run,) = [start for start in starts if start["kind"] == "run"]
    assert run["name"] == "first"
    answer = ask(client, start=run["id"])
    assert answer["measurable_on"]
    assert shlex.split(answer["command"])[-1] == str(root / "runs" / "first")
    measured = client.post("/api/stack/measure", json={"start": run["id"]}).json()
    assert measured["source"] == "takes"
    assert sum(measured["shares"]) == pytest.approx(1, abs=1e-3)
    assert [extent["part"] for extent in measured["extents"]] == [*path_counts.INFLUENCE_FRACTIONS]
    assert measured["advice"][0].startswith("half of what it uses lies within")
    takes.rename(root / "elsewhere")
    gone = client.post("/api/stack/measure", json={"start": run["id"]})
    assert gone.status_code == 400
    assert "are no longer there" in gone.json()["error"]
