"""Makes the golden files of tests/models/golden with PyTorch and transformers: an independent forward to
compare ours with.

PyTorch is no dependency of this project; run this by hand, in an environment of its own, when a golden file
must change:

    python -m venv golden && golden/bin/pip install torch==2.13.0 transformers gguf safetensors accelerate
    golden/bin/python tests/models/make_golden.py tests/models/golden --smollm2 FILE.gguf [--keep FOLDER]

`python -m m2jax.weights smollm2-135m-instruct` prints the path of FILE.gguf. With --keep, the
dequantised float32 model is also left in FOLDER as a Hugging Face model.

The files of tiny random models (llama_tied, llama3_rope_untied, qwen2_untied, qwen3_tied) hold
    config          str, the `config.json` that transformers writes
    tokens          [2, 24] int32
    logits          [2, 24, V] float32, row b from row b of `tokens` alone (positions 0..23, causal)
    weight/<name>   float32, one per tensor, under its Hugging Face name and in its stored layout (out, in)
Norm weights and biases are random too, so that a dropped or misplaced one shows.

smollm2.npz holds, for SmolLM2-135M-Instruct (its Q4_1 weights dequantised to float32, eps 1e-5), i in 0, 1, 2
    text_<i>        str, a text
    tokens_<i>      [T_i] int32, its token ids (transformers' tokenizer, no special tokens added)
    logits_<i>      [T_i, 64] float32, the logits of the columns `columns`
    lse_<i>         [T_i] float32, log-sum-exp of the logits over the whole vocabulary
and once
    columns         [64] int32, distinct token ids, ascending
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

TEXTS = (
    "I am 67 and I have had a dry cough for three weeks. It gets worse at night and I sometimes wheeze after "
    "climbing the stairs. I take lisinopril for my blood pressure. Should I be worried, and do I need to see "
    "a doctor?",
    "The ferry left the harbour a little after dawn. Gulls followed it past the breakwater, and the few "
    "passengers on deck pulled their coats tighter against the wind. By noon the island had become more than "
    "a grey line: one could make out the white houses, the lighthouse and a road that climbed between stone "
    "walls.",
    "Shopping list:\n1. 2 kg flour\n2. 12 eggs\n3. 500 g butter (unsalted)\n4. 3.5 litres of milk\n\n"
    "Total: $41.75, paid 2024-11-03.\n",
)


def tiny_models() -> dict[str, torch.nn.Module]:
    """One random model for each switch of the forward."""
    plain = dict(vocab_size=97, num_hidden_layers=2, attn_implementation="eager", max_position_embeddings=512)
    llama3 = {
        "rope_type": "llama3",
        "rope_theta": 10_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,  # of 8 frequencies one kept, two blended
    }
    # Head counts and sizes: grouped queries everywhere; n_heads * head_dim differs from hidden_size in qwen3.
    small = dict(hidden_size=32, intermediate_size=56, num_attention_heads=4, num_key_value_heads=2)
    return {
        "llama_tied": LlamaForCausalLM(
            LlamaConfig(
                **plain,
                **small | {"num_key_value_heads": 1},
                tie_word_embeddings=True,
                rms_norm_eps=1e-5,
                rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
            )
        ),
        "llama3_rope_untied": LlamaForCausalLM(
            LlamaConfig(
                **plain,
                **small | {"num_attention_heads": 4, "head_dim": 16},
                tie_word_embeddings=False,
                rms_norm_eps=1e-5,
                rope_parameters=llama3,
            )
        ),
        "qwen2_untied": Qwen2ForCausalLM(
            Qwen2Config(
                **plain,
                **small,
                tie_word_embeddings=False,
                rms_norm_eps=1e-6,
                rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
            )
        ),
        "qwen3_tied": Qwen3ForCausalLM(
            Qwen3Config(
                **plain,
                **small | {"head_dim": 12},
                tie_word_embeddings=True,
                rms_norm_eps=1e-6,
                rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
            )
        ),
    }


def randomise(model: torch.nn.Module, rng: np.random.Generator) -> None:
    """Weights large enough that attention is far from uniform and every norm and bias matters."""
    for name, parameter in model.named_parameters():
        noise = rng.standard_normal(tuple(parameter.shape)).astype(np.float32)
        if name.endswith("bias"):
            value = 0.5 * noise
        elif parameter.ndim == 1:
            value = 1.0 + 0.3 * noise
        else:
            gain = 1.5 if "q_proj" in name or "k_proj" in name else 1.0
            value = gain * noise / np.sqrt(parameter.shape[1]).astype(np.float32)
        parameter.data.copy_(torch.from_numpy(value))


@torch.no_grad()
def write_tiny(name: str, model: torch.nn.Module, folder: Path, rng: np.random.Generator) -> None:
    randomise(model, rng)
    model = model.float().eval()
    tokens = rng.integers(0, model.config.vocab_size, (2, 24), dtype=np.int32)
    logits = model(torch.from_numpy(tokens).long()).logits.numpy()
    tied = model.config.tie_word_embeddings
    weights = {f"weight/{k}": v.numpy() for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")}
    _save(
        folder / f"{name}.npz",
        config=model.config.to_json_string(use_diff=False),
        tokens=tokens,
        logits=logits,
        **weights,
    )


@torch.no_grad()
def write_smollm2(gguf: Path, folder: Path, keep: Path | None) -> None:
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = plain_model(AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32))
    if keep:
        model.save_pretrained(keep)
        tokenizer.save_pretrained(keep)
    columns = np.sort(np.random.default_rng(0).choice(model.config.vocab_size, 64, replace=False)).astype(np.int32)
    arrays: dict[str, Any] = {"columns": columns}
    for i, text in enumerate(TEXTS):
        tokens = np.array(tokenizer(text, add_special_tokens=False)["input_ids"], np.int32)
        logits = model(torch.from_numpy(tokens)[None].long()).logits[0]
        arrays[f"text_{i}"] = text
        arrays[f"tokens_{i}"] = tokens
        arrays[f"logits_{i}"] = logits[:, torch.from_numpy(columns).long()].numpy()
        arrays[f"lse_{i}"] = torch.logsumexp(logits.double(), -1).float().numpy()
    _save(folder / "smollm2.npz", **arrays)


def plain_model(model: torch.nn.Module) -> torch.nn.Module:
    """The same weights in a model that transformers agrees to save (one opened from a GGUF file it does not),
    eps 1e-5."""
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.rms_norm_eps = 1e-5
    config.dtype = "float32"
    state = {k: v.detach().float().contiguous().clone() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    plain = LlamaForCausalLM(config)
    missing = plain.load_state_dict(state, strict=False)
    if missing.unexpected_keys or set(missing.missing_keys) - {"lm_head.weight"}:
        raise ValueError(f"the GGUF file and the model disagree: {missing}")
    plain.tie_weights()
    return plain.float().eval()


def _save(path: Path, **arrays: Any) -> None:
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the golden files of tests/models/golden.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--smollm2", type=Path, help="the Q4_1 GGUF file of SmolLM2-135M-Instruct")
    parser.add_argument("--keep", type=Path, help="where to leave the dequantised SmolLM2 as a Hugging Face model")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, model) in enumerate(tiny_models().items()):
        write_tiny(name, model, args.folder, np.random.default_rng(seed))
    if args.smollm2:
        write_smollm2(args.smollm2, args.folder, args.keep)


if __name__ == "__main__":
    main()
