"""The command for the page in the browser: web."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated

import typer

from midframe.cli.parameters import Device
from midframe.cli.shared import command, out, print_line
from midframe.errors import OptionError
from midframe.options import InterpolationOptions
from midframe.web.options import KEEP_HOURS, PORT, Limits

UPLOADS = "Uploads"
"""Title of a panel of `--help`."""


@command(
    epilog="""
    midframe web
    midframe web --host 0.0.0.0 --auth anna:secret
    """
)
def web(
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on; one that other machines can reach needs --auth.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="Port to listen on.")
    ] = PORT,
    auth: Annotated[
        str | None,
        typer.Option(
            metavar="USER:PASSWORD",
            envvar="MIDFRAME_WEB_AUTH",
            help="Ask for a user and a password.",
        ),
    ] = None,
    device: Device = InterpolationOptions.device,
    max_mb: Annotated[
        float,
        typer.Option(metavar="MB", help="Maximum size of an upload.", rich_help_panel=UPLOADS),
    ] = Limits.max_mb,
    max_seconds: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="Maximum length of an uploaded video.", rich_help_panel=UPLOADS
        ),
    ] = Limits.max_seconds,
    max_pixels: Annotated[
        int,
        typer.Option(
            metavar="N", help="Maximum width times height of an upload.", rich_help_panel=UPLOADS
        ),
    ] = Limits.max_pixels,
    keep_hours: Annotated[
        float, typer.Option(metavar="HOURS", help="Delete files that were unused for this long.")
    ] = KEEP_HOURS,
) -> None:
    """Open a page in the browser for videos and pictures, on this machine only unless --host is
    given."""
    from midframe.web.access import choose_access

    access = choose_access(host, auth)
    limits = Limits(max_mb, max_seconds, max_pixels)
    if not keep_hours > 0:
        raise OptionError(f"`keep_hours` is {keep_hours}: more than 0 is needed")
    InterpolationOptions(device=device)
    from midframe.web.server import listen, make_server

    with conversions_silenced(), listen(host, port) as socket:
        from midframe.interpolator import Interpolator
        from midframe.web.handlers import Server
        from midframe.web.networks import Networks

        networks = Networks(lambda name: Interpolator(name, device=device))
        with closing(Server(limits, networks, keep_hours)) as state:
            server = make_server(state, access)
            address = f"http://{show_address(host)}:{socket.getsockname()[1]}/"
            print_line(out, f"{address} (Ctrl-C ends it)")
            server.run(sockets=[socket])


@contextmanager
def conversions_silenced() -> Iterator[None]:
    """Log the warnings of conversions with --verbose only: they are advice about options and
    private files, for those who start a conversion, and visitors get theirs on the page."""
    logger = logging.getLogger("midframe.video")
    before = logger.level
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def show_address(host: str) -> str:
    """Return an address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host
