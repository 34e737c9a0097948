# ruff: noqa: E501 (tables of patterns)
"""What the Termination Gate knows of doctors' words: names of diseases, treatments, advice, places, haste, farewells."""

from __future__ import annotations

import functools
import re

from m2jax.clinic.condition import conditions
from m2jax.clinic.names import names_of

# Endings of the names of diseases, and those without one; nouns that a word before them makes a disease.
_ENDINGS = (
    "itis|oses|osis|omas?|a?emia|opathy|algia|iasis|ectasis|plegia|thyroidism|rrhoids|rrhage|rrhea|rrhoea|trophy|urticaria"
    "|pnoea|pnea|cele|phobia|rhythmia|cardia|pepsia|eclampsia|somnia|pecia|sclerosis|stenosis|keratosis|dystrophy|genism"
)
_KINDS = (
    "disease|syndrome|disorder|infection|deficiency|fracture|failure|attack|detachment|embolism|infarction|poisoning|overdose"
    "|vertigo|cancer|tumou?r|ulcers?|hernia|clot|sprain|strain|effusion|abscess|withdrawal|crisis|colic|torsion|prolapse"
    "|fissure|cyst|allergy|palsy|worms?|reflux|apn(?:o?e)a|stress\\s+disorder|fibrillation|flutter|aneurysm|dissection"
)
_NAMES = (
    "stroke|tia|gout|flu|influenza|migraines?|pneumonia|asthma|copd|croup|scabies|shingles|measles|mumps|chickenpox|eczema"
    "|psoriasis|acne|angina|diabetes|anxiety|depression|panic|epilepsy|dementia|malaria|covid|anaphylaxis|pregnan(?:t|cy)"
    "|ectopic|miscarriage|meningism|sepsis|pre-?eclampsia|glaucoma|cataracts?|polymyalgia|lupus|jaundice|constipation|torn"
    "|restless\\s+legs|concussion|impetigo|rosacea|molluscum|ringworm|threadworms?|pinworms?|lice|thrush|warts?|verrucas?|boil"
    "|haemorrhoids|hemorrhoids|piles|gallstones?|hay\\s+fever|hives|urticaria|eczema|vitiligo|cellulitis|faint|syncope|nosebleeds?"
    "|athlete's\\s+foot|hypertension|ptsd|post-?traumatic\\s+stress|pcos|bppv|ibs|gord|gerd|uti|dvt|adhd|ocd|autism|bipolar|roseola|slapped\\s+cheek|birthmark|mono|giardia\\w*|salmonella|shigella|c\\.?\\s?diff\\w*|tinea|jock\\s+itch|rupture\\w*|snapped|lipoma|ganglion|osgood\\S*|h\\.?\\s?pylori|helicobacter|sj(?:ö|o)gren'?s|m(?:é|e)ni(?:è|e)re'?s|dupuytren'?s|de\\s+quervain'?s"
    "|kawasaki\\S*|gilbert'?s|wilson'?s|paget'?s|perthes\\S*|dka|heart\\s+attack|(?:common|viral|simple|head|bad)\\s+cold"
    "|schizophrenia|menopause|perimenopause|fibroids?|fibromyalgia|sciatica|whiplash|bunion|stye|chalazion|tinnitus|herpes"
    "|cold\\s+sores?|chlamydia|syphilis|hiv|dengue|typhoid|lyme|mono|scarlet\\s+fever|glandular\\s+fever|rheumatic\\s+fever"
    "|mediterranean\\s+fever|hand,?\\s+foot,?\\s+(?:and|&)\\s+mouth|norovirus|virus|viral|diverticul\\w+|coeliac|celiac|crohn'?s"
    "|parkinson'?s?|hashimoto'?s?|graves'?|addison(?:'s|ian)|cushing'?s?|bell'?s\\s+palsy|raynaud'?s|hyperemesis|cholestasis"
    "|insomnia|burnout|colic|teething|dehydrat(?:ed|ion)|heat\\s*stroke|sunburn|frostbite|hernia|rickets|scurvy|sprained"
    "|(?:tension|cluster|thunderclap)\\s+headaches?|(?:high|raised)\\s+blood\\s+pressure|(?:kidney|bladder)\\s+stones?|(?:nappy|diaper|heat)\\s+rash"
    "|(?:tennis|golfer's)\\s+elbow|(?:trapped|pinched)\\s+nerve|carpal\\s+tunnel|trigger\\s+finger|runner's\\s+knee|(?:glue|swimmer's)\\s+ear"
    "|pink\\s+eye|overactive\\s+bladder|irritable\\s+bowel|(?:insect|tick|dog|spider)\\s+bites?|(?:allergic|drug)\\s+reaction"
    "|lactose\\s+intoleran\\w+|(?:muscle|ligament|cuff|meniscal)\\s+tear|(?:under|over)active\\s+thyroid|bruised\\s+rib|pulled\\s+muscle"
    "|broken|dislocated|slipped\\s+disc|frozen\\s+shoulder|ingrown|torsion|intussusception|cauda\\s+equina|hypothyroid|hyperthyroid"
)  # fmt: skip


