"""Lines and tables that fit the terminal."""

import pytest

from wavenet.cli import terminal
from wavenet.cli.terminal import Column

COLUMNS = [
    Column("preset"),
    Column("hears", right=True),
    Column("parameters", right=True, leave_out=1),
    Column("purpose", wraps=True),
]
ROWS = [["music", "12,286", "1,105,472", "field recordings of birds, bells and water: a GPU"]]


def plain(line: str) -> str:
    return line.replace(terminal.NO_BREAK, " ")


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (80, [
            "preset   hears  parameters  purpose",
            "music   12,286   1,105,472  field recordings of birds, bells and water: a GPU",
        ]),
        (60, [
            "preset   hears  parameters  purpose",
            "music   12,286   1,105,472  field recordings of birds, bells",
            "                            and water: a GPU",
        ]),
        (46, [
            "preset   hears  purpose",
            "music   12,286  field recordings of birds,",
            "                bells and water: a GPU",
        ]),
    ],
)  # fmt: skip
def test_a_table_wraps_its_text_and_leaves_out_what_matters_least(
    width: int, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert [plain(line) for line in terminal.table(COLUMNS, ROWS)] == lines


def test_a_table_in_a_pipe_has_a_line_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    rows = [[*ROWS[0][:3], "word " * 60]]
    assert len(terminal.table(COLUMNS, rows)) == 2


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        ("cache      a long line of text that goes on", [
            "cache      a long line of text", "           that goes on"]),
        ("recordings a long line of text that goes on", [
            "recordings a long line of text", "           that goes on"]),
        ("saved. Go on with: wavenet train --out runs/x --cache y", [
            "saved. Go on with:", "  wavenet train --out runs/x --cache y"]),
        ("x is not there; pip install 'wavenet-audio[listen]' --user", [
            "x is not there;", "  pip install 'wavenet-audio[listen]' --user"]),
        ("one can play it with `wavenet generate demo-voice` alone", [
            "one can play it with", "  `wavenet generate demo-voice`", "  alone"]),
        ("checkpoint of step 10000 on 18 recordings of x", [
            "checkpoint of step 10000 on 18", "  recordings of x"]),
        ("see /home/ada/recordings/a-very-long-name.wav please", [
            "see", "  /home/ada/recordings/a-very-long-name.wav", "  please"]),
    ],
)  # fmt: skip
def test_a_line_wraps_at_words_and_a_command_stays_whole(text: str, lines: list[str]) -> None:
    assert [plain(line) for line in terminal.wrapped(text, 32)] == lines


def test_a_long_name_is_folded_rather_than_all_else_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    rows = [["a name that goes on and on, and on", *ROWS[0][1:]]]
    assert [plain(line) for line in terminal.table(COLUMNS, rows)] == [
        "preset                 hears  purpose",
        "a name that goes on   12,286  field recordings of birds,",
        "and on, and on                bells and water: a GPU",
    ]


def test_names_of_files_do_nothing_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    terminal.result("a\x1b[31mred\udcff.wav")
    for line in terminal.table([Column("name")], [["two\nlines"]]):
        terminal.result(line)
    assert capsys.readouterr().out.splitlines() == [
        r"a\x1b[31mred\udcff.wav",
        "name",
        r"two\nlines",
    ]
