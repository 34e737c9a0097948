# ruff: noqa: E501 (tables of patterns)
"""Numbers, codes and addresses of machines: (class, pattern) for `identifiers`.

A label that alone could mean anything ("plan", "order") asks for "number", "id" or "#" after it. What follows a label
is an identifier if it holds a digit.
"""

from __future__ import annotations

_ID = r"[:#=\s]*(?:is\s+|was\s+|of\s+|ref(?:erence)?\.?\s+|end(?:s|ing)(?:\s+(?:in|with))?\s+)?[:#=\s]*(?P<x>(?=[\w\-./]*\d)[A-Za-z0-9](?:[\w\-./]*[A-Za-z0-9])?)"
_NO = r"\s*(?:numbers?|no\b\.?|num\b\.?|nr\b\.?|#|id\b|identifier|code)?"
_MUST_NO = r"\s*(?:numbers?|no\b\.?|num\b\.?|nr\b\.?|#|id\b|ids\b|identifier|code)"
_NANP = r"(?<![\d.\-/])(?:\+?1[\s.\-]?)?(?:\(\d{3}\)[\s.\-]?|\d{3}[\s.\-])\d{3}[\s.\-]\d{4}(?![\d\-/])"
_INTERNATIONAL = r"(?<![\w.])(?:\+|00)\d{1,3}[\s.\-]?(?:\(0\)\s?)?\(?\d{1,4}\)?(?:[\s.\-]?\d{2,4}){2,4}(?!\d)"
_ANY_PHONE = r"(?:\+|\b)?[(\d](?:[\s.\-()]{0,2}\d){5,14}(?:\s?(?:x|ext\.?|extension)\s?\d{1,6})?"
_UNITS = r"(?:mg|mcg|µg|g|pg|ng|ml|mL|L|mm|cm|IU|U|units?|cells?|copies|kcal|calories|cal|steps|m|ft|years?|hours?|days?|range|normal)\b"
_TAIL = r"(?:\s?(?:x|ext\.?|extension)\s?\d{1,6})?"
_ADDRESS_SECTION = r"(?:[0-9a-f]{1,4}:){2,7}:?[0-9a-f]{1,4}|(?:[0-9a-f]{1,4}:)*:(?::?[0-9a-f]{1,4})+"
_AT, _DOT = r"(?:@|\[at\]|\(at\)|\bat\b)", r"(?:\s?\[dot\]\s?|\s?\(dot\)\s?|\s+dot\s+)"
# A code that needs no "number" before it: it has four digits, or digits beside letters or hyphens.
_CODE = r"[:#=\s]*(?:is\s+|ref(?:erence)?\.?\s+|(?:no|number|nr)\b\.?\s*)?[:#]?\s*(?P<x>(?=[\w\-/]*\d)(?:(?=[\w\-/]*[A-Z\-])(?-i:[A-Z0-9][A-Z0-9\-/]*)|\d{4,})(?:\s(?-i:[A-Z]*\d{3,}))*)(?![\w%]|\.\d)"

