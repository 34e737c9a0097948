"""Data from JSONL files and from TFDS folders, the clinic's and a user's own, without TensorFlow."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from m2jax.clinic.sample import sample_record
from m2jax.data import chats, clinic_tfds, documents, tasks
from m2jax.lines import lines, write_jsonl
from m2jax.records.load import load as load_records
from m2jax.verifier.checks import met
from m2jax.verifier.rubric import load_cases


@pytest.mark.parametrize(
    ("form", "load", "made"),
    [
        ("tasks", tasks.load_tasks, clinic_tfds.made_tasks),
        ("chats", chats.load_chats, clinic_tfds.made_chats),
        ("documents", documents.load_documents, clinic_tfds.made_documents),
    ],
)
def test_the_clinics_dataset_is_what_was_made(form: str, load, made, tmp_path: Path):
    path = clinic_tfds.make(form, 6, 3, str(tmp_path))
    assert sorted(Path(path).glob("*.array_record-*")) and path == f"{tmp_path}/clinic/{form}/1.0.0"
    module = {"tasks": tasks, "chats": chats, "documents": documents}[form]
    assert [module.to_json(item) for item in load(path)] == [
        row for split, n in (("train", 6), ("heldout", 3)) for row in made(split, n)
    ]
    assert "tensorflow" not in sys.modules


def test_the_clinics_records_are_patients(tmp_path: Path):
    path = clinic_tfds.make("records", 4, 2, str(tmp_path))
    records, _ = load_records(path)
    assert [r.facts for r in records] == [
        sample_record(i, s).facts for s, n in (("train", 4), ("heldout", 2)) for i in range(n)
    ]


class Own(tfds.core.GeneratorBasedBuilder):
    """A user's dataset, with features of its own and TFDS's usual splits."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = os.path.dirname(os.path.abspath(__file__))

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        rubric = tfds.features.Sequence(
            {"text": text, "points": np.int32, "dimension": text, "check": {"pattern": text}}
        )
        features = tfds.features.FeaturesDict({"id": text, "topic": text, "question": text, "rubric": rubric})
        return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples("t"), "test": self._generate_examples("h")}

    def _generate_examples(self, name: str):
        for i in range(2):
            check = {"pattern": "since when"}
            rubric = [{"text": "Asks since when", "points": 5, "dimension": "inquiry", "check": check}]
            rubric += [{"text": "Names a drug", "points": -3, "dimension": "safety", "check": {"pattern": "drug"}}] * i
            yield (
                i,
                {"id": f"{name}{i}", "topic": "cough", "question": f"Ich huste, {i} Tage – was tun?", "rubric": rubric},
            )


def test_a_users_dataset_gives_its_features_as_keys(tmp_path: Path):
    builder = Own(data_dir=str(tmp_path), file_format="array_record")
    builder.download_and_prepare()
    found = load_cases(builder.data_path)
    assert [(c.id, c.split, c.messages[0]["content"][:5], [k.points for k in c.rubric]) for c in found] == [
        ("t0", "train", "Ich h", [5]), ("t1", "train", "Ich h", [5, -3]),
        ("h0", "heldout", "Ich h", [5]), ("h1", "heldout", "Ich h", [5, -3]),
    ]  # fmt: skip
    assert met(found[0].rubric[0].check, "Since when?")
    with pytest.raises(ValueError, match=r"own/1\.0\.0:train\[0\]: chat lacks the keys \['messages'\]|unknown keys"):
        chats.load_chats(builder.data_path)


def test_what_is_neither_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="is a folder without dataset_info.json; name a JSONL file"):
        chats.load_chats(tmp_path)
    (tmp_path / "dataset_info.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ValueError, match=r"not installed: pip install m2jax\[tfds\]"):
        chats.load_chats(tmp_path)
    (tmp_path / "a.jsonl").write_bytes(b"1\n\n2")
    assert [*lines(tmp_path / "a.jsonl")] == [("1", b"1"), ("2", b""), ("3", b"2")]


def test_half_of_a_cut_emoji_ends_no_run(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    write_jsonl(file, [{"text": "I feel bad \ud83d", "more": "\u2028"}, {"text": "é"}])
    assert [json.loads(line)["text"] for _, line in lines(file) if line] == ["I feel bad ?", "é"]
    assert [found.name for found in tmp_path.iterdir()] == ["rows.jsonl"]
