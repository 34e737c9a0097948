"""Word lists of the de-identifier, and what they say of a capitalised word: a name, a place, or medicine.

The lists are short on purpose: they hold what is common. What they miss is found by context (a title, a label, a
relation, "lives in") or by the values known from a record's structured fields (`deidentify`).
"""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MONTHS = "January February March April May June July August September October November December".split()

# Given names that are common in English-language records and are not also everyday or clinical words.
GIVEN_NAMES = _words("""
Aaron Abigail Adam Adrian Ahmed Aisha Alan Albert Alberto Alejandro Alex Alexander Alexandra Alexis Alfred Ali Alice
Alicia Alison Allison Amanda Amber Amelia Amir Amy Ana Andrea Andrew Angela Angelica Anita Ann Anna Anne Annette
Anthony Antonio Arthur Ashley Audrey Barbara Benjamin Bernard Beth Betty Beverly Bianca Bradley Brandon Brenda Brian
Brittany Bruce Bryan Caleb Cameron Carla Carlos Carmen Carol Caroline Carolyn Catherine Cecilia Charles Charlotte Chen
Cheryl Chloe Christina Christine Christopher Cindy Claire Clara Claudia Connor Craig Crystal Cynthia Daniel Danielle
Darren David Dawn Deborah Debra Denise Dennis Derek Diana Diane Diego Dmitri Donald Donna Doris Dorothy Douglas Dylan
Edward Edwin Eileen Elaine Eleanor Elena Eli Elijah Elizabeth Ellen Emily Emma Eric Erica Erika Erin Ernest Esther
Ethan Eugene Eva Evelyn Farah Fatima Felix Fernando Fiona Frances Francisco Frederick Gabriel Gabriela Gary George
Gerald Giovanni Gladys Gloria Gordon Greg Gregory Guadalupe Hannah Harold Harry Hassan Heather Hector Helen Henry
Herbert Hiroshi Howard Hugo Ian Ibrahim Ines Ingrid Irene Isaac Isabel Isabella Ivan Jack Jacob Jacqueline Jamal James
Jamie Jane Janet Janice Jasmine Jason Javier Jean Jeffrey Jennifer Jeremy Jerry Jesse Jessica Jill Jim Joan Joanna Joe
Joel Johan Johanna John Johnny Jonathan Jorge Jose Joseph Joshua Joyce Juan Juanita Judith Judy Julia Julian Julie
Justin Karen Karl Katherine Kathleen Kathryn Katie Keith Kelly Kenneth Kevin Kimberly Kyle Larry Latoya Laura Lauren
Lawrence Leah Leo Leonard Leslie Leticia Liam Lillian Linda Lisa Logan Lori Louis Louise Lucas Lucia Lucy Luis Lydia
Madison Manuel Marcus Margaret Maria Marie Marilyn Mario Marjorie Mark Martha Martin Mary Mateo Matthew Maureen Megan
Mei Melanie Melissa Mia Michael Michelle Miguel Mildred Mohamed Mohammed Monica Muhammad Nancy Naomi Natalia Natalie
Nathan Nicholas Nicole Nigel Nina Noah Nora Norma Olga Olivia Omar Oscar Pablo Pamela Patricia Patrick Paul Paula
Pedro Peggy Peter Philip Phillip Phyllis Priya Rachel Rafael Rahul Raj Ralph Ramon Raymond Rebecca Renee Ricardo
Richard Rita Robert Roberto Robin Rodney Roger Ronald Rosa Roy Russell Ruth Ryan Sabrina Salma Samantha Samuel Sandra
Sanjay Sara Sarah Scott Sean Sergio Shannon Sharon Shawn Sheila Shirley Simon Sofia Sonia Sophia Sophie Stanley
Stephanie Stephen Steve Steven Susan Suzanne Sven Sylvia Tamara Tammy Tanya Tara Teresa Terry Theodore Theresa Thomas
Tiffany Timothy Tina Todd Tony Tracy Travis Trevor Tyler Valerie Vanessa Veronica Vicki Victor Victoria Vincent Vivian
Vladimir Walter Wanda Wayne Wei Wendy William Xavier Yolanda Yuki Yusuf Zachary Zoe
""")

