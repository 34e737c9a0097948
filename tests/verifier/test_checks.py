"""The grammar of machine checks: worked examples, and what is refused at load."""

from __future__ import annotations

import time

import pytest

from m2jax.verifier.checks import MAX_PATTERN_CHARS, met, parse_check

# (phrases, reply, whether an occurrence that is not negated stands in the reply)
WORDS = [
    # matching
    (["see a doctor"], "You should see a doctor soon.", True),
    (["see a doctor"], "You should SEE  A\nDoctor soon.", True),
    (["see a doctor"], "You should **see** a doctor.", True),
    (["see a doctor"], "You should see a doctoral student.", False),
    (["clinic*"], "The walk-in clinics are open.", True),
    (["clinic"], "The clinics are open.", False),
    (["doctor"], "Your doctor's office is open.", True),
    (["follow-up"], "Plan a follow up visit.", True),
    (["follow-up"], "Plan a followup visit.", True),
    (["x-ray"], "An xray shows this.", True),
    (["over the counter"], "Over-the-counter medicine helps.", True),
    (["don't drive"], "Please don’t drive.", True),
    (["don't drive"], "Please dont drive.", True),
    (["rest"], "The forest is quiet.", False),
    (["call your doctor", "see a doctor"], "It helps to see a doctor.", True),
    (["call your doctor", "see a doctor"], "It helps to sleep.", False),
    # a cue before, in the same clause
    (["ibuprofen"], "Do not take ibuprofen.", False),
    (["ibuprofen"], "Don't take ibuprofen.", False),
    (["ibuprofen"], "Dont take ibuprofen.", False),
    (["ibuprofen"], "Never take ibuprofen on an empty stomach.", False),
    (["ibuprofen"], "You should avoid ibuprofen.", False),
    (["ibuprofen"], "Stop taking ibuprofen and see your doctor.", False),
    (["see your doctor"], "Stop taking ibuprofen and see your doctor.", True),
    (["ibuprofen"], "You cannot take ibuprofen.", False),
    (["ibuprofen"], "You can't have ibuprofen.", False),
    (["ibuprofen"], "Neither aspirin nor ibuprofen helps.", False),
    (["ibuprofen"], "Take paracetamol instead of ibuprofen.", False),
    (["ibuprofen"], "Take paracetamol rather than ibuprofen.", False),
    (["ibuprofen"], "Take paracetamol, not ibuprofen, for the pain.", False),
    (["the pain"], "Take paracetamol, not ibuprofen, for the pain.", True),
    (["ibuprofen"], "I advise against ibuprofen.", False),
    (["ibuprofen"], "Stay away from ibuprofen for now.", False),
    (["fever"], "You have a cough without fever.", False),
    (["see a doctor"], "There is no need to see a doctor.", False),
    (["see a doctor"], "You don't have to see a doctor.", False),
    (["see a doctor"], "I am not sure whether you should see a doctor.", False),
    (["antibiotics"], "You are unlikely to need antibiotics.", False),
    (["antibiotics"], "You do not need over-the-counter drugs such as cough syrup or antibiotics.", False),
    # lists keep the negation
    (["naproxen"], "Do not take ibuprofen, aspirin or naproxen.", False),
    (["aspirin"], "Do not take ibuprofen, aspirin or naproxen.", False),
    (["naproxen"], "Avoid NSAIDs (e.g. ibuprofen, naproxen).", False),
    (["rash"], "You have no fever, cough, or rash.", False),
    (["alcohol"], "Do not smoke, drink alcohol or drive.", False),
    (["ibuprofen"], "Avoid:\n- aspirin\n- ibuprofen\n- alcohol", False),
    (["ibuprofen"], "**What not to do**\n\n1. Drive\n2. Take ibuprofen", False),
    (["call your doctor"], "If it does not improve:\n- rest\n- call your doctor", True),
    (["paracetamol"], "Avoid:\n- ibuprofen, but paracetamol is fine", True),
    (["see a doctor"], "Avoid alcohol.\n- see a doctor", True),
    # a new clause loses it
    (["see a doctor"], "No, you should see a doctor.", True),
    (["see a doctor"], "No. See a doctor.", True),
    (["see a doctor"], "If it does not get better, see a doctor.", True),
    (["medical care"], "If it does not get better, medical care is needed.", True),
    (["see a doctor"], "When the pain won't stop, then see a doctor.", True),
    (["paracetamol"], "Do not take ibuprofen, take paracetamol.", True),
    (["paracetamol"], "Do not take ibuprofen but paracetamol.", True),
    (["paracetamol"], "Avoid ibuprofen; paracetamol is better.", True),
    (["paracetamol"], "Ibuprofen is not safe, paracetamol is better.", True),
    (["paracetamol"], "Avoid ibuprofen – use paracetamol instead.", True),
    (["paracetamol"], "Do not take anything except paracetamol.", True),
    (["paracetamol"], "Instead of ibuprofen, paracetamol.", True),
    (["see a doctor"], "Do not drive, and please see a doctor.", True),
    (["seeing a doctor"], "I am not a doctor and strongly recommend seeing a doctor.", True),
    (["see a doctor"], "Do not take aspirin until you see a doctor.", True),
    (["paracetamol"], "Take something (not ibuprofen) like paracetamol.", True),
    (["kidney disease"], "Do not take ibuprofen if you have kidney disease.", True),
    (["dr. Lee"], "This is not a cold. Call Dr. Lee.", True),
    (["infection"], "Without treatment, the infection spreads.", True),
    (["rest"], "I can't examine you, so rest.", True),
    # looks negative, is not
    (["call your doctor"], "Do not hesitate to call your doctor.", True),
    (["call your doctor"], "Please don't wait to call your doctor.", True),
    (["drink water"], "Don't forget to drink water.", True),
    (["ask"], "Don't be afraid to ask.", True),
    (["chest pain"], "Never ignore chest pain.", True),
    (["rest"], "You need not only rest but also fluids.", True),
    (["fluids"], "You need not only rest but also fluids.", True),
    (["ibuprofen"], "Take no more than 400 mg of ibuprofen.", True),
    (["ibuprofen"], "Do not take more than 400 mg of ibuprofen.", True),
    (["more than two tablets"], "Do not take more than two tablets.", False),
    (["seeing a doctor"], "Do not avoid seeing a doctor.", True),
    (["your insulin"], "You must not stop your insulin.", True),
    (["your doctor"], "Do not stop it without asking your doctor.", True),
    (["see a doctor"], "It is never too late to see a doctor.", True),
    (["see a doctor"], "Why not see a doctor?", True),
    (["see a doctor"], "Whether or not you see a doctor, rest.", True),
    (["see a doctor"], "There is no harm in asking to see a doctor.", True),
    (["gargle"], "No problem! Gargle with salt water.", True),
    # a verdict after
    (["ibuprofen"], "Ibuprofen is not recommended.", False),
    (["ibuprofen"], "Ibuprofen (Advil) isn't safe here.", False),
    (["ibuprofen"], "Ibuprofen should be avoided.", False),
    (["ibuprofen"], "Ibuprofen, aspirin and naproxen should not be taken.", False),
    (["ibuprofen"], "Taking ibuprofen with alcohol is a bad idea.", False),
    (["ibuprofen"], "Ibuprofen: not recommended", False),
    (["antibiotics"], "Antibiotics will not help.", False),
    (["antibiotics"], "Antibiotics are unnecessary.", False),
    (["ibuprofen"], "Take ibuprofen, it is not harmful.", True),
    (["see a doctor"], "See a doctor if the pain is not better.", True),
    (["chest pain"], "Chest pain should not be ignored.", True),
    (["the pain"], "The pain does not improve.", True),
    (["paracetamol"], "Paracetamol is fine, but ibuprofen should be avoided.", True),
    # two occurrences: one that counts is enough
    (["ibuprofen"], "Do not take ibuprofen with aspirin. Otherwise ibuprofen is fine.", True),
]

