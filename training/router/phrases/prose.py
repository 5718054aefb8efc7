"""Longer texts of each kind: what people tell before they ask. See ``templates``.

A long text with few numbers is not logic because it is long: these keep length from deciding.
"""

# ruff: noqa: E501

from __future__ import annotations

import random

from training.router.phrases.slots import drawn, some

_TELL = (
    "I've been feeling really {feeling} since {day}.",
    "My {rel} and I had a big argument about {topic}.",
    "We used to talk every night, but now {pron} never calls.",
    "I don't know who else to talk to.",
    "Work has been so stressful lately.",
    "Last night I dreamed about {city} again.",
    "I think I'm finally ready to move on.",
    "You know how much I love {hobby}.",
    "My {pet} passed away {w} years ago and I still miss him.",
    "I just got back from {city} and it was wonderful.",
    "It was raining all day so I stayed home and watched {work}.",
    "I have an interview tomorrow and I'm a nervous wreck.",
    "Honestly I just want somebody to listen.",
    "Everyone keeps telling me to be patient.",
    "I work as a {job} and have {w} kids.",
    "In my free time I enjoy {hobby} and {hobby}.",
    "I was wondering if you could call me back when you get a chance.",
    "It was so nice seeing you at the party on {day}.",
    "I hope you are doing well.",
    "Thank you for everything you did for my {rel}.",
    "I can't stop thinking about it.",
    "My boss asked me to stay late again.",
    "The food was amazing and the people were friendly.",
    "I never thought I would say this but I like {food}.",
    "When I was little my {rel} would take me to the beach.",
)
_CHAT_END = (
    "What do you think?",
    "What should I do?",
    "How was your day?",
    "Anyway, how are you?",
    "Do you ever feel that way?",
    "Any advice?",
    "Have you ever been there?",
    "I feel so much better now.",
    "Can you believe that?",
    "Talk soon!",
    "",
    "",
    "That made me so {feeling}.",
    "Do you have any pets?",
    "Am I wrong?",
)


def chat(chance: random.Random) -> str:
    """Two to five sentences about oneself."""
    parts = [*chance.sample(_TELL, chance.randint(1, 4)), chance.choice(_CHAT_END)]
    return _filled(" ".join(parts), chance).strip()


_BACKGROUND = (
    "I am new to {lang} and trying to learn it by building a small project.",
    "I have the following {dtype} which I read from a file.",
    "My {lib} app worked yesterday but after the update it stopped.",
    "I tried the answers from other threads but none of them helped.",
    "The documentation says this should work.",
    "Each {dtype} holds a name, a price and a quantity.",
    "I want to loop over them and keep only those that match.",
    "When I click the button nothing happens and the console shows `{error}`.",
    "I am using {lang} 3.{n} on Ubuntu.",
    "Here is a minimal example of what I have so far.",
    "I would like to avoid nested loops if possible since the {dtype} is large.",
    "The data comes back from the server as JSON.",
    "It works locally but fails in production.",
    "I need to group them by key and sum the values.",
    "So far I have only found solutions that use {lib}.",
    "The result should be a {dtype}.",
    "The method is called from another thread.",
)
_CODE_ASK = (
    "How can I do this in {lang}?",
    "What am I missing?",
    "Is there a more efficient way?",
    "How do I fix it?",
    "Any help is appreciated.",
    "What is the pythonic way to do this?",
    "Why is it null?",
    "How would I write the query?",
    "Thanks in advance!",
    "Could somebody explain why?",
    "Is this a bug in {lib}?",
)
_BITS = (
    "\n\n    for (int i = 0; i < n; i++) {{ sum += a[i]; }}\n\n",
    "\n```\ndf = pd.read_csv('data.csv')\n```\n",
    '\n<div class="row" id="main"></div>\n',
    "\n$ npm run build\n",
    "\nconst x = await fetch(url);\n",
    "\nSELECT * FROM users;\n",
    "",
    "",
    "",
    "",
)
_PROCESS = (
    "Given a {dtype} of {thing}, how can we find the ones that appear most often?",
    "Given a grid with obstacles, what is the length of the shortest path from the start to the target?",
    "Given a list of words, how many pairs of them can be joined to form a palindrome?",
    "Given the initial state of a game board, determine the state after a number of generations.",
    "Given a string, what is the result of applying a certain encoding to it?",
    "Given two wires laid out on a grid, what is their closest intersection?",
    "Simulate a bank where customers deposit and withdraw; output the balance after each step.",
    "What is the minimum number of operations to turn one string into another, where an operation inserts, deletes or replaces a character?",
    "Given a number of nodes and edges, decide whether the graph has a cycle.",
    "Implement the rules of a card game and return the winner for the given hands.",
    "A robot moves on a {n} by {n} board according to a string of commands. Where does it end?",
    "Given a sequence of integers and a window size, compute the maximum of each window.",
    "In the context of training a neural network, how do you check that the computed gradient is right? Write it with {lib}.",
    "Parse a log file whose lines hold a date, a level and a message, and report the errors of each day.",
)


