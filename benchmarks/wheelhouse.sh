#!/usr/bin/env bash
# For a GPU machine that has no network, with Python 3.12, PyTorch, Triton, numba, SciPy, Matplotlib
# and pytest, but without some of the small packages that this project needs.
#
#     benchmarks/wheelhouse.sh FOLDER [PACKAGE...]     where there is a network: collects the wheels
#     source benchmarks/wheelhouse.sh use FOLDER       there, in the checkout: makes them importable
#
# The checkout itself becomes importable too, so `python3 -m wavenet` and `python3 -m pytest` work
# without an installation.
if [ "${1:-}" = use ]; then
    python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
        --target /tmp/wavenet-site "$2"/*.whl || return 1
    export PYTHONPATH=$PWD:/tmp/wavenet-site PYTHONUNBUFFERED=1
    return 0
fi
set -euo pipefail
folder=${1:?usage: wheelhouse.sh FOLDER [PACKAGE...]}
shift
mkdir -p "$folder"
fetch() {
    local platform options=()
    # pip matches each name exactly.
    for platform in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014 manylinux1; do
        options+=("--platform=${platform}_x86_64")
    done
    python3 -m pip download -q --only-binary=:all: --python-version 3.12 --implementation cp \
        "${options[@]}" -d "$folder" "$@"
}
# With what it needs: it works with one version of its core only.
fetch pydantic
# What these need besides is there, or named here.
fetch --no-deps librosa audioread decorator lazy_loader msgpack pooch soundfile cffi pycparser \
    soxr platformdirs filelock tomli-w safetensors pystoi "$@"
du -sh "$folder"
