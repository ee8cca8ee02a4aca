"""What files beside the code say about it holds."""

import pydoc
import re
import rlcompleter
import tomllib
from pathlib import Path

import pytest

import wavenet
from wavenet.data import decoding
from wavenet.model import checkpoint

ROOT = Path(__file__).parent.parent


def project() -> dict[str, object]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return dict(tomllib.load(file)["project"])


def test_ci_runs_every_version_of_python_that_is_promised() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    matrix = re.search(r"python: \[(.*)\]", workflow)
    assert matrix
    classifiers = re.findall(r"Python :: (3\.\d+)", str(project()["classifiers"]))
    assert re.findall(r"3\.\d+", matrix[1]) == classifiers
    assert project()["requires-python"] == f">={classifiers[0]}"
    page = (ROOT / "docs" / "versions.md").read_text("utf-8")
    assert f"Python {classifiers[0]} to {classifiers[-1]}" in page
    assert "run: .ci/run" in workflow


def test_every_dependency_has_a_lower_bound() -> None:
    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)
    # In this form `make test-lowest` reads them.
    assert all(re.fullmatch(r"[a-z-]+>=[\d.]+(,<\d+)?", d) for d in dependencies)


def test_the_version_policy_names_the_numbers_that_hold() -> None:
    page = (ROOT / "docs" / "versions.md").read_text("utf-8")
    for module, name in ((checkpoint, "FORMAT"), (decoding, "VERSION")):
        path = Path(module.__file__ or "").relative_to(ROOT).as_posix()
        assert f"`{name}` = {getattr(module, name)} in `{path}`" in page
    until = tuple(map(int, re.findall(r"\d+", wavenet.__version__)[:2])) < (0, 3)
    assert until or not wavenet._FORMER
    assert all(f"`wavenet.{old}`, now `{new}`" in page for old, new in wavenet._FORMER.items())


def test_the_citation_names_the_version_that_is_here() -> None:
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [wavenet.__version__]


def test_tab_completion_offers_the_public_names_and_nothing_else() -> None:
    assert set(dir(wavenet)) == {*wavenet.__all__, "__version__"}


def test_a_repl_completes_the_public_names() -> None:
    completer = rlcompleter.Completer({"wavenet": wavenet})
    offered = [completer.complete("wavenet.", i) for i in range(len(wavenet.__all__))]
    assert {str(name).rstrip("()") for name in offered} == {f"wavenet.{n}" for n in wavenet.__all__}


def test_help_has_a_line_about_every_public_name() -> None:
    contents = str(wavenet.__doc__).split("\n\n", 2)[2]
    listed = re.findall(r"\b[A-Za-z]\w+\b", contents)
    assert not set(wavenet.__all__) - set(listed)
    assert (
        pydoc.plain(pydoc.render_doc(wavenet)).count("train           a model of recordings") == 1
    )


def test_a_former_name_says_what_it_is_called_now() -> None:
    for old, new in wavenet._FORMER.items():
        with pytest.warns(DeprecationWarning, match=f"wavenet.{old} is called wavenet.{new} now"):
            assert getattr(wavenet, old) is getattr(wavenet, new)