def code(chance: random.Random) -> str:
    """A question as on a forum for programmers, or a task in prose."""
    if chance.random() < 0.4:
        text = chance.choice(_PROCESS)
        if chance.random() < 0.4:
            text += chance.choice(
                (
                    " Return a list.",
                    " Print the answer.",
                    " The input is a JSON object.",
                    " Your function should take two arguments.",
                    " Output the result as an integer.",
                )
            )
        return _filled(text, chance)
    parts = chance.sample(_BACKGROUND, chance.randint(1, 4))
    return (
        _filled(" ".join(parts), chance)
        + chance.choice(_BITS).replace("{{", "{").replace("}}", "}")
        + " "
        + _filled(chance.choice(_CODE_ASK), chance)
    )


_SCENES = (
    "{one} and {two} are {rel}s from {city} who love {hobby}.",
    "{one} is an avid gardener.",
    "A fog bank rolls in from the ocean to cover {city}.",
    "During the summer break, {one} {work_at} at a {shop}.",
    "{one} is planning a birthday party for {two}.",
    "The cafeteria at {one}'s school serves lunch to everybody.",
    "A group of hikers is crossing a desert.",
    "{one}'s favourite {shop} sells {thing}.",
    "{one} loves {hobby} and wants to get better at it.",
    "A spider is climbing up a wall.",
    "There is a flower shop near the {container}.",
    "At a charity run, {one} asked the neighbours for pledges.",
    "{one} wants to paint the walls of the living room.",
    "It is {one}'s turn to bring snacks for the whole team.",
)
_FIGURES = (
    "Yesterday, {one} received {m} new {thing} from {two}.",
    "It takes {m} minutes to cover every {n} miles.",
    "{one} already has {n} of them on each of the {w} shelves.",
    "Each of them weighs {dec} pounds.",
    "One of them costs {dollars}, but there is a {pct}% discount for more than {n}.",
    "{one} spends {frac} of the day on it and {frac} of the rest asleep.",
    "By the end of the week they had collected {k}.",
    "Every {w} hours it climbs {n} feet and slips back {w}.",
    "{two} promised to give {dollars} for every mile.",
    "She uses {w} gallons for each wall, and there are {w} walls.",
    "The trip is {k} km long.",
    "If everybody takes {w}, {n} will be left.",
)
_COUNTS = (
    "How many {thing} are there in all?",
    "How long will it take?",
    "How much will {one} pay in total?",
    "How many more does {one} need?",
    "How many did {two} bring?",
    "How much money was raised?",
    "How many days will that last?",
    "After how many hours does it reach the top?",
    "What is the total weight in pounds?",
    "How many remain with {one}?",
    "How many {thing} did they collect together?",
    "If the trip costs {dollars}, what is left?",
)
_FORMAT = (
    "",
    "",
    "",
    "",
    " Give the final answer as a number.",
    " Please provide only the answer, without units.",
    "\nGive the result as your final answer. Do not include units.",
    " Show your work.",
    "\nIn solving this, please follow these instructions:\n1. Provide all answers as comma-separated values.\n2. Round to two decimals.",
    " Express your answer as a common fraction.",
    " Put your answer within \\boxed{}.",
    " Answer as an integer.",
    "\n#### Answer:",
)


