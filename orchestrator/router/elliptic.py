"""Does a turn say something by itself, or only together with what was said before?

English only, and written for precision: what is not surely a follow-up is none. Of a turn that has
several sentences, all must be. Each kind is one regular expression over a short, normalised text,
without nested repeats, so that the cost is microseconds whatever is written.
"""

from __future__ import annotations

import re

MOST_CHARACTERS = 120  # a longer turn has enough of its own to be decided by
MOST_WORDS = 16

_PLAIN = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2026": "."})
_SENTENCE = re.compile(r"(?<=[.!?;])\s+")

# Said before the point: "ok, and the next one", "thanks! why?".
_OPENING = re.compile(
    r"(?:(?:thanks(?: a lot| so much| again)?|thank you(?: so much| very much)?|ok(?:ay)?|great"
    r"|cool"
    r"|nice(?: one)?|perfect|awesome|excellent|good(?: job)?|got it|i see|right|hm+|oh|ah|aha|well"
    r"|sorry|no|nope|yes|yeah|yep|please|wait|actually|alright|all right|understood|makes sense"
    r"|that makes sense|interesting|wow|sure|fine|hey)\b[\s,.!:\-]*)+"
)
_LINK = re.compile(r"(?:and|or|but|plus|also|then|now|so|next(?=[,:])|again|maybe|only)\b[\s,:]*")
_CLOSING = (" please", " pls", " then", " though", " instead", " now", " too", " as well")
_STOPS = " .!?:;,"

# What begins a sentence of its own, so that the rest of it is no fragment.
_WHOLE = re.compile(
    r"(?:who|whom|whose|what|what's|when|where|which|why|how|is|are|am|was|were|do|does|did|can"
    r"|could|would|will|shall|should|may|might|must|has|have|had|i|i'm|i've|i'd|you|we|let|let's"
    r"|there|there's|write|tell|give|show|make|create|explain|describe|define|list|name|find|get"
    r"|compute|calculate|solve|convert|translate|summari[sz]e|build|implement|code|generate|draw"
    r"|help|say|sing|play|open|set|send|call|remind|recommend|suggest|compare|prove|simplify"
    r"|evaluate|determine|count|add|remove|change|use|print|plot|design|draft|rewrite|fix|debug"
    r"|think|imagine|pretend|act|read|look|search|check|try|start|stop|go|come|take|put|ask|answer"
    r"|talk|discuss|teach|learn|buy|book|order|cook|want|need|he|she|they|it|it's|that's|my|our)\b"
)

_IT = r"(?:it|that|this|them|those|these)"
_HE = r"(?:it|that|this|they|he|she|those|these)"
_BE = r"(?:is|are|was|were|do|does|did|can|could|would|will|should|has|have|had)"
_ONE = (
    r"(?:one|ones|step|steps|part|line|equation|example|question|problem|point|paragraph|sentence"
    r"|case|approach|option|solution|result|term|method|answer|bit|thing|half|version|way|function"
    r"|loop|term|number|value|sum|formula)"
)
_WHICH = (
    r"(?:first|second|third|fourth|fifth|last|next|previous|other|latter|former|same|above|middle"
    r"|remaining|two|three|\d+(?:st|nd|rd|th))"
)
_THE_ONE = (
    rf"(?:(?:the|that|this|your|those) )?{_WHICH} {_ONE}|the (?:latter|former|rest|others?|next"
    rf"|last|second|first|above)"
)

# "it" that means nothing: "is it true that", "how long does it take to", "what time is it".
_EXPLETIVE = re.compile(
    r"\bit (?:\w+ ){0,3}(?:to|that|like)\b|\bit(?:'s| is| was| will be| were)? (?:(?:going to )?"
    r"(?:rain|snow)\w*|\w+ (?:outside|today|tomorrow|tonight|now)|going\b)|\b(?:time|day|date|month"
    r"|year|season|weather) (?:is|was) it\b|\bit'?s (?:a|an|my|been|time)\b|\bis it (?:rude|normal"
    r"|legal|illegal|ok|okay|safe|possible|healthy|bad|good|better|worth)\b"
    r"|\bthis (?:morning|afternoon|evening|week|weekend|month|year|summer|winter|spring|autumn)\b"
    r"|\bthat (?:i|you|we|people|there)\b|\bthis is (?:a|an|my)\b"
)
# Work of another kind than before, by its own words: others know better.
_OTHER_WORK = re.compile(
    r"\b(?:python|java|javascript|typescript|c\+\+|c#|rust|golang|kotlin|bash|sql|html|css|code"
    r"|program|script|poem|story|song|haiku|essay|letter|e-?mail|joke|recipe|translate|translation"
    r"|weather|lunch|dinner|breakfast|movie|holiday|weekend)\b"
)

