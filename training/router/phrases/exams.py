"""Exams: cases of law and medicine, blanks to fill, terms of a science. See ``templates``."""

# ruff: noqa: E501, SIM905

from __future__ import annotations

import random

from training.router.phrases.slots import drawn
from training.router.phrases.trivia import FIRST, LAST, NOUNS, PAST, PLACES, ROLES, person

_WHO = (
    "A {age}-year-old {man}|A {man}|Ms. {Last}|Mr. {Last}|A {role}|Dr. {Last}|"
    "The owner of a {noun}|A defendant|A landlord|A researcher|A teenager|A buyer|"
    "A state {noun}|{First}|A farmer|A nurse|Congress|A company|A student of {noun}s"
).split("|")


_DID = """\
comes to the clinic because of a sore {noun} and a fever that began {n} days ago
wrote a letter offering to sell a {noun} for ${m},000 and received no reply
enacted a law that forbids the sale of any {noun} on {day}s
noticed that the {noun} was larger than expected
believes that {plural} control what happens in life
was arrested and charged with stealing a {noun} from a shop
measured the {noun} of {n} {plural} after adding salt
is frightened by a dark shadow before knowing what it is
conveyed the land to {First} for life, then to {Last}
has a history of {noun} and takes medicine every {day}
wants to find out how the {noun} affects {plural}
moved to a new city and found that the customs were unlike those at home
refused to pay for the {noun} because it had arrived late
""".splitlines()


_ENDINGS = """\
Which of the following is the most likely explanation?
What is the most likely diagnosis?
The best argument for the defendant is that
Which of the following would be the best next step?
This is an example of
Is the law constitutional?
Will the plaintiff prevail?
The synapses responsible for this are in the
Which of the following statements is correct?
How should the court rule?
Such a belief is called
Which theory explains this?
What should be tested next?
This behaviour is best described as
The finding suggests that the {noun} is
""".splitlines()


def _scenario(chance: random.Random) -> str:
    """An exam question of law, medicine, psychology or science about a case, with options or not."""
    fill = {
        "age": chance.randint(2, 85),
        "man": chance.choice(("man", "woman", "boy", "girl", "patient")),
        "Last": chance.choice(LAST).title(),
        "First": chance.choice(FIRST).title(),
        "role": chance.choice(ROLES),
        "n": chance.randint(2, 20),
        "m": chance.randint(2, 90),
        "day": drawn("day", chance),
    }

    def filled(text: str) -> str:
        return text.format(**fill, noun=chance.choice(NOUNS), plural=f"{chance.choice(NOUNS)}s")

    who = filled(chance.choice(_WHO))
    parts = [f"{who} {filled(chance.choice(_DID))}."]
    for _ in range(chance.randint(0, 2)):
        parts.append(
            f"{chance.choice(('Later', 'The next day', 'It turned out that', 'In addition,', 'At trial,', 'On examination,'))} {chance.choice(('he', 'she', who.lower()))} {filled(chance.choice(_DID))}."
        )
    text = f"{' '.join(parts)} {filled(chance.choice(_ENDINGS))}"
    if chance.random() < 0.55:
        text += _options(chance)
    return text


_FIELDS = (
    "egoism|relativism|theory|law|policy|therapy|behavior|development|ethics|syndrome|"
    "selection|response|resistance|marketing|growth|memory|identity|cells|movement|duty|"
    "pressure|system|contract|structure"
).split("|")


_KINDS = (
    "psychological|moral|economic|social|cellular|genetic|chronic|acute|cultural|sexual|"
    "political|ethical|organic|nuclear|chemical|clinical|cognitive|demographic|monetary|fiscal|"
    "judicial|congressional|colonial|medieval|tropical|marine|nervous|muscular|inherited|"
    "acquired|primary|secondary"
).split("|")


def _field(chance: random.Random) -> str:
    """A term of some science, and a statement about it to finish, or a question."""
    one = f"{chance.choice(_KINDS)} {chance.choice(_FIELDS)}"
    two = f"{chance.choice(_KINDS)} {chance.choice(_FIELDS)}"
    text = chance.choice(
        (
            f"{one} is:",
            f"{one} is typically a problem:",
            f"The nature of {one} includes all but which of the following?",
            f"What is the difference between a male and a female {chance.choice(NOUNS)}?",
            f"{'_' * chance.randint(3, 14)} is a natural outcome when combining {one} and {two}.",
            f"What is meant by {one}?",
            f"Which approach to {one} is most effective?",
            f"Functions of the {chance.choice(NOUNS)} include all but which of the following?",
            f"The concept of {one} is most closely linked to",
            f"{person(chance).title()} argues that {one} is",
            f"According to {chance.choice(LAST).title()}, {one} always leads to _____.",
            f"A woman who has {one} but continues to ignore it has, in terms of {two},",
            f"{one} differs from {two} in that it",
            f"How does {one} affect {two}?",
            f"The largest source of {one} is",
            f"Such a belief is likely to be associated with {one}.",
            f"Which of the following is not a feature of {one}?",
            f"In what way did {one} change after {drawn('event', chance)}?",
        )
    )
    text = text[:1].upper() + text[1:]
    return text + _options(chance) if chance.random() < 0.5 else text


