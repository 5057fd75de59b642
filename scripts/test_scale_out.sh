#!/usr/bin/env bash
# Feature extraction as shards under GNU parallel (docs/scale-out.md): one job is killed in the
# middle, the failed one alone is run again, and the merged store is byte for byte that of one run.
set -euo pipefail
cd "$(dirname "$0")/.."

zsseg=$(realpath "${1:-target/release/zsseg}")
onnx=$(realpath tests/models/tiny_rgb.onnx)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "scale out: $*" >&2
    exit 1
}

pictures=240
shards=3
mkdir -p data/images
printf 'ground\ncat\n' >data/classes.txt
for i in $(seq $pictures); do
    printf 'P3\n2 2\n255\n%d 9 80  0 200 %d  7 7 7  %d 0 0\n' $((i % 256)) $((255 - i % 256)) \
        $((i % 7)) >"data/images/picture$i.ppm"
    echo "picture$i"
done >data/all.txt
cat >network.toml <<'TOML'
[input]
name = "image"
width = 8
height = 8
[preprocess]
profile = "imagenet"
fit = "stretch"
TOML

export zsseg onnx shards
extract() {
    exec "$zsseg" features "$onnx" --config network.toml --tap pooled --data data --list all \
        --view flip --quiet "$@"
}
flags() {
    tail -c $((2 * 80)) "part$1.safetensors" 2>/dev/null | tr -d '\0' | wc -c
}
# Shard 2 dies in the middle the first time.
job() {
    if [ "$1" -ne 2 ] || [ -e died ]; then
        extract --shard "$1/$shards" -o "part$1.safetensors"
    fi
    touch died
    extract --shard "$1/$shards" -o "part$1.safetensors" &
    local pid=$!
    while [ "$(flags "$1")" -lt 10 ] && kill -0 $pid 2>/dev/null; do sleep 0.002; done
    kill -9 $pid || true
    wait $pid
}
export -f extract flags job

(extract -o whole.safetensors) >/dev/null
run=(parallel --will-cite --jobs 2 --joblog jobs.log)
"${run[@]}" job ::: $(seq $shards) >/dev/null 2>&1 && fail "the killed job counts as done"
[ "$(flags 2)" -lt $((2 * 80)) ] || fail "the job was done before it was killed"
"$zsseg" features --merge part?.safetensors -o merged.safetensors 2>refused.txt &&
    fail "a store that lacks pictures was merged"
grep -q "part2.safetensors: it lacks picture" refused.txt || fail "$(cat refused.txt)"

"${run[@]}" --resume-failed job ::: $(seq $shards) >/dev/null
[ "$(tail -n +2 jobs.log | wc -l)" -eq $((shards + 1)) ] || fail "more than one job ran again"
"$zsseg" features --merge part?.safetensors -o merged.safetensors >/dev/null
cmp whole.safetensors merged.safetensors || fail "the shards differ from one run"
echo "1 passed, 0 failed"
