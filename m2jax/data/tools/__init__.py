"""What prepares JSONL data before training. Each tool says of every row why it is left out, "" where it stays.

Those without a model take rows of any form (chats, tasks, cases, documents, evaluation sets): `rows.Row` knows an id
and all texts. `rephrase` and `notes` ask a model about documents, as dialogues of the engine.
"""
