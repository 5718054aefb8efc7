"""Which language a prompt is in: by its script, else by its commonest words.

Good enough to count by and to greet in, and no more. Latin text without any of the words counts as
English.
"""

from __future__ import annotations

import re

_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af]")),
    ("zh", re.compile("[\u4e00-\u9fff]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("hi", re.compile("[\u0900-\u097f]")),
)
# Without those that two of the languages share.
_KNOWN = {
    "en": "the is are what how of and to in you my for with can i this that write does",
    "de": "der das ist ein eine wie was ich und nicht mir mit für sie wir wenn den auf",
    "es": "el los las una qué cómo es por para con y yo cuál del está mi tu cuántos",
    "fr": "le les des une est que qui quel quelle pour avec et je vous dans comment du",
    "pt": "o os um uma não como é para com você eu do da em qual meu são",
    "it": "il gli che è una per con come di sono non qual cosa della mi quanti",
}
_WORDS = {name: words.split() for name, words in _KNOWN.items()}
_WORD = re.compile(r"[^\W\d_]+")
_SHARE = 0.1  # of the characters, for a script: an English question may quote a word

# A greeting before, a thanks or "please" after.
GREETINGS = {
    "en": ("Hi, ", " please"),
    "de": ("Hallo, ", " Danke!"),
    "es": ("Hola, ", " Gracias."),
    "fr": ("Bonjour, ", " Merci !"),
    "pt": ("Olá, ", " Obrigado."),
    "it": ("Ciao, ", " Grazie."),
    "ru": ("Привет! ", " Пожалуйста."),
    "zh": ("你好，", " 谢谢。"),
    "ja": ("こんにちは。", " お願いします。"),
    "ko": ("안녕하세요. ", " 부탁드립니다."),
    "ar": ("مرحبا، ", " شكرا"),
    "hi": ("नमस्ते, ", " धन्यवाद"),
}


def language_of(text: str) -> str:
    letters = sum(map(str.isalpha, text)) or 1
    for name, script in _SCRIPTS:
        if len(script.findall(text)) > _SHARE * letters:
            return name
    words = _WORD.findall(text.lower())
    counts = {name: sum(map(words.count, known)) for name, known in _WORDS.items()}
    return max(counts, key=counts.__getitem__)
