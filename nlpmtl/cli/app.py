"""The command group: exit codes, error messages and options of all commands.

    0 success · 1 failure · 2 config, data or usage error · 130 and 143 after SIGINT and SIGTERM

Commands import heavy packages only when they run, so that `nlpmtl --help` is fast.
"""

from __future__ import annotations

import re
import signal
import traceback
from collections.abc import Collection, Sequence
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
from nlpmtl.cli.init import init
from nlpmtl.cli.options import SET
from nlpmtl.cli.predict import predict
from nlpmtl.cli.push import push
from nlpmtl.cli.relate import relate
from nlpmtl.cli.schema import schema
from nlpmtl.cli.serve import serve
from nlpmtl.cli.show import show
from nlpmtl.cli.streams import exit_on_closed_stdout, steady_streams
from nlpmtl.cli.submit import submit
from nlpmtl.cli.train import train
from nlpmtl.environment import check_hub_environment
from nlpmtl.errors import NlpmtlError, StoppedError, describe_exception

_INTERRUPTED, _TERMINATED = 130, 143
_PRINTING = ("check", "evaluate", "predict", "show")
"""Commands that only print results: they end when stdout is closed."""
_DEBUG = "--debug"
_DEBUG_HELP = "Show the traceback of an error."
_DEBUG_HINT = f"(`nlpmtl {_DEBUG} COMMAND …` shows the traceback)"
_KEY = re.compile(r"[a-z_]+(\.\w+)*")
_COMMANDS = (init, check, relate, train, compare, evaluate, predict, serve, push, export, submit, show, schema)


class NlpmtlCommand(TyperCommand):
    """A command that prints errors as plain lines; with ``--debug``, before or after its name, as a traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with ``--debug`` accepted anywhere before a ``--``."""
        end = args.index("--") if "--" in args else len(args)
        own, rest = args[:end], args[end:]
        if _DEBUG in own:
            ctx.find_root().params["debug"] = True
            own = [argument for argument in own if argument != _DEBUG]
        options = {
            option for parameter in self.get_params(ctx) for option in (*parameter.opts, *parameter.secondary_opts)
        }
        if SET in options:
            _refuse_keys(own, options)
        try:
            return super().parse_args(ctx, own + rest)
        except typer.BadParameter as error:
            error.message = _explain_value(error)
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the help of all options, ``--debug`` last."""
        super().format_options(ctx, formatter)
        with formatter.section("Common options"):
            formatter.write_dl([(_DEBUG, _DEBUG_HELP)])

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and turn exceptions into exit codes."""
        if ctx.info_name in _PRINTING:
            exit_on_closed_stdout()
        try:
            check_hub_environment()
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except (KeyboardInterrupt, typer.Abort):  # Abort: at a question
            typer.echo("interrupted", err=True)
            raise typer.Exit(_INTERRUPTED) from None
        except (SystemExit, GeneratorExit):
            raise
        except BaseException as error:  # a panic of the tokenizer's Rust code is not an Exception
            echo(_format_error(error, debug=ctx.find_root().params["debug"]), err=True)
            raise typer.Exit(error.exit_code if isinstance(error, NlpmtlError) else 1) from None


def _refuse_keys(arguments: Sequence[str], options: Collection[str]) -> None:
    """Refuse a key of the config that is an option or an argument, such as ``--epochs 3`` or ``train.epochs=3``.

    Raises:
        BadParameter: there is such a key, which the message writes with ``--set``.
    """
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, equals, value = argument.partition("=")
        is_option = name.startswith("--") and name not in options
        if before in options or not (is_option or (equals and _KEY.fullmatch(name))):
            continue
        import nlpmtl.run_config  # noqa: F401 - registers the kinds, whose options are in hints
        from nlpmtl.config.messages import instead_of_option

        hint = instead_of_option(name.removeprefix("--").split("."), value or "…")
        if hint is not None:
            raise typer.BadParameter(f"{name} is not an option; {hint}" if is_option else f"{argument}: {hint}")


def _explain_value(error: typer.BadParameter) -> str:
    """Return the error message for an invalid option value, without pydantic's phrases."""
    from pydantic import ValidationError

    from nlpmtl.strict_model import explain

    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return error.message
    details = cause.errors()[0]
    message = details["msg"].removeprefix("Value error, ").rstrip(".")
    message = explain(details["type"], message, details.get("ctx", {}))
    return message if repr(details["input"]) in message else f"{message}, found {details['input']!r}"


def _format_error(error: BaseException, *, debug: bool) -> str:
    if debug:
        return "".join(traceback.format_exception(error)).rstrip()
    if isinstance(error, StoppedError):
        return str(error)
    if isinstance(error, NlpmtlError):
        return f"error: {error}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"error: {error.filename}: {error.strerror}  {_DEBUG_HINT}"
    return f"error: {describe_exception(error)}  {_DEBUG_HINT}"


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"nlpmtl {__version__}")
        raise typer.Exit


_HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="nlpmtl",
    help="Multi-task fine-tuning for NLP: one pretrained encoder, many heads.",
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
    """Options before the command; --debug may also come after it."""


for _command in _COMMANDS:
    app.command(cls=NlpmtlCommand, context_settings=_HELP)(_command)


def main() -> None:
    """Run the console script."""
    signal.signal(signal.SIGTERM, _terminate)
    with steady_streams():
        protect_output()
        protect_logs()
        app(prog_name="nlpmtl")


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(_TERMINATED)
