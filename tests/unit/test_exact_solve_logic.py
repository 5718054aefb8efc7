"""What the solver answers, and what it leaves alone: formulas, syllogisms, puzzles."""

from __future__ import annotations

import itertools
import random

import pytest

from mesh.exact.base import LOGIC, MATH
from mesh.exact.expression.tree import Binary, Call, Name, Unreadable, names
from mesh.exact.solver.formula import formula, true
from mesh.exact.solver.kinds import recognise, solve
from mesh.exact.solver.problem import SolverProblem


def answered(prompt: str) -> tuple[str, str] | None:
    problem = recognise(prompt)
    assert problem is not None, f"not read: {prompt}"
    exact = solve(problem)
    return None if exact is None else (exact.text, exact.specialty)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("is p or not p a tautology", "yes, it is a tautology: it is always true"),
        (
            "Is p -> q a tautology?",
            "no, it is not a tautology: it is false for p = true, q = false",
        ),
        ("Is p ∧ ¬p satisfiable?", "no, it is unsatisfiable: it is never true"),
        ("is p and not p a contradiction", "yes, it is a contradiction: it is never true"),
        (
            "Is (p v q) & ~p satisfiable?",
            "yes, it is satisfiable: it is true for p = false, q = true",
        ),
        ("are p -> q and ~q -> ~p equivalent?", "yes, they are equivalent"),
        (
            "is p -> q equivalent to q -> p",
            "no, they are not equivalent: they differ for p = true, q = false",
        ),
        (
            "is (p -> q) and p therefore q valid?",
            "yes, it follows: the argument is valid",
        ),
        (
            "p -> q, q, therefore p. Is this valid?",
            "no, it does not follow: for p = false, q = true the premises hold and the conclusion"
            " does not",
        ),
        (
            "is this argument valid? if p then q, not q, therefore not p",
            "yes, it follows: the argument is valid",
        ),
        ("does p & q imply p | q?", "yes, it follows: the argument is valid"),
        (r"Is $p \land q \to p$ a tautology?", "yes, it is a tautology: it is always true"),
        ("All A are B. All B are C. Are all A C?", "yes, all A are C"),
        (
            "If all bloops are razzies and all razzies are lazzies, are all bloops definitely"
            " lazzies?",
            "yes, all bloops are lazzies",
        ),
        ("All men are mortal. Socrates is a man. Is Socrates mortal?", "yes"),
        ("No cats are dogs. Rex is a dog. Is Rex a cat?", "no"),
        (
            "No reptiles are mammals. All snakes are reptiles. Are any snakes mammals?",
            "no, no snakes are mammals",
        ),
        (
            "All dogs are mammals. All cats are mammals. Are all dogs cats?",
            "that does not follow: it may be so or not",
        ),
        ("Some A are B. All B are C. Are some A C?", "yes, some A are C"),
        (
            "SEND + MORE = MONEY",
            "9567 + 1085 = 10652 (D = 7, E = 5, M = 1, N = 6, O = 0, R = 8, S = 9, Y = 2)",
        ),
    ],
)
def test_logic_is_answered(prompt: str, text: str) -> None:
    assert answered(prompt) == (text, LOGIC)


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("two numbers add up to 30 and differ by 4. What are they?", "13 and 17"),
        ("The sum of two numbers is 50 and their difference is 10. Find the numbers.", "20 and 30"),
        ("Find two numbers whose sum is 10 and product is 21", "3 and 7"),
        (
            "The sum of two numbers is 7 and their difference is 2. What is the larger number?",
            "4.5",
        ),
        ("The sum of three consecutive integers is 72. Find the integers.", "23, 24 and 25"),
        ("The sum of three consecutive even integers is 72. What is the largest?", "26"),
    ],
)
def test_small_puzzles_of_numbers_are_answered(prompt: str, text: str) -> None:
    assert answered(prompt) == (text, MATH)


