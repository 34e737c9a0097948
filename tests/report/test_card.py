"""Model cards: what a reader is told of each kind of run and each form of export."""

from __future__ import annotations

from pathlib import Path

from m2jax.report.card import card

CONFIG = {"stage": "sft", "steps": 5, "lora": {"rank": 0}, "data": {"path": "", "made": "items"}, "command": "python x"}


def test_losses_of_a_supervised_run_stand_with_their_interval() -> None:
    side = {"loss": 2.0, "chat_loss": 2.5, "chat_low": 2.25, "chat_high": 2.75, "chats": 8}
    gain = {"mean": 0.5, "low": 0.25, "high": 0.75}
    said = card(
        "mine", "merged", "hf:org/base", "mit", CONFIG, {"steps": 5, "before": side, "after": side, "gain": gain}, 5
    )
    assert "| chat_loss | 2.5 [2.250, 2.750] | 2.5 [2.250, 2.750] |" in said and "| loss | 2 | 2 |" in said
    assert "+0.500 [+0.250, +0.750]" in said and "chat_low" not in said
    assert 'license: "mit"' in said and 'base_model: "org/base"' in said
    assert "all parameters went through supervised fine-tuning" in said and "`data.made` was 'items'" in said


def test_figures_by_kind_and_consultations_are_rows_of_their_own() -> None:
    side = {"kinds": {"general": {"kl": 0.25, "low": 0.0, "high": 0.5}}}
    met = {"share": {"before": 0.1, "after": 0.2, "gain": 0.1, "low": 0.05, "high": 0.15}}
    said = card(
        "mine", "merged", "base", None, CONFIG, {"steps": 5, "before": side, "after": side, "consultations": met}, 5
    )
    assert "| kinds.general.kl | 0.25 | 0.25 |" in said and "gain, paired (share)" in said
    assert 'license: "unknown"' in said and "base_model" not in said


def test_figures_of_another_step_are_not_its_own() -> None:
    side = {"score": 0.5}
    said = card("mine", "merged", "base", None, CONFIG, {"steps": 5, "before": side, "after": side}, 3)
    assert "3 steps." in said and "| score" not in said
    assert "No figures: this is step 3; the run was measured after 5." in said


def test_each_form_says_how_it_is_loaded(tmp_path: Path) -> None:
    adapter = card("mine", "peft", "hf:org/base", None, CONFIG, {}, 5)
    assert "PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained('org/base'), folder)" in adapter
    assert "--model=smollm2 --out=smollm2-hf" in card("mine", "peft", "smollm2", None, CONFIG, {}, 5)
    assert "launch/export.py" not in card("mine", "peft", str(tmp_path), None, CONFIG, {}, 5).split("## Data")[0]
    assert "llama-cli -m model.gguf" in card("mine", "gguf", "base", None, CONFIG, {}, 5)
    assert "No figures" in adapter and "python x" in adapter
