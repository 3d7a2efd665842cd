"""Parsers and callbacks of options."""

from fractions import Fraction

import typer

from midframe.cli.shared import Configurable
from midframe.errors import OptionError
from midframe.options import QUALITIES
from midframe.process import limit_threads
from midframe.times import Time, parse_seconds


def exact_number(text: str | float) -> Fraction:
    """Parse a number of the command line, as in 2, 2.5 or 5/2."""
    try:
        return Fraction(str(text))
    except (ValueError, ZeroDivisionError) as error:
        raise typer.BadParameter(f"{text!r} is not a number, as in 2, 2.5 or 5/2") from error


def apply_threads(number: int | None) -> int | None:
    """Limit the number of compute threads, before PyTorch is imported."""
    if number is not None:
        limit_threads(number)
    return number


def apply_quality(context: typer.Context, quality: str) -> str:
    """Set the defaults of other options to those of a quality.

    A quality on the command line takes precedence over the configuration file.
    """
    source = context.get_parameter_source("quality")
    values = QUALITIES.get(quality, {})
    configured = context.default_map or {}
    given = source is not None and source.name == "COMMANDLINE"
    context.default_map = {**configured, **values} if given else {**values, **configured}
    return quality


def apply_progress(context: typer.Context, form: str) -> str:
    """Write messages as JSON too if the progress format is JSON."""
    diagnostics: Configurable | None = context.obj
    if form == "json" and diagnostics:
        diagnostics.write_json()
    return form


def seconds(text: Time) -> float:
    """Parse a time of the command line, as in 90, 1:30 or 0:01:30.5."""
    try:
        return parse_seconds(text)
    except OptionError as error:
        raise typer.BadParameter(str(error)) from error
