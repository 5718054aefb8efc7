"""What a text shows, in characters that rules and models know: disguises are taken off, and no more
of a long text is looked at than can be in bounded time.

ASCII text is its own form and only cut. Other text goes through these steps, in this order:

1. Of more than 32 KiB only the first and last 16 KiB stay, of text that is not ASCII the first and
   last 8 KiB. Between them stands a NUL in a line of
   its own, so that ``^`` and ``$`` still mean the text's own ends.
2. Characters that show as nothing (zero-width, bidirectional, tags) are dropped, NFKC makes
   full-width, circled and mathematical letters ordinary ones, and typographic quotes become plain.
3. A Latin word that has marks which no letter composes with (strike-through, "Zalgo") loses them,
   and its accents too. Accents alone stay, and so do the marks of other scripts' words.
4. Cyrillic and Greek letters that look like Latin ones become Latin where they stand among Latin
   ones. The choice of letters follows Unicode Technical Standard 39, section 4 (confusables of
   single letters), less the Greek small letters that formulas use.

Russian, Greek or any other honest text stays itself: a letter is only exchanged in a word that also
has Latin letters and whose every Cyrillic or Greek letter is a look-alike, or anywhere in a text
that has Latin words and no Cyrillic or Greek letter except look-alikes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import normalize

EDGE_BYTES = 16 * 1024
OTHER_EDGE_BYTES = 8 * 1024  # of text that is not ASCII: all steps together take 2 ms at most
GAP = "\n\0\n"

# Zero-width, bidirectional and tag characters and variation selectors: they show as nothing, and
# would split a word for the engine. NFKC keeps them.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e01ef]+"
)
_PLAIN = (("\u2018", "'"), ("\u2019", "'"), ("\u201c", '"'), ("\u201d", '"'), ("\u2212", "-"))
# NFKC sorts runs of combining marks by insertion, in quadratic time. Runs in real text are a few
# marks long; what a piece's border may cost is one composition in this many characters.
_NORMALISE_CHARACTERS = 128

# The blocks of combining marks that belong to no script. Marks of Hebrew, Arabic, Devanagari and
# others are letters' parts there and stand elsewhere.
_MARKS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_LATIN_LETTERS = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_ANY_MARKED = re.compile(f"[{_LATIN_LETTERS}][{_MARKS}]")
# Anchored at a word's start, so that long words without marks are not tried from every letter.
_MARKED_WORD = re.compile(
    f"(?<![{_LATIN_LETTERS}])[{_LATIN_LETTERS}]++(?:[{_MARKS}]++[{_LATIN_LETTERS}]*+)++"
)
_MARK = re.compile(f"[{_MARKS}]+")
_ACCENT = re.compile(f"(?<=[A-Za-z])[{_MARKS}]+")

_SURE = {
    # Cyrillic
    **dict(zip("аеорсухіјѕһԁԛԝѵӏ", "aeopcyxijshdqwvl", strict=True)),
    **dict(zip("АВЕКМНОРСТХУІЈЅԌԚԜ", "ABEKMHOPCTXYIJSGQW", strict=True)),
    # Greek: its capitals look the same, and no formula uses omicron
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABEZHIKMNOPTYXo", strict=True)),
}
# These are also what quantities are called (ρgh, αx): only in a word with several Latin letters.
_GREEK_SMALL = dict(zip("αικνρυχ", "aikvpux", strict=True))
# Small capitals and script letters of phonetic alphabets: nobody's script, but somebody's disguise.
_PHONETIC = dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢɑɡ", "abcdefghijklmnoprstuvwyzag", strict=True))
_LATIN_FOR_GREEK_SMALL = 3

_ALL = _SURE | _GREEK_SMALL
_SURE_LETTERS = "".join(_SURE)
_LIKE = _SURE_LETTERS + "".join(_GREEK_SMALL)

_ANY_SURE = re.compile(f"[{_SURE_LETTERS}]")
_ANY_LIKE = re.compile(f"[{_LIKE}]")
_ANY_PHONETIC = re.compile(f"[{''.join(_PHONETIC)}]")
_LATIN_WORD = re.compile("[A-Za-z]{2}")
_LATIN = re.compile("[A-Za-z]")
# A Cyrillic or Greek letter that looks like no Latin one: the text has words of that script.
_OWN_SCRIPT = re.compile(f"[{''.join(chr(c) for c in range(0x370, 0x530) if chr(c) not in _SURE)}]")
# A whole word of ASCII letters and look-alikes that has both.
_MIXED_WORD = re.compile(
    f"(?<![^\\W\\d_])(?:[A-Za-z]++[{_LIKE}]|[{_LIKE}]++[A-Za-z])[A-Za-z{_LIKE}]*+(?![^\\W\\d_])"
)
_ASCII = bytes(range(128))
_REMEMBERED = 16  # texts; the one used longest ago goes first
# Looked at one by one, disguised words cost about a microsecond each. No honest text has this many;
# beyond it the whole text is treated alike.
_WORDS = 256


def shown(text: str) -> str:
    """``text`` as this module's docstring says. At most 32 KiB of UTF-8 and the gap; lone
    surrogates, which no UTF-8 has, become '?'. Never raises."""
    if len(text) > 2 * EDGE_BYTES:
        text = text[:EDGE_BYTES] + GAP + text[-EDGE_BYTES:]
    if text.isascii():
        return text
    if len(text) > 2 * OTHER_EDGE_BYTES:
        text = text[:OTHER_EDGE_BYTES] + GAP + text[-OTHER_EDGE_BYTES:]
    return _folded(text)


# Several stages look at one prompt. Keyed by what is left after the cut, so that no entry is large.
@lru_cache(maxsize=_REMEMBERED)
def _folded(text: str) -> str:
    """Steps 2 to 4."""
    text = _clip(text.encode("utf-8", "replace").decode("utf-8"))
    if _INVISIBLE.search(_beyond_ascii(text)):
        text = _INVISIBLE.sub("", text)
    text = _nfkc(text)
    for typographic, plain in _PLAIN:  # some only come out of NFKC, as a superscript's minus does
        text = text.replace(typographic, plain)
    beyond = _beyond_ascii(text)
    if _MARK.search(beyond) and _ANY_MARKED.search(text):
        text, words = _MARKED_WORD.subn(_unmarked, text, count=_WORDS)
        text = text if words < _WORDS else _MARK.sub("", text)
    if _ANY_PHONETIC.search(beyond):
        text = _exchanged(text, _PHONETIC)
    return _clip(_latin(text) if _ANY_LIKE.search(beyond) else text)


def _beyond_ascii(text: str) -> str:
    """Its characters that are not ASCII, mostly few: whether there is anything to do is seen in
    these much faster than in all of it."""
    return text.encode("utf-8").translate(None, _ASCII).decode("utf-8")


def _latin(text: str) -> str:
    """Step 4."""
    if not _LATIN.search(text):
        return text
    if _ANY_SURE.search(text) and _LATIN_WORD.search(text) and not _OWN_SCRIPT.search(text):
        return _exchanged(text, _SURE)
    folded, words = _MIXED_WORD.subn(_folded_word, text, count=_WORDS)
    return folded if words < _WORDS else _exchanged(text, _ALL)


def _exchanged(text: str, letters: dict[str, str]) -> str:
    # Three times as fast as `str.translate`, which looks every character up.
    for letter in letters.keys() & set(text):
        text = text.replace(letter, letters[letter])
    return text


def _folded_word(found: re.Match[str]) -> str:
    word = found[0]
    several = len(_LATIN.findall(word)) >= _LATIN_FOR_GREEK_SMALL
    return _exchanged(word, _ALL if several else _SURE)


def _unmarked(found: re.Match[str]) -> str:
    """First without the marks, however many: NFD sorts a run of them in quadratic time."""
    return _ACCENT.sub("", normalize("NFD", _MARK.sub("", found[0])))


def _nfkc(text: str) -> str:
    """In pieces, and from both ends inwards until enough is there: a single character can become
    eighteen (U+FDFA), so that bounding what goes in does not bound the work."""
    step = _NORMALISE_CHARACTERS
    starts = range(0, len(text), step)
    head: list[str] = []
    size = used = 0
    while used < len(starts) and size < OTHER_EDGE_BYTES:
        head.append(normalize("NFKC", text[starts[used] : starts[used] + step]))
        size += len(head[-1])
        used += 1
    tail: list[str] = []
    size, left = 0, len(starts)
    while left > used and size < OTHER_EDGE_BYTES:
        left -= 1
        tail.append(normalize("NFKC", text[starts[left] : starts[left] + step]))
        size += len(tail[-1])
    return "".join((*head, GAP if left > used else "", *reversed(tail)))


def _clip(text: str) -> str:
    data = text.encode("utf-8")
    if len(data) <= 2 * OTHER_EDGE_BYTES + len(GAP):
        return text
    # A cut inside a character leaves bytes that are no UTF-8, and the engine must not see those.
    head = data[:OTHER_EDGE_BYTES].decode("utf-8", "ignore")
    tail = data[-OTHER_EDGE_BYTES:].decode("utf-8", "ignore")
    return head + GAP + tail
