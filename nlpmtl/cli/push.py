"""`nlpmtl push`: a model directory goes to the Hub."""

from __future__ import annotations

from typing import Annotated

import typer

from nlpmtl.cli.console import echo


def push(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model directory.")],
    repo: Annotated[str, typer.Argument(metavar="REPO_ID", help="Where to, as name/model; made if it is not there.")],
    private: Annotated[bool, typer.Option("--private", help="For the owner alone to see.")] = False,
    revision: Annotated[
        str | None, typer.Option(help="A branch, made if it is not there; default: main.", show_default=False)
    ] = None,
    message: Annotated[str | None, typer.Option(help="Of the commit.", show_default=False)] = None,
    pull_request: Annotated[bool, typer.Option("--pull-request", help="Propose it to a repository.")] = False,
) -> None:
    """Publish a model on the Hub, in one commit, and print its page.

    It takes a token that may write there: log in with `hf auth login`, or set HF_TOKEN.
    """
    from nlpmtl.hub.repository import push as push_model

    url = push_model(
        model,
        repo,
        private=True if private else None,
        revision=revision,
        message=message,
        create_pr=pull_request,
    )
    echo(url)
