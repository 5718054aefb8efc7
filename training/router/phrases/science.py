"""Facts asked in whole cases and whole sentences: patients, experiments, explanations, questions of
yes and no. See ``templates``."""

# ruff: noqa: E501

from __future__ import annotations

import random

from training.router.phrases.slots import drawn


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.replace("\n", " ").split(","))


_THINGS = "|".join(
    _list("""
black holes,photosynthesis,the water cycle,plate tectonics,inflation,the Silk Road,penicillin,vaccines,
herd immunity,natural selection,gene editing,stem cells,the immune system,quantum entanglement,gravity,
nuclear fusion,neural networks,the greenhouse effect,monetary policy,the stock market,supply and demand,
the French Revolution,the Cold War,apartheid,the Magna Carta,the Aztecs,Buddhism,impressionism,jazz,
the periodic table,acid rain,antibiotics,insulin,the human heart,migraine,dreams,memory,lightning,
tides,volcanoes,coral reefs,honeybees,migration of birds,dark matter,relativity,radioactivity,magnets,
capacitors,transistors,solar panels,steam engines,refrigerators,microwaves,airplane wings,GPS,radar,
lasers,fermentation,cheese,sourdough,chess,the Olympics,the electoral college,the Supreme Court,
patents,bankruptcy,habeas corpus,globalization,urbanization,social class,cognitive dissonance,
classical conditioning,anxiety disorders,placebo effects,vitamins,cholesterol,blood pressure,diabetes,
malaria,tuberculosis,dinosaurs,the ice ages,the Big Bang,comets,the moon,tsunamis,earthquakes,deserts,
Einstein,Marie Curie,Aristotle,Napoleon,Cleopatra,Gandhi,Shakespeare,Mozart,Frida Kahlo,Confucius
""")
)
_YES_NO = "|".join(
    _list("""
a goldfish live in salt water,sound travel in a vacuum,bats see at night,penguins live in the Arctic,
a tomato count as a fruit,honey spoil,sharks have bones,Napoleon visit Egypt,the Great Wall reach Korea,
spiders count as insects,a vegan eat gelatin,olive oil freeze,the Vikings reach America,diamonds burn,
Beethoven hear his last symphony,a camel survive in Antarctica,Mercury have a moon,iron float on mercury,
the Pope vote in Italy,a kangaroo walk backwards,bananas grow on trees,cacti grow in the rain forest,
Shakespeare meet Galileo,a lobster feel pain,the Amazon flow west,gold rust,owls turn their heads around,
Cleopatra own a printed book,lightning strike twice,snakes have eyelids,Canada border Russia,plants sleep,
a submarine cross the Panama Canal,aspirin help with fever,Batman appear in a Marvel film,oysters move
""")
)
_SYMPTOMS = _list("""
chest pain,shortness of breath,a sore throat,joint stiffness,blurred vision,a severe headache,nausea,
abdominal pain,bloody stools,a persistent cough,night sweats,weight loss,a painful rash,palpitations,
numbness in the hands,difficulty swallowing,swelling of the legs,dizziness,fatigue,back pain,jaundice,
frequent urination,hearing loss,memory problems,fever and chills,a lump in the neck,muscle weakness,
heavy menstrual bleeding,hair loss,double vision,tremor,itching,easy bruising,insomnia,confusion
""")
_CONDITIONS = _list("""
hypertension,type 2 diabetes,asthma,rheumatoid arthritis,atrial fibrillation,chronic kidney disease,
hypothyroidism,gout,depression,osteoporosis,epilepsy,lupus,sickle cell disease,Crohn disease,hepatitis C,
alcohol use disorder,psoriasis,iron deficiency anemia,peptic ulcer disease,heart failure,migraine
""")
_DRUGS = _list("""
Metformin,Warfarin,Amoxicillin,Prednisone,Lisinopril,Levothyroxine,Propranolol,Furosemide,Vancomycin,
Methotrexate,Albuterol,Omeprazole,Atorvastatin,Clopidogrel,Fluoxetine,Heparin,Allopurinol,Colchicine,
Ciprofloxacin,Spironolactone,Haloperidol,Lithium,Ceftriaxone,Acyclovir,Ibuprofen,Carbamazepine
""")
_DISEASES = _list("""
Pulmonary embolism,Aortic dissection,Appendicitis,Multiple sclerosis,Meningitis,Pneumonia,Cushing syndrome,
Graves disease,Acute pancreatitis,Myasthenia gravis,Giant cell arteritis,Sarcoidosis,Celiac disease,
Deep vein thrombosis,Endocarditis,Nephrotic syndrome,Polycythemia vera,Temporal lobe epilepsy,Cholecystitis,
Ovarian torsion,Guillain-Barré syndrome,Hodgkin lymphoma,Addison disease,Wilson disease,Septic arthritis
""")
_MECHANISMS = _list("""
Inhibition of protein synthesis,Blockade of beta receptors,Defective collagen,Loss of myelin,
Autoantibodies against the thyroid,Increased gastric acid,Deficiency of an enzyme,Reduced insulin secretion,
Mutation of a tumor suppressor gene,Obstruction of the bile duct,Delayed hypersensitivity,Renal vasoconstriction
""")
_NEXT = _list("""
CT scan of the abdomen,Lumbar puncture,Intravenous antibiotics,Reassurance and follow-up,Surgical consultation,
Chest x-ray,Echocardiography,Bone marrow biopsy,Begin oral corticosteroids,Measure serum ferritin,Colonoscopy
""")
_ASK = (
    ("Which of the following is the most likely diagnosis?", _DISEASES),
    ("What is the most likely diagnosis?", _DISEASES),
    ("Which of the following is the most likely cause of this patient's symptoms?", _DISEASES),
    ("Which of the following is the most appropriate next step in management?", _NEXT),
    ("What is the most appropriate next step?", _NEXT),
    ("Which of the following is the most appropriate treatment?", _DRUGS),
    ("Which of the following drugs should be added?", _DRUGS),
    ("This patient is at increased risk for which of the following conditions?", _DISEASES),
    ("Which of the following best explains these findings?", _MECHANISMS),
    ("Which of the following mechanisms underlies this condition?", _MECHANISMS),
    ("Which additional finding is most likely in this patient?", _SYMPTOMS),
    ("Which test should be ordered first?", _NEXT),
    ("How should the physician respond?", _NEXT),
)


