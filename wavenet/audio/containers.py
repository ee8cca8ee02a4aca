"""What the bytes of an audio file say of its length, where decoders believe a header too readily.

Recordings that were joined end to end, headers that were never finished, and how much sound a
header promises. Decoding is the matter of `decoders`.
"""

import os
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

CHUNK_BYTES = 1 << 20

# How formats begin that can be recognised in the middle of a file: literal bytes to search for, and
# the pattern that they begin.
_BEGINNINGS = (
    (b"RIFF", rb"RIFF....WAVE"),
    (b"RIFX", rb"RIFX....WAVE"),
    (b"RF64", rb"RF64....WAVE"),
    (b"FORM", rb"FORM....(?:AIFF|AIFC|8SVX|16SV)"),
    (b"fLaC", rb"fLaC[\x00\x80]\x00\x00\x22"),
    # The first page of a stream.
    (b"OggS\x00\x02", rb"OggS\x00\x02\x00{8}"),
    (b".snd", rb"\.snd\x00\x00.{6}\x00\x00\x00[\x01-\x1b]"),
    (b"caff\x00\x01", rb"caff\x00\x01..desc"),
    (b"riff\x2e\x91\xcf\x11", rb"riff\x2e\x91\xcf\x11"),
)
# Other formats that do, and whose first bytes are the same in every file of the same kind.
_NAMES = (
    *(b"2BIT", b" paf", b"fap ", b"PVF1", b"MATLAB", b"Extended I", b"Creative V", b"NIST_1A"),
    *(b"ALawSoundF", b"\xf0\x7e", b"\x01\x04", b"\x64\xa3", b"\x00\x01\xa3\x64"),
    *(b"\0\0\0\0\x01\0\0\0\x01", b"\0\0\x03\xe8\0\0\0\x01"),
)
_NAME_BYTES = 10
# A frame of MPEG audio, or the tag before the first. All frames begin alike.
_MPEG_FRAME = re.compile(rb"\xff[\xe0-\xff]", re.DOTALL)

# A header that claims this number of bytes or frames, or twice it, was never finished.
NO_LENGTH = 1 << 31
_SLACK = 4096
# What may follow the last chunk of a WAV besides other chunks: a few bytes, tags of other formats.
_JUNK_BYTES = 1024
_TAGS = (b"TAG", b"ID3", b"APETAGEX")
# Names of chunks that are believed even where their size cannot be right: the file was cut there.
_CHUNKS = (
    *(b"list", b"bext", b"ixml", b"id3 ", b"cue ", b"smpl", b"inst", b"peak", b"fact", b"junk"),
    *(b"pad ", b"fllr", b"cart", b"axml", b"chna", b"afsp", b"disp", b"plst", b"acid", b"_pmx"),
)

# Of a page of Ogg: its last byte counts the lengths that follow.
_PAGE_HEAD = 27

# Encoders differ in what they count, by about a frame.
_MP3_SLACK = 2048

# Where libsndfile notes how many bytes, or by format how many frames, a header promises, and that
# fewer are there.
_SIZES = r"^\s*(?:SSND|BODY|Data Size|data|riff|Data length)[ :]+(\d+) \(?should be (\d+)"
_COUNTS = {
    **dict.fromkeys(("AIFF", "AVR", "FLAC", "MPC2K", "SDS"), "Frames"),
    **{"CAF": "Valid frames", "HTK": "Sample Count", "MAT5": r"Rows : 1 +Cols"},
}
_BEFORE_AFTER = r"^\*\*\* .*truncated\. +(\d+) <--> (\d+)"
_TRUNCATED = r"^\*\*\* .*truncated|^Seems to be a truncated file"


