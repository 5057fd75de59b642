"""The `zsseg` command: `python -m zsseg`, or `zsseg` after installation."""

import signal
import sys

from . import _zsseg


def main() -> int:
    run_command = getattr(_zsseg, "run_command", None)
    if run_command is None:
        print("zsseg: this wheel was built without the command", file=sys.stderr)
        return 2
    # The command does not return to Python before it is done: Ctrl-C ends it as it ends others.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return int(run_command(["zsseg", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
