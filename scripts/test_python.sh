#!/usr/bin/env bash
# The Python package: built as a wheel, installed into an environment of its own, its types checked
# and its tests run, the Ray example on a local cluster included.
#
# ZSSEG_COMMAND names a `zsseg` command whose masks the wheel's are compared with; then the wheel is
# built without the command and the tract engine, which takes a minute in place of many.
set -euo pipefail
cd "$(dirname "$0")/.."

environment=target/python
python3 -m venv "$environment"
"$environment/bin/pip" install --quiet --disable-pip-version-check \
    -r bindings/python/requirements-test.txt
rm -rf target/wheels
features=()
if [ -n "${ZSSEG_COMMAND:-}" ]; then
    ZSSEG_COMMAND=$(realpath "$ZSSEG_COMMAND")
    features=(--no-default-features)
fi
cargo clippy --locked --quiet -p zsseg-python "${features[@]}" --target-dir target/python-build -- \
    -D warnings
"$environment/bin/maturin" build --locked --quiet --out target/wheels \
    --manifest-path bindings/python/Cargo.toml --target-dir target/python-build "${features[@]}"
wheel=$(ls target/wheels/zsseg-*.whl)
"$environment/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel"
# With the command it also has tract, and its size is tract's.
bytes=$(stat -c %s "$wheel")
echo "$bytes bytes of wheel"
[ -z "${ZSSEG_COMMAND:-}" ] || [ "$bytes" -le 900000 ]

cd bindings/python
../../"$environment/bin/mypy" --strict --python-executable ../../"$environment/bin/python" \
    examples/segment_image.py examples/add_class.py examples/step_rtos.py examples/bench.py
../../"$environment/bin/python" -m mypy.stubtest zsseg --allowlist tests/stubtest_allowlist.txt \
    --ignore-unused-allowlist
../../"$environment/bin/python" -m pytest --quiet -p no:cacheprovider --tb=short | tee ../../target/pytest.log
passed=$(sed -nE 's/^([0-9]+) passed.*/\1/p' ../../target/pytest.log)
echo "$((passed + 3)) passed, 0 failed"
