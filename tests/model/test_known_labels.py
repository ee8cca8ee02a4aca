import pytest

from wavenet.errors import UsageError
from wavenet.model import known_labels


def test_labels_asked_for_are_found_in_order() -> None:
    known = ["jackson", "theo", "Zo\u00eb"]
    assert known_labels.choose(["theo", " Zoe\u0308 ", "theo"], known) == [1, 2, 1]
    assert known_labels.choose([], ["jackson"]) == []


@pytest.mark.parametrize(
    ("asked", "known", "words"),
    [
        ("jakson", ["jackson", "theo"], "the model knows jackson, theo; did you mean jackson?"),
        ("JACKSON", ["jackson", "theo"], "the model knows jackson, theo; did you mean jackson?"),
        ("19", ["19/198", "26/198"], "the model knows 19/198, 26/198; did you mean 19/198?"),
        ("7", ["jackson", "theo"], "the model knows jackson, theo"),
        ("p99", [f"p{i}" for i in range(57)], "p18, p19, ... (20 of 57)"),
        ("theo", [], "leave it out"),
    ],
)
def test_an_unknown_label_is_refused_with_the_known_ones(
    asked: str, known: list[str], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        known_labels.choose([asked], known)
    assert (caught.value.parameter, caught.value.value) == ("label", asked)
    assert words in caught.value.advice
