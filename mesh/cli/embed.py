"""`mesh embed`: texts to vectors, and how alike the texts are."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from mesh.cleaned import cleaned
from mesh.cli.fleet_names import completes, models, specialties
from mesh.cli.options import Duration, chosen_endpoint, endpoint_option, json_option
from mesh.cli.prompt import checked, piped_beside, read_prompt
from mesh.validation import MAX_TEXTS

if TYPE_CHECKING:
    from mesh.embedding import Embeddings

CALL_BYTES = 1024 * 1024  # of a call's texts, which any orchestrator takes
MOST_COMPARED = 16  # columns of a matrix that a terminal shows
FIRST_SHOWN = 4  # numbers of a vector on a terminal
_LABEL_CHARACTERS = 32


@click.command()
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--similarity", is_flag=True, help="The cosine of each text with each other.")
@click.option(
    "--specialty",
    metavar="NAME",
    shell_complete=completes(specialties),
    help="Whom to ask.  [default: embedding]",
)
@click.option(
    "--model",
    metavar="ID",
    shell_complete=completes(models),
    help="This model, whatever its specialty.",
)
@click.option(
    "--timeout", type=Duration(), metavar="TIME", help="The deadline of each call: 30, 500ms, 2m."
)
@click.option("--tenant", metavar="NAME", help="Whose request it is.")
@json_option("One JSON object a line: vector..., then done or error.")
@endpoint_option()
def embed(
    texts: tuple[str, ...],
    similarity: bool,
    specialty: str | None,
    model: str | None,
    timeout: float | None,
    tenant: str | None,
    as_json: bool,
    endpoint: str | None,
) -> None:
    """Turn each TEXT into a vector of length 1. All are of one model.

    A pipe or file gets a line of numbers a text; a terminal, the first few of them.

    '-', or no TEXT and a pipe, reads standard input: each line that is not blank is one text. So
    are the lines that are piped in beside TEXTs, after them.

    \b
    mesh embed "a cat" "a kitten" "a tax return" --similarity
    mesh embed "a cat" > vector.txt
    mesh embed --json - < lines.txt > vectors.jsonl
    """
    asked = _asked(texts)
    if similarity and not 2 <= len(asked) <= MOST_COMPARED:
        raise click.UsageError(
            f"--similarity compares 2 to {MOST_COMPARED} texts, not {len(asked)}; use --json for "
            "more"
        )
    options: dict[str, Any] = {
        name: checked(value, f"--{name}")
        for name, value in (("specialty", specialty), ("model", model), ("tenant", tenant))
        if value
    }
    if timeout is not None:
        options["timeout_s"] = timeout
    asyncio.run(_embed(chosen_endpoint(endpoint), asked, options, similarity, as_json))


def _asked(texts: tuple[str, ...]) -> list[str]:
    if texts and texts != ("-",):
        given = [checked(text, f"text {number}") for number, text in enumerate(texts, 1)]
        return given + [line for line in piped_beside("the texts").splitlines() if line.strip()]
    lines = read_prompt(texts[0] if texts else None).splitlines()
    return [line for line in lines if line.strip()]


def _calls(texts: Sequence[str]) -> Iterator[list[str]]:
    """Consecutive texts, as many as go into one call."""
    call: list[str] = []
    size = 0
    for text in texts:
        more = len(text.encode("utf-8", "replace"))
        if call and (len(call) >= MAX_TEXTS or size + more > CALL_BYTES):
            yield call
            call, size = [], 0
        call.append(text)
        size += more
    if call:
        yield call


async def _embed(
    endpoint: str, texts: list[str], options: dict[str, Any], similarity: bool, as_json: bool
) -> None:
    from mesh import connect
    from mesh.cli.answer import error_event
    from mesh.errors import MeshError

    found: list[Embeddings] = []
    shown = 0
    try:
        async with connect(endpoint.split(",")) as client:
            for call in _calls(texts):
                part = await client.embed(call, **options)
                # The rest by the same model: vectors of two models cannot be compared.
                options["model"] = part.model
                found.append(part)
                if as_json:
                    for vector in part.vectors:
                        _line({"event": "vector", "index": shown, "vector": vector.tolist()})
                        shown += 1
    except MeshError as error:
        if as_json:
            _line(error_event(error))
        raise
    if as_json:
        _line(_done(found, texts if similarity else ()))
        return
    if similarity:
        _matrix(texts, found[0])
    else:
        _vectors(texts, found)
    sys.stdout.flush()
    click.echo(cleaned(_summary(found), 400), err=True)


def _done(found: Sequence[Embeddings], compared: Sequence[str]) -> dict[str, Any]:
    first = found[0]
    event = {
        "event": "done",
        "texts": sum(map(len, found)),
        "dimension": first.dimension,
        "model": first.model,
        "nodes": sorted({part.node_name for part in found}),
        "prompt_tokens": sum(part.prompt_tokens for part in found),
        "attempts": sum(part.attempts for part in found),
        "total_ms": round(sum(part.total_ms for part in found), 3),
        "trace_ids": [part.trace_id for part in found],
    }
    if compared:
        event["similarity"] = _cosines(first)
    return event


def _summary(found: Sequence[Embeddings]) -> str:
    from mesh.cli.screen import milliseconds

    first, count = found[0], sum(map(len, found))
    tokens = sum(part.prompt_tokens for part in found)
    nodes = ", ".join(sorted({part.node_name for part in found}))
    again = sum(part.attempts - 1 for part in found)
    return " · ".join(
        [
            f"{count:,} vector{'' if count == 1 else 's'} of {first.dimension:,} numbers",
            f"{tokens:,} token{'' if tokens == 1 else 's'}",
            f"{first.model} on {nodes}",
            milliseconds(sum(part.total_ms for part in found)),
            *([f"asked again {again} times"] if again else []),
        ]
    )


def _vectors(texts: Sequence[str], found: Sequence[Embeddings]) -> None:
    """A line a vector: all of its numbers into a pipe, its first few on a terminal."""
    from mesh.cli.screen import console, table

    vectors = [vector for part in found for vector in part.vectors]
    if not sys.stdout.isatty():
        for vector in vectors:
            sys.stdout.write(" ".join(f"{number:.9g}" for number in vector) + "\n")
        return
    made = table("", "text", "vector", right=("",), fixed=("",))
    for number, (text, vector) in enumerate(zip(texts, vectors, strict=True), 1):
        first = " ".join(f"{value:+.3f}" for value in vector[:FIRST_SHOWN])
        left = len(vector) - FIRST_SHOWN
        made.add_row(str(number), _label(text), f"{first} … {left:,} more" if left > 0 else first)
    console().print(made)


def _cosines(found: Embeddings) -> list[list[float]]:
    count = range(len(found))
    return [[round(found.cosine(one, other), 6) for other in count] for one in count]


def _label(text: str) -> str:
    return cleaned(text, _LABEL_CHARACTERS)


def _matrix(texts: Sequence[str], found: Embeddings) -> None:
    from mesh.cli.screen import console, table

    numbers = tuple(str(number) for number in range(1, len(texts) + 1))
    made = table("", "text", *numbers, right=("", *numbers), fixed=("", *numbers))
    for number, (text, row) in enumerate(zip(texts, _cosines(found), strict=True), 1):
        made.add_row(str(number), _label(text), *(f"{cosine:.2f}" for cosine in row))
    console().print(made)


def _line(event: dict[str, Any]) -> None:
    from mesh.cli.screen import json_line

    sys.stdout.write(json_line(event) + "\n")
