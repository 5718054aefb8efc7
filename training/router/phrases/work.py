"""Texts to be written, parts to be played, advice, plans and customer service: what people ask an
assistant for beside facts. See ``templates``.

Long requests with headings and figures are conversation as well, as long as a text is wanted.
"""

# ruff: noqa: E501

from __future__ import annotations

import random

from training.router.phrases.slots import drawn

_KINDS = "|".join(
    """
report,business plan,white paper,press release,blog post,product description,cover letter,speech,
video script,podcast script,social media post,newsletter,wedding toast,eulogy,short story,screenplay,
fairy tale,character profile,book review,film review,letter of complaint,contract,rental agreement,
lesson plan,slogan,tagline,advertising copy,marketing plan,case study,meeting agenda,job description,
performance review,grant proposal,investor pitch,fan fiction,monologue,sonnet,limerick,haiku,song,rap,
play in three acts,travel diary,column,op-ed,obituary,thank-you note,apology email,invitation,menu,
radio advert,user story,policy brief,executive summary,literary analysis,biography,resume,bio,sermon,
bedtime story,diary entry,scene,dialogue,plot outline,poster text,brochure,landing page text,
company announcement,reference letter,resignation letter,petition,debate speech,greeting card,
interview script,welcome email,case analysis,financial analysis report,industry overview,memo,sketch
""".replace("\n", "").split(",")
)
_ABOUT = "|".join(
    """
the future of remote work,a lighthouse keeper,our new coffee blend,sustainable fashion,a small bakery,
my grandmother's kitchen,a dragon who is afraid of fire,an eco-friendly hotel,electric scooters,
first love,a retired detective,mental health at work,a city under the sea,our charity run,autumn,
the merger of two banks,a robot that learns to paint,women in science,healthy ageing,a haunted library,
the market for bicycles,our loyalty program,rural schools,a chess prodigy,the harbour,a lost letter,
a folding bicycle,a language school for adults,a forgotten painter,local food,smart home devices,a night market,
the history of tango,climate policy,a stray cat,our quarterly results,online privacy,freedom,rain,
a community garden,the moon landing,a wedding in spring,student loans,a family vineyard,road safety,
the habits of crows,an old violin,artificial intelligence in hospitals,a mountain village,teamwork
""".replace("\n", "").split(",")
)
_FOR = "|".join(
    """
a general audience,high school students,our investors,the company website,my boss,a children's magazine,
social media,young professionals,parents,the annual meeting,beginners,an academic journal,a local paper,
our customers,seniors,a job application,YouTube,a literary magazine,the board,new employees
""".replace("\n", "").split(",")
)
_ROLES = "|".join(
    """
museum guard,circus clown,personal trainer,wise old wizard,news anchor,therapist,bus driver,baker,
dungeon master,fashion designer,career counselor,gardener,sommelier,lighthouse keeper,beekeeper,
grumpy cat,queen,vampire,talking tree,event planner,goldsmith,ghost,dragon,nanny,watchmaker,
real estate agent,hotel receptionist,customer,salesperson,fortune teller,librarian,tailor,
etiquette expert,speech writer,copywriter,makeup artist,dentist,nurse,old friend,barista,judge
""".replace("\n", "").split(",")
)
_OCCASION = "|".join(
    """
dinner party,birthday party,road trip,anniversary,game night,baby shower,family reunion,wedding,picnic,
weekend getaway,housewarming,barbecue,graduation,surprise party,first date,movie night,camping trip,
honeymoon,job interview,move to a new city,presentation at work,retirement party,holiday with the kids
""".replace("\n", "").split(",")
)
_SELF = "|".join(
    """
my public speaking,my sleep,my credit score,my posture,my confidence,my handwriting,
my listening skills,my relationship with my parents,my diet,
my accent,my focus,my work-life balance,my chances of getting promoted,my garden,my photography,
my guitar playing,my morning routine,my mood,my running times,my budget
""".replace("\n", "").split(",")
)
_LENGTHS = "100|150|200|300|400|600|800|1000|1200|2000|3000|10000"
_WRITE = "Write|Draft|Create|Compose|Prepare|Help me write|Please help me write|Please write|I need you to write|Can you help me write|Could you draft|Design|Come up with|Please draft|Give me|I'm working on|Please compose"

