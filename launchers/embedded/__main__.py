"""The embedded SageMaker's command: ``python -m launchers.embedded [serve|stop|env|fault] --root DIR``."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

# The code of this checkout, also where another one is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import psutil

from launchers.embedded.faults import KINDS, Faults, check
from launchers.embedded.key import Key, environment
from launchers.embedded.root import Root
from launchers.embedded.settings import read
from sweepmaker.config import app
from sweepmaker.config.errors import ConfigError, UserError

_STOP_S = 90.0  # trials get 30 s to save what they have
_HELP = f"""\
commands:
  serve [KEY=VALUE ...]          serve the root folder (the default); prints one line of JSON
  stop                           end its server; trials save what they have; the next one goes on
  env                            variables for other clients of its server: eval "$(... env)"
  fault                          list the faults that are asked for
  fault clear                    forget them
  fault KIND [KEY=VALUE ...]     ask for one:
    {chr(10).join(f"    {name}: {text}" for name, text in KINDS.items()).strip()}
  for example: fault interrupt after_s=20     fault interrupt after_steps=10 job='*-002-*' times=2
               fault capacity job='*-003-*'   fault throttle every=3
"""


def main(words: list[str]) -> None:
    """
    Raises:
        UserError: a mistake on the command line, or what was asked for cannot be done.
    """
    options = _options(words)
    if not str(options.given_root).strip():
        raise ConfigError("is empty", key="--root", allowed="a folder; .embedded without it")
    options.root = Path(options.given_root)
    if options.idle is not None and not 0 < options.idle < float("inf"):
        raise ConfigError(f"is {options.idle:g}", key="--idle", allowed="seconds, above 0")
    if not 0 <= options.port < 1 << 16:
        raise ConfigError(f"is {options.port}", key="--port", allowed="0 to 65535; 0: any free one")
    command, *rest = options.words or ["serve"]
    if "=" in command:
        command, rest = "serve", options.words
    if command == "serve":
        from launchers.embedded.serve import serve  # late: it needs more than the others

        root = Root.open(options.root)
        serve(root, read(root.settings, rest), port=options.port, idle_s=options.idle)
    elif command == "stop" and not rest:
        _stop(options.root)
    elif command == "env" and not rest:
        _env(options.root)
    elif command == "fault":
        _fault(options.root, rest)
    else:
        raise ConfigError(
            f"{' '.join(options.words)!r} is no command",
            allowed="serve | stop | env | fault; --root DIR and settings come behind it",
        )


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m launchers.embedded",
        description="SageMaker's jobs and endpoints on this machine, for any client of AWS.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="COMMAND", help="see below")
    parser.add_argument(
        "--root", dest="given_root", default=".embedded", help="folder of the server (.embedded)"
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: any free one")
    parser.add_argument(
        "--idle", type=float, help="end after so many seconds without a job, an endpoint or a request"
    )
    return parser.parse_intermixed_args(words)


def _stop(folder: Path) -> None:
    folder = folder.expanduser().absolute()
    serving = Root(folder).serving() if folder.is_dir() else None
    if serving is None:
        print(f"no server works in {folder}", file=sys.stderr)
        return
    pid = int(serving["pid"])
    try:
        process = psutil.Process(pid)
        process.terminate()
        process.wait(_STOP_S)
    except psutil.NoSuchProcess:
        pass  # it ended in this very moment
    except psutil.TimeoutExpired:
        raise UserError(
            f"process {pid} at {serving['endpoint_url']} has not ended in {_STOP_S:g} s",
            fix=f"kill -9 {pid}   (nothing is lost: trials start again from their checkpoints)",
        ) from None
    print(f"stopped the server of {folder} (process {pid})", file=sys.stderr)


def _env(folder: Path) -> None:
    folder = folder.expanduser().absolute()
    serving = Root(folder).serving() if folder.is_dir() else None
    if serving is None:
        raise UserError(
            f"no server works in {folder}", fix="python -m launchers.embedded --root DIR starts one"
        )
    key = Key.of_root(Root(folder).key)
    for name, value in environment(serving["endpoint_url"], key).items():
        print(f"export {name}={shlex.quote(value)}")


def _fault(folder: Path, words: list[str]) -> None:
    if words and words != ["clear"]:
        check(words[0], words[1:])  # before a folder is made for it
    root = Root.open(folder)
    if root.serving() is None:
        print(f"no server works in {root.folder}: the next one there will see these", file=sys.stderr)
    faults = Faults(root)
    if words == ["clear"]:
        faults.clear()
    elif words:
        faults.ask_for(words[0], words[1:])
    print(json.dumps(faults.all(), indent=2), flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        app.report(error)
        raise SystemExit(error.exit_code) from None