def _patient(chance: random.Random) -> str:
    """A case as in medical examinations."""
    man = chance.random() < 0.5
    who = chance.choice(("man", "male", "boy") if man else ("woman", "female", "girl"))
    if chance.random() < 0.25:
        who = chance.choice(("infant", "child", "patient", "farmer", "pregnant woman", "nurse"))
    he, his = ("He", "his") if man else ("She", "her")
    parts = [
        f"A {chance.randint(2, 91)}-{chance.choice(('year', 'year', 'month'))}-old {who} "
        + chance.choice(
            (
                "comes to the physician because of",
                "presents to the emergency department with",
                "is brought to the emergency department because of",
                "presents to {his} primary care physician for evaluation of",
                "is evaluated for a {n}-week history of",
                "is admitted with",
            )
        ).format(his=his, n=chance.randint(2, 9))
        + f" {chance.choice(_SYMPTOMS)} and {chance.choice(_SYMPTOMS)}"
        + chance.choice((".", f" for {chance.randint(2, 10)} days.", " that began this morning."))
    ]
    more = [
        f"{he} has a history of {chance.choice(_CONDITIONS)} and {chance.choice(_CONDITIONS)}.",
        f"{he} takes {chance.choice(_DRUGS).lower()} and {chance.choice(_DRUGS).lower()}.",
        f"{his.capitalize()} temperature is {chance.randint(36, 40)}.{chance.randint(0, 9)}°C, pulse is "
        f"{chance.randint(55, 140)}/min and blood pressure is {chance.randint(80, 190)}/{chance.randint(50, 110)} mm Hg.",
        f"Physical examination shows {chance.choice(_SYMPTOMS)} and tenderness of the {drawn('organ', chance)}.",
        f"Laboratory studies show:\nHemoglobin {chance.randint(6, 17)} g/dL\nLeukocyte count "
        f"{chance.randint(2, 30)},{chance.randint(100, 900)}/mm3\nCreatinine {chance.randint(1, 5)}.{chance.randint(0, 9)} mg/dL",
        f"{he} works as a {drawn('job', chance)} and does not smoke.",
        f"{he} denies {chance.choice(_SYMPTOMS)}.",
        f"An ultrasound of the {drawn('organ', chance)} is unremarkable.",
        f"{his.capitalize()} mother had {chance.choice(_DISEASES).lower()}.",
        "Vital signs are within normal limits.",
        f"A biopsy of the {drawn('organ', chance)} is performed.",
    ]
    chance.shuffle(more)
    ask, options = chance.choice(_ASK)
    parts += [*more[: chance.randint(1, 5)], ask]
    return " ".join(parts) + _lettered(options, chance, 0.55)


