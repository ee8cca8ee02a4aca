"""Recordings that pages send: kept in a folder of their own until the studio ends."""

import asyncio
import secrets
import shutil
import struct
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from wavenet.audio.quantization import to_pcm16
from wavenet.audio.reading import AudioFile
from wavenet.errors import AudioError, WavenetError, printable
from wavenet.generation.sources import is_score
from wavenet.glossary import Wav
from wavenet.studio.studio import CLOSING
from wavenet.system.files import writing

# Of one recording, and of all that are kept: the oldest give way.
MOST_BYTES, MOST_SECONDS = 100_000_000, 600.0
MOST_KEPT, MOST_KEPT_BYTES = 50, 400_000_000
# That are received and decoded at once. The next part of one may take so long, and all of it.
MOST_AT_ONCE, PART_SECONDS, WHOLE_SECONDS = 4, 30.0, 600.0
# At which seconds are counted.
COUNTING_RATE = 16_000
# Of a name's end, by which files of notes and labels are told from recordings.
MOST_SUFFIX = 12


@dataclass(frozen=True)
class Upload:
    """A file that a page sent. `name` is what its user calls it."""

    path: Path
    name: str
    size: int

    @contextmanager
    def named(self) -> Iterator[Path]:
        """Its path; in errors that are raised inside, it has the name that its user knows."""
        try:
            yield self.path
        except WavenetError as e:
            # A line or a part of it may be named besides.
            e.subject = str(e.subject).replace(str(self.path), self.name)
            raise

    def seconds(self) -> float:
        """How long a recording is. Raises AudioError for none, and for one that is too long."""
        samples = 0
        with self.named() as path:
            # A small file may hold days: it is read only as far as it may go.
            for block in AudioFile(path, COUNTING_RATE).blocks():
                samples += len(block)
                if samples > MOST_SECONDS * COUNTING_RATE:
                    reason = f"is longer than {MOST_SECONDS / 60:g} minutes"
                    raise AudioError(path, reason, "cut it")
            if not samples:
                raise AudioError(path, "holds no samples")
        return samples / COUNTING_RATE

    def wav(self, sample_rate: int) -> Wav:
        """The whole recording, mono, at a rate. Raises AudioError."""
        return np.concatenate(list(self.blocks(sample_rate)[1]))

    def blocks(self, sample_rate: int) -> tuple[int, Iterator[Wav]]:
        """The whole recording, mono, at a rate: its length, and its blocks. Raises AudioError."""
        with self.named() as path:
            file = AudioFile(path, sample_rate)
            return file.measure(trim_db=0).samples, file.blocks()


class Uploads:
    """The files that pages sent, in a temporary folder."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="wavenet-studio-"))
        self._kept: dict[str, Upload] = {}
        self._lock = threading.Lock()
        # Also where the program ends without closing it.
        self._delete = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def close(self) -> None:
        """Delete them all."""
        self._delete()

    def get(self, name: object) -> Upload:
        """Raises HTTPException for what was never sent, or has given way to others."""
        with self._lock:
            if not isinstance(name, str) or name not in self._kept:
                raise HTTPException(404, "that recording is no longer here; send it again")
            return self._kept[name]

    async def receive(self, request: Request) -> tuple[str, Upload]:
        """Keep the body of a request.

        Raises HTTPException for one that is too large or slow, and OutputError on a full disk.
        """
        name = printable(request.query_params.get("name", "recording"))[:200]
        key, size = secrets.token_hex(8), 0
        suffix = Path(name).suffix[:MOST_SUFFIX].lower()
        path = self._folder / (key + (suffix if suffix[1:].isalnum() else ""))
        too_large = HTTPException(413, f"{name}: larger than {MOST_BYTES // 1_000_000} MB", CLOSING)
        declared = request.headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > MOST_BYTES:
            raise too_large
        loop = asyncio.get_running_loop()
        latest = loop.time() + WHOLE_SECONDS
        try:
            async with asyncio.timeout(PART_SECONDS) as limit:
                with writing(Path(name)), open(path, "wb") as file:
                    async for part in request.stream():
                        size += len(part)
                        if size > MOST_BYTES:
                            raise too_large
                        await run_in_threadpool(file.write, part)
                        limit.reschedule(min(loop.time() + PART_SECONDS, latest))
                    await run_in_threadpool(file.flush)
        except TimeoutError:
            path.unlink(missing_ok=True)
            raise HTTPException(408, f"{name}: it came too slowly", CLOSING) from None
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        upload = Upload(path, name, size)
        with self._lock:
            self._kept[key] = upload
            while len(self._kept) > MOST_KEPT or self._bytes() > MOST_KEPT_BYTES:
                self._kept.pop(next(iter(self._kept))).path.unlink(missing_ok=True)
        return key, upload

    def forget(self, key: str) -> None:
        """Delete one, if it is still here."""
        with self._lock:
            if upload := self._kept.pop(key, None):
                upload.path.unlink(missing_ok=True)

    def _bytes(self) -> int:
        return sum(upload.size for upload in self._kept.values())


def _wav_file(samples: int, blocks: Iterator[Wav], sample_rate: int) -> Iterator[bytes]:
    """A mono 16-bit wav in parts, so that a page which reads slowly takes no memory."""
    size = 2 * samples
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    yield struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form
    yield struct.pack("<4sI", b"data", size)
    for block in blocks:
        yield to_pcm16(block).astype("<i2").tobytes()


def routes(uploads: Uploads) -> list[BaseRoute]:
    """To send a recording, and to have it back as every browser can read it."""
    at_once = asyncio.Semaphore(MOST_AT_ONCE)

    async def send(request: Request) -> Response:
        try:
            async with asyncio.timeout(PART_SECONDS):
                await at_once.acquire()
        except TimeoutError:
            reason = f"{MOST_AT_ONCE} recordings are being received already; send it again soon"
            raise HTTPException(503, reason, CLOSING) from None
        try:
            key, upload = await uploads.receive(request)
            is_recording = not is_score(upload.path)
            try:
                seconds = await run_in_threadpool(upload.seconds) if is_recording else None
            except BaseException:
                uploads.forget(key)
                raise
        finally:
            at_once.release()
        about = {"id": key, "name": upload.name, "seconds": seconds and round(seconds, 3)}
        return JSONResponse(about)

    def audio(request: Request) -> Response:
        """A 16-bit wav, mono, at the rate that is asked for."""
        rate = request.query_params.get("rate", "")
        if not (rate.isascii() and rate.isdecimal() and 1000 <= int(rate[:7]) <= 192_000):
            raise HTTPException(400, "`rate` must be 1000 to 192000 Hz")
        samples, blocks = uploads.get(request.path_params["key"]).blocks(int(rate))
        parts = _wav_file(samples, blocks, int(rate))
        headers = {"content-length": str(44 + 2 * samples)}
        return StreamingResponse(parts, headers=headers, media_type="audio/wav")

    return [
        Route("/uploads", send, methods=["POST"]),
        Route("/uploads/{key}", audio),
    ]
