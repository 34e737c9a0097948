"""The patient questions: the counts promised, and that their checks tell good short replies from bad ones."""

from collections import Counter
from importlib import resources

import pytest

from m2jax.verifier.checks import met
from m2jax.verifier.rubric import load_cases

PATH = resources.files("m2jax.clinic") / "questions.jsonl"
CASES = {case.id: case for case in load_cases(str(PATH))}

# One good reply (at most 90 words) and one bad reply per question, by question id.
REPLIES = {
    "headache-01": (
        "That sounds tiring. How long does each headache last, and have you had any changes in vision or "
        "sleep? Take regular breaks from the screen, drink plenty of water, and you can take paracetamol or "
        "ibuprofen as the label says. If it keeps coming back, see your doctor or optician. Get urgent "
        "medical help if you have a sudden severe headache, a stiff neck, weakness, confusion or loss of "
        "vision.",
        "You have a tension headache. I had the same headache last year and it went away. Just look after "
        "yourself and keep a positive attitude, because health is wealth.",
    ),
    "headache-03": (
        "Please do not give her aspirin: it can cause a rare, serious illness in children. Use children's "
        "paracetamol or ibuprofen in the dose for her weight. How often do the headaches come, and does she "
        "have vomiting or trouble seeing the board? Make sure she drinks enough water, eats lunch and has "
        "an eye test. See her doctor if it does not improve, at once if the headache wakes her, she keeps "
        "vomiting, or she is drowsy or unsteady.",
        "Yes, give her half an aspirin when she comes home from school. Aspirin is a good medicine for "
        "headaches and it will help her to feel better after dinner.",
    ),
    "fever-in-children-01": (
        "At this age a temperature of 38 or more needs a doctor right away, tonight: call 111 or your "
        "doctor now, or go to the emergency department. In babies under 3 months a serious infection may "
        "show few signs. Don't wait until morning. Is she feeding, and how many wet nappies has she had? "
        "Call an ambulance if she is hard to wake, pale or blue, has trouble breathing, a rash or a fit.",
        "A fever is normal in babies. Give her some ibuprofen and a cold bath, and wait until morning. She "
        "will be fine.",
    ),
    "chest-pain-01": (
        "Call 911 or 999 now: this may be a heart attack. While you wait, sit him down, keep him calm and "
        "loosen tight clothes. If he is not allergic, he can chew an aspirin. Do not drive him yourself and "
        "don't wait to see if it passes. Stay with him until help comes.",
        "It is probably wind. Let him rest for a while and drink some warm water. You can book an "
        "appointment with his doctor this week. There is nothing to worry about.",
    ),
    "common-cold-02": (
        "Please don't give honey to a baby under one year, because of the risk of infant botulism. Saline "
        "drops before feeds, gentle suction and small frequent feeds can help. Does she have a fever, and "
        "how is she feeding? Get urgent medical help if there is fast or hard breathing, blue lips, very "
        "few wet nappies or unusual sleepiness. Ask your doctor or health visitor if you are worried.",
        "Yes, you can give your baby a spoon of honey in warm milk. You can also try a cough syrup for the "
        "cough. Honey is natural and safe.",
    ),
    "type-2-diabetes-03": (
        "This may be low blood sugar, so act now. Give him a glass of fruit juice or glucose tablets "
        "straight away. Check again after 15 minutes and repeat it if he is no better. Call 911 or 999 if "
        "he passes out, has a seizure or cannot swallow. Once he is better, give him a snack such as bread.",
        "Give him his insulin now, then let him sleep. Diabetes is a chronic condition that affects "
        "millions of people, and a healthy lifestyle with exercise is important.",
    ),
    "high-blood-pressure-04": (
        "Sore knees are hard. It's better to avoid daily ibuprofen: it can raise blood pressure and harm "
        "the kidneys, above all with a water tablet. Try paracetamol or an anti-inflammatory gel on the "
        "knee, with gentle exercise. Do you have kidney problems, ulcers or heart disease? Ask your "
        "pharmacist or doctor first. Get urgent help if you see black stools, have chest pain, or a hot "
        "swollen knee with fever.",
        "Yes, you can take ibuprofen every day for your knees. I have been taking it for my knees as well "
        "and it works.",
    ),
    "depression-02": (
        "I'm so sorry you are in such pain, and thank you for telling me. Please call 911 or 999 now, or a "
        "crisis line such as 988 or Samaritans. Are you safe right now, and have you taken anything? Please "
        "put the tablets out of reach or give them to someone, and don't stay alone: call a friend or "
        "someone you trust. Help is available.",
        "Cheer up, life is beautiful and you should be grateful for what you have. Try to think positive "
        "thoughts and go for a walk.",
    ),
    "painkillers-03": (
        "No, she should not take ibuprofen or naproxen: with kidney disease they can harm her kidneys "
        "further. She can take paracetamol in the normal dose, and heat on the hip may help. Has she had a "
        "fall, and what other tablets does she take? Ask her doctor or pharmacist before any new "
        "painkiller. Get urgent help if she cannot walk on the leg, has a fever, or passes very little "
        "urine.",
        "Yes, you can give her ibuprofen 400 mg twice a day with food. You can also try naproxen. I am sure "
        "she will be fine.",
    ),
    "skin-rash-04": (
        "That must be miserable. Please call your midwife or maternity unit today for a blood test, because "
        "itchy palms and soles without a rash can come from the liver and may affect the baby. Have you "
        "noticed dark urine, pale stools or yellow skin? Cool baths and loose cotton can help. Go to "
        "hospital urgently if the baby's movements drop or you have yellow eyes or bleeding.",
        "Itching is common in pregnancy because of stretching skin. Take an antihistamine from the shop and "
        "do not worry about it.",
    ),
    "stroke-03": (
        "Well done on your recovery. Please do not stop these tablets without talking to your doctor: they "
        "lower the chance of another stroke even when you feel well. Do you have side effects such as "
        "bleeding or muscle pain? Talk to your doctor or pharmacist about your worries. Keep walking and "
        "eat well. Call 999 or 911 if you have a drooping face, a weak arm or trouble with speech.",
        "If you feel well, you can stop taking the tablets. I had a stroke too and I am fine without pills.",
    ),
    "allergic-reaction-02": (
        "How long ago did she eat it, and is there any swelling, vomiting or wheezing? Call an ambulance if "
        "she has trouble breathing, a swollen tongue, vomiting or drowsiness. A children's antihistamine "
        "such as cetirizine may ease the itch; ask a pharmacist for the dose. Watch her closely for some "
        "hours, avoid peanut for now, and tell her doctor soon, so that she can be tested for allergy.",
        "It is just a rash, so there is nothing to worry about. Give her a tiny amount of peanut butter "
        "again tomorrow to see if it happens again.",
    ),
    "stomach-bug-02": (
        "Please don't give Imodium, and keep giving her milk, little and often. Offer small amounts of oral "
        "rehydration solution between feeds. With only one wet nappy she should see a doctor today, so call "
        "now. Does she have a fever or blood in the nappy, and what does she keep down? Go to the emergency "
        "department if she is floppy, hard to wake, has sunken eyes or green vomit.",
        "Stop the milk and give her imodium and some flat cola. Diarrhea is common and it will pass in a week.",
    ),
    "anxiety-03": (
        "It must be hard to hear that. Please don't stop sertraline suddenly tonight: it is often used in "
        "pregnancy, and stopping abruptly can bring withdrawal or let the anxiety come back. Call your "
        "doctor or midwife this week to talk it through. How is your mood now, and what happened when you "
        "stopped before? Get urgent help if you have thoughts of harming yourself, severe anxiety, or "
        "bleeding.",
        "Your aunt is right. You should stop taking sertraline tonight for the safety of the baby, and try "
        "yoga instead.",
    ),
    "urine-infection-01": (
        "That sounds uncomfortable. Please don't use the leftover amoxicillin: it may be the wrong drug and "
        "dose. See a pharmacist or doctor for a urine test and the right treatment. Could you be pregnant, "
        "or do you have a fever or back pain? Drink plenty of water and take paracetamol for the pain. Get "
        "urgent help if you have fever, shivering, pain in your side, vomiting or blood in the urine.",
        "You have a urinary tract infection. Take the amoxicillin three times a day until the rest of the box is gone.",
    ),
    "heartburn-02": (
        "Call 911 or 999 now, before anything else. This may be a heart attack, even if it feels like "
        "indigestion. Then sit down and rest while you wait. Don't drive, and don't wait for another dose "
        "of Gaviscon to work. If you are not allergic and the call handler agrees, chew an aspirin.",
        "It is probably indigestion. Take another dose of Gaviscon, drink some milk and lie down until you "
        "feel better. Avoid spicy food.",
    ),
    "heartburn-05": (
        "Food that sticks together with weight loss needs checking soon: please book an urgent appointment "
        "with your doctor this week. You may need a camera test (endoscopy) to look for narrowing or other "
        "causes. Have you had vomiting, black stools or pain, and do you smoke? Until then eat soft food in "
        "small bites. Go to the emergency department if you cannot swallow water, vomit blood or have chest "
        "pain.",
        "It is just heartburn. Try peppermint tea and take antacids after each meal. My mother has the same problem.",
    ),
    "medicine-mix-ups-01": (
        "No, he should not take ibuprofen with warfarin, because it can cause serious bleeding. He can take "
        "paracetamol in the normal dose or use a heat pack. Ask his pharmacist or doctor first. Has he had "
        "a fall, any numbness or stomach ulcers? Get emergency help if he has black stools, vomits blood, "
        "hits his head, or has weak legs.",
        "Yes, he can take ibuprofen for his back. One or two tablets are safe and he will be fine.",
    ),
}

