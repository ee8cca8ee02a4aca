"""What the pages of the documentation say holds: links, commands, settings, figures."""

import doctest
import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from typer.main import get_command

from benchmarks.studies import fine_tuning, learning, vocoders
from docs.tools import commands, gallery
from wavenet.cli.main import app
from wavenet.config.loading import known_keys

ROOT = Path(__file__).parents[2]
PAGES = commands.pages()
SESSIONS = [page for page in PAGES if commands.session(commands.blocks(page))]
# Pages that name settings that have gone, or modules.
OTHER_NAMES = {"CHANGELOG.md", "versions.md", "settings.md", "architecture.md"}
LANGUAGES = {*commands.RUN, "text", "toml"}
# As an environment has it that the package is installed in.
COMMAND = Path(sys.executable).parent / "wavenet"
TRAIN = "wavenet train data/starter/speech/allison --config tiny"
# Commands of which a page shows nothing that depends on how long they go on, and shorter ones that
# print the same lines. `make docs-check` runs those of the page.
SHORTER = {
    f"{TRAIN} --steps 400": f"{TRAIN} --steps 10",
    "python -m benchmarks.startup": "python -m benchmarks.startup --rounds 1",
}
in_a_terminal = pytest.mark.skipif(
    os.name != "posix", reason="commands are run in a terminal of Unix"
)
# What stands behind the name of the program and is no command of it.
NO_COMMANDS = {"COMMAND", "VERSION"}
# Whatever shows figures of a machine.
MACHINE = re.compile(r"Python 3\.\d+\.\d+, torch ")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def inline(page: Path) -> Iterator[Token]:
    """The links, images and code spans of a page."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        yield from token.children or []


def anchors(page: Path) -> set[str]:
    """What a link to a heading of this page may end in, as code hosts make it of headings."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    titles = [
        tokens[i + 1].children or [] for i, t in enumerate(tokens) if t.type == "heading_open"
    ]
    texts = ["".join(child.content for child in title).lower() for title in titles]
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in texts}


def words_of_commands(page: Path) -> Iterator[list[str]]:
    """The words of every `wavenet ...` on a page, in blocks and in running text."""
    texts = [t.content for t in inline(page) if t.type == "code_inline"]
    for block in commands.blocks(page):
        texts += [command for command, _ in block.commands()]
        texts += [block.text] if block.language == "sh" else []
    for text in texts:
        for found in re.findall(r"\bwavenet +[a-zA-Z][^|;&\n]*", text.replace("\\\n", " ")):
            lexer = shlex.shlex(found, posix=True, punctuation_chars=True)
            lexer.whitespace_split, lexer.commenters = True, "#"
            yield list(lexer)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = [str(t.attrs.get("href", t.attrs.get("src", ""))) for t in inline(page)]
    for target in filter(None, targets):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), f"{target}: headings are {sorted(anchors(file))}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_says_how_it_is_run(page: Path) -> None:
    for block in commands.blocks(page):
        assert block.language in LANGUAGES, f"{block.place}: ```{block.language}"
        if block.language == "console":
            assert block.text.startswith("$ "), f"{block.place}: output without its command"
        else:
            assert not MACHINE.search(block.text), f"{block.place}: figures without their command"
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    indented = [token.content for token in tokens if token.type == "code_block"]
    # Docstrings may have it.
    assert not indented or page.name == "python-api.md", "indented code is not run"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_on_a_page_exist_and_have_the_options_that_it_gives(page: Path) -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    for words in words_of_commands(page):
        if words[1] in NO_COMMANDS:
            continue
        assert words[1] in known, " ".join(words)
        parameters = known[words[1]].params
        options = {o for p in parameters for o in [*p.opts, *p.secondary_opts]} | {"--help"}
        given = {w.partition("=")[0] for w in words[2:] if re.match(r"--?[a-z]", w)}
        assert given <= options, f"{' '.join(words)}: no {given - options}"


@pytest.mark.parametrize("page", [p for p in PAGES if p.name not in OTHER_NAMES], ids=name)
def test_settings_on_a_page_exist(page: Path) -> None:
    spans = " ".join(t.content for t in inline(page) if t.type == "code_inline")
    named = set(re.findall(r"\b(?:train|model|audio)\.[a-z_0-9]+\b(?![.(])", spans))
    assert named <= {*known_keys(), "model.config", "model.weights"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_scripts_on_a_page_exist(page: Path) -> None:
    for script in re.findall(r"python -m ((?:benchmarks|docs)(?:\.\w+)+)", page.read_text("utf-8")):
        assert script.endswith(".NAME") or importlib.util.find_spec(script), script


def test_the_readme_is_one_page_and_leads_to_every_other() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    assert len(text.splitlines()) <= 180
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name}" in text, f"{page.name} is not linked"


