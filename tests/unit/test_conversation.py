"""Follow-ups stay with their conversation's specialty, and new questions do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.types import Alternative, Message, Role, Specialty
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.conversation import (
    CONFIDENCE,
    FADES,
    MOST_CHARACTERS,
    MOST_FOLLOW_UPS,
    MOST_TURNS,
    ConversationStage,
    SoFar,
    so_far,
)
from orchestrator.router.elliptic import kind_of

MATH, CODE = Specialty("math"), Specialty("code")

FOLLOW_UPS = """
and for 12?
And for 12 people?
and then?
and in Celsius?
but why?
or 3 of them?
now with 5 people
but with butter instead
plus tax
and France?
and the next one
also for x = 7
Why?
why not?
how so?
How come?
are you sure?
Is that right?
is it correct?
what do you mean by that?
what does that mean?
which one?
for example?
explain it again
Explain that again, please.
can you explain that in simpler terms?
please explain step 2
could you elaborate?
what about the second one
What about France?
what if it were 20?
How about with tax?
same for 20
the same with 7 instead
make it shorter
Make it a bit more formal
can you make it faster?
shorter please
in more detail
step by step please
in one sentence
as a fraction
to two decimals
rounded to 2 decimal places
thanks, and the next
Thanks! And the last one?
ok, next
great, now the other one
continue
go on
keep going
another one
one more example please
give me another example
try again
show your work
show me the steps
check it again
prove it
can you simplify that?
do the same for 30
do it again with 8
is it prime?
does it work for negative numbers?
Who wrote it?
when did he die?
how tall is it?
what is its derivative
why is that?
how did you get 42?
where does the 5 come from?
did you forget the minus sign?
that's wrong
That is not what I asked for.
it doesn't work
it still fails
I don't understand
I still don't get the second step
I meant 12, not 13
no, I meant the other one
you forgot the tax
wrong
the second one
15%?
12
yes
yes please
Hmm. Are you sure?
I’m confused
if x is 3
is there a simpler way?
tell me more
tell me more about the second one
what's the difference between them?
what would happen if I doubled it?
use a for loop instead
so it's 12?
but you said 12
just the answer
what does the third line do
can you give me an example of that
""".strip().splitlines()

NEW_SUBJECTS = """
what is the capital of France
What is the capital of France?
and what is the capital of France?
Actually, what is the capital of France?
Thanks! What is the capital of France?
Who wrote Hamlet?
and who wrote Hamlet?
write a Python function that reverses a string
now write that in Python
ok now write a poem about autumn
translate it to French
What is 15% of 80?
and what is 15% of 80?
12 * 7
convert 5 miles to km
How many people live in Tokyo?
How about a joke?
how about we talk about cats
what about lunch
what about dinner tonight
tell me a joke
and tell me a joke
What time is it?
is it going to rain tomorrow?
is it raining outside
Is it true that water boils at 100 degrees?
is it possible to travel faster than light
how long does it take to get to Mars
what is it like to live on a boat
what does it mean to be happy
it's my birthday
this is a test
hello
hi there
thanks
thank you so much!
thanks for your help
ok
nice to meet you
good morning
how are you?
who are you?
what can you do?
what's the weather like
I want to learn to cook
can you help me with something else?
Tom has 12 apples and buys 30 more. How many now?
If all cats are mammals and Tom is a cat, is Tom a mammal?
if a train travels 60 miles in 2 hours, how fast is it
in what year did the war end?
at what temperature does water boil
for a party of 12, how many pizzas do I need
to be or not to be
fix this: def f(x) return x
def f(x): return x
SELECT name FROM users
solve x^2 = 4
find the derivative of x^3
photosynthesis
the first president of the United States
who was the first president of the United States
what is the second law of thermodynamics
what is the third planet from the sun
I don't get it. What is a derivative?
That's wrong. Who won the war of 1812?
recommend a movie
does God exist?
why is the sky blue?
how tall is Mount Everest?
when did Napoleon die?
what are prime numbers
I think that dogs are better than cats
that reminds me, what's the capital of Spain
how do I make pancakes
set a timer for 12 minutes
next train to Boston
15% of 80
5 miles to km
20% tip on 45
3 weeks from today
and how are you?
then call mom
yes, tell me about dogs
play some music
what did you do this weekend
do you like music?
are you a robot?
why do you exist
и для двенадцати?
et pour douze ?
und für 12?
y para 12?
""".strip().splitlines()


def test_the_tables_are_as_long_as_they_should_be() -> None:
    assert len(set(FOLLOW_UPS)) == len(FOLLOW_UPS) >= 60
    assert len(set(NEW_SUBJECTS)) == len(NEW_SUBJECTS) >= 60


@pytest.mark.parametrize("text", FOLLOW_UPS)
def test_a_turn_that_leans_on_the_last_one_stays_with_its_specialty(text: str) -> None:
    said = _decided(text, MATH)
    assert isinstance(said, Verdict), f"{text!r}: {said}"
    assert (said.specialty, said.confidence, said.rule) == (MATH, CONFIDENCE, "elliptic")
    assert said.alternatives[0].specialty == MATH


@pytest.mark.parametrize("text", NEW_SUBJECTS)
def test_a_turn_that_says_enough_by_itself_is_left_to_others(text: str) -> None:
    assert isinstance(said := _decided(text, MATH), Abstain), f"{text!r}: {said}"


@pytest.mark.parametrize("text", FOLLOW_UPS[:20])
def test_without_a_conversation_nothing_is_decided(text: str) -> None:
    assert isinstance(_decided(text, None), Abstain)


@pytest.mark.parametrize(
    "text",
    [
        "why " * 500_000,
        "and " * 500_000,
        "thanks, " * 500_000,
        "a" * 2_000_000,
        "it is " * 20,
        "thanks " * 17,
        "\ud800",
        "\u200b" * 50,
        "",
        "?",
        " . . . . . . . . . . ",
        "(" * 100,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_nothing_that_can_be_written_breaks_it(text: str) -> None:
    _decided(text, CODE)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=150))
def test_any_text_is_a_follow_up_or_not(text: str) -> None:
    assert kind_of(text) is None or isinstance(kind_of(text), str)


def _decided(text: str, prior: Specialty | None) -> Verdict | Abstain:
    return ConversationStage().decide(Features.of((_user(text),), prior))


def _user(text: str) -> Message:
    return Message.of(Role.USER, text)


def _assistant(text: str = "so it is") -> Message:
    return Message.of(Role.ASSISTANT, text)


@dataclass
class Knows:
    """A stage that decides what contains a word, and remembers what it was asked."""

    word: str
    specialty: Specialty
    asked: list[str] = field(default_factory=list)
    name: str = "knows"

    def decide(self, features: Features) -> Verdict | Abstain:
        self.asked.append(features.last_user)
        if self.word in features.last_user:
            return Verdict(self.specialty, 1.0)
        return Abstain()


def test_the_prior_is_what_the_last_decided_turn_was() -> None:
    sums, loops = Knows("sum", MATH), Knows("loop", CODE)
    messages = (
        _user("a loop"),
        _assistant(),
        _user("the sum of them all"),
        _assistant(),
        _user("a new and whole question"),
    )
    assert so_far(messages, [sums, loops]).prior == MATH
    assert so_far(messages[:3], [sums, loops]).prior == CODE
    assert so_far(messages[:1], [sums, loops]).prior is None
    assert so_far((), [sums]).prior is None


@dataclass
class Leans:
    """Says of a turn the chances that ``words`` have for the first of them that is in it."""

    words: dict[str, dict[Specialty, float]]

    def decide(self, features: Features) -> Verdict | Abstain:
        for word, chances in self.words.items():
            if word in features.last_user:
                told = tuple(Alternative(specialty=s, probability=p) for s, p in chances.items())
                return Verdict(told[0].specialty, told[0].probability, alternatives=told)
        return Abstain()


def test_one_misread_turn_does_not_decide_what_a_conversation_is_about() -> None:
    leans = Leans({"sum": {MATH: 0.9, CODE: 0.1}, "dubious": {CODE: 0.5, MATH: 0.4}})
    messages = [_user("a sum"), _assistant(), _user("something dubious"), _assistant(), _user("x")]
    found = so_far(messages, [leans])
    assert found.prior == MATH
    chances = {each.specialty: each.probability for each in found.chances}
    assert chances[MATH] == pytest.approx((0.4 + FADES * 0.9) / (1 + FADES))
    assert chances[CODE] == pytest.approx((0.5 + FADES * 0.1) / (1 + FADES))
    assert so_far([*messages[2:]], [leans]).prior == CODE


def test_the_bond_is_how_much_the_last_turn_is_about_the_earlier_ones() -> None:
    before = [_user("a loop over baskets and apples"), _assistant()]
    assert so_far([*before, _user("how many apples, baskets?")], [Knows("loop", CODE)]).bond == 1.0
    assert so_far([*before, _user("who wrote Hamlet")], [Knows("loop", CODE)]).bond == 0.0
    assert so_far([_user("who wrote Hamlet")], [Knows("loop", CODE)]) == SoFar()


class Breaks:
    def decide(self, features: Features) -> Verdict | Abstain:
        raise ZeroDivisionError


def test_a_stage_that_breaks_has_no_say_in_the_prior() -> None:
    messages = (_user("the sum of both"), _assistant(), _user("a new and whole question"))
    assert so_far(messages, [Breaks(), Knows("sum", MATH)]).prior == MATH


def test_the_last_turn_itself_never_makes_the_prior() -> None:
    sums = Knows("sum", MATH)
    assert so_far((_user("hello there"), _assistant(), _user("a sum")), [sums]).prior is None


def test_follow_ups_in_between_are_passed_over() -> None:
    sums = Knows("sum", MATH)
    turns: list[Message] = [_user("the sum of both")]
    for text in FOLLOW_UPS[:MOST_FOLLOW_UPS]:
        turns += [_assistant(), _user(text)]
    assert so_far(turns, [sums]).prior == MATH
    assert sums.asked == ["the sum of both"]
    assert so_far([*turns, _assistant(), _user("why?")], [sums]).prior is None, "not for ever"


def test_a_long_conversation_costs_no_more_than_a_few_turns() -> None:
    sums = Knows("nothing", MATH)
    turns = [_user(f"whole question number {n} of many") for n in range(1000)]
    assert so_far(turns, [sums]).prior is None
    assert len(sums.asked) == MOST_TURNS
    sums.asked.clear()
    assert (
        so_far([_user("x" * 1_000_000), _user("y" * 1_000_000), _user("z")], [sums]).prior is None
    )
    assert sum(map(len, sums.asked)) == MOST_CHARACTERS


def test_turns_before_those_that_decide_are_not_even_looked_at() -> None:
    looked: list[int] = []

    class Turns(Sequence[Message]):
        def __len__(self) -> int:
            return 100_000

        def __getitem__(self, place: Any) -> Any:
            if isinstance(place, slice):
                return ()
            looked.append(place)
            return _user(f"whole question number {place} of many")

    assert so_far(Turns(), [Knows("nothing", MATH)]).prior is None
    assert min(looked) >= 100_000 - MOST_TURNS - 2


def test_a_stage_sees_the_conversation_as_it_was_then() -> None:
    class Sees:
        name = "sees"

        def decide(self, features: Features) -> Verdict | Abstain:
            assert features.messages[-1].text == features.last_user == "a whole question"
            assert features.prior is None
            return Verdict(CODE, 0.9)

    messages = (
        Message.of(Role.SYSTEM, "be brief"),
        _user("a whole question"),
        _assistant(),
        _user("and then?"),
    )
    assert so_far(messages, [Sees()]).prior == CODE