CODES: list[tuple[str, str]] = [
    ("email", r"(?i)[\w.+\-%]+\s?(?:@|\[at\]|\(at\))\s?[\w\-]+(?:(?:\.|\s?\[dot\]\s?|\s?\(dot\)\s?)[a-z][\w\-]*)+"),
    ("email", rf"(?i)\b[\w.+\-]+(?:{_DOT}[\w+\-]+)*\s?{_AT}\s?[\w\-]+(?:{_DOT}[a-z][\w\-]*)+"),
    ("url", r"(?i)\b(?:(?:https?|ftp)://|www\.)[^\s<>\"']*[^\s<>\"'.,;:)\]]"),
    ("url", r"(?i)\b(?<!@)(?:[a-z0-9\-]{2,}\.)+(?:com|org|net|edu|gov|info|health|io|co\.uk|de|fr)(?:/[^\s,;)]*)?\b"),
    ("ip", r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?::\d{2,5}\b|(?![\d.]*\d))"),
    ("ip", rf"(?i)(?<![\w:])(?=[0-9a-f:]*[0-9a-f]{{1,4}}:[0-9a-f:]*:)(?:{_ADDRESS_SECTION})(?![\w:])"),
    ("ip", r"(?i)(?<![\w:])(?:[0-9a-f]{2}[:\-]){5}[0-9a-f]{2}(?![\w:])"),
    ("fax", rf"(?i)\b(?:fax(?:['’]?e?d)?|facsimile){_NO}[:\s]*(?:at\s|is\s|to\s|on\s)?\s*(?P<x>{_ANY_PHONE})"),
    (
        "phone",
        rf"(?i)\b(?:phone|telephone|tel|cell|mobile|pager|beeper|call(?:ed|s)?|contact|reach(?:ed|able)?|text(?:ed)?|"
        rf"ring|whatsapp|voicemail|extension|hotline)\b\.?(?:\s+(?:number|no\.?|#|him|her|them|me|us|back|is|was|at|"
        rf"on|by|phone|the|his|my))*[:\s#]*(?P<x>{_ANY_PHONE})",
    ),
    ("phone", rf"{_NANP}{_TAIL}"),
    ("phone", rf"{_INTERNATIONAL}{_TAIL}"),
    ("phone", rf"(?<![\w.\-/])[2-9]\d\d-\d{{7}}(?![\w\-]){_TAIL}"),
    # "555-0199", but not the range of "350-1000" or "200-1187 pg/mL"
    (
        "phone",
        rf"(?i)(?<![\w.,\-/])(?<!range )(?<!normal )(?<!reference )[2-9]\d\d-(?:0\d{{3}}|[1-9]\d\d[1-9])(?![\w\-/%.,]\d|\w|\s*(?:{_UNITS}|[%/±]))",
    ),
    (
        "phone",
        r"(?i)\b(?:pager|beeper|bleep|ext(?:ension)?)\b\.?(?:\s+(?:number|no\.?|is))*[\s#:]*(?P<x>\d{4,6})(?![\w%]|[.,]\d)",
    ),
    ("phone", r"(?<![\w.])x(?!\d+00\b)\d{4,5}(?![\w%]|[.,]\d)"),
    ("phone", r"(?<![\d.\-/])\(\d{3}\)\s?\d{3}[\s.\-]?\d{4}(?!\d)"),
    ("ssn", r"(?<![\d\-])\d{3}([\-\s.])\d{2}\1\d{4}(?![\d\-])"),
    ("ssn", r"(?i)(?<![\w\-])[x*#]{3}[\-\s]?[x*#]{2}[\-\s]?\d{4}(?!\d)"),
    (
        "ssn",
        r"(?i)\b(?:ssn|ss\s?(?:#|no\b\.?|number)|social(?:\s+security)?(?:\s+(?:number|no\.?|#))?)(?:\s+(?:is|was|ends|ending|in|with|last|"
        r"four|4|digits|of))*[:#=\s]*(?P<x>\d{3}[\s\-.]?\d{2}[\s\-.]?\d{4}|\d{4})(?!\d)",
    ),
    (
        "record_number",
        rf"(?i)\b(?:m\.?r\.?n\.?|ur\s?n|(?:medical|health|hospital|patient|clinic|unit)\s+(?:record|file|chart|"
        rf"registration){_NO}|(?:patient|hospital|chart|record|file|nhs|case|encounter|visit|accession|specimen|"
        rf"admission|sample|order|requisition|registration|referral){_MUST_NO}|(?:chart|file)\s?#){_NO}{_ID}",
    ),
    ("record_number", rf"(?i)\b(?:chart|hospital|record|casenotes?|folder){_CODE}"),
    (
        "record_number",
        rf"(?i)\b(?:(?-i:MR)|med(?:ical)?\.?\s+rec\b\.?|enc\b\.?|rx){_MUST_NO}[:\s]*(?P<x>\d[\d\-]{{3,}})(?!\w)",
    ),
    ("record_number", rf"\b(?:CSN|HAR|FIN)\b(?i:{_NO})[:\s]*(?P<x>\d{{5,}})(?!\w)"),
    ("record_number", r"(?i)\bcase\s*:\s*(?P<x>\d{2,4}-\d{3,})(?!\w)"),
    ("record_number", r"(?i)\b(?:specimen|accession|pathology|cytology)[:\s]+(?P<x>(?-i:[A-Z]{1,3})\d\d-\d{3,})(?!\w)"),
    (
        "health_plan",
        rf"(?i)\b(?:(?:member(?:ship)?|policy|insurance|subscriber|beneficiary|group|plan|health\s+plan|payer|(?:policy|plan|card)\s?holder|"
        rf"medicare|medicaid|coverage){_MUST_NO}|hicn|mbi|policy){_NO}{_ID}",
    ),
    (
        "account",
        rf"(?i)\b(?:(?:bank\s+)?account|acct|a/c|billing|invoice|claim|credit\s+card|debit\s+card|card|iban|"
        rf"routing)\b\.?{_NO}{_ID}",
    ),
    ("account", r"(?<![\d.\-])\d{4}([\s\-])\d{4}\1\d{4}\1\d{4}(?!\d)"),
    ("account", r"(?<!\w)[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){3,7}(?:\s?[A-Z0-9]{1,3})?(?!\w)"),
    (
        "licence",
        rf"(?i)\b(?:(?:driver'?s?\s+|driving\s+|medical\s+|professional\s+|nursing\s+)?licen[cs]e(?!\s+plate)|"
        rf"passport|npi\b){_NO}{_ID}",
    ),
    ("licence", rf"(?i)(?<![\w/])(?:cert(?:ificat(?:e|ion))?\b\.?|lic\b\.?|dea|dl|diploma|permit){_MUST_NO}{_ID}"),
    ("licence", rf"(?i)\b(?:(?-i:EIN|TIN)|tax\s+id)\b{_NO}[:\s]*(?P<x>\d{{2}}-?\d{{7}})(?!\w)"),
    ("licence", rf"(?i)(?<![\w/])(?:dea|dl)\s*[:#]{_ID}"),
    ("licence", r"(?<![\w/])DL\s+(?P<x>(?=[A-Z]|\d+-)[A-Z0-9\-]{6,})(?!\w)"),
    (
        "licence",
        rf"(?i)(?:\b(?-i:GMC|NMC|HCPC|GDC|GPhC|AHPRA|IMC|CPSO)(?:\s+pin)?|\b(?:nursing|medical|professional|pharmacy|dental)\s+"
        rf"(?:registration|council|pin)){_CODE}",
    ),
    (
        "ssn",
        r"(?i)(?<!\w)ssn?\s*[:#]\s*(?P<x>\d[\d\- ]{2,10}\d)",
    ),
    ("vehicle", r"(?<!\w)(?=[A-HJ-NPR-Z0-9]*\d)(?=[A-HJ-NPR-Z0-9]*[A-HJ-NPR-Z])[A-HJ-NPR-Z0-9]{11}\d{6}(?!\w)"),
    (
        "vehicle",
        rf"(?i)\b(?:vin|(?:license|licence|number|registration|vehicle|car)\s+plates?|plates?|vehicle\s+(?:id|"
        rf"identification|registration)|\breg(?:istration)?\b\.?){_NO}[:#=\s]*(?:is\s+|"
        rf"was\s+)?(?P<x>(?-i:[A-Z0-9]{{1,4}}[\s\-]?[A-Z0-9]{{2,5}}(?:[\s\-][A-Z0-9]{{2,4}})?)\b)",
    ),
    (
        "vehicle",
        r"(?i)(?<!skin )\btags?\b[:#\s]*(?P<x>(?-i:(?=[A-Z]*\d)(?=\d*[A-Z])[A-Z0-9]{5,8}))(?!\w)",
    ),
    (
        "device",
        rf"(?i)(?:\b(?:serial|udi|device|implant|lot|batch|model|catalog(?:ue)?|ref){_MUST_NO}|\bserial|\budi|\bs/n|"
        rf"\bsn\b|\b(?:lot|batch)\b){_NO}{_ID}",
    ),
    ("device", r"\(01\)\d{14}(?:\(\d{2}\)[\w\-]+)*"),
    (
        "biometric",
        rf"(?i)\b(?:finger\s?prints?|voice\s?prints?|retina(?:l)?\s+scan|iris\s+scan|palm\s?prints?|face\s?print|"
        rf"hand\s+geometry|thumb\s?prints?|foot\s?prints?|iris|retina|dna\s+profile|genetic\s+fingerprint|biometric(?:s)?)(?:\s+(?:id|template|hash|code|ref(?:erence)?\.?|pattern|record|"
        rf"file|scan|number|no\.?|data|identifier|on|is|was))*{_ID}",
    ),
    ("photo", r"(?i)\bdata:image/[\w.+\-]+;base64,[\w+/=]+"),
    ("photo", r"(?i)(?<![\w/])[\w\-./]+(?:\(\d+\))?\.(?:jpe?g|png|gif|bmp|tiff?|heic|webp|dcm)\b"),
    ("other", r"(?i)\burn:(?:uuid|oid):[\w.\-]+"),
    ("other", r"(?i)(?<!\w)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?!\w)"),
    ("other", r"(?i)(?<!\w)(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{16,}(?!\w)"),
    ("other", r"(?<![\w.,])\d{9,}(?![\w%]|[.,]\d)"),
    ("other", r"(?<![\w.])[A-Z]{1,4}-?\d{6,}[A-Z]?(?!\w)"),
    (
        "other",
        rf"(?i)\b(?:study|subject|participant|trial|employee|badge|student|user|staff|customer|client|tracking|"
        rf"barcode|voucher|ticket|token|unique){_MUST_NO}{_ID}",
    ),
    ("other", r"(?i)\b(?:user\s?name|login|handle|screen\s+name)\b\s*(?::|is\b)\s*(?P<x>@?[\w.\-]{3,})"),
    ("other", r"(?i)\b(?:user\s?name|user|login|handle|screen\s+name)\s+(?P<x>@?(?=[\w.\-]*[\d_])[a-z][\w.\-]{2,})"),
    ("other", rf"(?i)\b(?:subject|participant|badge|locker|employee|student|ref(?:erence)?\b\.?|(?-i:ID)){_CODE}"),
    ("other", r"(?<![\w@.])@[A-Za-z]\w{2,}"),
    ("geography", r"(?i)\b(?:lat(?:itude)?|lon(?:g(?:itude)?)?)\b[:\s=]*(?P<x>-?\d{1,3}\.\d{2,})"),
    ("geography", r"(?<![\d.])-?\d{1,2}\.\d{4,},\s?-?\d{1,3}\.\d{4,}"),
]
