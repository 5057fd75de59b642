#!/usr/bin/env bash
# Tests `zsseg demo`: its HTTP API, and its page in a headless browser. SCREENSHOTS may name a
# folder for pictures of the page. Needs what scripts/setup.sh installs. The last line reads
# "N passed, N failed".
set -u
cd "$(dirname "$0")/.."
. scripts/steps.sh

# The browser's part prints its own counts, which cargo's line would otherwise follow.
check_page() {
    local log status
    log=$(mktemp)
    cargo test --locked --test demo -- --ignored --nocapture 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1
    rm -f "$log"
    return "$status"
}

step "HTTP API of the demo" cargo test --locked --test demo
step "page of the demo in a browser" check_page
finish