def _lettered(options: tuple[str, ...], chance: random.Random, share: float) -> str:
    if chance.random() > share:
        return ""
    mark = chance.choice(("{}. ", "{}) ", "({}) ", "{}: "))
    chosen = chance.sample(options, chance.choice((4, 5, 4)))
    return "".join(
        "\n" + mark.format(letter) + option for letter, option in zip("ABCDE", chosen, strict=False)
    )


_COMPOUNDS = _list("""
benzaldehyde,cyclohexanone,acetic acid,sodium hydroxide,2-methylbutane,phenol,toluene,ammonia,aniline,
potassium permanganate,ethyl acetate,1-butanol,hydrogen bromide,maleic anhydride,copper sulfate,methanol,
lithium aluminium hydride,3-hexyne,glucose,acetone,bromine water,silver nitrate,nitric acid,propene
""")
_BODIES = _list("""
an uncharged conducting sphere,a synchrotron,a pendulum,a converging lens,a proton in a magnetic field,
a binary star system,a photon,an ideal gas,a long solenoid,a satellite,a semiconductor,a black body,
a steel beam,a transformer,a heat engine,an electron in a potential well,a telescope,an inclined plane
""")
_CELLS = _list("""
mitochondria,ribosomes,the enzyme,a transcription factor,T cells,the neuron,a retrovirus,the operon,
the plasmid,a mutant strain of yeast,hemoglobin,the peptide,chloroplasts,an allele,the antibody
""")


def _laboratory(chance: random.Random) -> str:
    """Chemistry, physics and biology as studied: what happens, what is meant, which is formed."""
    one, two = chance.sample(_COMPOUNDS, 2)
    body, cell = chance.choice(_BODIES), chance.choice(_CELLS)
    stem = chance.choice(
        (
            f"{one.capitalize()} is treated with {two}, followed by {chance.choice(_COMPOUNDS)}. Identify the major product.",
            f"What is the product when {one} reacts with {two} at low temperature?",
            f"{one.capitalize()} was heated with {two}, forming product 1. 1 was treated with {chance.choice(_COMPOUNDS)} to give product 2. What is product 2?",
            f"Which of the following will not react with {one}?",
            f"How many signals appear in the 1H NMR spectrum of {one}?",
            f"Determine the pH of a solution of {chance.randint(100, 900)} mL of 0.{chance.randint(1, 9)} M {one} and {two}.",
            f"Which statement about {body} is correct?",
            f"What happens to {body} when the temperature is doubled?",
            f"Consider {body}. Which of the following quantities is conserved, and why?",
            f"The energy of {body} is best described by which law?",
            f"In an experiment, a researcher removes {cell} and observes that growth stops. What is the most likely explanation?",
            f"What is the role of {cell} in the cell cycle?",
            f"A scientist wants to study {cell} in a mouse model. Which method should be used?",
            f"A mutation that inactivates {cell} would lead to",
            f"You are analyzing a compound synthesized from {one}. The spectrum shows two peaks where one was expected. What is the most likely explanation?",
            f"Why does {one} boil at a higher temperature than {two}?",
            f"{cell.capitalize()} can be distinguished from other structures because",
        )
    )
    options = tuple(
        dict.fromkeys(
            (
                *_COMPOUNDS[:8],
                *_CELLS[:5],
                *_MECHANISMS[:4],
                "It increases",
                "It stays the same",
                "None of these",
            )
        )
    )
    return stem + _lettered(options, chance, 0.5)


