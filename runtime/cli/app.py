"""Puts the commands together and turns errors into one line and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

import typer

from pumice import __version__
from pumice.errors import PumiceError
from pumice.runtime.cli.bench import bench_command
from pumice.runtime.cli.compile import compile_command
from pumice.runtime.cli.convert import convert_command
from pumice.runtime.cli.demo import demo_command
from pumice.runtime.cli.energy import energy_command
from pumice.runtime.cli.explain import explain_command
from pumice.runtime.cli.export import export_command
from pumice.runtime.cli.inspect import inspect_command
from pumice.runtime.cli.map import map_command
from pumice.runtime.cli.prune import prune_commands
from pumice.runtime.cli.run import run_command
from pumice.runtime.cli.sweep import sweep_command
from pumice.runtime.cli.train import train_command
from pumice.runtime.cli.validate import validate_command

USER_ERROR, OUR_ERROR, INTERRUPTED = 2, 1, 130


def build() -> typer.Typer:
    """The command tree."""
    app = typer.Typer(
        name="pumice",
        help="Compile pruned spiking transformers for Loihi-style chips, run them exactly, and count every operation.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # square brackets in help texts are axes, not markup
    )
    app.command("demo")(demo_command)
    app.command("train")(train_command)
    app.add_typer(prune_commands(), name="prune")
    app.command("export")(export_command)
    app.command("compile")(compile_command)
    app.command("map")(map_command)
    app.command("convert")(convert_command)
    app.command("run")(run_command)
    app.command("sweep")(sweep_command)
    app.command("validate")(validate_command)
    app.command("inspect")(inspect_command)
    app.command("explain")(explain_command)
    app.command("energy")(energy_command)
    app.command("bench")(bench_command)
    app.callback()(_root)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pumice {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", help="Print the version and stop.", is_eager=True, callback=_version
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """The options before a command. `--debug` is taken off the line by `main`, and stands here for the help page."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        result = build()(args=[w for w in words if w != "--debug"], prog_name="pumice", standalone_mode=False)
        if result == INTERRUPTED:  # what typer makes of Ctrl-C, without a word
            raise KeyboardInterrupt
        return int(result) if isinstance(result, int) else 0
    except PumiceError as error:
        return _fail(f"{error}", error.hint, USER_ERROR, debug)
    except typer.TyperException as error:
        place = getattr(getattr(error, "ctx", None), "command_path", "") or "pumice"
        return _fail(error.format_message(), f"see `{place} --help`", USER_ERROR, debug)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", "", INTERRUPTED, debug)
    except Exception as error:  # the last line of defence: whatever is not the user's is ours
        return _fail(
            f"internal error: {type(error).__name__}: {error}", "run again with --debug and report it", OUR_ERROR, debug
        )


def _fail(message: str, hint: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    line = " ".join(message.split())
    sys.stderr.write(f"error: {line}{f' — {hint}' if hint else ''}\n")
    return code


def entry() -> None:
    """The console script."""
    sys.exit(main())