_DO = (
    r"(?:explain|show|prove|check|double[ -]?check|verify|repeat|simplify|shorten|expand|clarify"
    r"|redo"
    r"|solve|rephrase|reword|change|improve|optimi[sz]e|finish|continue|undo|test|factor|plot|graph"
    r"|round|double|triple|halve|convert|sort|explain|say|do|try|run|fix|correct|elaborate on"
    r"|describe|define|demonstrate|illustrate|summari[sz]e|compare|evaluate|extend|reverse|rewrite"
    r"|refactor|remove|keep|use|write|put|express|give|calculate|compute|work|break|spell|divide"
    r"|multiply|split|add|subtract|square|generali[sz]e|justify|reconsider|answer|list|swap|invert)"
)
_TAIL = (
    r"(?: (?:again|once more|differently|step by step|out|down|up|over|further|properly|slowly"
    r"|better|quickly|briefly|shorter|simpler|in|as|with|without|for|by|to|into|from|using|where"
    r"|when|more|one|all|back|a bit|under|below|above|within|until|to be"
    r"|so that)(?: [\w.,%$/^+*=()'-]+){0,6})?"
)
_MORE = (
    r"(?:more|less|shorter|longer|simpler|faster|slower|clearer|smaller|bigger|shorter|better"
    r"|stricter|funnier|nicer|higher|lower|cheaper|harder|easier|deeper|(?:more|less) \w+)"
)