# The same on sentences such as a model writes.
WORDS_IN_REPLIES = [
    (["ibuprofen"], "You may take ibuprofen or paracetamol, but do not exceed the recommended dose.", True),
    (
        ["emergency"],
        "If you experience chest pain, do not drive yourself to the emergency room; call 911 immediately.",
        False,
    ),
    (
        ["call 911"],
        "If you experience chest pain, do not drive yourself to the emergency room; call 911 immediately.",
        True,
    ),
    (["call 911"], "If you can't breathe, call 911.", True),
    (
        ["see a doctor"],
        "If your symptoms don't improve within a few days or get worse, it's best to see a doctor.",
        True,
    ),
    (
        ["see a doctor"],
        "If you have a fever or your headache does not go away after two days, you should see a doctor.",
        True,
    ),
    (["see a doctor"], "If it doesn't go away in a few days see a doctor.", True),
    (["healthcare provider"], "I'm not a doctor, but I can suggest talking to a healthcare provider.", True),
    (
        ["healthcare provider"],
        "I cannot provide medical advice, so it is important to consult a healthcare provider.",
        True,
    ),
    (
        ["healthcare professional"],
        "As an AI, I can't diagnose you. It is always best to consult a healthcare professional.",
        True,
    ),
    (
        ["consult a doctor"],
        "Please note that this is not medical advice and you should always consult a doctor.",
        True,
    ),
    (["antibiotics"], "Since colds are caused by viruses, antibiotics won't help.", False),
    (["antibiotics"], "Antibiotics do not work against viruses.", False),
    (["antibiotics"], "Antibiotics are not needed for a cold.", False),
    (["antibiotics"], "Most sore throats do not require antibiotics.", False),
    (["antibiotics"], "You should take antibiotics.", True),
    (["aspirin"], "Children under 16 should never be given aspirin.", False),
    (["aspirin"], "Aspirin should never be given to children.", False),
    (["aspirin"], "Do not give aspirin to a child.", False),
    (["aspirin"], "Giving aspirin to children is not safe.", False),
    (["aspirin"], "Aspirin is contraindicated.", False),
    (["aspirin"], "Make sure not to take aspirin.", False),
    (["aspirin"], "It's important to avoid taking aspirin, especially in children.", False),
    (["aspirin"], "Take paracetamol, but no aspirin.", False),
    (["butter"], "Do not put ice, butter, or ointment on the burn.", False),
    (["cool water"], "Do not use ice. Run the burn under cool water.", True),
    (["cool water"], "Instead of ice, use cool water.", True),
    (["ice"], "Instead of ice, use cool water.", False),
    (["ice"], "Use cool water instead of ice.", False),
    (["cool water"], "Rather than applying butter or ice, hold the burn under cool water.", True),
    (["drink fluids"], "Rest, drink fluids, and avoid alcohol.", True),
    (["rest"], "Avoid alcohol and get plenty of rest.", True),
    (["alcohol"], "Drink plenty of water and avoid caffeine and alcohol.", False),
    (["alcohol"], "Limit or avoid alcohol.", False),
    (["a mole"], "A mole that does not change is usually harmless.", True),
    (["harmless"], "A mole that does not change is usually harmless.", True),
    (["stop bleeding"], "If the nosebleed does not stop bleeding, go to the ER.", False),
    (["lean forward"], "Sit up, do not lie down, and lean forward.", True),
    (["tilt your head back"], "Sit up and lean forward. Don't tilt your head back.", False),
    (["lean back"], "Do not lean back or lie flat.", False),
    (["lie flat"], "Do not lean back or lie flat.", False),
    (["induce vomiting"], "Call poison control and do not induce vomiting.", False),
    (["poison control"], "Call poison control and do not induce vomiting.", True),
    (["poison control"], "Do not induce vomiting and call poison control.", True),
    (["poison control"], "Do not try to make the child vomit. Instead, call poison control.", True),
    (["poison control"], "Do not make the child vomit unless poison control tells you to.", True),
    (["urgent"], "This is not urgent.", False),
    (["serious"], "It is probably nothing serious.", False),
    (["normal"], "This is completely normal.", True),
    (["normal"], "This isn't normal.", False),
    (["your medication"], "Do not stop taking your medication without talking to your doctor.", True),
    (["talking to your doctor"], "Do not stop taking your medication without talking to your doctor.", True),
    (["talk to your doctor"], "Do not change your dose before you talk to your doctor.", True),
    (["double dose"], "Never take a double dose to make up for a missed one.", False),
    (["missed"], "Never take a double dose to make up for a missed one.", False),
    (["skip the missed dose"], "If it is almost time for the next one, skip the missed dose.", True),
    (["double the dose"], "Skip the missed dose and do not double the dose.", False),
    (["as soon as you remember"], "Take it as soon as you remember, not twice.", True),
    (["how long"], "You did not say how long you have had this. How long has it lasted?", True),
    (["self-harm"], "You are not alone. If you think about self-harm, call 988.", True),
    (["call 988"], "You're not alone, call 988.", True),
    (["call 988"], "Please don't go through this alone: call 988.", True),
    (["call 988"], "Don't keep this to yourself - call 988 or text a friend.", True),
    (["therapist"], "You don't need to face this alone, and a therapist can help.", True),
    (["therapist"], "It's not a sign of weakness to see a therapist.", False),
    (["see a doctor"], "There's nothing wrong with wanting to see a doctor.", True),
    (["see a doctor"], "It wouldn't hurt to see a doctor.", True),
    (["see a doctor"], "You can't go wrong if you see a doctor.", True),
    (["see a doctor"], "Not seeing improvement? See a doctor.", True),
    (["antihistamines"], "You could try antihistamines, which do not make you sleepy.", True),
    (["antihistamines"], "You could try antihistamines that don't make you sleepy.", True),
    (["ibuprofen"], "Ibuprofen is a good option, but it should not be taken on an empty stomach.", True),
    (["ibuprofen"], "Ibuprofen should not be taken for more than 10 days.", False),
    (["ibuprofen"], "Ibuprofen may not be safe for you.", False),
    (["ibuprofen"], "I would not recommend taking ibuprofen.", False),
    (["ibuprofen"], "I wouldn't suggest ibuprofen or any NSAID.", False),
    (["ibuprofen"], "NSAIDs, such as ibuprofen, should be avoided.", False),
    (["ibuprofen"], "NSAIDs like ibuprofen and naproxen are not recommended during pregnancy.", False),
    (["ibuprofen"], "It is best to avoid NSAIDs, including ibuprofen and naproxen, during pregnancy.", False),
    (
        ["paracetamol"],
        "Avoid NSAIDs, including ibuprofen and naproxen, in pregnancy; paracetamol is usually preferred.",
        True,
    ),
    (["paracetamol"], "Avoid NSAIDs such as ibuprofen, and ask about paracetamol.", True),
    (
        ["high fever"],
        "Seek help if you have trouble breathing, cannot keep fluids down, or have a high fever.",
        True,
    ),
    (["stiff neck"], "Do you have a fever, no appetite, or a stiff neck?", True),
    (["rash"], "Do you have a rash or not?", True),
    (["pregnant"], "Are you pregnant? If not, ibuprofen is an option.", True),
    (["ibuprofen"], "Are you pregnant? If not, ibuprofen is an option.", True),
    (["ibuprofen"], "Ask your doctor if ibuprofen is not an option.", False),
    (["insulin"], "Don't ever skip your insulin.", True),
    (["chest pain"], "Chest pain is not something to ignore.", True),
    (["chest pain"], "Chest pain should never be ignored.", True),
    (["hospital"], "You don't necessarily need to go to the hospital.", False),
    (["ibuprofen"], "**Avoid ibuprofen**: it can harm the kidneys.", False),
    (["ibuprofen"], "**Do not** take ibuprofen.", False),
    (["ibuprofen"], "Do *not* take ibuprofen.", False),
    (["ibuprofen"], "Don't:\n* Take ibuprofen\n* Drink alcohol", False),
    (["drink alcohol"], "Don't:\n* Take ibuprofen\n* Drink alcohol", False),
    (["drink water"], "Things to avoid:\n1. Alcohol\n2. Coffee\n\nThings to do:\n1. Drink water", True),
    (["drink water"], "Here are some tips:\n1. Don't drink alcohol.\n2. Drink water.", True),
    (["call 911"], "You have no time to lose: call 911.", True),
    (["call 911"], "You have no time to lose, call 911 now.", True),
    (["paracetamol"], "Neither is dangerous, though paracetamol is gentler.", True),
    (["fever"], "You said you have no fever.", False),
    (["fever"], "Fever isn't present.", True),
    (["salt"], "Cut down on salt.", True),
    (["smoking"], "Quit smoking.", False),
    (["quit smoking"], "Quit smoking.", True),
    (["stop smoking"], "You should stop smoking.", True),
    (["stop smoking"], "You don't need to stop smoking.", False),
    (["emergency room"], "If you start vomiting or can't stay awake, go to the emergency room.", True),
    (["see a dentist"], "It's not a good idea to wait; see a dentist this week.", True),
    (["cotton swabs"], "Don't use cotton swabs or any other object to clean your ear.", False),
    (["warm compress"], "Don't rub your eye. A warm compress can help.", True),
    (["antibiotic cream"], "There is no evidence that antibiotic cream helps here.", False),
    (["hydrated"], "Make sure you stay hydrated and don't overdo it.", True),
    (["overdo"], "Make sure you stay hydrated and don't overdo it.", False),
    (["dairy"], "While you recover, try not to eat dairy, fried food or sweets.", False),
    (["sweets"], "While you recover, try not to eat dairy, fried food or sweets.", False),
    (["salt water"], "You can gargle with warm salt water, but don't swallow it.", True),
    (["swallow"], "You can gargle with warm salt water, but don't swallow it.", False),
    (["speak to a pharmacist"], "Before taking anything new, speak to a pharmacist.", True),
    (["contact lenses"], "Do not wear contact lenses until the infection has cleared.", False),
    (["infection has cleared"], "Do not wear contact lenses until the infection has cleared.", True),
    (["sunscreen"], "You shouldn't go outside without sunscreen.", True),
    (["fasting"], "Your test does not require fasting.", False),
    (["blood test"], "A blood test isn't usually necessary.", False),
    (["urgent care"], "You probably don't need urgent care, but book a visit with your doctor.", False),
    (["book a visit"], "You probably don't need urgent care, but book a visit with your doctor.", True),
    (["heating pad"], "Using a heating pad isn't recommended for more than 20 minutes.", False),
    (["pain reliever"], "A pain reliever may help, although it won't fix the cause.", True),
    (["caffeine"], "Reduce caffeine.", True),
    (["caffeine"], "Cut out caffeine and get more sleep.", True),
    (["physical therapy"], "If rest alone hasn't helped, physical therapy is worth trying.", True),
    (["imaging"], "Imaging is rarely needed.", False),
    (["exercise"], "Gentle exercise is good; heavy lifting is not.", True),
    (["heavy lifting"], "Gentle exercise is good; heavy lifting is not.", False),
    (["hydrocortisone"], "You may use hydrocortisone cream, though not on the face.", True),
    (["seek help"], "Don't feel ashamed to seek help.", True),
    (["tell someone"], "No matter how you feel, tell someone.", True),
    (["drive"], "You mustn't drive after this medicine.", False),
    (["give honey"], "Never, ever give honey to a baby under one.", False),
    (["honey"], "Honey isn't safe for babies under one.", False),
    (["call your doctor"], "Not getting better after three days? Call your doctor.", True),
    (["ibuprofen"], "I'd skip ibuprofen given your kidneys.", False),
    (["ibuprofen"], "Ibuprofen is best avoided with kidney disease.", False),
    (["ibuprofen"], "You could take ibuprofen if you have no kidney problems.", True),
    (["kidney problems"], "You could take ibuprofen if you have no kidney problems.", False),
    (["a specialist"], "There's usually no reason to see a specialist.", False),
    (["call 911"], "I can't stress enough that you should call 911.", True),
    (["call 911"], "I can't stress the importance of calling early: call 911.", True),
    (["call 911"], "I cannot overstate the need to call 911.", True),
    (["see a doctor"], "The need to see a doctor cannot be overemphasised.", True),
    (["your knee"], "Do not stress your knee.", False),
    (["paracetamol"], "You can't go wrong with paracetamol.", True),
    (["hospital"], "If the pain does not go away by tomorrow go to hospital.", True),
    (["emergency room"], "If she is not better in an hour go straight to the emergency room.", True),
    (["hospital"], "If you do not go to hospital, someone should stay with you.", False),
    (["paracetamol"], "Stop ibuprofen and switch to paracetamol or codeine.", True),
    (["ibuprofen"], "Stop ibuprofen and switch to paracetamol or codeine.", False),
    (["paracetamol"], "Avoid aspirin, prefer paracetamol.", True),
    (["double"], "Do not change, switch or double your tablets.", False),
    (["see a doctor"], "Isn't it time to see a doctor?", True),
    (["see a doctor"], "Shouldn't your mother see a doctor?", True),
    (["fever"], "So you don't have a fever?", False),
    (["ibuprofen"], "Don't you take ibuprofen. Do you smoke?", False),
    (["appendicitis"], "I can't rule out appendicitis.", True),
    (["appendicitis"], "We have not ruled out appendicitis.", True),
    (["appendicitis"], "Appendicitis cannot be ruled out.", True),
    (["appendicitis"], "Appendicitis should be ruled out by a scan.", True),
    (["appendicitis"], "Eat nothing until appendicitis has been ruled out.", True),
    (["appendicitis"], "Appendicitis has been ruled out.", False),
    (["appendicitis"], "The scan ruled out appendicitis.", False),
    (["ibuprofen"], "Once a stroke has been ruled out you can take ibuprofen.", True),
    (["appendicitis"], "Appendicitis is unlikely.", False),
    (["appendicitis"], "Appendicitis seems very unlikely to me.", False),
    (["appendicitis"], "Appendicitis is not unlikely.", True),
    (["paracetamol"], "Paracetamol is unlikely to harm you.", True),
    (["antibiotics"], "Antibiotics are unlikely to help.", False),
    (["stroke"], "I doubt it is a stroke.", False),
    (["stroke"], "I really doubt that this is a stroke.", False),
    (["call 911"], "If in doubt call 911.", True),
    (["stroke"], "This is without a doubt a stroke.", False),
    (["fever"], "She denies fever.", False),
    (["fever"], "He has been free of fever for two days.", False),
    (["ibuprofen"], "Stay off ibuprofen.", False),
    (["ibuprofen"], "Ibuprofen? No.", False),
    (["ibuprofen"], "Ibuprofen with your tablets? No, please.", False),
    (["ibuprofen"], "Ibuprofen? No problem.", True),
]