# Words that carry a person's name in medicine. Such a word is no name where it stands alone or before a clinical noun.
EPONYMS = _words("""
Achilles Addison Adson Albright Allen Alport Alzheimer Apgar Apley Argyll Arnold Asperger Auer Babinski Baker Barlow
Barr Barre Barré Barrett Bartholin Bartter Basedow Bassen Becker Behcet Behçet Bell Bence Berger Bernard Billroth
Bishop Blumberg Boerhaave Bouchard Bowen Braxton Breslow Broca Brodie Brown Brudzinski Brugada Buerger Burkitt Calot
Carey Caroli Castleman Chadwick Chagas Charcot Chédiak Chediak Cheyne Chiari Child Christmas Christian Churg Chvostek
Clark Colles Conn Coombs Courvoisier Coxsackie Creutzfeldt Crigler Crohn Cullen Cushing Darier Dix Down Dressler Dubin
Duchenne Dupuytren Duke Ebstein Edwards Ehlers Eisenmenger Epley Epstein Erb Ewing Fabry Fallot Fanconi Felty
Finkelstein Fitz Flint Foley Forrest Fournier Friedreich Galeazzi Gardner Gaucher Giemsa Gilbert Gilles Gitelman
Glasgow Gleason Goodpasture Gottron Gower Graham Gram Grave Graves Grey Guillain Guthrie Hallpike Hansen Hashimoto
Hartmann Hawkins Heberden Hegar Heinz Hemlich Heimlich Henoch Hicks Hirschsprung Hodgkin Hoffman Hoffmann Holter Homan
Homans Horner Howell Hunt Huntington Hurler Hutchinson Jackson Jakob James Janeway Jarisch Johnson Jolly Jones Kaposi
Kartagener Kawasaki Kayser Kehr Kelly Kernig Kiesselbach Killian Klinefelter Klumpke Koch Koplik Korsakoff Krukenberg
Kussmaul Lachman Laennec Lambert Langerhans Legg Leopold Lesch Lewy Leydig Lhermitte Liddle Lisfranc Little Lou Ludwig
Lyme Lynch Mallory Mann Marcus Marfan Marie Marburg Marshall Martin Mayer McArdle McBurney McCune McMurray Meckel
Meigs Menetrier Meniere Menière Ménière Mendelson Merkel Milwaukee Mobitz Monro Montgomery Morgagni Morton Moro
Munchausen Murphy Myerson Nelson Neumann Nikolsky Nissen Noonan Norman Ogilvie Ortolani Osgood Osler Paget Pancoast
Parkinson Parvus Patau Paul Pel Perthes Peutz Peyronie Phalen Pick Plummer Pneumocystis Pott Potter Prader Pratt
Prinzmetal Queckenstedt Quincke Ramsay Ranson Rathke Raynaud Reed Reidel Reiter Rett Reye Reynolds Richter Riedel
Ringer Rinne Robertson Roemheld Romberg Rorschach Rose Roth Rovsing Russell Sachs Salter Schatzki Schilling Schirmer
Schistosoma Schmorl Schober Schwachman Schwann Sengstaken Sertoli Sever Sezary Sézary Sheehan Shwachman Simmonds Sims
Sipple Sjogren Sjögren Skene Smith Snellen Spurling Starling Steell Stein Stensen Stevens Still Stokes Sturge Sydenham
Takayasu Tanner Tay Thayer Thomas Thompson Thomsen Thurner Tinel Todd Tourette Trendelenburg Treitz Trousseau Turcot
Turner Valsalva Vincent Virchow Vogt Volkmann Waldenstrom Waldenström Wallenberg Warthin Waterhouse Weber Wegener Weil
Wells Wenckebach Wermer Wernicke West Whipple White Widal Wickham Williams Willebrand Willis Wilms Wilson Wiskott
Wolff Wood Wright Young Zenker Ziehl Zollinger
""")

# Given names that are words as well: names only before a surname or after a title or a relation.
ALSO_WORDS = _words(
    "Amber Crystal Dawn Drew Faith Grace Heather Hope Jack Jasmine Mark Robin Rosa Ruth Sandy Victor Will"
)

