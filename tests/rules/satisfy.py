"""Replies that follow an instruction of IFEval, or just do not, made from its id and kwargs alone.

Nothing here comes of the checkers: what is counted is counted out when a reply is written. `replies` gives pairs for
one instruction, on either side of its boundary; `together` gives one reply for all the instructions of a prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

# Plain words for filling up: enough that some are left whatever letter or word is ruled out.
WORDS = "it is so and we all had a big sun in may but not by law for you as our fun day at this old farm".split()

SENTENCES = {  # three a language, without commas, the first short
    "en": ("We can rest here.", "The doctor will see you in the morning.", "Drink water and sleep well."),
    "es": ("Hoy hace mucho frío.", "El médico te verá por la mañana.", "Bebe agua y duerme bien esta noche."),
    "pt": ("Hoje não está muito frio.", "O médico vai ver você de manhã.", "Beba água e durma bem esta noite."),
    "fr": ("Il fait très froid.", "Le médecin vous verra demain matin.", "Buvez de l'eau et dormez bien cette nuit."),
    "de": ("Heute ist es kalt.", "Der Arzt wird Sie morgen früh sehen.", "Trinken Sie Wasser und schlafen Sie gut."),
    "it": ("Oggi non fa freddo.", "Il medico ti vedrà domani mattina.", "Bevi acqua e dormi bene questa notte."),
    "pl": ("Dzisiaj jest zimno.", "Lekarz zobaczy cię jutro rano.", "Pij wodę i dobrze śpij tej nocy."),
    "vi": ("Hôm nay trời rất lạnh.", "Bác sĩ sẽ gặp bạn vào buổi sáng.", "Hãy uống nước và ngủ ngon đêm nay."),
    "sw": ("Leo kuna baridi sana.", "Daktari atakuona kesho asubuhi.", "Kunywa maji na ulale vizuri usiku huu."),
    "fi": ("Tänään on kylmä.", "Lääkäri tapaa sinut huomenna aamulla.", "Juo vettä ja nuku hyvin ensi yönä."),
    "ru": ("Сегодня очень холодно.", "Врач примет вас завтра утром.", "Пейте воду и хорошо спите этой ночью."),
    "bg": ("Днес е много студено.", "Лекарят ще ви види утре сутринта.", "Пийте вода и спете добре тази нощ."),
    "uk": ("Сьогодні дуже холодно.", "Лікар прийме вас завтра вранці.", "Пийте воду і добре спіть цієї ночі."),
    "ar": ("الجو بارد جدا اليوم.", "سيراك الطبيب غدا في الصباح.", "اشرب الماء ونم جيدا هذه الليلة."),
    "fa": ("امروز هوا خیلی سرد است.", "پزشک فردا صبح شما را می بیند.", "آب بنوشید و امشب خوب بخوابید."),
    "ur": ("آج بہت سردی ہے۔", "ڈاکٹر کل صبح آپ سے ملیں گے۔", "پانی پیئیں اور آج رات اچھی طرح سوئیں۔"),
    "hi": ("आज बहुत ठंड है।", "डॉक्टर कल सुबह आपसे मिलेंगे और बात करेंगे।", "पानी पीजिए और आज रात अच्छी नींद लीजिए।"),
    "mr": ("आज खूप थंडी आहे.", "डॉक्टर उद्या सकाळी तुम्हाला भेटतील.", "पाणी प्या आणि आज रात्री चांगली झोप घ्या."),
    "ne": ("आज धेरै जाडो छ।", "डाक्टरले भोलि बिहान तपाईंलाई भेट्नुहुन्छ।", "पानी पिउनुहोस् र आज राति राम्ररी सुत्नुहोस्।"),
    "bn": ("আজ খুব ঠান্ডা।", "ডাক্তার কাল সকালে আপনাকে দেখবেন।", "জল পান করুন এবং আজ রাতে ভালো করে ঘুমান।"),
    "pa": ("ਅੱਜ ਬਹੁਤ ਠੰਢ ਹੈ।", "ਡਾਕਟਰ ਕੱਲ੍ਹ ਸਵੇਰੇ ਤੁਹਾਨੂੰ ਮਿਲਣਗੇ।", "ਪਾਣੀ ਪੀਓ ਅਤੇ ਅੱਜ ਰਾਤ ਚੰਗੀ ਨੀਂਦ ਲਓ।"),
    "gu": ("આજે ખૂબ ઠંડી છે.", "ડૉક્ટર કાલે સવારે તમને મળશે.", "પાણી પીઓ અને આજે રાત્રે સારી ઊંઘ લો."),
    "ta": ("இன்று மிகவும் குளிர்.", "மருத்துவர் நாளை காலை உங்களைப் பார்ப்பார்.", "தண்ணீர் குடித்து நன்றாக உறங்குங்கள்."),
    "te": ("ఈ రోజు చాలా చలిగా ఉంది.", "డాక్టర్ రేపు ఉదయం మిమ్మల్ని చూస్తారు.", "నీళ్ళు తాగి బాగా నిద్రపోండి."),
    "kn": ("ಇಂದು ತುಂಬಾ ಚಳಿ ಇದೆ.", "ವೈದ್ಯರು ನಾಳೆ ಬೆಳಿಗ್ಗೆ ನಿಮ್ಮನ್ನು ನೋಡುತ್ತಾರೆ.", "ನೀರು ಕುಡಿದು ಚೆನ್ನಾಗಿ ನಿದ್ರೆ ಮಾಡಿ."),
    "ml": ("ഇന്ന് നല്ല തണുപ്പാണ്.", "ഡോക്ടർ നാളെ രാവിലെ നിങ്ങളെ കാണും.", "വെള്ളം കുടിച്ച് നന്നായി ഉറങ്ങുക."),
    "th": ("วันนี้อากาศหนาวมาก", "หมอจะพบคุณพรุ่งนี้เช้า", "ดื่มน้ำและนอนหลับให้สบายคืนนี้"),
    "ko": ("오늘은 매우 춥습니다.", "의사가 내일 아침에 당신을 볼 것입니다.", "물을 마시고 오늘 밤 푹 주무세요."),
    "he": ("היום קר מאוד.", "הרופא יראה אותך מחר בבוקר.", "שתה מים ותישן טוב הלילה."),
    "ja": ("今日はとても寒いです。", "医者は明日の朝あなたを診ます。", "水を飲んで今夜はよく眠ってください。"),
    "zh": ("今天很冷。", "医生明天早上会见你。", "今晚喝水好好睡觉。"),
}

Instruction = tuple[str, dict[str, Any]]


def _sides(relation: str, limit: int) -> tuple[int, int]:
    """The last count that still stands, the first that does not."""
    return (limit, limit - 1) if relation == "at least" else (limit - 1, limit)


def _counted(unit: str, relation: str, limit: int, rest: str, between: str = " ") -> tuple[str, str]:
    good, bad = (between.join([unit] * n + [rest]) for n in _sides(relation, limit))
    return good, bad


def _plain(without: Sequence[str]) -> list[str]:
    """Filling words in which none of these strings stands."""
    return [word for word in WORDS if not any(text.lower() in word for text in without)]


def _filler(without: Sequence[str]) -> str:
    return " ".join(_plain(without)[:4])


def replies(instruction_id: str, k: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs (a reply that follows, one that does not), the difference as small as it can be."""
    match instruction_id.partition(":")[2]:
        case "existence":
            all_but_one = k["keywords"][:-1]
            rest = [w for w in all_but_one if k["keywords"][-1].lower() not in w.lower()]
            return [(" ".join([*k["keywords"], "it"]), " ".join([*rest, _filler(k["keywords"])]))]
        case "frequency":
            return [_counted(k["keyword"], k["relation"], k["frequency"], _filler([k["keyword"]]))]
        case "forbidden_words":
            clean = _filler(k["forbidden_words"])
            return [(clean, f"{clean} {word.upper()}. {clean}") for word in k["forbidden_words"]]
        case "letter_frequency":
            return [_counted(k["letter"], k["let_relation"], k["let_frequency"], _filler([k["letter"]]))]
        case "response_language":
            text, wrong = " ".join(SENTENCES[k["language"]]), SENTENCES["en" if k["language"] != "en" else "de"]
            return [(text, " ".join(wrong)), (SENTENCES[k["language"]][1], "12 345")]
        case "number_sentences":
            good, bad = (" ".join(["It is so."] * n) or "*" for n in _sides(k["relation"], k["num_sentences"]))
            return [(good, bad)]
        case "number_words":
            good, bad = (" ".join(["so"] * n) or "*" for n in _sides(k["relation"], k["num_words"]))
            return [(good, bad)]
        case "number_paragraphs":
            n = k["num_paragraphs"]
            texts = ["\n***\n".join(["It is so."] * m) for m in (n, n + 1, n - 1)]
            return [(texts[0], bad) for bad in (*texts[1:], texts[0] + "\n***\n***\nSo.") if bad]
        case "nth_paragraph_first_word":
            n, nth = k["num_paragraphs"], k["nth_paragraph"]
            parts = ["Zebras rest."] * n
            good = "\n\n".join([*parts[: nth - 1], k["first_word"] + " rest.", *parts[nth:]])
            return [(good, "\n\n".join(parts)), (good, good + "\n\nOne more.")]
        case "number_placeholders":
            return [_counted("[name]", "at least", k["num_placeholders"], "It is so.")]
        case "postscript":
            return [(f"It is so.\n{k['postscript_marker']} And so on.", "It is so.\nAnd so on.")]
        case "number_bullet_lists":
            n = k["num_bullets"]
            good, more, less = ("\n".join(["It is so:", *["* so"] * m]) for m in (n, n + 1, n - 1))
            return [(good, more), (good, less), (good.replace("* so", "- so"), less)]
        case "constrained_response":
            options = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
            return [(option, option.replace("answer", "reply")) for option in options]
        case "number_highlighted_sections":
            return [
                _counted(unit, "at least", k["num_highlights"], "It is so.") for unit in ("*so it is*", "**so it is**")
            ]
        case "multiple_sections":
            n, name = k["num_sections"], k["section_spliter"]
            return [tuple("\n".join([f"{name} {i + 1}\nIt is so." for i in range(m)]) or "So." for m in (n, n - 1))]
        case "json_format":
            return [('{"so": [1, null]}', '{"so": [1, null]'), ('```json\n{"so": 1}\n```', "```json\nso\n```")]
        case "title":
            return [("<<So it is>>\nYes.", "<So it is>\nYes."), ("It is <<so>>.", "It is << >>.")]
        case "two_responses":
            return [("It is.\n******\nIt is not.", "It is.\n******\nIt is."), ("a ****** b", "a ****** b ****** c")]
        case "repeat_prompt":
            text = k["prompt_to_repeat"]
            return [(f"{text}\nIt is so.", f"Yes. {text}\nIt is so."), (text, text[: len(text) // 2])]
        case "end_checker":
            return [(f"It is so. {k['end_phrase']}", f"It is so. {k['end_phrase']} Yes.")]
        case "quotation":
            return [('"It is so."', '"It is so.'), ('"It is so."', "“It is so.”")]
        case "capital_word_frequency":
            return [_counted("SO", k["capital_relation"], k["capital_frequency"], "it is.")]
        case "english_capital":
            return [("IT IS SO AND WE REST.", "IT IS SO AND We REST."), ("IT IS SO.", "DER ARZT IST NICHT DA.")]
        case "english_lowercase":
            return [("it is so and we rest.", "It is so and we rest."), ("it is so.", "der arzt ist nicht da.")]
        case "no_comma":
            return [("It is so; and we rest.", "It is so, and we rest.")]
    raise KeyError(instruction_id)


def together(instructions: Sequence[Instruction]) -> str:
    """One reply for all of them. In order: the request, a title, paragraphs or the other response, one long sentence of
    all the words and marks, more sentences, sections, bullets, a postscript, the last phrase.
    """
    kinds = [name.partition(":")[2] for name, _ in instructions]
    k: dict[str, Any] = {}  # of kwargs no two of which can differ, the last
    for _, kwargs in instructions:
        k |= kwargs
    least, most = _bounds(instructions, "at least"), _bounds(instructions, "less than")

    ruled_out = k.get("forbidden_words", []) + [key for kind, key in most if kind in ("frequency", "letter_frequency")]
    language = k.get("language", "en")
    fill = _plain(ruled_out)
    short = fill[0] if language == "en" else SENTENCES[language][0].rstrip(".।۔")

    marks = list(k.get("keywords", []))
    for (kind, key), n in least.items():
        marks += {"frequency": [key], "letter_frequency": [key], "capital_word_frequency": ["SO"]}.get(kind, []) * n
    marks += [f"[{fill[0]}]"] * k.get("num_placeholders", 0) + [f"*{fill[0]}*"] * k.get("num_highlights", 0)
    main = " ".join([" ".join(fill[:4]) if language == "en" else " ".join(SENTENCES[language][:2] * 9), *marks])

    head, tail = [], []
    if "title" in kinds:
        head.append(f"<<{fill[0]}>>")
    tail += [f"{k['section_spliter']} {i + 1}\n{short}" for i in range(k.get("num_sections", 0))]
    tail += [f"* {short}"] * k.get("num_bullets", 0)
    if "constrained_response" in kinds:
        head.append("My answer is yes.")
    if "postscript" in kinds:
        tail.append(f"{k['postscript_marker']} {short}")
    if "end_checker" in kinds:
        tail.append(k["end_phrase"])

    lead = [short] * (k["num_paragraphs"] - 1) if "num_paragraphs" in k else []
    divider = "\n***\n"
    if "nth_paragraph_first_word" in kinds:
        divider, nth = "\n\n", k["nth_paragraph"] - 1
        if nth < len(lead):
            lead[nth] = f"{k['first_word']} {short}"
        else:
            head.insert(0, f"{k['first_word']} {short}")
    if "two_responses" in kinds:
        lead, divider = [short], "\n******\n"

    def text(more: int, padding: int) -> str:
        body = [" ".join([main, *[fill[i % len(fill)] for i in range(padding)]]) + "."]
        last = "\n".join([*head, *body, *[f"{fill[0]} {fill[1]}."] * more, *tail])
        return divider.join([*lead, last])

    stops = sum(len(re.findall(r"[.!?](?!\S)", line)) for line in [*head, *tail])
    unended = bool(tail) and not re.search(r"[.!?]$", tail[-1])
    more = max(0, least.get(("number_sentences", ""), 0) - 1 - stops - unended)
    padding = max(0, least.get(("number_words", ""), 0) - len(re.findall(r"\w+", text(more, 0))))
    reply = text(more, padding)

    if "repeat_prompt" in kinds:
        reply = f"{k['prompt_to_repeat']}\n{reply}"
    if "english_capital" in kinds:
        reply = reply.upper()
    if "english_lowercase" in kinds:
        reply = reply.lower()
    if "json_format" in kinds:
        reply = json.dumps(reply)
    return f'"{reply}"' if "quotation" in kinds else reply


def _bounds(instructions: Sequence[Instruction], relation: str) -> dict[tuple[str, str], int]:
    """(type, keyword or letter or nothing) → the bound, of those instructions that have this relation."""
    found = {}
    for name, k in instructions:
        if relation in (k.get("relation"), k.get("let_relation"), k.get("capital_relation")):
            limit = next(value for value in k.values() if isinstance(value, int))
            found[name.partition(":")[2], k.get("keyword", k.get("letter", ""))] = limit
    return found