_KINDS: tuple[tuple[str, str], ...] = (
    (
        "short-question",
        r"(?:why|why not|how|how so|how come|really|are you sure|you sure|is (?:that|this"
        r"|it) (?:right"
        r"|correct|true|all|it)|what do you mean(?: by (?:that|this|it))?|what does (?:that|this"
        r"|it)"
        r" mean|meaning|which(?: one| ones)?|who|when|where|since when|says who|for example|such as"
        r"|like what|like|what else|who else|where else|anything else|any others?|any more|how many"
        r"|how much|how far|how long|how often|how big|how tall|how old|what for|by how much|why"
        r" (?:is|was) (?:that|this|it)(?: so)?|can you|could you|what then|then what|what now"
        r"|what next"
        r"|so what|what happens (?:then|next|after that)|what happened (?:then|next|after that))",
    ),
    (
        "go-on",
        r"(?:(?:please )?(?:continue|go on|go ahead|carry on|keep going|proceed|next|more|again"
        r"|once more|and so on|yes|yes please|no|nope|yep|yeah|sure|do it|please do|both|neither"
        r"|either|all of them|none of them|the other way(?: a?round)?)|(?:just )?(?:one|a few|two"
        r"|three|some|many|\d+) more(?: of (?:them|those|these))?|(?:(?:can you |could you "
        r"|please )?(?:give me |show me |try |do )|i want |i need |can i have |let's (?:see|do"
        r"|try) )?"
        rf"(?:another|one more|a different|some other|other)(?: {_ONE}s?| examples?)?"
        rf"|(?:go |turn )?back to (?:it|that|{_THE_ONE})|try (?:again|once more|harder|another way"
        rf"|it differently)"
        r"|start (?:over|again)|more examples?|examples?|an example|for instance"
        rf"|(?:tell me|say|give me|show me) (?:some |a bit |a little )?more(?: about (?:{_IT}"
        rf"|{_THE_ONE}))?"
        r"|what(?:'s| is) (?:next|left|missing)|go deeper|any (?:other|more|better"
        r"|further) (?:ideas?|options?|ways?|tips|examples?|questions?))",
    ),
    (
        "what-about",
        r"(?:what|how) (?:about|if)(?! (?:we|you|i|us|a|an|some|telling|lunch|dinner|going)\b)"
        r"(?: [\w.,%$/^+*=<>()'\"-]+){1,8}|same (?:for|with|but|again|thing|question"
        r"|as)(?: [\w.,%$'-]+){0,6}"
        r"|(?:the )?same (?:for|with|but|thing|question|problem)(?: [\w.,%$'-]+){0,6}"
        r"|(?:is|are) there (?:a |an |any )?(?:simpler|easier|better|faster|shorter|another|other"
        r"|different|more elegant)"
        r" (?:ways?|methods?|approach(?:es)?|solutions?|options?|answers?|ones?)(?: (?:to"
        r"|of) \w+(?:ing)? (?:it|that|this))?"
        r"|(?:what would happen|what happens|what changes) if (?:i|we|you|it|they|he"
        r"|she) (?:\w+ ){1,3}(?:it|that|this|them)"
        r"|likewise for(?: [\w.,%$'-]+){1,4}|again (?:for|with|but|in)(?: [\w.,%$'-]+){1,6}",
    ),
    (
        "manner",
        rf"(?:a (?:bit|little) |much |even |slightly |still |way |far )?{_MORE}|(?:a (?:bit"
        rf"|little) |much |some |in )?"
        r"(?:more|less|greater|further) (?:detail(?:s|ed)?|depth|steps|precisely|exact(?:ly)?"
        r"|formal(?:ly)?"
        r"|concise(?:ly)?|brief(?:ly)?|simpl[ey]|slowly|clearly|context)|step by step"
        r"|in (?:a )?(?:one|two|three"
        r"|\d+|single|simple|simpler|other|plain|short|shorter|few|fewer|my|your own|layman's"
        r"|basic) "
        r"(?:\w+ )?(?:sentences?|words?|terms|lines?|steps?|english|bullet points|paragraphs?)"
        r"|(?:to|with|rounded to) (?:\w+|\d+) (?:decimals?(?: places)?|significant (?:digits"
        r"|figures)|places)"
        r"|as an? (?:fraction|decimal|percentage|percent|table|list|formula|equation|mixed number"
        r"|integer)"
        r"|(?:simplified|rounded|briefly|shortly|in short|in detail|too long|too short"
        r"|too complicated)"
        r"|(?:just|only|no|without|skip|drop|give|show)(?: me)?(?: (?:just|only))?(?: (?:the|any"
        r"|an?))? (?:answer|final answer|number|result|code"
        r"|formula|explanations?|steps|comments|details|words|text)(?: only)?",
    ),
    (
        "about-it",
        rf"(?:(?:can|could|would|will) you |please |now |i want you to "
        rf"|you should )?(?:please )?{_DO} "
        rf"(?:me )?(?:{_IT}|{_THE_ONE}|(?:step|part|line|point|question|equation) (?:\d+|[a-z]|one"
        rf"|two"
        rf"|three|four)){_TAIL}"
        rf"|(?:can you |could you |please )?make {_IT} (?:a (?:bit|little) |much |even |sound "
        rf"|look )?"
        rf"(?:{_MORE}|work|short|simple|fast|clear|brief|rhyme|shorter|\w+er)(?: \w+){{0,3}}"
        r"|(?:can you |could you |please )?(?:explain|elaborate|clarify|rephrase|simplify"
        r"|summari[sz]e)"
        r"(?: (?:again|more|further|why|how|a bit|please|in \w+(?: \w+){0,2}|with (?:an example"
        r"|examples|numbers|words)))*"
        r"|(?:show|check|explain|list|give|write out|write down) (?:me )?(?:your|the"
        r"|all(?: the)?) (?:work(?:ing)?"
        r"|steps?|reasoning|answer|calculations?|math|logic|derivation|intermediate \w+"
        r"|result)(?: \w+){0,3}"
        rf"|do (?:{_IT}|the same(?: thing)?|so)(?: (?:again|for|with|without|but|in|once more"
        rf"|to)(?: [\w.,%$'-]+){{0,6}})?",
    ),
    (
        "pronoun-question",
        rf"{_BE}(?:n't)? {_HE}(?: [\w.,%$/^+*=()'-]+){{0,6}}"
        rf"|(?:what|which|who|whose|when|where|why"
        rf"|how)(?: (?:\w+)){{0,2}} {_BE}(?:n't)? (?:not )?{_HE}"
        r"(?: (?!you\b|me\b)[\w.,%$/^+*=()'-]+){0,4}"
        r"|(?:who|what) (?:wrote|made|invented|discovered|built|painted|founded|caused|won|owns"
        r"|causes"
        rf"|said) {_IT}(?: for| first| with)?"
        r"|(?:what|who|where|when|how old|how big|how tall) (?:is|are|was|were) (?:its|his|her"
        r"|their)(?: [\w'-]+){1,4}"
        rf"|what's {_IT}|what(?:'s| is| was| are| were) (?:{_THE_ONE})"
        rf"|(?:and )?why (?:not )?(?:{_IT}|{_THE_ONE}|the \w+)"
        r"|(?:what|how|why|where|when) (?:is|are|was|were|does|do|did|can|could|would|should) "
        rf"(?:{_THE_ONE}|the (?:bug|mistake|error|difference|catch|answer"
        rf"|result))(?: (?!of\b)\w+){{0,3}}"
        rf"|(?:how many|how much|which|some|all|one|none|both|any|most|each|many"
        rf"|half) of {_IT}(?: \w+){{0,4}}"
        r"|(?:so|then) (?:it's|it is|that's|that is|is it|is that|the (?:answer|result|total) is|we"
        r"|that means)(?: [\w.,%$/^+*=()'-]+){0,5}"
        r"|(?:but )?you (?:just )?said(?: [\w.,%$/^+*=()'-]+){1,6}"
        r"|how (?:did|do) you (?:get|know|find|solve|work out|come up with"
        r"|arrive at)(?: [\w.,%$/^+*=()'-]+){1,6}"
        r"|where (?:does|do|did)(?: the| that| this| those)? (?!you|i"
        r"|we\b)[\w.,%$'-]+(?: \w+)? come from"
        r"|where did you get(?: [\w.,%$'-]+){1,4}(?: from)?"
        r"|why (?:did|would) you(?: [\w.,%$/^+*=()'-]+){1,6}"
        r"|why do you (?:say|add|subtract|multiply|divide|use|need|take|start|get|round|square"
        r"|set)(?: [\w.,%$/^+*=()'-]+){1,6}"
        r"|(?:did|do) you (?:forget|mean|consider|include|account for|take|count|check"
        r"|use)(?: [\w.,%$'-]+){1,6}",
    ),
    (
        "objection",
        rf"(?:i think |but |i'm afraid |no,? )?(?:{_IT}|{_THE_ONE}|your answer|the answer"
        rf"|the result|your \w+)"
        r"(?:'s| is| are| was|'re| were| seems?| looks?)(?: still| also| just)? (?:not "
        r"|n't )?(?:wrong|incorrect|right|correct|what i"
        r" (?:asked|meant|wanted)(?: for)?|off|too \w+|confusing|unclear|incomplete|not enough"
        r"|missing(?: \w+){0,3})"
        rf"|{_IT} (?:still )?(?:doesn't|does not|didn't|did not|don't|won't|isn't|is not|can't)"
        r"(?: [\w.,%$'-]+){0,5}"
        rf"|{_IT} still (?:fails|crashes|breaks|is|gives|says|shows|prints)(?: [\w.,%$'-]+){{0,5}}"
        r"|(?:wrong|incorrect|still wrong|not quite|try harder|you're wrong|you are wrong"
        r"|that can't be(?: right)?)"
        r"|i (?:still )?(?:don't|do not|didn't) (?:get|understand|follow|see)(?: (?:it|that|this"
        r"|why|how|you"
        rf"|the|your|{_THE_ONE})(?: \w+){{0,4}})?"
        r"|(?:i'm|i am) (?:still )?(?:lost|confused|stuck)(?: (?:at|by|about|with|on) (?:it|that"
        r"|this|the \w+(?: \w+)?))?"
        r"|i (?:meant|mean|said|asked for|wanted)(?: [\w.,%$/^+*=()'-]+){1,7}"
        r"|you (?:forgot|missed|skipped|left out|didn't|made a|made an|ignored|misread"
        r"|misunderstood)(?: [\w.,%$'-]+){1,6}",
    ),
)
# Without a verb of its own, but only where something links it: "and for 12", "but with 3 people".
_PREPOSITION = (
    r"(?:for|in|with|without|as|to|from|at|by|if|using|until|after|before|instead of|per|on|under"
    r"|over"
    r"|between|among|within|during|except|not|because|than|of)"
)
_FRAGMENT = re.compile(
    rf"(?:{_PREPOSITION} |)(?!(?:be|go"
    rf"|do)\b)[\w.,%$€£°/^+*=()'\"-]+(?: [\w.,%$€£°/^+*=()'\"-]+){{0,6}}"
)
_BARE = re.compile(
    r"(?:(?:for|with|without|in|as|at|by|to|using|instead of|from|after|before|if|when) "
    r"(?!(?:the love|be |go |do |a |an |all |god|me$|real|general|case|order|fact|love|art|science"
    r"|nature)\b)"
    r"(?:[\w%$€£°.,=/+*^'-]+)(?: [\w%$€£°.,=/+*^'-]+){0,3}"
    r"|[$€£]?[\d][\d.,]*\s?(?:%|°?[cf]|percent|people|persons|times|days|hours|minutes|km|miles"
    r"|kg)?"
    rf"|{_THE_ONE})"
)
# Whatever it asks, it asks about "it".
_ABOUT = re.compile(
    rf"[\w',-]+(?: [\w',-]+){{0,6}} (?:of|to|on|about|with|for|in|from|between|than|like|into|after"
    rf"|before|without) {_IT}"
)
_WH_INSIDE = re.compile(r"\b(?:who|what|when|where|which|why|how|whose|whom)\b")
_KIND = re.compile("|".join(f"(?P<k{n}>{text})" for n, (_, text) in enumerate(_KINDS)))


