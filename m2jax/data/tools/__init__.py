"""What prepares JSONL data before training. Each tool says of every row why it is left out, "" where it stays.

They take rows of any form (chats, tasks, cases, documents, evaluation sets): `rows.Row` knows an id and all texts.
"""