class Content:
    """The bytes of an open file, which are read where they are asked for.

    A file that becomes shorter meanwhile has none there, while one that is mapped into memory would
    end the process.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def at(self, start: int, count: int) -> bytes:
        self._file.seek(max(0, start))
        return self._file.read(count)

    def find_all(self, literal: bytes, start: int, stop: int) -> Iterator[int]:
        """Where `literal` stands from `start` to `stop`."""
        while start < stop:
            chunk = self.at(start, min(CHUNK_BYTES, stop - start))
            found = chunk.find(literal)
            while found >= 0:
                yield start + found
                found = chunk.find(literal, found + 1)
            # One may begin in this chunk and end in the next.
            start += max(1, len(chunk) - len(literal) + 1) if len(chunk) == CHUNK_BYTES else stop

    def last(self, literal: bytes, start: int, stop: int) -> int:
        """Where `literal` stands last in the 128 kB before `stop`; -1 for nowhere."""
        begin = max(start, stop - (1 << 17))
        found = self.at(begin, stop - begin).rfind(literal)
        return begin + found if found >= 0 else -1


class Part(NamedTuple):
    """Bytes `start` to `stop` of a file: one recording of those that may be joined in it."""

    start: int
    stop: int


def parts(content: Content) -> list[Part]:
    """The recordings that a file holds: one, or several files that were joined end to end."""
    starts = [0, *_later_beginnings(content)]
    return [Part(a, b) for a, b in zip(starts, [*starts[1:], content.size], strict=True)]


def _later_beginnings(content: Content) -> Iterator[int]:
    head = content.at(0, 64)
    literal = pattern = b""
    if head.startswith(_NAMES):
        literal, pattern = head[:_NAME_BYTES], re.escape(head[:_NAME_BYTES])
    for name, beginning in _BEGINNINGS:
        if re.match(beginning, head, re.DOTALL):
            literal, pattern = name, beginning
    if not literal:
        return
    # A file within another one, in a chunk of its own, is no second recording.
    is_riff = head[:4] == b"RIFF"
    start = 8 + int.from_bytes(head[4:8], "little") if is_riff else 1
    # Streams that are multiplexed in one Ogg file all begin before any goes on.
    in_front = head[:4] == b"OggS"
    for at in content.find_all(literal, start, content.size):
        if not re.match(pattern, content.at(at, 64), re.DOTALL):
            continue
        if in_front:
            flags = content.at(content.last(b"OggS", 0, at) + 5, 1)
            in_front = bool(flags and flags[0] & 2)
        if not in_front:
            yield at
            in_front = head[:4] == b"OggS"


class WavData(NamedTuple):
    """The samples of a WAV file, in bytes: how many its header promises, and how many there are.

    Without `finished` the header is not to be believed: what there is goes on up to the end.
    """

    promised: int
    found: int
    finished: bool


def wav_data(content: Content, part: Part) -> WavData | None:
    """What the header of a WAV says of its samples; None for another format, or without any."""
    if not re.match(rb"RIFF....WAVE", content.at(part.start, 12), re.DOTALL):
        return None
    at, stop = part.start + 12, part.stop
    while at + 8 <= stop:
        name, size = _chunk(content.at(at, 8))
        at += 8
        if name == b"data":
            return WavData(size, min(size, stop - at), _is_finished(content, at, size, stop))
        at += size + size % 2
    return None


def _chunk(head: bytes) -> tuple[bytes, int]:
    return head[:4], int.from_bytes(head[4:8], "little")


def _is_finished(content: Content, at: int, size: int, stop: int) -> bool:
    """Whether the `size` of a data chunk that begins `at` can be what was meant."""
    end = at + size
    if end >= stop:
        claimed = size % NO_LENGTH
        return end == stop or size < _SLACK or min(claimed, NO_LENGTH - claimed) > _SLACK
    # A chunk of odd size is padded, which some writers forget.
    return any(_is_no_sound(content, after, stop) for after in {end, end + size % 2})


def _is_no_sound(content: Content, at: int, stop: int) -> bool:
    """Whether a WAV goes on `at` with another chunk, a tag, a text or next to nothing."""
    while (rest := content.at(at, min(stop - at, CHUNK_BYTES))) and not rest.strip(b"\0"):
        at += len(rest)
    at += len(rest) - len(rest.lstrip(b"\0"))
    if stop - at < _JUNK_BYTES:
        return True
    rest = content.at(at, 64)
    name, size = _chunk(rest)
    is_text = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in rest) > 0.95 * len(rest)
    is_name = name.isascii() and name.decode("ascii", "replace").isprintable()
    return (
        is_text
        or rest.startswith(_TAGS)
        or (is_name and (at + size < stop or name.lower() in _CHUNKS))
    )


class Mp3Data(NamedTuple):
    """An MP3's bytes: how many its first frame promises, 0 if none, and how many there are."""

    promised: int
    found: int
    # Whether it tells its length, and tells the truth. Else a decoder can but guess it from the bit
    # rate of the beginning.
    is_measured: bool