def mathematics(chance: random.Random) -> str:
    """A scene, figures and a question, now and then with how to write the answer."""
    if chance.random() < 0.25:
        return _equation(chance) + (
            chance.choice(_FORMAT) if chance.random() < 0.6 else _listed(chance)
        )
    one, two = some("name", 2, chance)
    parts = [
        chance.choice(_SCENES),
        *chance.sample(_FIGURES, chance.randint(1, 3)),
        chance.choice(_COUNTS),
    ]
    if chance.random() < 0.2:
        parts[-1] = f"{parts[-1]} {chance.choice(_COUNTS)}"
    text = " ".join(parts).replace("{one}", one).replace("{two}", two)
    return _filled(text, chance) + chance.choice(_FORMAT)


_WISHES = (
    "Provide all answers as comma-separated decimal values.",
    "For example, if there are two values, write a, b.",
    "Round to four decimal places.",
    "If there is no real solution, return an empty string.",
    "Do not include units in the answer.",
    "Give the exact value, without a calculator.",
    "Use the same notation as the problem.",
    "Do not write the variable's name.",
    "Reply with a number only.",
)


def _listed(chance: random.Random) -> str:
    """How the answer is to be written, as a list."""
    wishes = chance.sample(_WISHES, chance.randint(2, 4))
    mark = chance.choice(("{}. ", "- ", "{}) ", "* "))
    head = chance.choice(
        (
            "Please follow these instructions:",
            "In solving this:",
            "Rules:",
            "Note:",
            "When you answer, follow these rules:",
        )
    )
    return f"\n{head}\n" + "\n".join(mark.format(n) + wish for n, wish in enumerate(wishes, 1))


_OBJECTS = (
    "\\frac{{{a}}}{{{b}}}",
    "\\sqrt{{{a}}}",
    "x^{{{a}}} - {b}x",
    "{a}\\pi",
    "\\log_{{{a}}} {b}",
    "\\sin {a}^\\circ",
    "\\binom{{{b}}}{{{a}}}",
    "\\overline{{AB}}",
    "\\triangle ABC",
    "f(x) = {a}x^2 + {b}",
    "\\angle ABC = {b}^\\circ",
    "\\sum_{{k=1}}^{{{b}}} k^2",
    "(x - {a})(x + {b})",
    "{a}x + {b}y = {c}",
    "\\begin{{pmatrix}} {a} & {b} \\\\ {c} & {a} \\end{{pmatrix}}",
    "|z - {a}| = {b}",
    "a_n = {a}a_{{n-1}} + {b}",
    "\\cos^2 \\theta",
    "0 < x < {b}",
    "n \\equiv {a} \\pmod{{{b}}}",
)
_FORMULAE = (
    "Compute ${o}$.",
    "Simplify ${o} + {o}$.",
    "Find the value of ${o}$ when $x = {a}$.",
    "What is the value of $x$ if ${o} = {a}$?",
    "Evaluate \\[{o} - {o}.\\]",
    "Let $a$ and $b$ be positive integers with ${o}$. Find the smallest possible value of $a + b$.",
    "In the figure, ${o}$ and ${o}$. What is the area of the shaded region, in square units?",
    "Suppose that ${o}$. Determine all $x$ for which ${o}$ holds.",
    "How many integers $n$ satisfy ${o}$?",
    "Points $A$ and $B$ lie on a circle with radius ${a}$ such that ${o}$. Find $AB$.",
    "The polynomial ${o}$ has roots $r$ and $s$. What is $r^2 + s^2$?",
    "What is the probability that a randomly chosen number from $1$ to ${b}$ satisfies ${o}$? Express your answer as a common fraction.",
    "Convert the point $({a},{b})$ in rectangular coordinates to polar coordinates.",
    "A regular hexagon has side length ${o}$. What is its perimeter? [asy] draw((0,0)--({a},{b})); [/asy]",
    "Rationalize the denominator of ${o}$ and express it in simplest radical form.",
    "For what real values of $k$ is ${o}$ a perfect square?",
    "Let $S$ be the sum of all $n$ with ${o}$. Find the remainder when $S$ is divided by ${b}$.",
    "Three students, {a} teachers and {b} parents stand in a line. What is the probability that no two students stand together?",
    "What is the greatest number of interior right angles a convex polygon with {b} sides can have?",
    "How many different ways are there to arrange the letters of the word LEVEL{a}?",
    "If $a < b$, what is $|a - b| + a + b$? (Your answer can include $a$ and $b$.)",
    "On a true-false test of {b} items, every multiple of {a} is true. If all are marked true, how many are right?",
    "The mean of {a} numbers is {b}. What is their sum?",
    "When the positive integers with exactly {a} divisors are listed in order, what is the fifth?",
)


