"""Wishes about the form of an answer: length, words to use or avoid, marks, layout, language.

People add them to any request. What is asked for stays what it is, so a few phrases of every kind
carry them; texts to be written carry them most. See ``templates``.
"""

# ruff: noqa: E501

from __future__ import annotations

import random
from collections.abc import Callable

Chance = random.Random

_WORDS = [
    "harvest",
    "lantern",
    "ocean",
    "budget",
    "courage",
    "winter",
    "promise",
    "engine",
    "teacher",
    "signal",
    "garden",
    "bridge",
    "velvet",
    "market",
    "silence",
    "journey",
]
_ENDINGS = (
    "Is there anything else I can help with?",
    "That is all.",
    "Hope you agree.",
    "The end.",
    "Any questions?",
)
_LANGUAGES = [
    "English",
    "French",
    "German",
    "Spanish",
    "Italian",
    "Hindi",
    "Portuguese",
    "Korean",
    "Swahili",
    "Polish",
]
_PARTS = ("SECTION", "PART", "Chapter", "Day", "Paragraph", "Verse")


def _some(chance: Chance, most: int = 3) -> str:
    return ", ".join(f'"{word}"' for word in chance.sample(_WORDS, chance.randint(1, most)))


def _length(chance: Chance) -> str:
    unit, low, high = chance.choice(
        (("words", 5, 120), ("sentences", 1, 12), ("paragraphs", 1, 3), ("bullet points", 1, 4))
    )
    number = chance.randint(low, high) * (5 if unit == "words" else 2)
    bound = chance.choice(("at least", "at most", "exactly", "less than", "around", "no more than"))
    return chance.choice(
        (
            f"Your {chance.choice(('answer', 'response', 'entire reply', 'text'))} should contain {bound} {number} {unit}.",
            f"Use {bound} {number} {unit}.",
            f"Keep it to {bound} {number} {unit}.",
            f"Write {bound} {number} {unit}.",
            f"Limit it to {number} {unit}.",
            f"No less than {number} {unit}.",
        )
    )


def _wording(chance: Chance) -> str:
    return chance.choice(
        (
            f"Include the {chance.choice(('keywords', 'words', 'terms'))} {_some(chance)} in the {chance.choice(('response', 'text', 'answer'))}.",
            f"The word {_some(chance, 1)} should appear {chance.choice(('at least', 'less than', 'exactly'))} {chance.randint(2, 9)} times.",
            f"Do not {chance.choice(('use', 'include', 'mention'))} the {chance.choice(('words', 'keywords'))} {_some(chance)}.",
            f"Make sure the letter {chance.choice('abcdeiklmnorstz')} appears at least {chance.randint(3, 20)} times.",
            f"Avoid the word {_some(chance, 1)}.",
        )
    )


def _marks(chance: Chance) -> str:
    return chance.choice(
        (
            "Do not use any commas.",
            "Refrain from using commas in your response.",
            "Your answer must be in all lowercase letters, no capital letters are allowed.",
            "Your entire response should be in English and in capital letters only.",
            "Wrap your whole response with double quotation marks.",
            "No exclamation marks, please.",
            f"Words in capitals should appear at most {chance.randint(2, 9)} times.",
            f"Highlight at least {chance.randint(2, 6)} {chance.choice(('sections', 'phrases', 'key ideas'))} with markdown, i.e. *highlighted text*.",
            "Don't use emojis.",
            "Avoid any punctuation but full stops.",
        )
    )


def _layout(chance: Chance) -> str:
    number = chance.randint(2, 7)
    return chance.choice(
        (
            f"Divide it into {number} parts and mark each with {chance.choice(_PARTS)} X.",
            "Separate the paragraphs with the markdown divider: ***",
            f"Give {chance.choice(('two', 'three'))} different responses, separated by six asterisks: ******.",
            f"Add a title wrapped in double angular brackets, such as <<{chance.choice(_WORDS)} and {chance.choice(_WORDS)}>>.",
            f"Use {chance.choice(('exactly', 'at least'))} {number} bullet points in markdown, like * this is a point.",
            f"Put at least {number} placeholders in square brackets, such as [name] or [address].",
            "Put your whole output in JSON format.",
            "At the end, add a postscript that starts with P.S.",
            f"Start every {chance.choice(('sentence', 'paragraph', 'line'))} with the letter {chance.choice('ABCDMST')}.",
            "First repeat the request word for word, then give your answer.",
            "Format it as a table with two columns.",
            f"Finish with the exact phrase: {chance.choice(_ENDINGS)} No other words should follow.",
            f"Answer in {chance.choice(_LANGUAGES)} only, no other language is allowed.",
            "Use a style that appeals to teenagers.",
            "Only output the answer, nothing else.",
        )
    )


_WISHES: tuple[Callable[[Chance], str], ...] = (_length, _wording, _marks, _layout, _layout)


def demanding(text: str, chance: Chance) -> str:
    """``text`` with one to three wishes behind it, sometimes before it."""
    wishes = " ".join(wish(chance) for wish in chance.sample(_WISHES, chance.randint(1, 3)))
    if text[-1:].isalnum():
        text += "."
    if chance.random() < 0.12:
        return f"{wishes} {text}"
    return f"{text}{chance.choice((' ', ' ', chr(10), chr(10) * 2))}{wishes}"