def mp3_data(content: Content, part: Part) -> Mp3Data | None:
    """What the first frame of an MP3 tells of its length; None for another format."""
    at = part.start
    while (tag := content.at(at, 10))[:3] == b"ID3":
        at += 10 + sum((byte & 127) << 7 * (3 - i) for i, byte in enumerate(tag[6:10]))
    head = content.at(at, 4096)
    if not _MPEG_FRAME.match(head):
        return None
    sizes = re.search(rb"(?:Xing|Info)\0\0\0[\x03\x07\x0b\x0f].{4}(.{4})", head, re.DOTALL)
    promised, found = int.from_bytes(sizes[1], "big") if sizes else 0, part.stop - at
    # What follows may be tags, or another recording.
    more = content.at(at + promised + _MP3_SLACK, 4096) if found > promised + _MP3_SLACK else b""
    is_joined = re.search(rb"\xff[\xf2-\xfb]|ID3[\x02-\x04]", more, re.DOTALL) is not None
    return Mp3Data(promised, found, promised > 0 and not is_joined)


def is_cut_ogg(content: Content, part: Part) -> bool:
    """Whether an Ogg file lacks the page that ends its stream."""
    if content.at(part.start, 4) != b"OggS":
        return False
    last = content.last(b"OggS", part.start, part.stop)
    if last < 0:
        return False
    page = content.at(last, min(_PAGE_HEAD + 255, part.stop - last))
    if len(page) < _PAGE_HEAD:
        return True
    lengths = page[_PAGE_HEAD : _PAGE_HEAD + page[_PAGE_HEAD - 1]]
    is_last = page[5] & 4
    return not is_last or last + _PAGE_HEAD + len(lengths) + sum(lengths) > part.stop


def promised_frames(form: str, log: str, frames: int, head: bytes = b"") -> int:
    """How many sample frames a header promises, of which libsndfile found `frames`.

    `form` is its name of the format. `log` is what it noted of the header: it goes by the bytes
    that are there, and only says in its log that there should be more. `head` is the beginning of
    the file.
    """
    # Tags come later in the log, and may say anything.
    name = _COUNTS.get(form)
    first = re.search(rf"^\s*{name}\s*: ((?!1$)\d+)", log, re.M) if name else None
    counts = [int(first[1])] if first else []
    counts += [int(n) for n in re.findall(r"^\*\*\* .* 'ds64' chunk of (\d+)", log, re.M)]
    counts += [int(n) for n in re.findall(rb"^sample_count -i (\d+)", head, re.M)]
    counts += [frames * said // max(1, there) for said, there in _sizes(log)]
    # What goes beyond any file is no promise: the header was written before its end was known.
    return max([frames, *(n for n in counts if n < NO_LENGTH - _SLACK)])


def lacks_bytes(log: str) -> bool:
    """Whether libsndfile noted that fewer bytes of sound follow than a header says."""
    is_short = any(said > there for said, there in _sizes(log))
    return is_short or re.search(_TRUNCATED, log, re.M) is not None


def _sizes(log: str) -> list[tuple[int, int]]:
    """The bytes of sound that a header promises, and those that are there."""
    pairs = re.findall(_SIZES, log, re.M)
    pairs += [(said, there) for there, said in re.findall(_BEFORE_AFTER, log, re.M)]
    return [(int(said), int(there)) for said, there in pairs]