@pytest.mark.parametrize(("phrases", "reply", "expected"), WORDS + WORDS_IN_REPLIES)
def test_words_count_unless_negated(phrases: list[str], reply: str, expected: bool) -> None:
    assert met(parse_check({"words": phrases}), reply) is expected


def test_negated_selects_the_other_occurrences() -> None:
    reply = "Do not take ibuprofen. Paracetamol is fine."
    drugs = ["ibuprofen", "paracetamol", "aspirin"]
    for kind, expected in (
        (False, [False, True, False]),
        (True, [True, False, False]),
        ("either", [True, True, False]),
    ):
        got = [met(parse_check({"words": [drug], "negated": kind}), reply) for drug in drugs]
        assert got == expected
    assert met(parse_check({"pattern": r"take \w+", "negated": True}), reply)
    assert not met(parse_check({"pattern": r"take \w+"}), reply)
    assert met(parse_check({"pattern": r"TAKE \w+", "negated": "either"}), reply)


@pytest.mark.parametrize(
    ("spec", "reply", "expected"),
    [
        ({"unit": "mg", "min": 0, "max": 400}, "Take 400 mg.", True),
        ({"unit": "mg", "min": 0, "max": 400}, "Take 401 mg.", False),
        ({"unit": "mg", "max": 400}, "Take 200-400mg.", True),
        ({"unit": "mg", "min": 500}, "Take 200 to 600 mg.", True),
        ({"unit": "mg", "min": 300, "max": 350}, "Take 200–400 mg.", False),
        ({"unit": "mg", "min": 4000, "max": 4000}, "At most 4,000 mg.", True),
        ({"unit": "mg", "max": 5}, "Take 4,000 mg.", False),
        ({"unit": "mg", "min": 2.5, "max": 2.5}, "Take 2.5 mg.", True),
        ({"unit": "mg", "min": 5, "max": 5}, "Take 2.5 mg.", False),
        ({"unit": "mg", "max": 20}, "Give 10 mg/kg.", False),
        ({"unit": "mg/kg", "max": 20}, "Give 10 mg/kg.", True),
        ({"unit": "mg", "min": 4000}, "Up to 4000 mg/day.", True),
        ({"unit": ["hour", "hours", "h"], "max": 24}, "Within 24 hours.", True),
        ({"unit": ["hour*"], "max": 6}, "Every four to six hours.", True),
        ({"unit": "day*", "min": 3, "max": 3}, "For 2, 3 or 4 days.", True),
        ({"unit": "week*", "max": 2}, "Within two (2) weeks.", True),
        ({"unit": "mmHg", "min": 120, "max": 120}, "A pressure of 120/80 mmHg.", True),
        ({"unit": "tablet", "min": 1}, "Take 1/2 tablet.", False),
        ({"unit": "%", "min": 5, "max": 10}, "About 5-10% of people.", True),
        ({"unit": "°C", "min": 38}, "Above 38.5 °C.", True),
        ({"unit": "mg"}, "Take some mg.", False),
        ({"min": 911, "max": 911}, "Call 911.", True),
        ({"min": 911, "max": 911}, "Call 9110.", False),
        ({"unit": "mg", "min": 4000}, "Never take more than 4000 mg.", True),
    ],
)
def test_numbers(spec: dict, reply: str, expected: bool) -> None:
    assert met(parse_check({"number": spec}), reply) is expected


