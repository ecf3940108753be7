"""taskq with all the servers that can be had here, as a table: ``make servers``.

    make servers                        # all; about a quarter of an hour
    make servers ARGS='valkey tls'      # those whose name has this in it; or the checks that do
    make servers ARGS="'redis 6.2'"     # a name with a space in it

"-": this build of the server does not have it. What fails is told on stderr.
"""

from __future__ import annotations

import io
import sys
import tempfile
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from tests.servers.checks import CHECKS, Bench, NotThereError
from tests.servers.programs import Program, available


def tell(program: Program, name: str, failed: list[str]) -> str:
    said = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="taskq-") as folder, redirect_stdout(said), redirect_stderr(said):
        try:
            CHECKS[name](Bench(program, Path(folder)))
        except NotThereError:
            return "-"
        except Exception:  # noqa: BLE001 - whatever it is, the others are tried
            failed.append(f"{program.name}, {name}")
            print(f"\n{failed[-1]}:\n{said.getvalue()}\n{traceback.format_exc()}", file=sys.__stderr__)
            return "FAILS"
    return "yes"


def main() -> None:
    words = [word.lower() for word in sys.argv[1:]]
    programs, missing = available()
    names = [*(one.name.lower() for one in programs), *map(str.lower, CHECKS)]
    if strange := [word for word in words if not any(word in name for name in names)]:
        sys.exit("\n".join([f"there is no server and no check {', '.join(strange)} here", *missing]))
    programs = [one for one in programs if any(word in one.name.lower() for word in words)] or programs
    checks = [one for one in CHECKS if any(word in one.lower() for word in words)] or [*CHECKS]
    failed: list[str] = []
    print(f"| server | from | {' | '.join(checks)} |\n|---|---|{'---|' * len(checks)}")
    for program in programs:
        print(f"| {program.name} | {program.origin} |", end="", flush=True)
        for check in checks:
            print(f" {tell(program, check, failed)} |", end="", flush=True)
        print()
    print("\n".join(["", *(f"Not had: {why}" for why in missing), *(f"Fails: {one}" for one in failed)]))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