TEMPLATES: tuple[str, ...] = (
    *(
        f"[Tell me about|Explain|Can you explain|Explain to me|What do you know about|Describe|Give me an overview of|What is|What are|I'd like to learn about|Teach me about|Summarize what is known about|Who or what is] [the basics of|the history of|the causes of|the importance of|how people discovered|] [{_THINGS}][?|.|| in simple terms.| and its applications.| briefly.]"
        for _ in range(3)
    ),
    f"[How do|How does|Why do|Why does|What happens when|What would happen without] [{_THINGS}] [work|matter|affect people|change over time|occur|begin][?|, and what are the consequences?| Explain step by step.]",
    f"What [if|would the world be like if] [{_THINGS}] had [never existed|been discovered a century earlier|not occurred|failed|been banned]?",
    f"How [do|does|did] [social media|culture|climate|religion|technology|governments|trade|education] [influence|shape|affect|change] [{_THINGS}|what people eat|elections|families|language|cities]?",
    f"What are the [main|major|primary] [causes|effects|challenges|differences|arguments|factors|types|symptoms|stages] [of|behind|in] [{_THINGS}|the education sector|consumer behavior|housing|fishing|public health][ today|]?",
    *(f"[Can|Could|Would|Will|Does|Did|Do|Is it true that] [{_YES_NO}]?" for _ in range(3)),
    "[Is|Was|Are] [<person>|<country>|<animal>s|<element>|<city>|the <organ>|<invention>] [older than <person>|near <city>|a mammal|part of Europe|used in medicine|still alive|poisonous|found in Africa|heavier than water|a solid at room temperature|associated with <event>|named after a king|allergic to anything|famous in <country>]?",
    "[Would|Could|Did|Can] [<person>|a <animal>|a <job>|someone from <country>] [have met|survive on|outlive|recognize|need|be buried near|have voted for|enjoy|use] [<person>|a <animal>|<food>|<invention>|<event>|a desert|<city>]?",
    "[who's|who is|who was] [the prime minister|the president|the king|in charge|the head of state|the richest person] of <country>[ right now| when the war ended| in <year>|]?",
    "[did|when do|how did] [the dodgers|manchester united|the lakers|the yankees|<country>] [win|play|do] [last night|this week|in the final|yesterday]?",
    "[what does|what do] [a <job>|a milliner|a cooper|a capacitor|the <organ>|a notary|a carburetor|an ombudsman|red blood cells] [do|make and sell|consist of|actually do]?",
    "[The largest|The smallest|The main] [organ of the body|planet|bone|part of the <organ>|export of <country>] [is|is the:|is called]",
    "[Which|What] [nerve|artery|vitamin|hormone|gland|bone|muscle|enzyme|cell] [is compressed in|is produced by|carries blood to|controls|is damaged in|stores] [the <organ>|carpal tunnel syndrome|the skin|blood sugar|a fracture of the arm]?",
)
GENERATORS = (_patient, _laboratory)
