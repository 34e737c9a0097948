"""The clinic as a dataset of TensorFlow Datasets, in array_record files, made without TensorFlow:

    python -m m2jax.data.clinic_tfds --form=tasks --train=4000 --heldout=200 --out=data

Forms: documents (mid-training), chats (SFT), tasks (with rules, RL stage 1), records (patients, RL stage 3). Stage 2's
cases are made by config.data.clinic. OUT/clinic/FORM/VERSION is what --config.data.path takes. The same numbers make
the same dataset.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow_datasets as tfds
from absl import app, flags

from m2jax.clinic.sample import sample_record
from m2jax.data import chats, corpus, documents, practice, tasks
from m2jax.data.made import MADE

_FORM = flags.DEFINE_enum("form", "tasks", ["documents", "chats", "tasks", "records"], "What to make.")
_TRAIN = flags.DEFINE_integer("train", 4000, "Training rows; of documents those of each kind's unit.", lower_bound=1)
_HELDOUT = flags.DEFINE_integer("heldout", 200, "Held-out rows.", lower_bound=1)
_OUT = flags.DEFINE_string("out", "data", "Folder for the dataset.")

Row = dict[str, Any]


def made_tasks(split: str, n: int) -> Iterator[Row]:
    """Of all kinds in turn."""
    return (tasks.to_json(task) for task in practice.make(tuple(practice.MADE), n, split))


def made_chats(split: str, n: int) -> Iterator[Row]:
    """Multiple-choice questions with their answers."""
    return (chats.to_json(chat) for chat in MADE["items"](split, n, 0))


def made_documents(split: str, n: int) -> Iterator[Row]:
    """Knowledge, reasoning, general prose, mathematics."""
    return (documents.to_json(d) for d in corpus.make_documents(n, n, 0) if d.split == split)


def made_records(split: str, n: int) -> Iterator[Row]:
    """Patients of the split's conditions."""
    return (dataclasses.asdict(sample_record(seed, split)) for seed in range(n))


FORMS: dict[str, Callable[[str, int], Iterator[Row]]] = {
    "tasks": made_tasks,
    "chats": made_chats,
    "documents": made_documents,
    "records": made_records,
}


class Clinic(tfds.core.GeneratorBasedBuilder):
    """One text a row, its JSON. sizes: rows of the splits."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=form) for form in FORMS]  # noqa: RUF012
    pkg_dir_path = os.path.dirname(os.path.abspath(__file__))

    def __init__(self, *, sizes: dict[str, int], **more: Any) -> None:
        self.sizes = sizes
        super().__init__(file_format="array_record", **more)

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"json": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, Row]]]:
        return {split: self._generate_examples(split, n) for split, n in self.sizes.items()}

    def _generate_examples(self, split: str, n: int) -> Iterator[tuple[int, Row]]:
        for i, row in enumerate(FORMS[self.builder_config.name](split, n)):
            yield i, {"json": json.dumps(row, ensure_ascii=False)}


def make(form: str, train: int, heldout: int, out: str) -> str:
    """The folder of the dataset, made where it is not there."""
    builder = Clinic(config=form, data_dir=out, sizes={"train": train, "heldout": heldout})
    builder.download_and_prepare()
    return str(builder.data_path)


def main(argv: list[str]) -> None:
    print(make(_FORM.value, _TRAIN.value, _HELDOUT.value, _OUT.value))


if __name__ == "__main__":
    app.run(main)