# After one of these, or before one, a name is that of a finding, a test or a thing.
CLINICAL_NOUNS = _words("""
abscess airway aneurysm angina anomaly aphasia area arthritis bacillus barr bodies body bundle cancer canal carcinoma
catheter cell cells chorea class classification clamp contracture crisis criteria cyst deformity deficiency disease
diseases disorder diverticulum drain duct dystrophy encephalopathy esophagus exam fascia fibers forceps fracture
ganglion gland glands gravis grade granuloma hernia index jelly lesion line lines lymphoma macula maneuver manoeuvre
membrane method monitor murmur muscle nerve nevus node nodes nodule nodules oesophagus palsy paralysis patch patches
phenomenon plaque plaques point position procedure prep proportion protein purpura rash reaction reflex ring ringers
rule sarcoma scale scan score seizure shock sign signs smear solution spots spot stage stain staging stomach sweats
syndrome syndromes tendon test testing tetralogy thyroiditis tic tremor triad tube tumor tumour ulcer ulcers valve
vein virus wave waves
""")

STATES = (
    "Alabama, Alaska, Arizona, Arkansas, California, Colorado, Connecticut, Delaware, Florida, Georgia, "
    "Hawaii, Idaho, Illinois, Indiana, Iowa, Kansas, Kentucky, Louisiana, Maine, Maryland, Massachusetts, "
    "Michigan, Minnesota, Mississippi, Missouri, Montana, Nebraska, Nevada, New Hampshire, New Jersey, "
    "New Mexico, New York, North Carolina, North Dakota, Ohio, Oklahoma, Oregon, Pennsylvania, "
    "Rhode Island, South Carolina, South Dakota, Tennessee, Texas, Utah, Vermont, Virginia, Washington, "
    "West Virginia, Wisconsin, Wyoming, Puerto Rico"
).split(", ")
STATE_CODES = (
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA "
    "RI SC SD TN TX UT VT VA WA WV WI WY PR DC"
).split()

# Places as large as a state, or larger, and words that follow "from" or "in" and are no places: all may stay.
WIDE_PLACES = _words("""
Afghanistan Africa African Albania Algeria America American Angola Arab Argentina Armenia Asia Asian Australia Austria
Azerbaijan Bahamas Bangladesh Belarus Belgium Bolivia Bosnia Botswana Brazil Britain British Bulgaria Cambodia
Cameroon Canada Caribbean Central Chile China Chinese Colombia Congo Costa Rica Croatia Cuba Cyprus Czech Denmark
Dominican East Eastern Ecuador Egypt El Salvador England Estonia Ethiopia Europe European Fiji Finland France Georgia
Germany Ghana Great Greece Greenland Guam Guatemala Guinea Guyana Haiti Honduras Hungary Iceland India Indian
Indonesia Iran Iraq Ireland Israel Italy Ivory Coast Jamaica Japan Japanese Jordan Kazakhstan Kenya Kingdom Korea
Kosovo Kuwait Laos Latin Latvia Lebanon Liberia Libya Lithuania Madagascar Malawi Malaysia Mali Malta Mediterranean
Mexican Mexico Middle Midwest Moldova Mongolia Morocco Mozambique Myanmar Namibia Nepal Netherlands New Zealand
Nicaragua Niger Nigeria North Northeast Northeastern Northern Northwest Norway Oman Pacific Pakistan Panama Paraguay
Peru Philippines Poland Portugal Puerto Qatar Republic Romania Russia Rwanda Saharan Samoa Saudi Arabia Scotland
Senegal Serbia Siberia Sierra Leone Singapore Slovakia Slovenia Somalia South Southeast Southeastern Southern
Southwest Southwestern Soviet Spain Sri Lanka States Sub-Saharan Sudan Sweden Switzerland Syria Taiwan Tanzania
Thailand Tibet Togo Trinidad Tunisia Turkey U.K. U.S. UK US USA Uganda Ukraine Union United Uruguay Uzbekistan
Venezuela Vietnam Wales West Western Yemen Yugoslavia Zambia Zimbabwe Upper Lower Ohio Mississippi River Valley Basin
Medicare Medicaid Islands ICU ED ER OR NICU PICU CCU PACU MICU SICU ENT
""") | frozenset(word for state in STATES for word in state.split())