def kind_of(text: str) -> str | None:
    """What makes ``text`` lean on what was said before, in a word or two; None when it says enough
    by itself, or when that is not sure."""
    if len(text) > MOST_CHARACTERS:
        return None
    text = " ".join(text.translate(_PLAIN).lower().split())
    if not text.isascii() and not text.translate(_SIGNS).isascii():
        return None
    found: str | None = None
    for sentence in _SENTENCE.split(text):
        kind = _sentence(sentence)
        if kind is None:
            return None
        found = kind or found
    return found


_SIGNS = str.maketrans("", "", "€£°²³×÷√π½")


def _sentence(text: str) -> str | None:
    """As ``kind_of`` of one sentence; "" for one that says nothing ("thanks!")."""
    if _THANKS.match(text):
        return None
    opened = _OPENING.match(text)
    rest = text[opened.end() :] if opened else text
    linked = _LINK.match(rest)
    bare = rest[linked.end() :] if linked else rest
    rest, bare = rest.rstrip(_STOPS), bare.rstrip(_STOPS)
    for closing in _CLOSING:
        bare = bare.removesuffix(closing)
    bare = bare.rstrip(_STOPS)
    if not bare:
        # "ok" and "thanks" are small talk; "yes" and "ok, next" are not.
        if _GO_ON.fullmatch(text.rstrip(_STOPS)) or _GO_ON.fullmatch(rest):
            return "go-on"
        return "" if opened else None
    if bare.count(" ") >= MOST_WORDS or _OTHER_WORK.search(bare):
        return None
    for each in dict.fromkeys((bare, rest, text.rstrip(_STOPS))):
        matched = _KIND.fullmatch(each)
        if matched and matched.lastgroup is not None:
            if _EXPLETIVE.search(each):
                return None
            return _KINDS[int(matched.lastgroup[1:])][0]
    if bare.count(" ") < 9 and _ABOUT.fullmatch(bare) and not _EXPLETIVE.search(bare):
        return "about-it"
    if _WH_INSIDE.search(bare):
        return None
    if rest.endswith(" instead") and bare.count(" ") < 7:
        return "about-it"
    if linked and _FRAGMENT.fullmatch(bare) and not _WHOLE.match(bare):
        return "fragment"
    return "fragment" if _BARE.fullmatch(bare) else None


# "thanks for the help" is small talk, and "nice to see you" is.
_THANKS = re.compile(
    r"(?:thanks|thank you)(?: a lot| so much| very much| again)? (?:for|to)\b|(?:nice|good|great"
    r"|sorry)"
    r"(?: job)? (?:for|to|with|at|in|by|as|from)\b"
)
_GO_ON = re.compile(
    r"(?:yes|yeah|yep|no|nope|sure|right|next|again|more|and|so|then|now|please)(?:,? (?:please|go"
    r" ahead|do|and|so|then))*"
)
