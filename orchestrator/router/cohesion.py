"""How much a turn is about what was said before it: pure, and linear in what it reads.

Lexical cohesion (Halliday and Hasan, "Cohesion in English", 1976, chapter 6): the share of the
turn's words that earlier turns have as well, by their first letters, so that "basketball" and
"basketballs" are one. Words without spaces between them are taken by pairs of characters. A turn
that names what was said before ("your previous answer", in a dozen languages) is wholly about it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

READ = 2048  # characters of the turn; of the earlier ones as many as are given
_STEM = 6
_WORD = re.compile(r"[^\W\d_\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]{4,}|\d+")
_UNSPACED = re.compile("[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]{2,}")
# Words of any turn, by their first letters: what they share says nothing.
_EMPTY_WORDS = (
    "what that this there their they have with from your about which would could should does into "
    "when where were will them then than some more most like please tell give make want need know "
    "also only very just these those been being other many much explain answer question eine einen "
    "oder sind wird nicht kann können haben welche para como qual quel quelle pour avec dans está"
)
_EMPTY = frozenset(word[:_STEM] for word in _EMPTY_WORDS.split())
_SAID_BEFORE = re.compile(
    r"\b(?:previous|earlier|your last|above|preceding) (?:answer|question|response|reply|message"
    r"|problem|example|text|code|sentence|paragraph)s?\b"
    r"|\b(?:mentioned|as|listed|described) above\b"
    r"|\b(?:vorherig|vorig|letzt|obig|vorhergehend)e[nrsm]? (?:frage|antwort|aufgabe|text|problem)"
    r"|\b(?:respuesta|pregunta|mensaje) anterior\b|\b(?:réponse|question) précédente\b"
    r"|\b(?:resposta|pergunta) anterior\b|\b(?:risposta|domanda) precedente\b"
    r"|предыдущ\w+ (?:ответ|вопрос|сообщени)"
    r"|(?:上一个|上面|之前|前面|刚才)的?(?:回答|问题|答案|例子)"
    r"|(?:前の|先ほどの|上の)(?:回答|質問|答え)|(?:이전|앞의) ?(?:답변|질문)"
    r"|(?:السؤال|الجواب|الإجابة) السابق|पिछल[ेा] (?:उत्तर|सवाल|प्रश्न|जवाब)",
    re.IGNORECASE,
)


def cohesion(text: str, earlier: Sequence[str]) -> float:
    """0 to 1; 0 where the turn has no words of its own, or nothing came before."""
    if not earlier:
        return 0.0
    text = text[:READ]
    if _SAID_BEFORE.search(text):
        return 1.0
    words = _words(text)
    if not words:
        return 0.0
    return len(words & set().union(*map(_words, earlier))) / len(words)


def _words(text: str) -> set[str]:
    text = text.lower()
    found = {word[:_STEM] for word in _WORD.findall(text)} - _EMPTY
    for run in _UNSPACED.findall(text):
        found.update(run[place : place + 2] for place in range(len(run) - 1))
    return found
