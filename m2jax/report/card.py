"""The model card of an exported model (README.md of its folder, in the form the Hugging Face hub shows): what it was
trained on and how, what was measured before and after, its limits, its licence, and how to load it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from m2jax.report import Row, number

LOADING = {
    "merged": "model = AutoModelForCausalLM.from_pretrained(folder)",
    "peft": "model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({base!r}), folder)",
}
STAGES = {
    "rl": "reinforcement learning (GRPO)",
    "sft": "supervised fine-tuning",
    "midtrain": "mid-training",
}


def card(name: str, form: str, base: str, licence: str | None, config: Row, summary: Row, step: int | None) -> str:
    """The card of an export called `name`. form: merged, peft or gguf. base: the model training began from, as a user
    names it; licence: its own, if it states one. config, summary: of the run, {} where there is none.
    step: of the checkpoint.
    """
    template = Template(resources.files("m2jax.report").joinpath("card.md").read_text("utf-8"))
    hub = base.removeprefix("hf:") if base.startswith("hf:") else None
    head = {"license": licence or "unknown", "base_model": hub, "language": "en", "tags": ["medical", "m2jax"]}
    head["library_name"] = {"merged": "transformers", "peft": "peft"}.get(form)
    return template.substitute(
        head="\n".join(f"{key}: {json.dumps(value)}" for key, value in head.items() if value),
        name=name,
        origin=_origin(base, config, step),
        data=_data(config),
        figures=_figures(summary, step),
        loading=_loading(form, base),
        licence=f"its licence ({licence}) holds" if licence else "see there for its licence, which holds",
        base=base,
        config=json.dumps(config, indent=1) if config else "{}",
        command=config.get("command") or "python launch/export.py",
    )


def _origin(base: str, config: Row, step: int | None) -> str:
    if not config:
        return f"`{base}`, written in another form; nothing was trained."
    rank = config.get("lora", {}).get("rank")
    what = f"a LoRA adapter of rank {rank}" if rank else "all parameters"
    kind = STAGES.get(config.get("stage", "rl"), config.get("stage"))
    return f"`{base}`, of which {what} went through {kind} by m2jax, {step} steps."


def _data(config: Row) -> str:
    data = config.get("data", {})
    if not config:
        return "None."
    said = [
        f"`{data['path']}`."
        if data.get("path")
        else "Of m2jax itself: questions that come with it, or synthetic patients; no records of people."
    ]
    said += [f"`data.{key}` was {value!r}." for key, value in data.items() if key in ("made", "clinic") and value]
    return " ".join(said) + " What was held out of it was never trained on."


def _figures(summary: Row, step: int | None) -> str:
    """A table of every figure measured before and after, and of the paired gain; none where `step` was not measured."""
    if not summary.get("before") or not summary.get("after"):
        return "No figures: the run has not ended, or nothing was trained."
    if summary.get("steps") != step:
        return f"No figures: this is step {step}; the run was measured after {summary.get('steps')}."
    before, after = (dict(_flat(summary[side])) for side in ("before", "after"))
    lines = ["| figure (held out) | before | after |", "|---|---|---|"]
    for key in before:
        if key in after and not key.endswith(("low", "high")):
            lines.append(f"| {key} | {_value(before, key)} | {_value(after, key)} |")
    for key, part in (("all", summary.get("gain") or {}), *(summary.get("consultations") or {}).items()):
        if number(part.get("low")) is not None and number(part.get("high")) is not None:
            mean = part.get("mean", part.get("gain"))
            lines.append(f"| gain, paired ({key}) | | {mean:+.3f} [{part['low']:+.3f}, {part['high']:+.3f}] |")
    return "\n".join([*lines, "", "In brackets: 95% bootstrap intervals over the held-out items."])


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif number(value) is not None:
            yield f"{prefix}{key}", float(value)


def _value(side: Mapping[str, float], key: str) -> str:
    """A figure with its interval, where it has one: of score, low and high; of chat_loss, chat_low and chat_high."""
    stem = key.removesuffix("score").removesuffix("loss")
    low, high = side.get(f"{stem}low"), side.get(f"{stem}high")
    interval = f" [{low:.3f}, {high:.3f}]" if stem != key and low is not None and high is not None else ""
    return f"{side[key]:.4g}{interval}"


def _loading(form: str, base: str) -> str:
    if form == "gguf":
        return "It is a GGUF file, for llama.cpp and what is built on it:\n\n```\nllama-cli -m model.gguf\n```"
    folder = base.removeprefix("hf:")
    peft = "from peft import PeftModel\n" if form == "peft" else ""
    code = (
        f"from transformers import AutoModelForCausalLM, AutoTokenizer\n{peft}\n"
        f'folder = "."\n{LOADING[form].format(base=folder)}\n'
        f"tokenizer = AutoTokenizer.from_pretrained({'folder' if form == 'merged' else repr(folder)})"
    )
    first = ""
    if form == "peft" and not base.startswith("hf:") and not Path(base).is_dir():
        first = (
            f"The adapter belongs over `{base}` as m2jax reads it. Write that once as a folder, "
            f"`python launch/export.py --model={base} --out={folder}-hf`, and name the folder below.\n\n"
        )
        code = code.replace(repr(folder), repr(f"{folder}-hf"))
    return f"{first}```python\n{code}\n```"
