"""Plain chat: greetings, what Squadron is, small facts, and an honest "do not know"."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from training.specialists.text import Sample, Turn, exchange
from training.specialists.text import facts as f
from training.specialists.text.squadron import TOPICS
from training.specialists.text.unknown import unknown

UNKNOWN = "I am a small toy model and do not know that."

_Pair = tuple[str, str]


def generate(rng: Random) -> Sample:
    """A conversation of one to three questions."""
    count = rng.choice((1, 1, 1, 1, 2, 3))
    turns: list[Turn] = []
    for _ in range(count):
        question, reply = _polite(rng, *_pair(rng))
        turns += exchange(question, reply).turns
    return Sample(tuple(turns))


def _pair(rng: Random) -> _Pair:
    kind = rng.random()
    if kind < 0.42:
        questions, reply = rng.choice(TOPICS)
        return rng.choice(questions), reply
    if kind < 0.78:
        return rng.choice(_FACTS)(rng)
    if kind < 0.80:
        return rng.choice(_ELSEWHERE)
    return unknown(rng), UNKNOWN


def _polite(rng: Random, question: str, reply: str) -> _Pair:
    """The same question as somebody else would type it."""
    kind = rng.random()
    if kind < 0.06:
        question = question.rstrip("?.!")
    elif kind < 0.12:
        question = question.lower()
    elif kind < 0.16:
        question = question.lower().rstrip("?.!")
    elif question.endswith("?") and len(question) > 12:
        if kind < 0.20:
            question = rng.choice(("Hello! {}", "Hi, {}", "Hey, {}", "Hi! {}")).format(question)
        elif kind < 0.24:
            question = rng.choice(("Please tell me: {}", "Tell me, {}", "Do you know: {}")).format(
                question[0].lower() + question[1:]
            )
    return question, reply


def _capital(rng: Random) -> _Pair:
    country, city = rng.choice(list(f.CAPITALS.items()))
    if rng.random() < 0.25:
        ask = rng.choice(("{} is the capital of which country?",
                          "Which country has the capital {}?"))  # fmt: skip
        if city != "London":
            return ask.format(city), f"{city} is the capital of {country}."
    ask = rng.choice(("What is the capital of {}?", "What is the capital of {}?",
                      "What's the capital of {}?", "Which city is the capital of {}?",
                      "Name the capital of {}.", "Tell me the capital of {}.",
                      "Capital of {}?"))  # fmt: skip
    return ask.format(country), f"The capital of {country} is {city}."


def _planet(rng: Random) -> _Pair:
    i = rng.randrange(8)
    name = f.PLANETS[i]
    kind = rng.randrange(3)
    if kind == 0:
        return (rng.choice((f"What is the {f.ORDINALS[i]} planet?",
                            f"What is the {f.ORDINALS[i]} planet from the sun?",
                            f"Which planet is the {f.ORDINALS[i]} from the sun?")),
                f"{name} is the {f.ORDINALS[i]} planet from the sun.")  # fmt: skip
    if kind == 1:
        return (rng.choice((f"What is {name}?", f"Tell me about {name}.")),
                f"{name} is the {f.ORDINALS[i]} planet from the sun.")  # fmt: skip
    return (rng.choice(("Name the planets.", "What are the planets?", "List the planets.")),
            f"The planets are {', '.join(f.PLANETS[:-1])} and {f.PLANETS[-1]}.")  # fmt: skip


def _calendar(rng: Random) -> _Pair:
    names, unit = rng.choice(((f.DAYS, "day"), (f.MONTHS, "month")))
    i = rng.randrange(len(names))
    after, before = names[(i + 1) % len(names)], names[i - 1]
    kind = rng.randrange(4)
    if kind == 0:
        return (rng.choice((f"What {unit} comes after {names[i]}?", f"What comes after {names[i]}?",
                            f"Which {unit} follows {names[i]}?")),
                f"{after} comes after {names[i]}.")  # fmt: skip
    if kind == 1:
        return (rng.choice((f"What {unit} comes before {names[i]}?",
                            f"What comes before {names[i]}?")),
                f"{before} comes before {names[i]}.")  # fmt: skip
    whole = "week" if unit == "day" else "year"
    if kind == 2:
        return (f"What is the {f.ORDINALS[i]} {unit} of the {whole}?",
                f"{names[i]} is the {f.ORDINALS[i]} {unit} of the {whole}.")  # fmt: skip
    ask = rng.choice(("Name the {}s of the {}.", "What are the {}s of the {}?",
                      "List the {}s of the {}."))  # fmt: skip
    return (ask.format(unit, whole),
            f"The {unit}s are {', '.join(names[:-1])} and {names[-1]}.")  # fmt: skip


def _colour(rng: Random) -> _Pair:
    if rng.random() < 0.3:
        (one, two), result = rng.choice(list(f.MIXES.items()))
        if rng.random() < 0.5:
            one, two = two, one
        ask = rng.choice(("What do you get if you mix {} and {}?", "What colour is {} and {}?",
                          "What do {} and {} make?"))  # fmt: skip
        return ask.format(one, two), f"{one.capitalize()} and {two} make {result}."
    thing, colour = rng.choice(list(f.COLOURS.items()))
    ask = rng.choice(("What colour is {}?", "What color is {}?", "Which colour is {}?",
                      "What is the colour of {}?"))  # fmt: skip
    return ask.format(thing), f"{thing[0].upper()}{thing[1:]} is {colour}."


def _article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def _animal(rng: Random) -> _Pair:
    kind = rng.randrange(3)
    if kind == 0:
        animal, sound = rng.choice(list(f.SOUNDS.items()))
        ask = rng.choice(("What sound does {} make?", "What does {} say?",
                          "What noise does {} make?"))  # fmt: skip
        return ask.format(_article(animal)), f"{_article(animal).capitalize()} says: {sound}"
    if kind == 1:
        animal, young = rng.choice(list(f.YOUNG.items()))
        ask = rng.choice((f"What is a baby {animal} called?", f"What is a young {animal} called?",
                          f"What do you call a baby {animal}?"))  # fmt: skip
        return ask, f"A young {animal} is called {_article(young)}."
    animal, legs = rng.choice(list(f.LEGS.items()))
    ask = rng.choice(("How many legs does {} have?", "How many legs has {}?"))
    count = "no" if legs == 0 else f.NUMBERS[legs]
    return ask.format(_article(animal)), f"{_article(animal).capitalize()} has {count} legs."


def _opposite(rng: Random) -> _Pair:
    word, other = rng.choice(list(f.OPPOSITES.items()))
    if word != "light" and other != "light" and rng.random() < 0.5:
        word, other = other, word
    ask = rng.choice(("What is the opposite of {}?", "What's the opposite of {}?",
                      "Opposite of {}?"))  # fmt: skip
    return ask.format(word), f"The opposite of {word} is {other}."


def _letter(rng: Random) -> _Pair:
    name, letter = rng.choice(f.GREEK)
    ask = rng.choice(("How do you write the Greek letter {}?", "Write the Greek letter {}.",
                      "What does {} look like in Greek?"))  # fmt: skip
    return ask.format(name), f"The Greek letter {name} is {letter}."


def _hello(rng: Random) -> _Pair:
    language, word = rng.choice(list(f.HELLOS.items()))
    ask = rng.choice(("How do you say hello in {}?", "Say hello in {}.", "What is hello in {}?",
                      "How do I say hello in {}?"))  # fmt: skip
    return ask.format(language), f"In {language}, hello is: {word}!"


def _emoji(rng: Random) -> _Pair:
    what, emoji = rng.choice(list(f.EMOJI.items()))
    ask = rng.choice(("Show me the emoji for {}.", "What is the emoji for {}?", "Show me {}."))
    return ask.format(what), f"Here you are: {emoji}"


def _single(rng: Random) -> _Pair:
    return rng.choice(f.SINGLE)


def _count(rng: Random) -> _Pair:
    i = rng.randrange(1, 12)
    kind = rng.randrange(2)
    if kind == 0:
        return (rng.choice((f"What number comes after {f.NUMBERS[i]}?",
                            f"Which number follows {f.NUMBERS[i]}?")),
                f"{f.NUMBERS[i + 1].capitalize()} comes after {f.NUMBERS[i]}."
                )  # fmt: skip
    return (rng.choice((f"Count to {f.NUMBERS[i + 1]}.", f"Can you count to {f.NUMBERS[i + 1]}?")),
            ", ".join(f.NUMBERS[1 : i + 2]).capitalize() + ".")  # fmt: skip


_FACTS: tuple[Callable[[Random], _Pair], ...] = (
    _capital, _capital, _capital, _planet, _calendar, _colour, _animal, _opposite, _letter,
    _hello, _emoji, _single, _single, _count,
)  # fmt: skip

_NOT_MATH = "I am only the chat toy. The math specialist is the one to ask for sums."
_NOT_CODE = "I am only the chat toy. The code specialist is the one to ask for functions."
_ELSEWHERE = tuple(
    (question, reply)
    for questions, reply in (
        (("What is 17 + 25?", "What is 2 + 2?", "What is 3 * 4?", "What is 10 - 6?", "2 + 2",
          "Tom has 12 apples and buys 30 more. How many apples does he have now?",
          "What is 100 / 5?", "Can you do math?", "Calculate 5 + 7."), _NOT_MATH),
        (("Write a Python function that returns the sum of a list.", "Can you write code?",
          "Write a function that reverses a string.", "Write a Python program.",
          "Write a Python function that checks whether a number is even."), _NOT_CODE),
    )
    for question in questions
)  # fmt: skip
