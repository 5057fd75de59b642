#!/usr/bin/env bash
# Plans against others' numbers: ONNX's own tests of its operators, and whole networks with random
# weights against ONNX Runtime. Needs Python and, once, PyPI.
#
# The packages come into a private virtual environment in target/onnx. `ZSSEG_ONNX_PYTHON` names a
# Python that has them already.
set -u
cd "$(dirname "$0")/.."
. scripts/steps.sh

work="$PWD/target/onnx"
python=${ZSSEG_ONNX_PYTHON:-$work/venv/bin/python}

install_packages() {
    [ -z "${ZSSEG_ONNX_PYTHON:-}" ] || return 0
    [ -d "$work/venv" ] || python3 -m venv "$work/venv" || return
    "$python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        --only-binary :all: -r tests/networks/requirements.txt
}

test_operators() {
    local package
    package=$("$python" -c 'import onnx; print(next(iter(onnx.__path__)))') || return
    ZSSEG_ONNX_NODES="$package/backend/test/data/node" \
        cargo test --locked --test onnx_nodes -- --ignored
}

test_networks() {
    "$python" tests/networks/make_networks.py "$work/networks" || return
    ZSSEG_NETWORKS="$work/networks" cargo test --locked --test networks -- --ignored --nocapture
}

step "packages" install_packages
step "ONNX's tests of operators" test_operators
step "networks against ONNX Runtime" test_networks
finish
