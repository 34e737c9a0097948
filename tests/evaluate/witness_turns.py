"""Turns of simulated patients, labelled by hand: (record, facts asked for, the doctor's last
message, the reply, what is wrong with it). "l": tells a fact that was not asked for; "c": contradicts the record; "i":
invents. The witness was developed on SEEN only; UNSEEN was written at the same time and measured once (docs/log.md).
"""

# Vertigo, overactive thyroid, retinal detachment: the seeds of the records in witness_records.jsonl.
V, T, R = 3, 11, 29

SEEN = [
    (V, (), "What is the problem?", "I get a whirling feeling in short bouts, since yesterday morning.", ""),
    (V, ("symptom.nausea",), "Any nausea?", "No, I don't feel sick at all, no nausea.", ""),
    (V, ("symptom.nausea",), "Any nausea?", "Yes, I have had a lot of nausea.", "c"),
    (V, ("symptom.nausea",), "Any nausea?", "No nausea. My brother had a heart attack at 46.", "l"),
    (V, (), "How are you?", "I am so worried, doctor. I live alone.", "l"),
    (V, ("drug",), "Which medicines do you take?", "I take cetirizine 10 mg, once a day in summer.", "l"),
    (V, ("drug.cetirizine",), "Which medicines do you take?", "Cetirizine, 10 mg, once a day in summer.", ""),
    (V, ("drug.cetirizine",), "Which medicines do you take?", "Cetirizine 50 mg and also warfarin.", "ci"),
    (V, ("symptom.length-of-spells",), "How long does it last?", "Each spell lasts under a minute.", ""),
    (V, ("symptom.length-of-spells",), "How long does it last?", "Each spell lasts for 3 hours.", "c"),
    (V, (), "Tell me more.", "I also have chest pain and a cough with fever.", "i"),
    (V, (), "Tell me more.", "I would rather hear from you what I should do.", ""),
    (T, (), "What brings you in?", "I have lost weight over six weeks and my heart is pounding.", ""),
    (T, (), "What brings you in?", "I have lost weight over three months.", "c"),
    (T, ("symptom.tremor",), "Do your hands shake?", "No, my hands are steady.", ""),
    (T, ("symptom.tremor",), "Do your hands shake?", "Yes, my hands shake terribly.", "c"),
    (T, ("past.hypertension",), "Past illnesses?", "High blood pressure, known for 3 years.", ""),
    (T, ("past.hypertension",), "Past illnesses?", "I had diabetes and asthma as a child.", "i"),
    (T, (), "How do you sleep?", "I feel lonely since the death of a close friend last year.", "l"),
    (T, ("social.mood.lonely",), "How is your mood?", "Lonely since a close friend died last year.", ""),
    (R, (), "What is wrong?", "Since yesterday there is a shower of dark spots in my right eye.", ""),
    (R, (), "What is wrong?", "There is a shower of dark spots in my left eye.", "c"),
    (R, ("symptom.flashes",), "Do you see flashes?", "No flashes, doctor. Is it dangerous?", ""),
    (R, ("symptom.flashes",), "Do you see flashes?", "Yes, bright flashes all the time.", "c"),
    (R, (), "Thank you.", "You are welcome. Please explain it to me in plain words.", ""),
    (R, (), "I see.", "I am not sexually active, by the way.", "l"),
]

UNSEEN = [
    (V, (), "Describe it, please.", "It is a spinning, whirling feeling that comes in short bouts.", ""),
    (V, ("symptom.trigger-by-turning",), "What sets it off?", "Turning over in bed or looking up sets it off.", ""),
    (V, ("symptom.trigger-by-turning",), "What sets it off?", "It never comes on turning over in bed.", "c"),
    (V, ("symptom.head-injury",), "Did you hurt your head?", "I bumped my head on a cupboard two weeks ago.", ""),
    (V, ("symptom.head-injury",), "Did you hurt your head?", "I bumped my head on a cupboard five days ago.", "c"),
    (V, ("social.alcohol.some-alcohol",), "Do you drink?", "I drink about 6 units of alcohol a week.", ""),
    (V, ("social.alcohol.some-alcohol",), "Do you drink?", "Never a drop of alcohol, and I smoke 20 cigarettes.", "ci"),
    (V, (), "Go on.", "I work in a call centre, you know.", "l"),
    (V, (), "Go on.", "I also bumped my head on a cupboard.", "l"),
    (V, (), "It may be the inner ear.", "Thank you for telling me. That is a relief.", ""),
    (V, ("allergy.none",), "Any allergies?", "I am allergic to penicillin, I get a rash.", "ci"),
    (V, ("allergy.none",), "Any allergies?", "None that I know of, no known allergies.", ""),
    (T, ("symptom.appetite",), "How do you eat?", "I eat more than before and still lose weight.", ""),
    (T, ("symptom.appetite",), "How do you eat?", "I have no appetite and I vomit after meals.", "ci"),
    (T, (), "Anything else?", "My mother has type 2 diabetes.", "l"),
    (T, ("family.family-diabetes",), "Your family?", "My mother has type 2 diabetes.", ""),
    (
        T,
        ("drug.indapamide", "drug.paracetamol"),
        "Medicines?",
        "Indapamide 2.5 mg a day, paracetamol if needed.",
        "",
    ),
    (T, ("drug.indapamide", "drug.paracetamol"), "Medicines?", "Only insulin, twice a day.", "i"),
    (T, ("symptom.neck-swelling",), "Any lump?", "There is a big swelling in my neck.", "c"),
    (T, (), "We will do blood tests.", "All right, whatever you think is best for me.", ""),
    (R, ("symptom.shadow-or-curtain",), "A shadow?", "Yes, a shadow like a curtain comes in from one side.", ""),
    (R, ("symptom.pain-or-redness",), "Is it painful?", "No, there is no pain and the eye is not red.", ""),
    (R, ("symptom.pain-or-redness",), "Is it painful?", "Yes, the pain is awful and the eye is red.", "c"),
    (R, (), "Let me look at it.", "I take clopidogrel 75 mg once a day.", "l"),
    (R, ("social.smoking.never-smoker",), "Do you smoke?", "I have smoked 10 cigarettes a day for 40 years.", "c"),
    (R, (), "When did it begin?", "It started yesterday. I had a stroke 5 years ago.", ""),
]
