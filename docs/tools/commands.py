"""Run the commands on the pages and compare what they print with what the pages say they print.

    python -m docs.tools.commands [PAGE ...] [--longest MINUTES] [--recordings FOLDER] [--update]

Of a page's fenced blocks, `console` holds commands (`$ ...`) with their output, in which a line of
`...` stands for any lines; `pycon` a doctest session. Both are compared. `sh` holds commands
without output, and `python` a script: these have to succeed. They run in order in one empty folder,
where `data` and `configs` are the repository's; the sessions of a page are one.

An HTML comment before a block directs:

    <!-- takes 12 minutes -->   run with --longest 12 and more
    <!-- not run: REASON -->    never run
    <!-- first: COMMAND -->     run before, and not shown; $RECORDINGS in it is --recordings
    <!-- figures vary -->       each number may differ

Without such a comment a block takes a minute or less. Times, speeds and the machine may always
differ, decimals by 1 %, and memory by half.
"""

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
RUN = ("console", "sh", "python", "pycon")
COLUMNS = 100

# What is another on another machine or at another time, and what stands for it in a comparison.
VARYING = {
    r".*Python 3\.\d+\.\d+, torch .*numpy [\d.]+": "MACHINE",
    r"\((AVX-512|AVX2|x86-64|NEON)\b": "(CPU",
    r"up to \d+ threads?": "up to N threads",
    r"\(\d+ threads?\)": "(N threads)",
    r"about (\d+:\d\d(:\d\d)?|[\d.]+ s)\b": "about TIME",
    r"\d+:\d\d(:\d\d)? left": "TIME left",
    r"\bin \d\d:\d\d(:\d\d)?\b": "in TIME",
    r"[\d.]+ hours": "TIME hours",
    r"\d{4}-\d\d-\d\d( \d\d:\d\d)?": "DATE",
    r"[\d.]+k samples/s": "SPEED samples/s",
    r"[\d.]+ x real time": "SPEED x real time",
    r"[\d.]+ (s|ms) a step": "TIME a step",
    r"-[0-9a-f]{12}\b": "-HASH",
    r"\|[█▏▎▍▌▋▊▉ ]+\|": "|BAR|",
}
# What a new machine prints once.
ONCE = re.compile(r"compil(ing|ed) ")
WRAPPED = re.compile(r"(, torch .*, numpy [\d.]+;)\n +")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
# Comments that direct nothing: what programs write between.
MARKS = re.compile(r"From here on: made by |written by |end$")
# The user, in whose home the commands run as far as they print it.
HOME = "/home/ada"


@dataclass
class Block:
    """A fenced block of a page, with the directions before it. `line` counts from 1."""

    page: Path
    line: int
    language: str
    text: str
    takes: float = 0.0  # minutes
    not_run: str = ""
    first: list[str] = field(default_factory=list)
    figures_vary: bool = False

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Each command of a console block, and the lines that it prints."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            lines = part.rstrip("\n").split("\n")
            command = 1 + next(i for i, line in enumerate(lines) if not line.endswith("\\"))
            yield "\n".join(lines[:command]), lines[command:]