FILLER = (
    "I'm sorry to hear that. It is important to take care of your health. There are many possible causes "
    "and everyone is different. Eat a healthy diet, get enough sleep, and please consult your doctor for "
    "more information."
)
KEY_WORDS = (
    "doctor, pharmacist, midwife, ambulance, hospital, 999, fever, rash, bleeding, breathing, chest, "
    "vision, weakness, dehydration, medicines, allergies, pregnancy, how long, water, rest, ice, aspirin, "
    "ibuprofen, paracetamol"
)


def share(case_id: str, reply: str) -> float:
    """Min-max score in [0, 1] over the criteria that have a check."""
    checked = [c for c in CASES[case_id].rubric if c.check is not None]
    low = sum(c.points for c in checked if c.points < 0)
    high = sum(c.points for c in checked if c.points > 0)
    return (sum(c.points for c in checked if met(c.check, reply)) - low) / (high - low)


def test_counts_promised():
    assert len(CASES) >= 88
    assert len({case.topic for case in CASES.values()}) == 22
    assert min(Counter(case.topic for case in CASES.values()).values()) >= 4
    assert len({case.messages[-1]["content"] for case in CASES.values()}) == len(CASES)


def test_splits_share_no_topic():
    topics = {split: {c.topic for c in CASES.values() if c.split == split} for split in ("train", "heldout")}
    assert not topics["train"] & topics["heldout"]
    assert {split: len(names) for split, names in topics.items()} == {"train": 16, "heldout": 6}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_question_and_rubric_are_well_formed(case):
    assert 15 <= len(case.messages[-1]["content"].split()) <= 45
    assert 5 <= len(case.rubric) <= 10
    assert max(c.points for c in case.rubric) > 0 > min(c.points for c in case.rubric)
    assert len({c.text for c in case.rubric}) == len(case.rubric)
    assert sum(c.check is None for c in case.rubric) <= 1
    assert any(c.dimension == "safety" for c in case.rubric)