def test_the_tables_of_what_is_learnt_are_those_of_the_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for script in (learning, fine_tuning, vocoders):
        monkeypatch.setattr("sys.argv", ["a script", "table"])
        script.main()
    rows = {cells(line) for line in capsys.readouterr().out.splitlines() if line.startswith("|")}
    page = (ROOT / "docs" / "learning.md").read_text("utf-8").splitlines()
    shown = {cells(line) for line in page if re.match(r"\|.*\d\.\d{3}", line)}
    assert len(shown) > 30
    assert not shown - rows


def cells(row: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in row.strip("|").split("|"))


def test_the_gallery_shows_what_its_script_finds() -> None:
    text = (ROOT / "docs" / "receptive-field.md").read_text("utf-8")
    for pattern, report, picture in gallery.reports():
        assert gallery.section(pattern, report, picture) in text, pattern.name
        assert picture is None or (gallery.PICTURES / picture).exists()


@pytest.mark.parametrize("page", SESSIONS, ids=name)
def test_sessions_print_what_their_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = commands.session(commands.blocks(page))
    assert session
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(session.text, {}, page.name, None, 0)
    printed: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=printed.append)
    assert not result.failed, "".join(printed)


def test_a_comment_that_directs_nothing_is_refused(tmp_path: Path) -> None:
    page = ROOT / "docs" / "none.md"
    for comment in (
        "not run",
        "take 9 minutes",
        "takes 2 hours",
        "figures vary -->\n\ntext\n<!-- end",
    ):
        text = f"<!-- {comment} -->\n```console\n$ true\n```\n"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "read_text", lambda self, encoding, text=text: text)
            with pytest.raises(ValueError, match=r"direction|no block"):
                commands.blocks(page)


def test_output_is_compared_but_for_what_varies() -> None:
    line = "18 recordings, 1:30: 0.12 s a step, about 46.3 s plus evaluations, 3.818 bits"
    for old, new in (("0.12", "9.9"), ("46.3 s", "1:57"), ("3.818", "3.82")):
        assert commands.same([line], [line.replace(old, new)]), new
    for old, new in (("18 r", "19 r"), ("1:30", "9:59"), ("3.818", "3.3"), ("bits", "")):
        assert not commands.same([line], [line.replace(old, new)]), new
    assert commands.same(["755 MB at the most"], ["655 MB at the most"])
    assert not commands.same(["755 MB at the most"], ["8 MB at the most"])
    assert commands.same(["18 layers"], ["19 layers"], figures_vary=True)
    assert commands.same(["a", "...", "b"], ["a", "x", "y", "b"])
    assert not commands.same(["a", "...", "b"], ["a", "x", "b", "c"])
    assert not commands.same(["a"], [])
    machine = "{}, 2 cores, Python 3.11.7, torch 2.13.0, numpy 2.4.6;{}medians of 5 rounds"
    wrapped = machine.format("A Processor of a Long Name", "\n  ").splitlines()
    assert commands.same([machine.format("CPU", " ")], commands.unwrapped(wrapped))


def test_commands_that_are_shortened_stand_on_a_page_without_what_depends_on_it() -> None:
    found = {
        command: lines if not block.figures_vary else ["..."]
        for page in PAGES
        for block in commands.blocks(page)
        for command, lines in block.commands()
        if command in SHORTER
    }
    assert found.keys() == SHORTER.keys()
    for lines in found.values():
        assert lines[0] == "..."
        assert not re.search(r"\d", "".join(lines))


@in_a_terminal
def test_a_session_of_a_page_is_run_and_another_output_is_a_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = ROOT / "docs" / "none.md"
    for printed, what in ((">>> x\n[1, ...]\n", ""), (">>> x\n[1, 3]\n", "Failed example")):
        text = f"```pycon\n>>> x = [1, 2]\n```\n\n```pycon\n{printed}```\n"
        monkeypatch.setattr(Path, "read_text", lambda self, encoding, text=text: text)
        ((block, skipped, _, difference),) = commands.run_page(page)
        assert (block.line, skipped) == (1, "")
        assert what in difference
        assert bool(difference) == bool(what)


@pytest.mark.slow
@in_a_terminal
@pytest.mark.skipif(not COMMAND.exists(), reason="`wavenet` is not installed beside Python")
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_print_what_their_page_says(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed_by = commands.printed_by

    def sooner(command: str, folder: Path, environment: dict[str, str]) -> tuple[int, list[str]]:
        return printed_by(SHORTER.get(command, command), folder, environment)

    monkeypatch.setattr(commands, "printed_by", sooner)
    # Sessions are run and compared by a quick test.
    monkeypatch.setattr(commands, "session", lambda _: None)
    ran = [(block, difference) for block, _, _, difference in commands.run_page(page)]
    differences = [f"{block.place}\n{difference}" for block, difference in ran if difference]
    assert not differences, "\n".join(differences)
