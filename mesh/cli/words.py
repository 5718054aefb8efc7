"""A prompt in words without quotes, options before, among and after them. ``apart`` is pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

import click

# What somebody who writes it can only mean as an option; `-3`, `->` and `- a list` are words.
_LONG = re.compile(r"--[A-Za-z][\w-]*(?:=.*)?", re.DOTALL)
_SHORT = re.compile(r"-[A-Za-z]\S*")

_NAME = re.compile(r"[A-Za-z0-9]\S*")


def apart(
    arguments: Sequence[str],
    valued: Collection[str],
    optional: Collection[str] = (),
    named: Callable[[str], bool] = lambda word: False,
) -> tuple[list[str], list[str]]:
    """Options with their values, and words. ``valued``: options that take the next argument;
    ``optional``: those that take it where it can only be a value, that is where ``named`` knows it
    or what follows it is a text of several words. What comes after ``--`` is all words."""
    options: list[str] = []
    words: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return options, words + rest
        if not _is_option(argument, valued):
            words.append(argument)
            continue
        flag, equals, value = argument.partition("=")
        if flag in optional and equals:
            options += [flag, value]
        elif flag in optional:
            takes = bool(rest) and (named(rest[0]) or _is_name_before_text(rest))
            options += [flag, rest.pop(0) if takes else ""]
        else:
            options.append(argument)
            if argument in valued and rest:
                options.append(rest.pop(0))
    return options, words


def _is_option(argument: str, valued: Collection[str]) -> bool:
    if argument[:2] in valued:  # a short one with its value, whatever that is
        return True
    return bool(_LONG.fullmatch(argument) or _SHORT.fullmatch(argument))


def _is_name_before_text(rest: Sequence[str]) -> bool:
    return len(rest) > 1 and bool(_NAME.fullmatch(rest[0])) and " " in rest[1].strip()


class WordsCommand(click.Command):
    """A command whose last parameter is a prompt in words. ``named``: see ``apart``."""

    optional: tuple[str, ...] = ()

    def named(self, word: str) -> bool:
        return False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        valued = {
            name
            for each in self.params
            if isinstance(each, click.Option) and not each.is_flag and not each.count
            for name in each.opts
        }
        options, words = apart(args, valued - set(self.optional), self.optional, self.named)
        try:
            return super().parse_args(ctx, [*options, *(["--", *words] if words else [])])
        except click.NoSuchOption as error:
            raise click.NoSuchOption(
                error.option_name,
                f"{error.message.rstrip('.')} (a prompt with such a word in it goes in quotes, or "
                "after --)",
                possibilities=error.possibilities,
                ctx=ctx,
            ) from None
