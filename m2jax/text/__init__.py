"""Text: tokenizers (byte-level BPE, sentencepiece, GGUF) and the one place where chats become tokens."""