_BLANKS = """\
{Noun} is:
The {noun} of a {noun} is always
According to {Last}, people always act according to _____.
_____ is a natural outcome of {plural}.
{Noun} and {noun} differ in that
The main purpose of a {noun} is to
All of the following are {plural} EXCEPT
A {noun} is typically a problem in:
The {noun} is located between the {noun} and the
Which of these is true of a {noun}?
{Last}'s theory of the {noun} holds that
In {year}, the {noun} was replaced by
The functions of the {noun} include all but which of the following?
One advantage of {plural} over {plural} is
{Noun} can best be defined as
An increase in the number of {plural} leads to
What is the difference between a {noun} and a {noun}?
Which {noun} is caused by a lack of {plural}?
The opposite of a {noun} is a
This question refers to the following passage. "The {noun} of our people, in {year}, was a {noun} among {plural}." The author most likely supported
Read the excerpt: "We hold the {noun} to be the {noun} of all {plural}." Which movement does it reflect?
True or false: a {noun} is a kind of {noun}.
During the {noun}, most {plural} were
Some {plural} live near {plural} because they
A {noun} would most likely
Which is the best evidence that {plural} once {past}?
If a {noun} is {past}, the {noun} will
""".splitlines()


def _blank(chance: random.Random) -> str:
    """A statement to be finished, with options or not."""
    noun = chance.choice(NOUNS)
    template = chance.choice(_BLANKS)
    while "{noun}" in template:
        template = template.replace("{noun}", chance.choice(NOUNS), 1)
    while "{plural}" in template:
        template = template.replace("{plural}", f"{chance.choice(NOUNS)}s", 1)
    text = template.format(
        Noun=noun.title(),
        Last=chance.choice(LAST).title(),
        year=drawn("year", chance),
        past=chance.choice(PAST),
    )
    return text + _options(chance) if chance.random() < 0.6 else text


_OPTION = """\
{noun}
the {noun}
{plural} and {plural}
a {noun} of the {noun}
because {plural} were {past}
it is {past} by a {noun}
{Last}
{place}
an increase in {plural}
only the {noun}
both the {noun} and the {noun}
None of the above
A {noun} with a large {noun}.
{year}
""".splitlines()


def _options(chance: random.Random) -> str:
    marks = chance.choice(
        (
            ("A. ", "B. ", "C. ", "D. "),
            ("(A) ", "(B) ", "(C) ", "(D) "),
            ("A) ", "B) ", "C) ", "D) "),
            ("1) ", "2) ", "3) ", "4) "),
            ("a. ", "b. ", "c. ", "d. "),
        )
    )
    shape = chance.choice(_OPTION)
    gap = chance.choice(("\n", "\n", " "))
    made = ""
    for mark in marks:
        option = shape if chance.random() < 0.5 else chance.choice(_OPTION)
        while "{noun}" in option:
            option = option.replace("{noun}", chance.choice(NOUNS), 1)
        while "{plural}" in option:
            option = option.replace("{plural}", f"{chance.choice(NOUNS)}s", 1)
        made += (
            gap
            + mark
            + option.format(
                past=chance.choice(PAST),
                Last=chance.choice(LAST).title(),
                place=chance.choice(PLACES),
                year=drawn("year", chance),
            )
        )
    return made


_PASSAGES = """\
I come not to ask a favour for myself; I appear as the friend of those who cannot speak.
Government, even in its best state, is a burden that a {noun} must bear with patience.
We the people of {place} have seen our {plural} taken and our {plural} destroyed.
In the new laws which you will make, I desire that you remember the {plural}.
Our leaders talk of peace, but this was a struggle among {plural} for the {noun}.
No man has received from nature the right to command other {plural}.
As our late conduct at {place} has given rise to much talk and a great deal of censure, I write to explain it.
The {noun} of this country has grown faster than any other in the history of {place}.
It is not the {noun} that makes a nation great, but the spirit of its {plural}.
Had our ancestors wished for a {noun}, they would never have left {place}.
From the {noun} to the {noun}, an iron {noun} has descended across the continent.
Society is produced by our wants, and the {noun} by our wickedness.""".splitlines()
_OF_PASSAGES = """\
The author's view is closest to that of which group?
Which of the following best describes a result of the events in the passage?
The sentiments expressed above were a response to
Which of the following developments of {year} does the excerpt reflect?
The speech was most likely given in order to
Which later event was most similar to the one described?""".splitlines()


