"""Values of options as they are typed, and what some of them change at once."""

from fractions import Fraction

import typer

from midframe.cli.shared import Configurable
from midframe.errors import OptionError
from midframe.options import QUALITIES
from midframe.process import limit_threads
from midframe.times import Time, parse_seconds


def exact_number(text: str | float) -> Fraction:
    """Read a number of the command line, as in 2, 2.5 or 5/2."""
    try:
        return Fraction(str(text))
    except (ValueError, ZeroDivisionError) as error:
        raise typer.BadParameter(f"{text!r} is not a number, as in 2, 2.5 or 5/2") from error


def apply_threads(number: int | None) -> int | None:
    """Limit the threads that compute, before PyTorch is imported."""
    if number is not None:
        limit_threads(number)
    return number


def apply_quality(context: typer.Context, quality: str) -> str:
    """Make the values of a quality the defaults of the other options.

    A quality that is given on the command line replaces the defaults of the configuration file.
    """
    source, values = context.get_parameter_source("quality"), QUALITIES.get(quality, {})
    configured = context.default_map or {}
    given = source is not None and source.name == "COMMANDLINE"
    context.default_map = {**configured, **values} if given else {**values, **configured}
    return quality


def apply_progress(context: typer.Context, form: str) -> str:
    """Write messages as JSON, too, if progress is written so."""
    diagnostics: Configurable | None = context.obj
    if form == "json" and diagnostics:
        diagnostics.write_json()
    return form


def seconds(text: Time) -> float:
    """Read a time of the command line, as in 90, 1:30 or 0:01:30.5."""
    try:
        return parse_seconds(text)
    except OptionError as error:
        raise typer.BadParameter(str(error)) from error