def _formula(chance: random.Random) -> str:
    """A contest problem as it is typeset."""
    text = chance.choice(_FORMULAE)
    while "{o}" in text:
        made = chance.choice(_OBJECTS).format(
            a=chance.randint(2, 12), b=chance.randint(3, 40), c=chance.randint(2, 99)
        )
        text = text.replace("{o}", made, 1)
    return text.replace("{a}", str(chance.randint(2, 12))).replace(
        "{b}", str(chance.randint(13, 99))
    )


def _equation(chance: random.Random) -> str:
    letter = chance.choice("abcdefghknoprstuwxyz")
    left = chance.choice(
        (
            f"{chance.randint(2, 99)}*{letter}**2 - {chance.randint(2, 99)}*{letter}",
            f"{chance.randint(2, 99)} - {chance.randint(2, 99)}*{letter}",
            f"-{chance.randint(2, 99)}*{letter}",
            f"{chance.randint(2, 99)}{letter} + {chance.randint(2, 99)}",
            f"{letter}/{chance.randint(2, 9)} + {chance.randint(2, 9)}",
        )
    )
    right = chance.choice(
        ("0", str(chance.randint(-3000, 3000)), f"{chance.randint(2, 40)}*{letter}")
    )
    ask = chance.choice(
        (
            "Solve for {x}:",
            "Determine the value of {x} that satisfies:",
            "Determine the real value(s) of {x} that satisfies:",
            "Solve for real {x}:",
            "Find {x} in the equation:",
            "Let {x} be a number such that",
            "What is {x} if",
            "Solve",
            "Find the value of {x} in",
            "Calculate {x} when",
        )
    )
    return f"{ask.replace('{x}', letter)} {left} = {right}"


def _filled(text: str, chance: random.Random) -> str:
    for slot in (
        "feeling",
        "day",
        "rel",
        "topic",
        "pron",
        "city",
        "hobby",
        "pet",
        "w",
        "work",
        "job",
        "food",
        "lang",
        "dtype",
        "lib",
        "error",
        "n",
        "thing",
        "m",
        "k",
        "dec",
        "dollars",
        "pct",
        "frac",
        "container",
    ):
        while f"{{{slot}}}" in text:
            text = text.replace(f"{{{slot}}}", drawn(slot, chance), 1)
    return text.replace(
        "{work_at}", chance.choice(("worked", "volunteered", "helped out"))
    ).replace(
        "{shop}",
        chance.choice(("bakery", "pet store", "bookshop", "farm", "nursery", "ice cream parlor")),
    )


CHAT_GENERATORS = (chat,)
CODE_GENERATORS = (code,)
MATH_GENERATORS = (mathematics, mathematics, _formula)