@pytest.mark.parametrize(
    "prompt",
    [
        "TWO + TWO = FOUR",  # seven solutions
        "All A are B. All B are C. Are some A C?",  # only if there are any A
        "The sum of three consecutive integers is 73. Find the integers.",
        "The sum of two integers is 7 and their difference is 2. Find the integers.",
        "All A are B. No A are B. Some A are C. Are all A C?",  # contradictory
    ],
)
def test_what_has_no_one_answer_is_not_answered(prompt: str) -> None:
    assert answered(prompt) is None


@pytest.mark.parametrize(
    "prompt",
    [
        "is p and q or r a tautology",
        "is p -> q -> r a tautology",
        "is a car a tautology",
        "is my passport valid",
        "is p valid",
        "does x^2 = 4 imply x = 2?",
        "are p and q and r equivalent",
        "is 1 + 1 equivalent to 2",
        "is p -> q and p therefore q valid?",
        "All birds can fly. Tweety is a bird. Can Tweety fly?",
        "All cats are animals. Some animals are black. Are some cats not very happy?",
        "All A are not B. All B are C. Are all A C?",
        "All A are B. Are all A C?",
        "Some people are nice. Most nice people are rich. Are some people rich?",
        "two numbers walk into a bar and differ by 4",
        "The sum of two numbers is 25. One number is 5 more than the other. Find them.",
        "A + B = C",
        "HELLO + WORLD",
        "is " + "(" * 60 + "p" + ")" * 60 + " or q a tautology",
        "is a | b | c | d | e | f | g | h | j | k | l a tautology",
    ],
)
def test_what_is_not_whole_is_not_read(prompt: str) -> None:
    assert recognise(prompt) is None


def _random_formula(generator: random.Random, depth: int) -> str:
    """Fully in brackets, so that reading it needs no rule of binding."""
    if depth == 0 or generator.random() < 0.2:
        return generator.choice("pqrs")
    if generator.random() < 0.25:
        return f"~{_random_formula(generator, depth - 1)}"
    connective = generator.choice(["&", "|", "->", "<->", "⊕"])
    left = _random_formula(generator, depth - 1)
    return f"({left} {connective} {_random_formula(generator, depth - 1)})"


@pytest.mark.parametrize("seed", range(60))
def test_formulas_agree_with_a_truth_table_of_their_own(seed: int) -> None:
    generator = random.Random(seed)
    text = f"({_random_formula(generator, 4)} | {_random_formula(generator, 3)})"
    tree = formula(text)
    rows = [
        dict(zip("pqrs", values, strict=True))
        for values in itertools.product((False, True), repeat=4)
    ]
    ours = [true(tree, row) for row in rows]
    assert ours == [_walk(text, row) for row in rows]
    exact = solve(SolverProblem(kind="logic", task="tautology", texts=(text,)))
    assert exact is not None
    assert exact.text.startswith("yes") == all(ours)
    exact = solve(SolverProblem(kind="logic", task="satisfiable", texts=(text,)))
    assert exact is not None
    assert exact.text.startswith("yes") == any(ours)


def _walk(text: str, row: dict[str, bool]) -> bool:
    """Evaluates a formula in brackets by replacing innermost brackets with their truth."""
    for name, value in row.items():
        text = text.replace(name, "1" if value else "0")
    tables = {
        "&": lambda a, b: a * b,
        "|": lambda a, b: max(a, b),
        "->": lambda a, b: max(1 - a, b),
        "<->": lambda a, b: int(a == b),
        "⊕": lambda a, b: int(a != b),
    }
    while len(text) > 1:
        before = text
        text = text.replace("~1", "0").replace("~0", "1")
        for sign, table in tables.items():
            for a, b in itertools.product((0, 1), repeat=2):
                text = text.replace(f"({a} {sign} {b})", str(table(a, b)))
        assert text != before
    return text == "1"


def test_symbols_bind_as_in_textbooks() -> None:
    p, q, r = Name("p"), Name("q"), Name("r")
    assert formula("~p & q | r -> p") == Binary(
        "implies", Binary("or", Binary("and", Call("not", (p,)), q), r), p
    )


def test_too_many_atoms_are_refused() -> None:
    with pytest.raises(Unreadable):
        formula(" & ".join("abcdefghjkl"))
    tree = formula(" & ".join("abcdefghjk"))
    assert len(names(tree)) == 10
