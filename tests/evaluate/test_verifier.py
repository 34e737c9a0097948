"""The verifier's figures by one command, in small: a random model plays every role."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import huggingface_hub
import pytest

from configs import eval_verifier
from m2jax.evaluate import verifier
from m2jax.evaluate.attacks import ATTACKS
from tests.evaluate.test_disclosure import CASES
from tests.train.tiny_run import write_model

PAIR = {"Question": "Is ibuprofen safe?", "answer": "Take it with food.", "claim": "It is taken with food."}


def test_every_part_gives_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = ("Entailment", "Neutral") * 5
    with (tmp_path / "NLI_medical_annotator.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, [*PAIR, "majority_label"])
        rows.writeheader()
        rows.writerows(
            {**PAIR, "Question": f"{PAIR['Question']} {i}", "majority_label": x} for i, x in enumerate(labels)
        )
    config = eval_verifier.get_config("smoke")
    config.model, config.data.k_qa = str(write_model(tmp_path / "model")), str(tmp_path)
    config.max_tokens, config.longest, config.rounds = 8, 4096, 2
    config.n.patient = config.n.ablation = config.n.attacks = config.n.grader = 1
    (tmp_path / "mediq.jsonl").write_text("".join(json.dumps(case) + "\n" for case in CASES))
    config.data.mediq = "hf:org/mediq/mediq.jsonl"
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda _, file, **kind: str(tmp_path / file))
    said: list[str] = []
    figures = {f.name: f for f in verifier.run(config, said.append)}
    attacked = [name for name in figures if name.startswith("attack,")]
    assert attacked == [f"attack, {name}: honest minus attacked score" for name in ATTACKS]
    for name in ("grader against checks: kappa", "physicians, judge: F1", "three: privacy", "mediq: asked facts told"):
        assert -1 <= figures[name].value <= 1, name
    assert figures["three: privacy"].wanted == 0.98 and figures["single: privacy"].wanted is None
    assert figures["three: gate goes on when it should"].value == 1
    assert any("agentclinic left out" in line for line in said)
    assert said[0] == "roles: judge start, drafts start, rewrites start"


def test_a_part_that_is_not_known_is_named_before_anything_is_loaded() -> None:
    config = eval_verifier.get_config("smoke")
    config.parts, config.model = ("patients",), "no such model"
    with pytest.raises(ValueError, match="'patients'"):
        next(verifier.run(config, print))
    with pytest.raises(ValueError, match="no preset 'tpu'"):
        eval_verifier.get_config("tpu")