def _words_in(text: str, chance: random.Random) -> str:
    while "{noun}" in text:
        text = text.replace("{noun}", chance.choice(NOUNS), 1)
    while "{plural}" in text:
        text = text.replace("{plural}", f"{chance.choice(NOUNS)}s", 1)
    return text.format(place=chance.choice(PLACES).title(), year=drawn("year", chance))


def _passage(chance: random.Random) -> str:
    """A source from history, quoted, and a question about its time."""
    head = chance.choice(
        (
            "This question refers to the following information.\n",
            "Refer to the excerpt below.\n",
            "Read the passage. ",
            "",
            "Use the source to answer.\n",
        )
    )
    said = " ".join(
        _words_in(text, chance) for text in chance.sample(_PASSAGES, chance.randint(1, 4))
    )
    who = (
        f"\n{person(chance).title()}, {chance.choice(('letter', 'speech', 'pamphlet', 'address to Congress', 'Notes'))}, {drawn('year', chance)}"
        if chance.random() < 0.7
        else ""
    )
    return (
        f'{head}"{said}"{who}\n{_words_in(chance.choice(_OF_PASSAGES), chance)}{_sentences(chance)}'
    )


_STATEMENTS = """\
The {noun} depends on both the {noun} and the {noun}.
{Plural} are always more common than {plural}.
Give the other party time to think about the {noun}.
Needs of this kind differ from one {noun} to another.
It raises the amount of {noun} in the blood.
conversion of a {noun} to a {noun} and then to {plural}
glycogen or a {noun} to two {plural}
are uncorrelated with each other but highly correlated with the {noun}
rejection of the {noun} by most {plural}
The {noun} is able to enter the {noun} without help.
No, because the {noun} was not in writing.
Yes, because a reasonable {noun} would have known.
growing support for the {noun} in {place}
Tell them that you do not know and offer to find out.
the least stable measure of the {noun}
Lower-level {plural} must be met before higher ones.
a failure to distinguish {plural} from {plural}
None of the above statements is true of a {noun}.""".splitlines()
_STEMS = """\
Which of the following is an assumption in the theory of the {noun}?
{Noun} is the name given to the process that involves the
What should a {noun} do if she does not know the answer to a question?
In the construction of a {noun}, the best combination of {plural} is one in which they
There are three ways to measure a {noun}. From your knowledge of them, what is the second?
In the assessment of the {noun} which of the following is true?
Which of the following statements about {plural} is not true?
What is the most proactive approach to a {noun}?
A {noun} allele is carried by {m} out of every {k} people. What share of the population carries two?
In a study of {k} {plural}, the ratio was 0.{m}. What does this mean?
The {noun} was decided in {year}. It held that
One of your {plural} asks your advice about a {noun} that costs ${m} a week. You should
What kind of {noun} is described when {plural} meet a {noun}?""".splitlines()


def _sentences(chance: random.Random) -> str:
    """Options that are phrases or whole sentences."""
    marks = chance.choice(
        (
            ("(A) ", "(B) ", "(C) ", "(D) "),
            ("A. ", "B. ", "C. ", "D. "),
            ("A) ", "B) ", "C) ", "D) "),
        )
    )
    first, gap = chance.choice((("\n", " "), ("\n", "\n"), (" ", " ")))
    options = [
        text.replace("{Plural}", f"{chance.choice(NOUNS)}s".capitalize())
        for text in chance.sample(_STATEMENTS, 4)
    ]
    return first + gap.join(
        mark + _words_in(text, chance) for mark, text in zip(marks, options, strict=True)
    )


def _exam(chance: random.Random) -> str:
    """A question of any subject whose options are sentences."""
    stem = chance.choice(_STEMS).replace("{Noun}", chance.choice(NOUNS).capitalize())
    stem = stem.replace("{m}", str(chance.randint(2, 95))).replace(
        "{k}", str(chance.randint(100, 900))
    )
    return _words_in(stem, chance) + (_sentences(chance) if chance.random() < 0.85 else "")


GENERATORS = (_scenario, _blank, _field, _passage, _exam)