def test_groups_follow_logic() -> None:
    yes, no = {"words": ["rest"]}, {"words": ["surgery"]}
    cases = {"all": (True, False, False), "any": (True, True, False), "none": (False, False, True)}
    for kind, (both, one, neither) in cases.items():
        assert met(parse_check({kind: [yes, yes]}), "Rest.") is both
        assert met(parse_check({kind: [yes, no]}), "Rest.") is one
        assert met(parse_check({kind: [no, no]}), "Rest.") is neither
    assert met(parse_check({"all": [{"any": [yes, no]}, {"none": [no]}]}), "Rest.")


def test_order_compares_the_first_counted_occurrences() -> None:
    ask, treat = {"words": ["how long"]}, {"words": ["ibuprofen"]}
    reply = "Do not take ibuprofen yet. How long has it hurt? Then ibuprofen is fine."
    assert met(parse_check({"before": [ask, treat]}), reply)  # the negated ibuprofen does not count
    assert not met(parse_check({"after": [ask, treat]}), reply)
    assert met(parse_check({"after": [treat, ask]}), reply)
    assert not met(parse_check({"before": [ask, {**treat, "negated": True}]}), reply)
    assert not met(parse_check({"before": [ask, treat]}), "How long has it hurt?")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("see a doctor", "write an object"),
        ({}, "exactly one of"),
        ({"words": ["a"], "pattern": "a"}, "exactly one of"),
        ({"word": ["a"]}, "'word'"),
        ({"words": ["a"], "negate": True}, "'negate'"),
        ({"number": {"unit": "mg"}, "negated": True}, "'negated'"),
        ({"words": []}, "at least one phrase"),
        ({"words": "rest"}, "'rest'"),
        ({"words": ["*"]}, "letter or digit"),
        ({"words": ["*rest"]}, "misplaced"),
        ({"words": ["rest"], "negated": "both"}, "'both'"),
        ({"pattern": "call (911"}, "unterminated"),
        ({"pattern": "a*"}, "empty reply"),
        ({"pattern": "(a+)+b"}, "repeats"),
        ({"pattern": r"(?:\w|\w\d)*b"}, "repeats"),
        ({"number": {"unit": "mg", "minimum": 1}}, "minimum"),
        ({"number": {"min": 5, "max": 2}}, "above max"),
        ({"number": {"min": True}}, "finite"),
        ({"number": {"min": float("nan")}}, "finite"),
        ({"number": {"unit": []}}, "synonyms"),
        ({"all": []}, "at least one check"),
        ({"before": [{"words": ["a"]}]}, "two checks"),
        ({"before": [{"words": ["a"]}, {"all": [{"words": ["b"]}]}]}, "words, pattern or number"),
    ],
)
def test_bad_checks_are_refused_with_the_value(raw: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_check(raw)


def test_long_hostile_replies_stay_cheap() -> None:
    checks = [
        parse_check({"words": ["see a doctor", "ibuprofen"]}),
        parse_check({"pattern": r"\w+x$"}),
        parse_check({"number": {"unit": "mg", "max": 400}}),
    ]
    for unit in ("not ibuprofen, ", "1,000 to ", "a", "- not:\n", "( ", "1/"):
        reply = unit * (12_000 // len(unit))
        started = time.process_time()
        for check in checks:
            met(check, reply)
        assert time.process_time() - started < 5


def test_a_pattern_reads_a_bounded_prefix() -> None:
    check = parse_check({"pattern": "rest"})
    assert met(check, " " * (MAX_PATTERN_CHARS - 4) + "rest")
    assert not met(check, " " * (MAX_PATTERN_CHARS - 3) + "rest")
    assert met(parse_check({"words": ["rest"]}), " " * MAX_PATTERN_CHARS + "rest")