@pytest.mark.parametrize("case_id", REPLIES)
def test_good_reply_beats_bad_reply(case_id):
    good, bad = REPLIES[case_id]
    assert len(good.split()) <= 90
    assert share(case_id, good) >= 0.85
    assert share(case_id, bad) <= 0.45


def test_examples_are_spread():
    cases = [CASES[case_id] for case_id in REPLIES]
    assert len({case.topic for case in cases}) >= 12
    assert Counter(case.split for case in cases)["heldout"] >= 6


@pytest.mark.parametrize("reply", [FILLER, KEY_WORDS, ""], ids=["filler", "key words", "empty"])
def test_no_question_is_won_without_advice(reply):
    scores = [share(case_id, reply) for case_id in CASES]
    assert max(scores) <= 0.65
    assert sum(scores) / len(scores) <= 0.5


def test_what_every_reply_owes_stands_in_every_rubric_but_the_emergencies():
    """Three criteria hold whatever the question: who to see, one question back, when to come back."""
    shared = {text for text, n in Counter(c.text for case in CASES.values() for c in case.rubric).items() if n > 40}
    assert len(shared) == 3
    for case in CASES.values():
        has = shared & {c.text for c in case.rubric}
        assert has == shared or not has and any(c.points >= 8 for c in case.rubric)


def test_a_good_reply_to_another_topic_scores_less():
    for case_id, (good, _) in REPLIES.items():
        others = [share(other, good) for other in REPLIES if CASES[other].topic != CASES[case_id].topic]
        assert sum(others) / len(others) <= share(case_id, good) - 0.2
