# Sourced by scripts that run named steps and count what passed.
#
# A step passes when its command succeeds. Tests are counted from a closing line "N passed,
# N failed", or else from cargo's "test result:" lines; a step that prints neither counts as one.

passed=0
failed=0

step() {
    local name=$1 log status start counts ok bad
    shift
    log=$(mktemp)
    start=$SECONDS
    echo "== $name"
    "$@" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    counts=$(tail -n 1 "$log" | sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p')
    [ -n "$counts" ] || counts=$(sed -nE \
        's/^test result: [a-zA-Z]+\. ([0-9]+) passed; ([0-9]+) failed.*$/\1 \2/p' "$log")
    ok=$(awk '{sum += $1} END {print sum + 0}' <<<"$counts")
    bad=$(awk '{sum += $2} END {print sum + 0}' <<<"$counts")
    rm -f "$log"
    [ -n "$counts" ] || ok=$((status == 0))
    [ "$status" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    passed=$((passed + ok))
    failed=$((failed + bad))
    echo "== $name: $([ "$status" -eq 0 ] && echo ok || echo "FAILED ($status)"), $((SECONDS - start)) s"
}

# Prints the closing line; the exit status says whether everything passed.
finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
