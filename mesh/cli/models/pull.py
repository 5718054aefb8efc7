"""`mesh models pull`: a model of the hub, brought to this box."""

from __future__ import annotations

import sys

import click

from mesh.errors import ConfigError
from mesh.extras import require


@click.command("pull")
@click.argument("source", metavar="hf:OWNER/REPO[:QUANT]")
def pull_model(source: str) -> None:
    """Bring a model of the Hugging Face hub to this box; its path is the output.

    Without QUANT it takes Q4_K_M, or what is nearest to that, and says what else there is; a file
    is named with hf:OWNER/REPO/FILE. All parts of a split model come. What was cut, here or by an
    earlier command, is gone on with; what came is held against its SHA-256. It lies in the hub's
    own cache: HF_HOME, HF_TOKEN and HF_ENDPOINT mean here what they mean everywhere.

    \b
    mesh models pull hf:bartowski/Qwen2.5-7B-Instruct-GGUF
    mesh models pull hf:bartowski/Qwen2.5-7B-Instruct-GGUF:Q8_0
    """
    require("node")
    from mesh.cli.models.progress import kept, telling
    from node.models.hub.cached import find
    from node.models.hub.place import Hub, NoHub
    from node.models.hub.pull import pull
    from node.models.hub.source import FORM, as_hub, is_hub, read

    if not is_hub(source):
        hint = as_hub(source) or (f"hf:{source}" if source.count("/") in (1, 2) else "")
        raise ConfigError(f"'{source}' is not of the form {FORM}" + f"; try {hint}" * bool(hint))
    wanted = read(source)
    hub = Hub.here()
    try:
        with telling() as tell, kept():
            done = pull(hub, wanted, tell)
    except NoHub as error:
        if find(hub, wanted) is None:
            raise
        raise NoHub(f"{error.message}; it is on this box as it was pulled before") from None
    if not done.new_bytes:
        click.echo("it is here already, and the newest", err=True)
    click.echo(str(done.path))
    if sys.stdout.isatty():
        click.echo(f"serve it: mesh node --model {wanted} --specialty chat", err=True)