TEMPLATES: tuple[str, ...] = (
    *(
        f"[{_WRITE}] [a|an|the|] [short|detailed|funny|formal|compelling|captivating|engaging|touching|professional|500-word|1500-word|two-page|] [{_KINDS}] [about|on|for|promoting|inspired by] [{_ABOUT}][.|!|, aimed at [{_FOR}].| for [{_FOR}].| in a [warm|humorous|serious|light] tone.]"
        for _ in range(6)
    ),
    f"[{_WRITE}] [a|an|the|] [{_LENGTHS}][ |-][words|word] [{_KINDS}] [about|on|for] [{_ABOUT}][.|, for [{_FOR}].|]",
    f"[{_KINDS}] [about|on|for] [{_ABOUT}], [around|about|approximately|at least|no less than|] [{_LENGTHS}] words[.|]",
    f"[{_WRITE}|Introduce|Describe] [a|an|] [{_KINDS}|{_ABOUT}|{_ABOUT}], [at least|in about|in|no less than|with] [{_LENGTHS}] words[.|]",
    f"[{_WRITE}] [a|an] [{_KINDS}] of [no less than|about|at least|] [{_LENGTHS}] words on [the topic|the theme|]: [{_ABOUT}]",
    f"[{_WRITE}] [a|an] [{_KINDS}] for [{_FOR}]. [It should be|Make it|Keep it] [short|friendly|no longer than a page|persuasive|easy to read], and [mention|include|start with|end with] [{_ABOUT}].",
    f"I am [writing|creating|planning|preparing] [a|an] [{_KINDS}] [about|on] [{_ABOUT}]. [Can you help me with the opening?|Suggest a title.|Please outline it.|Give me ideas for the main character.|How should it end?|What would make it better?]",
    f"[Use an appropriate format to structure|Structure|Outline|Rewrite|Improve|Polish|Proofread|Shorten] [a|an|my|this] [{_KINDS}] [about|on|for] [{_ABOUT}|{_FOR}].",
    *(
        f"[Act as|Be|Pretend to be|Imagine you are|You are|Roleplay as|Play the role of|Speak like] [a|an] [{_ROLES}]. [I will tell you about my situation and you will give suggestions.|I will give you topics and you will respond in character.|Stay in character and do not write explanations.|Describe how you feel and what you see.|Introduce yourself.|] [I need help with [{_ABOUT}].|How would you greet me?|What would you say to [a stranger|the queen|a nervous guest|me]?|Tell me about your day.|Let's begin.]"
        for _ in range(3)
    ),
    f"[As|If you were] [a|an] [{_ROLES}], [how would you|what would you say to] [explain your job to a child|convince people to join you|describe a perfect day|complain about the weather|cheer up a friend|introduce [{_ABOUT}]]?",
    f"I'm [planning|hosting|organizing|looking forward to|nervous about|in charge of] [a|the] [{_OCCASION}] [for my <rel>|with my friends|next month|this weekend|on a small budget|]. [What should I make?|Any ideas?|What's a good gift?|How do I make it special?|Where should we go?|What should I wear?|Can you suggest a theme?|What would you recommend?]",
    "My [<rel>|best friend|boss|neighbor|roommate][ turns forty soon and has everything already.| hates surprises.| is allergic to nuts.| and I haven't talked in weeks.| is visiting from <city>.] [I want to find something we can all enjoy.|I'd like to surprise them.|I don't want to hurt anyone's feelings.|] [What do you suggest?|How should I handle it?|Any recommendations?|What would be a nice dessert?|Should I bring it up?]",
    f"[How can I|How do I|What's the best way to|What are some ways to|Tips to|I want to|Help me] [improve|work on] [{_SELF}][?|.|]",
    "I'm [stuck on|confused about|disappointed with|thinking about|working on] my [new camera|old boat|backyard project|thesis|wardrobe|screenplay|knitting|kitchen renovation|vegetable patch|podcast|photo album|training plan]. [What am I doing wrong?|Where can I find good parts?|Where should I start?|How do I stay motivated?|Is it worth it?]",
    "[Recommend|Suggest|Can you recommend|What's|Know] a good [detective story|restaurant for a first date|documentary|board game|podcast|name for a kitten|hiking trail|wine with fish|gift for a teacher|comedy|hotel in <city>|present under twenty dollars|book for a long flight][?|.| to read?| to watch?]",
    "[how do i|tips for|best way to|what helps with] [polish silver|prune roses|a stiff neck|roast a chicken|train a parrot|pack for a week|oil a door|fall asleep faster|ask for a raise|keep kids busy|remove a sticker|freeze bread|store onions][?|]",
    "[summarize|shorten|organize|condense|sum up] [this article|my lecture notes|this chapter|an email thread|these messages|the discussion|the minutes] [in three sentences|as a list|for my teacher|into a short summary|in plain words]",
    "[start|promote|name|decorate] my [food truck|flower shop|choir|bookshop|band|market stall|yoga studio] [this year|from scratch|with little money|]",
    "[brainstorm|give me ideas for|think of|come up with] [ten |some |]  [titles|slogans|names|gift ideas|team activities|date ideas|costumes|questions to ask] [for our team|for my shop|about [cooking|travel|pets|fitness]|]",
    "[where is|what happened to|i want to cancel|i need to change|can you check|i'd like to return|i have a problem with|status of|details of|i never received] my [order|package|booking|subscription|refund|ticket|delivery|invoice|membership|reservation|account|payment|appointment] [#<n>|number <n>|from last week|please|][?|.|]",
    "[how do i|how can i|i want to|i can't|help me] [reset my password|log in|update my address|contact support|delete my account|track my order|get a refund|talk to a human|change my plan|upgrade my seat|redeem a coupon|find my invoice][?|.|]",
    "[the|my|your] [app|website|parcel|item|service|driver|coupon code|headphones] [is down|arrived damaged|won't load|never showed up|is not what i ordered|keeps logging me out|is broken|was charged twice][.|, what now?|, can you help?|]",
    "[what are your|when do you open, what are the|tell me the] [opening hours|prices|delivery times|return rules|office hours]?",
    "[If you could|Would you rather] [talk to birds|live in another century|meet any writer|learn one instrument overnight|own an island|have dinner with a celebrity|be invisible or fly|never eat sugar again or never travel again], [what would it be|who would it be|where would you go|which would you choose] [and why|]?",
    "[What's|What is] [the best|the worst|the most embarrassing|the strangest|your favorite|the last] [thing|book|trip|meal|gift|advice|movie|memory|dream|present] [you've ever had|you ever received|you remember|that describes you|you would recommend|from your childhood]?",
    "What [smell|animal|song|season|word|number] [fits you best|would you pick for yourself|do you find most calming|would you choose and why]?",
    "[Set|Cancel|Add|Remind me of] [an alarm for <n>|to water the plants|a reminder to call my <rel>|eggs to my shopping list|my meeting tomorrow]",
    '[Translate|How do you say|Rephrase|Correct] ["good morning, my friend"|this sentence|"see you tomorrow"|my message|"where is the station"] [in|into|to] [French|Spanish|polite English|Japanese|simple words|German][?|.|]',
    "[what's the weather|will it rain|how cold will it be|do i need an umbrella|is it sunny] [like today|tomorrow|in <city>|this weekend|on <day>][?|]",
)