# Words before "Hospital" or "Clinic" that do not say which.
GENERIC = _words("""
The A An His Her Their Our At In To Of And General University Children's Childrens Children Veterans Affairs Primary
Care Dermatology Emergency Community Memorial Regional County City State National Local Outpatient Inpatient Urgent
Psychiatric Pediatric Paediatric Family Medicine Internal Medical Health Free Walk-in Dental Eye Pain Women's Teaching
Oncology Cardiology Neurology Orthopedic Surgery Surgical Prenatal Public Private Day Fertility Travel Wound Sleep
Student Military Mental Rheumatology Nephrology Pulmonary Ophthalmology Hematology Endocrinology Urology Gynecology
Obstetrics Allergy Diabetes Follow-up Acute Rural Tertiary Academic Specialty First Second This That Patient Clinical
General Practice Standard Best Group Nursing
""")

# Capitalised words that stand where a name would, after "Patient:" or before "is a 54-year-old".
NOT_NAMES = _words("""
Dr Mr Mrs Ms I'm I've I'd I'll We're We've You're It's That's Let's What's He's She's There's They're Don't Can't Yeah
Yes Oh Ok Okay Um Uh Hi Hello Thank Thanks Well Tell So Just What How Why Where Who Please Sure Good Right Great Sorry

The A An This That These Those He She It They We I You His Her Its Their My Our Your No Not None Yes And Or But If
When While After Before Since Until Because Although However Also Patient Patients Mother Father Parents Parent Child
Infant Baby Newborn Boy Girl Man Woman Male Female Unknown Unremarkable Normal Negative Positive Denies Reports Alive
Deceased Died Had Has Have Is Was Were Are Be Been Does Did Do Present Absent N/A Nonsmoker Non-smoker Smoker Well
Healthy Stable Alert Type Stage Grade Class Information Type General Practitioner Practitioners Manager Specialist
Station Note Notes History Past Medical Surgical Family Social Review Physical Exam Examination Assessment Plan Doctor
Nurse Physician Surgeon Hospital Clinic Emergency Department Medicine Surgery Date Age Sex Gender Race Address Phone
Number Diagnosis Hypertension Diabetes Asthma Cancer Migraine Migraines Stroke Pain Currently Previously Recently HIV
AIDS HPV HSV DM HTN CAD MI COPD MS ALS TB STI STD CT MRI ECG EKG EEG BP HR RR Temp WBC RBC January February March
April June July August September October November December Monday Tuesday Wednesday Thursday Friday Saturday Sunday
Caucasian Hispanic Latino Latina White Black Married Single Divorced Widowed Retired Works Occasional Occasionally
Lives Drinks Smokes Takes Uses With Without For From On In At To By As Of Increased Decreased Follow Start Continue
Return Recommend Given Seen Multiple All Both Each Other Another Some Any Most Many Several One Two Three Four Five
Six Rh Group Only Primigravida Gravida Vegetarian Christian Catholic Jewish Muslim
""")


def ordinary(words: list[str], first: int | None = None) -> bool:
    """Whether one of the (first) words is no name; a letter alone is an initial and no article, and not counted."""
    longer = [bare for word in words if len(bare := word.strip(".,")) > 1]
    return any(word in NOT_NAMES for word in longer[:first])


def is_medicine(match: re.Match[str], words: list[str]) -> bool:
    """Whether a match is part of "Crohn's disease", "Hodgkin lymphoma", "Wells score" or a list of such."""
    after = re.match(r"[\s\-–]*([A-Za-z]+)", match.string[match.end("x") :])
    last = re.sub(r"['’]s$", "", words[-1])
    following = after[1].lower() if after else ""
    if any(word.lower() in CLINICAL_NOUNS for word in words[1:]) or following in CLINICAL_NOUNS:
        return True
    if "-" in last and last.split("-")[0] in EPONYMS:
        return True
    return words[0] not in GIVEN_NAMES and all(re.sub(r"['’]s$", "", word) in EPONYMS for word in words)
