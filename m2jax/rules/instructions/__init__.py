"""Instructions that a rule can check: the 25 types of IFEval (Zhou et al. 2023, arXiv 2311.07911), in our own words.

    check.py     the door: `follows`, `check_instruction` (at load), `strict` and `loose`
    kinds.py     one row per type: its checker and its kwargs
    text.py      what a word, a sentence and a word in capitals are
    language.py  which language a text is in, by the words of languages.toml

The same reply gets the same verdict as from the published code (google-research/instruction_following_eval), except:

    keywords        stand for themselves; there they are regular expressions, so "c++" or "?" means something else
    kwargs          missing or wrong ones are an error at load; there they are drawn at random
    sentences       rules for stops and abbreviations, not NLTK's Punkt model: the number of a list item ("1.") is no
                    sentence, a stop may be followed by closing marks ("**so.** Then"), and the stops of Hindi, Arabic,
                    Urdu, Chinese and Japanese count
    capital words   parted by one regular expression, which agrees with NLTK's tokeniser on the prompts themselves
    languages       script, then function words, not langdetect's n-grams: the same text gets the same language each
                    time; langdetect draws at random. A reply without letters is in no language; there it passes
    bullets         a star with nothing after it is no bullet; there it takes the next line in
    JSON            nesting too deep to read is not JSON; there it is a crash
"""