@functools.cache
def disease() -> re.Pattern[str]:
    """Any name of a disease: what the clinic calls its conditions, and the tables above."""
    of_clinic = {name for c in conditions() for name in names_of(c)}
    known = "|".join(re.escape(name) for name in sorted(of_clinic, key=len, reverse=True))
    return re.compile(
        rf"\b(?:{known}|\w{{2,}}(?:{_ENDINGS})|(?:[\w'-]+\s+)?(?:{_KINDS})|{_NAMES})\b",
        re.IGNORECASE,
    )


_FORMS = (
    "tablets?|capsules?|pills?|cream|ointment|gel|lotion|inhalers?|puffs?|sprays?|drops|lozenges?|injections?|jabs?|patch(?:es)?"
    "|mouthwash|rins(?:e|es|ing)|sachets?|suppositor\\w+|emollients?|moisturi[sz]er|steroids?|antibiotics?|antivirals?|antifungals?"
    "|antihistamines?|antidepressants?|painkillers?|painkilling|pain\\s+relief|decongestants?|laxatives?|probiotics?|supplements?"
    "|vitamins?|iron|statins?|anticoagulants?|blood\\s+thinners?|insulin|oxygen|cpap|nebuli[sz]er|drip|splints?|brace|cast"
    "|sling|stockings|insoles?|physio\\w*|physical\\s+therapy|exercises?|counsel+ing|therapy|cbt|emdr|surgery|operation|keyhole"
    "|removal|stitches|dressings?|compress(?:es)?|ice|heat\\s+pack|bed\\s+rest|rest|fluids|fib(?:re|er)|diet|referral|referr\\w+"
    "|follow-?up|sick\\s+note|watchful|treatment|remedy|medication|medicine|sunscreen|spf|epley|man(?:o?eu|eu)vre"
)
_DRUGS = (
    r"\w+(?:cillin|mycin|micin|cycline|floxacin|azole|pril|sartan|olol|statin|dipine|triptan|caine|sone|solone|sonide|tadine|rizine|zepam"
    r"|zolam|oxetine|traline|talopram|profen|oxaban|xaban|formin|gliptin|gliflozin|ferol|afil|dronate|lumab|cizumab|setron|clovir"
    r"|ciclovir|ethrin|phylline|terol|buterol|butamol|thyroxine|thiazide|semide|pramide|gabalin|pentin|triptyline|mectin|parin|platin"
    r"|trexate|prazole|tidine|codone|fenamate|nazole|bactam|barbital|toin|pamide|lukast|tropium)"
    r"|paracetamol|acetaminophen|tylenol|advil|aspirin|naproxen|diclofenac|codeine|morphine|nitrofurantoin|ferrous|colchicine|steroid"
    r"|levodopa|lithium|warfarin|heparin|mirena|adrenaline|epinephrine|verapamil|naseptin|chlorphenam\w+|permethrin|hydrocortisone"
)
_DOSES = (
    r"\d+\s?(?:mg|mcg|µg|g|ml|mL|iu|units?|puffs?|drops?)\b|\b(?:once|twice|thrice|three\s+times|four\s+times)\s+(?:a\s+day|daily|a\s+week|nightly)"
    r"|\b(?:[tbq]id|bd|tds|qds|od|prn|nocte)\b|\bevery\s+(?:\w+\s+)?(?:day|morning|night|evening|hours?|other\s+day)\b"
    r"|\bfor\s+(?:the\s+next\s+)?(?:an?|one|two|three|four|five|six|seven|ten|twelve|\d+|a\s+few|several)(?:\s*(?:to|-|–|or)\s*\w+)?\s+(?:days?|weeks?|months?)\b"
    r"|\bx\s?\d+\s?(?:d|days?|/7|/52)\b|\b(?:at\s+bedtime|before\s+(?:bed|breakfast|meals)|with\s+food|nightly|daily|as\s+needed|for\s+life)\b"
)
# What is done about a disease, in a sentence of any form.
TREATMENT = re.compile(rf"\b(?:{_FORMS}|{_DRUGS})\b|{_DOSES}", re.IGNORECASE)
# What is to be left alone, or waited for; and what to come back for.
ADVICE = re.compile(
    r"""\b(?:don't|do\s+not|mustn't|must\s+not|avoid|no|stop|skip|cut\s+(?:down|out)|steer\s+clear|stay\s+away|keep\s+(?:away|off))\s+(?:\w+\s+)?
      (?:\w+ing|squeez\w+|scratch\w*|shar\w+|driv\w+|lift\w*|smok\w+|alcohol|caffeine|coffee|sport|contact|daycare|nursery|school|swimming|restriction\w*|antibiotics?)\b
    | \b(?:clears?|settles?|heals?|passes|goes|go)\s+(?:up|down|away|by\s+(?:itself|themselves)|on\s+its\s+own)\b
    | \b(?:let\s+(?:us|me)\s+know|(?:ring|call|phone)\s+(?:us|me|111|maternity|the\s+\w+)|come\s+back|i'?ll\s+(?:ring|call|phone|see|refer|arrange|check|write|send|book)
        |we'?ll\s+(?:repeat|check|fit|see|start|treat|review|recheck|change|send|book|arrange))\b
    | \b(?:less|more|plenty\s+of|lots\s+of)\s+(?:salt|walking|water|fluids?|fib(?:re|er)|sleep|rest|exercise)\b
    | \b(?:wear|wash|trim|drink|eat|sleep|raise|elevate|pinch|squeeze|apply|gargle|soak|massage|switch|limit|reduce)\b
    | \bspecialist\b | \bclinic\s+will\b | \bhome\s+is\s+the\s+best\b""",
    re.IGNORECASE | re.VERBOSE,
)
_PLACES = (
    r"ambulance|a\s?&\s?e|\ber\b|emergency\s+(?:department|room|unit|services|mri|scan|surgery|operation|care|eye\s+\w+)|casualty|hospital|999|911|112|000"
    r"|ward|admi(?:t|ssion)|(?:early\s+)?pregnancy\s+unit|labou?r\s+ward|surgeons?|surgical\s+team|(?:\w+\s+)?(?:\w+\s+)unit|(?:trauma|burns|stroke|heart|cardiothoracic)\s+cent(?:re|er)|n?icu|theatre|spinal\s+team|stroke\s+(?:team|unit)|cath(?:eter)?\s+lab|resus|paramedics?"
)
_NOW = (
    r"now|right\s+away|straight\s*away|straight|immediately|at\s+once|without\s+delay|tonight|today|this\s+(?:\w+\s+)?(?:minute|instant|morning|afternoon|evening|moment)"
    r"|urgently|as\s+soon\s+as\s+possible|asap|on\s+(?:its|the|their)\s+way|expecting\s+you|have\s+your\s+name|alerted"
)
PLACE, NOW = (re.compile(rf"\b(?:{words})(?!\w)", re.IGNORECASE) for words in (_PLACES, _NOW))
FAREWELL = re.compile(
    r"""\b(?:(?:good-?\s?bye|bye(?:-?bye)?)(?:\s+(?:now|for\s+now|then))?(?=\s*(?:[.!,;]|and\b|$))|farewell(?=\s*(?:[.!,;]|and\b|$))|cheerio|ta-?ra|ta-?ta|so\s+long|get\s+well(?:\s+soon)?|all\s+the\s+best(?!\s+for\s+the)|best\s+wishes|(?:speedy|quick|swift)\s+recovery
    | feel\s+better\s+soon|look\s+after\s+yourself|(?:that's|that\s+is)\s+all\s+for\s+(?:today|now)|(?:we\s+are|we're)\s+done|mind\s+how\s+you\s+go
    | safe\s+(?:journey|travels|trip|home)|off\s+you\s+go|(?:until|till)\s+next\s+(?:time|week)|my\s+best\s+to
    | have\s+a\s+(?:good|nice|great|lovely|pleasant|restful)\s+(?:day|evening|weekend|night|afternoon|week|one|rest)
    | see\s+you\s+(?:in|on|next|soon|then|later|tomorrow|again)|take\s+(?:good\s+)?care(?=\s*(?:[.!,]|and\b|now\b|of\s+yourself\s*[.!]|$)))""",
    re.IGNORECASE | re.VERBOSE,
)


@functools.cache
def marks() -> dict[str, re.Pattern[str]]:
    """The tables by a letter each, as `gate.features` names them."""
    return {"D": disease(), "T": TREATMENT, "A": ADVICE, "P": PLACE, "N": NOW, "F": FAREWELL}