_HEADINGS = (
    "Brand",
    "Theme",
    "Target audience",
    "Style",
    "Length",
    "Setting",
    "Main character",
    "Requirements",
    "Positioning",
    "Aims",
    "Core message",
    "Original price",
    "Origin",
    "Revenue",
    "Operating profit",
    "Market share",
    "Budget",
    "Services offered",
    "Background",
    "Key figures",
    "Structure",
    "Tone",
    "Contact",
    "Key scenes",
    "Ending",
    "Achievements",
    "Sources to use",
)
_FACTS = (
    "up {n}% year on year to {m}.{d} billion",
    "founded in {y} by two friends",
    "young families and students",
    "warm, a little nostalgic",
    "about {m}00 words in {w} chapters",
    "a small town by the river",
    "net profit margin of {n}%",
    "{m} stores in {n} cities",
    "must include a turning point and a quiet ending",
    "not too formal, with short sentences",
    "{y}: {m}.{d} million, {n}% more than the year before",
    "focus on quality, service and trust",
    "free consultation, individual plans, evening courses",
    "he is proud and never admits a mistake",
    "light, foldable, made in a small workshop",
    "avoid clichés and keep the language vivid",
    "compare with the main competitors and point out risks",
    "at most {m} verses",
    "explain the changes and give recommendations",
)


def _brief(chance: random.Random) -> str:
    """A request for a text, with the facts that shall go into it."""
    ask = chance.choice(
        (
            "Please write {a} {kind} about {about}",
            "Help me draft {a} {kind} for {aim} based on the following",
            "Based on the material below, write {a} {kind} on {about}",
            "I run a small company. Create {a} {kind} about {about}, including the following elements",
            "I am a student and want to make {a} {kind} about {about}. Please cover these points",
            "Write {a} {kind} from the perspective of {a2} {role}, for {aim}",
            "Please analyze the figures below and prepare {a} {kind} for {aim}",
            "As an experienced {role}, prepare {a} {kind} on {about}",
            "Here's the brief. Design {a} {kind} for {aim}",
        )
    )
    kind, role = chance.choice(_KINDS.split("|")), chance.choice(_ROLES.split("|"))
    text = ask.format(
        a="an" if kind[0] in "aeio" else "a",
        a2="an" if role[0] in "aeio" else "a",
        kind=kind,
        role=role,
        about=chance.choice(_ABOUT.split("|")),
        aim=chance.choice(_FOR.split("|")),
    )
    lines = []
    for number in range(1, chance.randint(2, 9)):
        fact = chance.choice(_FACTS).format(
            n=chance.randint(2, 95),
            m=chance.randint(2, 120),
            d=chance.randint(0, 9),
            y=chance.randint(1950, 2025),
            w=drawn("w", chance),
        )
        head = chance.choice(_HEADINGS)
        mark = chance.choice(("- ", f"{number}. ", f"{number}) ", "", "* "))
        lines.append(f"{mark}{head}{chance.choice((': ', chr(10), ' - '))}{fact}")
    chance.shuffle(lines)
    parts = [text + chance.choice((":", ".", "")), *lines]
    if chance.random() < 0.25:
        parts = [*lines, text + "."]
    return chance.choice(("\n", "\n", "\n\n", " ")).join(parts)


GENERATORS = (_brief,)