def pages() -> list[Path]:
    """Every page of the documentation."""
    folders = (ROOT, ROOT / "docs", ROOT / "benchmarks", ROOT / "models", ROOT / "data")
    return [path for folder in folders for path in sorted(folder.glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order.

    Raises ValueError for a comment that directs nothing.
    """
    found: list[Block] = []
    comments: list[str] = []
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            written = re.findall(r"<!--\s*(.*?)\s*-->", token.content, re.DOTALL)
            comments += [comment for comment in written if not MARKS.match(comment)]
        elif token.type == "fence":
            assert token.map is not None
            block = Block(page, token.map[0] + 1, token.info.strip(), token.content)
            for comment in comments:
                _direct(block, comment)
            found.append(block)
            comments = []
        elif comments:
            raise ValueError(f"{page}: no block follows on {comments}")
    return found


def _direct(block: Block, comment: str) -> None:
    if minutes := re.fullmatch(r"takes ([\d.]+) minutes?", comment):
        block.takes = float(minutes[1])
    elif comment.startswith("not run: "):
        block.not_run = comment.removeprefix("not run: ")
    elif comment.startswith("first: "):
        block.first.append(comment.removeprefix("first: "))
    elif comment == "figures vary":
        block.figures_vary = True
    else:
        raise ValueError(f"{block.place}: <!-- {comment} --> is no direction")


def same(expected: Sequence[str], printed: Sequence[str], figures_vary: bool = False) -> bool:
    """Whether lines were printed as expected, but for what may differ."""
    if not expected:
        return not printed
    if expected[0].strip() == "...":
        rest = range(len(printed) + 1)
        return any(same(expected[1:], printed[i:], figures_vary) for i in rest)
    if not printed or not _same_line(expected[0], printed[0], figures_vary):
        return False
    return same(expected[1:], printed[1:], figures_vary)


def unwrapped(lines: Sequence[str]) -> list[str]:
    """With the line of the machine as one, which wraps where its processor has a long name."""
    return WRAPPED.sub(r"\1 ", "\n".join(lines)).splitlines()


def _same_line(expected: str, printed: str, figures_vary: bool) -> bool:
    one, other = plain(expected), plain(printed)
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return False
    tolerance = 0.5 if "at the most" in one else 0.01
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return figures_vary or all(_same_number(a, b, tolerance) for a, b in pairs)


def _same_number(one: str, other: str, tolerance: float) -> bool:
    a, b = (float(number.replace(",", "")) for number in (one, other))
    whole = "." not in one + other and tolerance < 0.5
    return one == other or (not whole and abs(a - b) <= tolerance * abs(a))


def plain(line: str) -> str:
    """A line with what varies replaced, and with single spaces."""
    for pattern, name in VARYING.items():
        line = re.sub(pattern, name, line)
    return " ".join(re.sub(r"[-─]{3,}", "---", line).split())


def printed_by(command: str, folder: Path, environment: dict[str, str]) -> tuple[int, list[str]]:
    """The exit status of a command, and what a terminal shows after it."""
    # Windows has neither; there the rest of this module is of use.
    import pty
    import termios

    ours, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (50, COLUMNS))
    process = subprocess.Popen(
        ["bash", "-ec", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    output = b""
    try:
        while part := os.read(ours, 65536):
            output += part
    except OSError:
        # Linux reports the end of a terminal's output as an error.
        pass
    os.close(ours)
    lines = output.decode(errors="replace").replace("\r\n", "\n").split("\n")
    shown = [_overwritten(line) for line in lines]
    shown = [line for line in shown if not ONCE.match(line)]
    while shown and not shown[-1]:
        shown.pop()
    return process.wait(), shown


def _overwritten(line: str) -> str:
    """What stays of a line whose carriage returns let later parts overwrite earlier ones."""
    shown = ""
    for part in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).split("\r"):
        shown = part + shown[len(part) :]
    return shown.rstrip()


class Runner:
    """Runs the blocks of one page in a folder of their own."""

    def __init__(self, folder: Path, longest: float, recordings: Path | None) -> None:
        self.longest = longest
        self.recordings = recordings
        self.home = folder.resolve() / "ada"
        self.folder = self.home / "wavenet"
        self.folder.mkdir(parents=True)
        for name in ("data", "configs"):
            (self.folder / name).symlink_to(ROOT / name)
        self.environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "RECORDINGS": str(recordings or ""),
            "COLUMNS": str(COLUMNS),
            "TERM": "xterm",
            "NO_COLOR": "1",
        }

    def skipped(self, block: Block) -> str:
        """Why a block is not run; empty when it is."""
        if block.language not in RUN:
            return "not a command"
        if block.not_run:
            return block.not_run
        if block.takes > self.longest:
            return f"takes {block.takes:g} minutes"
        if self.recordings is None and "$RECORDINGS" in "".join([*block.first, block.text]):
            return "needs --recordings"
        return ""

    def printed_by(self, command: str) -> tuple[int, list[str]]:
        """The exit status of a command, and what it prints, as if in the home of HOME."""
        status, lines = printed_by(command, self.folder, self.environment)
        text = "\n".join(lines).replace(str(self.home), HOME)
        return status, text.replace(str(ROOT), f"{HOME}/wavenet").splitlines()

    def run(self, block: Block) -> tuple[str, str]:
        """Run a block. Returns its text with what was printed this time, and how that differs."""
        for command in block.first:
            status, lines = self.printed_by(command)
            if status:
                return block.text, "\n".join([f"first: {command}", *lines])
        if block.language != "console":
            return block.text, self._succeeds(block)
        text, difference = "", []
        for command, expected in block.commands():
            status, lines = self.printed_by(command)
            refused = any(line.startswith("wavenet: ") for line in expected)
            if bool(status) != refused or not same(expected, unwrapped(lines), block.figures_vary):
                difference += [f"$ {command}", *difflib.ndiff(expected, lines)]
            text += "\n".join([f"$ {command}", *lines, ""])
        return text, "\n".join(difference)

    def _succeeds(self, block: Block) -> str:
        script = self.folder / "block"
        script.write_text(block.text + "\n", encoding="utf-8")
        start = {"sh": "bash -e", "python": "python", "pycon": "python -m doctest -o ELLIPSIS"}
        command = f"{start[block.language]} block"
        status, lines = self.printed_by(command)
        return "\n".join([f"$ {command}", *lines]) if status else ""


def session(found: list[Block]) -> Block | None:
    """The doctest sessions of a page as one, since they share their names."""
    sessions = [block for block in found if block.language == "pycon"]
    for block in sessions:
        if block.takes or block.not_run or block.first:
            raise ValueError(f"{block.place}: the sessions of a page are run together")
    text = "\n".join(block.text for block in sessions)
    return replace(sessions[0], text=text) if sessions else None


def run_page(
    page: Path, longest: float = 0.0, recordings: Path | None = None
) -> Iterator[tuple[Block, str, str, str]]:
    """Run a page: each block, why it was skipped, its text as printed now, and the difference."""
    found = blocks(page)
    whole = session(found)
    others = [block for block in found if block.language != "pycon"]
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Path(folder), longest, recordings)
        for block in [*others, *([whole] if whole else [])]:
            skipped = runner.skipped(block)
            text, difference = ("", "") if skipped else runner.run(block)
            yield block, skipped, text, difference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, help="default: all")
    parser.add_argument("--longest", type=float, default=0.0, help="minutes that a block may take")
    parser.add_argument("--recordings", type=Path, help="a folder with folders of recordings")
    parser.add_argument("--update", action="store_true", help="write the new output to the page")
    options = parser.parse_args()
    recordings = options.recordings and options.recordings.resolve()
    differ = 0
    for page in [path.resolve() for path in options.pages] or pages():
        source = page.read_text(encoding="utf-8")
        for block, skipped, text, difference in run_page(page, options.longest, recordings):
            if block.language in RUN:
                print(f"{block.place:40} {skipped or ('differs' if difference else 'same')}")
            if difference:
                differ += 1
                print(difference, flush=True)
                if options.update and "\n...\n" not in block.text:
                    source = source.replace(block.text, text)
        if options.update:
            page.write_text(source, encoding="utf-8")
    sys.exit(f"{differ} blocks differ" if differ else 0)


if __name__ == "__main__":
    main()
