"""`token`, `open`: how programs and browsers of this user get in."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from nightschool.cli.door import home_of
from nightschool.cli.show import emit, say


def register(app: typer.Typer) -> None:
    app.command("token")(token)
    app.command("open")(open_page)


def token(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--show", help="Print the secret itself.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Make a new one; the old one ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Where the token of the local HTTP door is. Programs should read the file, not a copy."""
    from nightschool.daemon import client
    from nightschool.errors import Refused
    from nightschool.serve import credentials

    home = home_of(context).create()
    if new:
        if client.connect(home) is not None:
            raise Refused(
                "The running service keeps its token until it stops.",
                "Stop it first: `nightschool stop`.",
            )
        home.token.unlink(missing_ok=True)
    secret = credentials.token(home.token)
    if as_json:
        emit({"file": home.token} | ({"token": secret} if show else {}))
        return
    say(secret if show else str(home.token))


def open_page(
    context: typer.Context,
    print_only: Annotated[
        bool, typer.Option("--print", help="Print the address instead of opening it.")
    ] = False,
) -> None:
    """Open the status page in the browser; the address works once, for one minute."""
    from nightschool.daemon import client

    address = client.start(home_of(context)).open_url()
    if print_only or not webbrowser.open(address):
        say(address)
