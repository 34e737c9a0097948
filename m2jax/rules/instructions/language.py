"""Which of the languages of IFEval a text is in: by its script, and within a script by function words.

The 30 languages lie in 14 scripts, ten of which have one language each. In the others (Latin, Cyrillic, Arabic,
Devanagari) a word counts for a language whose list holds it, or an ending or a letter that is the language's own; a word
that k languages share counts 1/k for each. Text in a script none of whose lists knows a word of it is in the script's
first language. The language of most letters is the text's, as in IFEval, so a quotation may stand in another.

No package: langdetect, which IFEval takes, draws at random, errs on short replies and has had no release since 2021;
the others bring numpy or megabytes of n-grams. What a checker of 30 known languages needs is this page. It cannot tell
languages that it does not know: Dutch reads as the nearest of the ten in Latin letters.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections import Counter
from functools import cache

_BLOCKS = (  # first character, last character, script; in order
    ("A", "z", "latin"),
    ("ª", "ɏ", "latin"),
    ("Ѐ", "ԯ", "cyrillic"),
    ("\u0590", "\u05ff", "he"),
    ("\u0600", "\u077f", "arabic"),
    ("\u0900", "\u097f", "devanagari"),
    ("\u0980", "\u09ff", "bn"),
    ("\u0a00", "\u0a7f", "pa"),
    ("\u0a80", "\u0aff", "gu"),
    ("\u0b80", "\u0bff", "ta"),
    ("\u0c00", "\u0c7f", "te"),
    ("\u0c80", "\u0cff", "kn"),
    ("\u0d00", "\u0d7f", "ml"),
    ("\u0e00", "\u0e7f", "th"),
    ("\u1100", "\u11ff", "ko"),
    ("\u1e00", "\u1eff", "latin"),
    ("\u3040", "\u30ff", "kana"),
    ("\u3130", "\u318f", "ko"),
    ("\u3400", "\u9fff", "han"),
    ("\uac00", "\ud7a3", "ko"),
    ("\ufb50", "\ufefc", "arabic"),
)
_FIRSTS = [first for first, _, _ in _BLOCKS]

# A language's words; "-x" is an ending of longer words, "+xyz" are letters of its own. First of a script: its default.
_WORDS = {
    "latin": {
        "en": "the of and to in is it that for you with are on this be as have not at but they from or by an we his her"
        " she he i my your was were will would can could should has had do does did if so what which who when there"
        " their them all no yes more about how our me us into than then its just like out up a one some any these those"
        " been because also only s t don ll re ve -ing -tion -ness -ould",
        "es": "el la los las de que y en un una es no por con para su se lo como más pero sus le ya o este sí porque"
        " esta entre cuando muy sin sobre también me hasta hay donde quien desde todo nos ni contra otros ese eso ante"
        " ellos mi tu al del son ser está tiene puede -ción -ciones +ñ¿¡",
        "pt": "o a os as de que e do da em um uma é não por com para se na no dos das mais como mas ao ele ela seu sua"
        " ou quando muito nos já eu também só pelo pela até isso entre depois sem mesmo aos ter seus você está são foi"
        " ser tem à às nas minha meu uns -ção -ções -mente +ãõ",
        "fr": "le la les de des et en un une est que qui dans pour pas sur au aux ce cette ces il elle ils nous vous je tu"
        " ne se sont avec par plus ou mais du son sa ses mon ma mes votre notre leur être avoir a été comme tout très"
        " c d l j qu n s y où même aussi si bien peut -eaux -ement +œêù",
        "de": "der die das und ist in zu den mit von für auf ein eine einen einem einer nicht sie er es wir ich ihr du"
        " dem des im sich auch als an wie aber aus bei nach oder so wenn noch nur um am über hat haben wird werden sind"
        " war kann zum zur diese dieser dieses mein sein ihre unser man sehr was bitte bis -ung -ungen -keit -lich +ß",
        "it": "il lo la i gli le di che e è un una in per con non del della dei delle al alla si da nel nella come più"
        " ma anche sono questo questa o se su mi ci ti vi ho ha hanno essere molto tutto io tu lui lei noi voi loro suo"
        " sua mio mia dal sul sulla quando dove perché cosa tra fra l un' -zione -zioni -mente -gli +ìò",
        "pl": "i w na z do nie się to jest że o jak po ale co dla tak od przez czy za są jego jej ich ten ta te tego tej"
        " był była było być może już tylko lub oraz który która które we ze bardzo gdy mnie mi ja ty on ona my wy oni"
        " -ość -ych -ego -ować +ąćęłńśźż",
        "vi": "và của là có không được một các những cho trong với người này đó để khi đã sẽ từ như tôi bạn chúng ta nó"
        " cũng rất nhiều làm về ra vào thì mà hay hoặc nếu trên tại ông bà anh chị em con mẹ cha ăn đi +ăơưđạảấầẩẫậắằẳẵặẹẻẽế"
        "ềểễệỉĩịọỏốồổỗộớờởỡợụủũứừửữựỳỵỷỹ",
        "sw": "na ya wa kwa ni katika la za cha kuwa hii huo hiyo yake wake watu sana lakini kama au si huu yangu wangu"
        " vya pia mtu mimi wewe yeye sisi nyinyi wao hapa hapo kila ili tu bila baada kabla zaidi ndiyo hapana nini gani"
        " vipi habari asante siku moja mbili hakuna kwamba wakati nyumba alisema yako wako ambayo ambao -ana -isha",
        "fi": "ja on ei se että hän oli ovat mutta kun niin kuin myös tai joka jotka tämä nämä ne he minä sinä me te en"
        " et olen olet voi sen hänen jos vain mitä kanssa sitten ole olla hyvin mukaan jo vielä nyt kuka missä koska sekä"
        " -ssa -ssä -sta -stä -lla -llä -lle -nen -vat -vät -ään -een",
    },
    "cyrillic": {
        "ru": "и в не на что я с это как по но из у за он она мы вы они для так быть был была было только же бы к от о"
        " все его её их если когда или уже нет да ты мой очень есть этот эта где чтобы может который которая которые"
        " -ого -ться -ешь -ить -ать -ия +ыэё",
        "bg": "и да на се в не за от е са със че ще по си най като това но или съм беше който която което които при до"
        " са той тя ние вие те аз ти с са го му им ми ни ви вече много може как какво къде когато само също този тази"
        " тези един една едно има няма бъде след -ът -ята -ите -ето -ния",
        "uk": "і в на що не з та це як до за від є ми ви він вона вони для але або бути був була було у й я ти його її їх"
        " про коли якщо так ні дуже може який яка які також щоб вже чи де той ця цей +іїєґ",
    },
    "arabic": {
        "ar": "في من على أن إلى هذا هذه التي الذي عن مع كان كانت هو هي ما لا لم لن قد كل بعد قبل عند أو ثم بين حتى إذا"
        " كما لكن نحن أنا أنت هم ذلك تلك و يا إن غير أي منذ ليس -ون -ين -ات -ها +ةىيكإأؤ",
        "fa": "و در به از که این را با است برای آن یک می های هم شد بود شده خود تا بر من تو او ما شما آنها نیز هر اما اگر"
        " باید چه چون دارد کرد کند شود نمی ها یا پس همه هیچ بسیار روی کنید هستند -ترین -های",
        "ur": "کے کی کا میں ہے سے اور کو پر نے یہ ہیں کہ ایک وہ بھی تھا تھی تھے اس ان جو تو ہو نہیں کر لیے گیا ہم آپ میرا"
        " اپنے بہت کیا ساتھ +ٹڈڑںےھہۂ",
    },
    "devanagari": {
        "hi": "है हैं का की के में और से को यह पर एक नहीं था थी थे कि भी ने हो तो वह इस उस जो कर रहा रही रहे लिए साथ मैं"
        " हम आप वे क्या अपने अपनी अपना बहुत कुछ हुआ हुई गया गई जब तक या मेरी मेरा मुझे आपके आपका हूँ हूं सकते करते ये",
        "mr": "आहे आहेत आणि मध्ये हे ते ही तो ती एक नाही होते होता होती साठी मी आपण असे की करून त्या या व पण काय तर"
        " माझ्या माझे माझा तुम्ही आम्ही त्यांनी त्याने हा का आता खूप झाला झाली झाले केले असतो असते किंवा म्हणून आहोत"
        " -च्या -ाची -ाचे -ाचा -ांना -ांनी -ून -तात -ाला -ीत -ात -णे +ळ",
        "ne": "छ छन् र मा को हो पनि यो गर्न गर्ने हुन्छ लाई ले का की थियो भने तपाईं हामी एक गरेको गर्नुहोस् छैन म त्यो"
        " तपाईंको मेरो हाम्रो तर वा भएको गरी लागि साथै हुन् थिए गरे दिन छौं छु जान गर्दै -को -मा -हरू -हरु -लाई -बाट"
        " -न्छ -न्छन् -ेको -ुहोस् -ले -नु",
    },
}
LANGUAGES = frozenset("he bn pa gu ta te kn ml th ko ja zh".split()).union(*_WORDS.values())


def language_of(text: str) -> str | None:
    """The ISO 639-1 code of the language most letters of `text` are in; None where there are no letters."""
    text = unicodedata.normalize("NFC", text).lower()
    plain = "".join(c if unicodedata.category(c)[0] in "LM" else " " for c in text)
    scripts = Counter(_script(c) for c in plain if c != " ")
    del scripts[""]
    if scripts["kana"]:  # Japanese is written in both
        scripts["kana"] += scripts.pop("han", 0)
    if not scripts.total():
        return None
    script = max(scripts, key=lambda name: scripts[name])
    if script not in _WORDS:
        return {"kana": "ja", "han": "zh"}.get(script, script)
    scores = dict.fromkeys(_WORDS[script], 0.0)
    for word, count in Counter(plain.split()).items():
        languages = _languages(script, word)
        for language in languages:
            scores[language] += count / len(languages)
    return max(scores, key=lambda language: scores[language])


@cache
def _script(character: str) -> str:
    i = bisect_right(_FIRSTS, character) - 1
    return _BLOCKS[i][2] if i >= 0 and character <= _BLOCKS[i][1] else ""


@cache
def _lists(script: str) -> dict[str, tuple[frozenset[str], tuple[str, ...], frozenset[str]]]:
    """Of each language of a script: its words, its endings, its letters."""
    lists = {}
    for language, text in _WORDS[script].items():
        entries = text.split()
        lists[language] = (
            frozenset(e for e in entries if e[0] not in "-+"),
            tuple(e[1:] for e in entries if e[0] == "-"),
            frozenset("".join(e[1:] for e in entries if e[0] == "+")),
        )
    return lists


def _languages(script: str, word: str) -> list[str]:
    """The languages of a script that a word speaks for."""
    return [
        language
        for language, (words, endings, letters) in _lists(script).items()
        if word in words or (len(word) > 4 and word.endswith(endings) and bool(endings)) or not letters.isdisjoint(word)
    ]
