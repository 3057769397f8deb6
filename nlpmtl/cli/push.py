"""`nlpmtl push`: upload a model directory to the Hub."""

from __future__ import annotations

from typing import Annotated

import typer

from nlpmtl.cli.console import echo


def push(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model directory.")],
    repo: Annotated[str, typer.Argument(metavar="REPO_ID", help="Repository, as name/model (created if missing).")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    revision: Annotated[
        str | None,
        typer.Option(
            metavar="BRANCH", help="Branch to push to (created if missing; default: main).", show_default=False
        ),
    ] = None,
    message: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Commit message (default: Upload nlpmtl model).", show_default=False),
    ] = None,
    pull_request: Annotated[
        bool, typer.Option("--pull-request", help="Open a pull request on an existing repository instead.")
    ] = False,
) -> None:
    """Upload a model to the Hub in one commit.

    Prints the URL of the commit, or of the pull request. Needs a token with write access: log in with `hf auth login`,
    or set HF_TOKEN.
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
