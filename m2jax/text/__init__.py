"""Text: tokenizers of any kind of file, and the one place where chats become tokens.

tokenizer.py            `Tokenizer` and `load_tokenizer`: encode, decode, save
vocabulary.py           what each kind of file is read into
from_json.py            tokenizer.json, and the Hugging Face files beside a vocabulary
from_sentencepiece.py   a sentencepiece .model
from_gguf.py            a GGUF file's metadata
bpe.py                  encoding and decoding of plain text
chat.py                 a conversation -> token ids, by the model's chat template
template.py             the environment that chat templates run in
"""
