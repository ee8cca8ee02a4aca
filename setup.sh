#!/usr/bin/env bash
# Builds .venv once and is cheap to repeat: the stamp holds what it was built from, and with what.
#
#     ./setup.sh          what running the program needs
#     ./setup.sh dev      and what its tests and checks need besides
#
# PYTHON=python3.12 picks an interpreter, VENV another place.
set -euo pipefail
cd "$(dirname "$0")"
extra=${1:-}
python=${PYTHON:-python3}
venv=${VENV:-.venv}
stamp=$venv/.built-from
want=$(cat pyproject.toml setup.sh ${PIP_CONSTRAINT:-} | cksum; "$python" --version)
# The first lines of the stamp are what it was built from, the others the extras.
if [ -f "$stamp" ] && [ "$(head -n 2 "$stamp")" = "$want" ]; then
    if [ -z "$extra" ] || tail -n +3 "$stamp" | grep -qx "$extra"; then
        exit 0
    fi
else
    rm -f "$stamp"
fi
"$python" -c 'import sys; sys.exit("wavenet needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'

echo "setting up $venv${extra:+ with what $extra needs} (a few minutes, once)"
"$python" -m venv "$venv"
bin=$venv/bin
# Windows has it elsewhere.
[ -d "$bin" ] || bin=$venv/Scripts
pip="$bin/python -m pip --disable-pip-version-check"
# Which torch: without a GPU, a wheel that pip's own find-links offer, as a rule the small CPU build;
# else the index's.
torch=$("$python" -c 'import re; print(re.search(r"torch>=[^\"]*", open("pyproject.toml").read())[0])')
if ! "$bin/python" -c 'import torch' 2>/dev/null; then
    if nvidia-smi >/dev/null 2>&1 || ! $pip install -q --no-index --no-deps "$torch" 2>/dev/null; then
        $pip install -q "$torch"
    fi
fi
$pip install -q hatchling editables
$pip install -q --no-build-isolation -e ".${extra:+[$extra]}"
if [ -n "$extra" ]; then
    # Compiled once and kept: tests that did it at the same time have left code that crashes.
    "$bin/python" -c 'import librosa, numpy; wav = numpy.random.default_rng(0).normal(size=22050); \
        librosa.feature.chroma_stft(y=wav); librosa.pyin(wav, fmin=65, fmax=500)'
    $pip install -q --no-deps torchaudio || echo "note: no torchaudio here; the tests that compare with it are skipped"
fi
[ -f "$stamp" ] || printf '%s\n' "$want" >"$stamp"
printf '%s\n' "$extra" >>"$stamp"
