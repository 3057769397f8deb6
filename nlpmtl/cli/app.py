"""The verbs under one roof: their exit codes, and how an error is told. What the verbs do, it does not know.

    0 done · 1 the run failed · 2 config, data or usage error · 130 and 143 after SIGINT and SIGTERM

What is heavy is imported by the verbs when they run, so that `nlpmtl --help` answers at once.
"""

from __future__ import annotations

import signal
import traceback
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from nlpmtl import __version__
from nlpmtl.cli.check import check
from nlpmtl.cli.compare import compare
from nlpmtl.cli.console import echo, protect_logs, protect_output
from nlpmtl.cli.evaluate import evaluate
from nlpmtl.cli.export import export
from nlpmtl.cli.predict import predict
from nlpmtl.cli.push import push
from nlpmtl.cli.relate import relate
from nlpmtl.cli.schema import schema
from nlpmtl.cli.serve import serve
from nlpmtl.cli.show import show
from nlpmtl.cli.streams import end_without_reader, steady_streams
from nlpmtl.cli.submit import submit
from nlpmtl.cli.train import train
from nlpmtl.errors import NlpmtlError, StoppedError

_INTERRUPTED, _TERMINATED = 130, 143
_PRINTING = ("check", "evaluate", "predict", "show")
"""Verbs whose work is what they print."""
_DEBUG = "--debug"
_DEBUG_HELP = "Show the traceback of an error."
_VERBS = (check, relate, train, compare, evaluate, predict, serve, push, export, submit, show, schema)


class NlpmtlCommand(TyperCommand):
    """A command whose errors are a few plain lines, and a traceback with ``--debug``, before or after the verb."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take ``--debug`` out of the arguments, up to a ``--``."""
        end = args.index("--") if "--" in args else len(args)
        if _DEBUG in args[:end]:
            ctx.find_root().params["debug"] = True
            args = [one for one in args[:end] if one != _DEBUG] + args[end:]
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = _explain_value(error)
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """List ``--debug`` in the help after the command's own options."""
        super().format_options(ctx, formatter)
        with formatter.section("Options of every command"):
            formatter.write_dl([(_DEBUG, _DEBUG_HELP)])

    def invoke(self, ctx: Any) -> Any:
        """Run the verb, and turn what it raises into an exit code."""
        if ctx.info_name in _PRINTING:
            end_without_reader()
        try:
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(_INTERRUPTED) from None
        except (SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # a panic of the tokenizer's Rust code is not an Exception
            echo(_tell(error, debug=ctx.find_root().params["debug"]), err=True)
            raise typer.Exit(error.exit_code if isinstance(error, NlpmtlError) else 1) from None


def _explain_value(error: typer.BadParameter) -> str:
    """What is wrong with the value of an option, in our words where typer passes on those of pydantic."""
    from pydantic import ValidationError

    from nlpmtl.strict_model import explain

    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return error.message
    details = cause.errors()[0]
    said = details["msg"].removeprefix("Value error, ").rstrip(".")
    said = explain(details["type"], said, details.get("ctx", {}))
    return said if repr(details["input"]) in said else f"{said}, found {details['input']!r}"


def _tell(error: BaseException, *, debug: bool) -> str:
    if debug:
        return "".join(traceback.format_exception(error)).rstrip()
    if isinstance(error, StoppedError):
        return str(error)
    if isinstance(error, NlpmtlError):
        return f"error: {error}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"error: {error.filename}: {error.strerror}  (`nlpmtl --debug VERB …` shows the traceback)"
    notes = "".join(f"{note}: " for note in getattr(error, "__notes__", ()))
    return f"error: {notes}{type(error).__name__}: {error}  (`nlpmtl --debug VERB …` shows the traceback)"


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"nlpmtl {__version__}")
        raise typer.Exit


_HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="nlpmtl",
    help="Multi-task fine-tuning in NLP: one pretrained encoder, many heads.",
    no_args_is_help=True,
    context_settings=_HELP,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option(_DEBUG, help=_DEBUG_HELP)] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options of all verbs, before the verb; --debug may come after it too."""


for _verb in _VERBS:
    app.command(cls=NlpmtlCommand, context_settings=_HELP)(_verb)


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGTERM, _terminate)
    with steady_streams():
        protect_output()
        protect_logs()
        app(prog_name="nlpmtl")


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(_TERMINATED)
