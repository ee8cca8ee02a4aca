"""What `help()` says of the public names: each is explained, and its examples are true."""

import doctest
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import wavenet

PUBLIC = {name: getattr(wavenet, name) for name in wavenet.__all__}
# What examples take as imported.
NAMES = {"wavenet": wavenet, "np": np, "torch": torch}


def public_members(owner: type) -> Iterator[tuple[str, Any]]:
    """The methods and properties of a class, and of the classes of ours that it inherits from."""
    # The default of a field may be a function, too.
    fields = getattr(owner, "__dataclass_fields__", {})
    for base in owner.__mro__:
        names = vars(base).keys() - fields if base.__module__.startswith("wavenet") else ()
        members = {name: getattr(owner, name) for name in names if not name.startswith("_")}
        for name, member in members.items():
            if callable(member) or isinstance(member, property):
                yield name, member


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_and_all_that_it_has_are_explained(name: str) -> None:
    thing = PUBLIC[name]
    assert inspect.getdoc(thing), name
    members = public_members(thing) if inspect.isclass(thing) else ()
    assert [member for member, value in members if not inspect.getdoc(value)] == []


def test_every_public_class_and_function_shows_an_example() -> None:
    callables = {name for name, thing in PUBLIC.items() if callable(thing)}
    shown = {name for name in callables if ">>>" in (PUBLIC[name].__doc__ or "")}
    assert shown == callables


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_print_what_they_say(
    name: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Examples may write files.
    monkeypatch.chdir(tmp_path_factory.mktemp("examples"))
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    found: list[str] = []
    for test in doctest.DocTestFinder().find(PUBLIC[name], name, module=False, globs=NAMES):
        runner.run(test, out=found.append)
    assert not found, "".join(found)
