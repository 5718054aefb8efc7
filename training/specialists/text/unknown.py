"""Questions whose only honest answer, from a toy, is that it does not know."""

from __future__ import annotations

from random import Random

from training.specialists.text.facts import CAPITALS

_ASKS = (
    "What is {}?", "What is {}?", "Who invented {}?", "Explain {}.", "How does {} work?",
    "Tell me about {}.", "Why is {} important?", "When was {} discovered?", "Describe {}.",
    "What do you think about {}?", "How do I learn about {}?", "Who knows about {}?",
    "Where can I find {}?", "What is the history of {}?", "Write an essay about {}.",
    "What is the meaning of {}?", "How much does {} cost?", "Can you explain {}?",
)  # fmt: skip
_SUBJECTS = (
    "quantum mechanics", "photosynthesis", "gravity", "the stock market", "jazz", "philosophy",
    "relativity", "the Roman Empire", "calculus", "football", "chess", "democracy", "DNA",
    "the internet", "electricity", "a black hole", "blockchain", "Bitcoin", "cooking", "tennis",
    "the French Revolution", "a volcano", "poetry", "law", "medicine", "the brain", "evolution",
    "an atom", "algebra", "the weather", "opera", "chemistry", "biology", "economics", "history",
    "architecture", "a computer virus", "Linux", "the human heart", "an earthquake", "painting",
    "Shakespeare's life", "insurance", "tax", "a telescope", "nuclear power", "climate change",
    "the Cold War", "machine learning", "a transformer", "astronomy", "geometry", "ballet",
    "cricket", "sushi", "bread", "wine", "cheese", "a bicycle", "an aeroplane", "the Moon landing",
    "Einstein", "Newton", "Darwin", "Mozart", "Beethoven", "Picasso", "Napoleon", "Plato",
    "Java", "Rust", "JavaScript", "a database", "encryption", "a compiler", "radio", "magnetism",
)  # fmt: skip
_WHOLE = (
    "What is the weather today?", "What time is it?", "What day is it today?",
    "Who is the president?", "Who won the World Cup?", "What is the news?",
    "How do I cook rice?", "What should I eat tonight?", "Where did I put my keys?",
    "What is my name?", "Who is my neighbour?", "What is the population of {}?",
    "Who is the president of {}?", "Who is the king of {}?", "How large is {}?",
    "What is the history of {}?", "What language is spoken in {}?", "Who was born in {}?",
    "What is the currency of {}?", "What is the best hotel in {}?", "How do I travel to {}?",
    "Will it rain tomorrow?", "What is the meaning of life?", "How do I fix my car?",
    "Translate this text.", "What is the best film?", "Recommend a book.", "Who will win?",
)  # fmt: skip


# Questions of a kind that the model can answer, about things that there are not: it has to see
# that it does not know the word, not merely that it does not know the kind of question.
_OF_INVENTED = (
    "What is the capital of {}?", "What's the capital of {}?", "Name the capital of {}.",
    "{} is the capital of which country?", "What is a {}?", "What's a {}?", "What is {}?",
    "What does a {} do?", "Tell me about {}.", "Explain {}.", "What colour is a {}?",
    "What sound does a {} make?", "What is a baby {} called?", "How many legs does a {} have?",
    "What is the opposite of {}?", "How do you say hello in {}?", "What comes after {}?",
    "Who is {}?", "Who was {}?", "Where is {}?", "What does {} mean?", "Do you know {}?",
    "Where do {}s live?", "What do {}s make?", "What is the {} of a {}?", "Who wrote {}?",
    "Why is the {} so {}?", "How fast is a {}?", "When did {} happen?", "Which {} is the best?",
    "Can you {} the {}?", "How do I {}?", "Is {} true?", "Did {} win?", "Show me a {}.",
)  # fmt: skip
_ONSETS = ("b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w",
           "z", "br", "cl", "dr", "fl", "gr", "pl", "pr", "sh", "st", "str", "th", "tr", "qu",
           "")  # fmt: skip
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ee", "ea", "oo", "ou", "ie")
_CODAS = ("", "", "n", "r", "s", "t", "l", "m", "nd", "rk", "ng", "st", "x", "ck", "p", "d")
_NOUNS = (
    "airspeed", "height", "weight", "swallow", "bridge", "river", "song", "film", "game", "king",
    "engineer", "teacher", "window", "kitchen", "doctor", "price", "winner", "singer", "castle",
    "battle", "machine", "bottle", "guitar", "phone", "lamp", "shoe", "tiger", "wolf", "ship",
    "train", "movie", "team", "author", "actor", "language", "island", "street", "company",
)  # fmt: skip


def _invented(rng: Random) -> str:
    """A word that means nothing, or one that the model has heard but knows nothing of."""
    if rng.random() < 0.35:
        return rng.choice(_NOUNS)
    pieces = (_ONSETS, _VOWELS, _CODAS) * rng.choice((1, 2, 2, 3))
    word = "".join(rng.choice(piece) for piece in pieces)
    return word.capitalize() if rng.random() < 0.6 else word


def unknown(rng: Random) -> str:
    """A question that the chat specialist cannot answer."""
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(_ASKS).format(rng.choice(_SUBJECTS))
    if kind < 0.5:
        return rng.choice(_WHOLE).format(rng.choice(list(CAPITALS)))
    return rng.choice(_OF_INVENTED).format(_invented(rng), _invented(rng))
