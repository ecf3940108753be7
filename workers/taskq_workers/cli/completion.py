"""``taskq completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell: subcommands, options, and ids of the newest jobs.

    \b
    Examples:
      taskq completion bash > ~/.local/share/bash-completion/completions/taskq
      eval "$(taskq completion zsh)"
      taskq completion fish > ~/.config/fish/completions/taskq.fish
    """
    made = get_completion_class(shell)
    assert made is not None
    print(made(ctx.find_root().command, {}, "taskq", "_TASKQ_COMPLETE").source())
