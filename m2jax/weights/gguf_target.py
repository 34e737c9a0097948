"""Parameters to a GGUF file (llama.cpp's format): `gguf_source` backwards, tensor by tensor.

Matrices have the file's type (F32, F16 or BF16), vectors are F32, as llama.cpp wants them. Nothing is quantised:
llama.cpp's own llama-quantize does that to such a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import jax.numpy as jnp
import numpy as np
from gguf.constants import GGMLQuantizationType as Kind

from m2jax.models.config import ModelConfig
from m2jax.models.params import Params
from m2jax.text.to_gguf import gguf_metadata
from m2jax.weights.export import Tensor, new_folder, stored, tensors
from m2jax.weights.gguf_source import ROPE_FACTORS, gguf_name, permute, rope_factors
from m2jax.weights.layout import stored_shape

FILE = "model.gguf"
_KINDS = {  # a type's name -> ours, of the file, and of the file as a whole
    "float32": (np.dtype(np.float32), Kind.F32, gguf.LlamaFileType.ALL_F32),
    "float16": (np.dtype(np.float16), Kind.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bfloat16": (jnp.dtype(jnp.bfloat16), Kind.BF16, gguf.LlamaFileType.MOSTLY_BF16),
}


def export_gguf(
    cfg: ModelConfig,
    params: Params,
    folder: Path,
    tokenizer: Path,
    *,
    dtype: str = "float32",
    licence: str | None = None,
) -> None:
    """Writes `folder`/model.gguf; the folder must be new or empty. dtype: float32, float16 or bfloat16, of matrices.
    The file calls the model as the folder is called, and states its licence, where that is known.

    tokenizer: the GGUF file or folder whose tokenizer goes into the file. ValueError where that cannot be (see
    `text.to_gguf`), a tensor is not finite, or the folder is taken.
    """
    kind, raw, whole = _KINDS[dtype]
    metadata = _shape(cfg) | gguf_metadata(tokenizer, cfg.vocab_size)
    with new_folder(folder) as partial:
        writer = gguf.GGUFWriter(partial / FILE, cfg.family)
        writer.add_file_type(whole)
        writer.add_name(folder.name)
        if licence:
            writer.add_license(licence)
        for key, value in metadata.items():
            _add(writer, key, value)
        extra = []
        if cfg.rope_scaling is not None:
            extra.append((ROPE_FACTORS, rope_factors(cfg.rope_scaling, cfg.rope_theta, cfg.d_head).astype(np.float32)))
        for name, array in extra:
            writer.add_tensor_info(name, array.shape, array.dtype, array.nbytes, Kind.F32)
        for tensor in tensors(cfg, kind.itemsize):
            as_, of = _type(tensor, kind, raw)
            shape = stored_shape(tensor.row)
            writer.add_tensor_info(gguf_name(tensor.name), shape, as_, int(np.prod(shape)) * as_.itemsize, of)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for _, array in extra:
            writer.write_tensor_data(array)
        for tensor in tensors(cfg, kind.itemsize):
            writer.write_tensor_data(_array(cfg, params, tensor, _type(tensor, kind, raw)[0]))
        writer.close()


def _type(tensor: Tensor, kind: np.dtype, raw: Kind) -> tuple[np.dtype, Kind]:
    return (kind, raw) if len(stored_shape(tensor.row)) > 1 else (np.dtype(np.float32), Kind.F32)


def _array(cfg: ModelConfig, params: Params, tensor: Tensor, dtype: np.dtype) -> np.ndarray:
    array = stored(params, tensor, dtype)
    if cfg.family == "llama" and tensor.name.endswith(("q_proj.weight", "k_proj.weight")):
        array = np.ascontiguousarray(permute(array, cfg.d_head))
    return array


def _shape(cfg: ModelConfig) -> dict[str, Any]:
    """The configuration, as `gguf_source.gguf_config` reads it."""
    values = {
        "block_count": cfg.n_layers,
        "context_length": cfg.max_positions,
        "embedding_length": cfg.d_model,
        "feed_forward_length": cfg.d_mlp,
        "vocab_size": cfg.vocab_size,
        "attention.head_count": cfg.n_heads,
        "attention.head_count_kv": cfg.n_kv_heads,
        "attention.key_length": cfg.d_head,
        "attention.value_length": cfg.d_head,
        "attention.layer_norm_rms_epsilon": float(cfg.rms_eps),
        "rope.dimension_count": cfg.d_head,
        "rope.freq_base": float(cfg.rope_theta),
    }
    return {f"{cfg.family}.{key}": value for key, value in values.items()}


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """One entry; llama.cpp wants whole numbers without a sign, but for those of an array."""
    if isinstance(value, list | bytes):
        writer.add_array(key, value)
    else:
        adders = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        adders[type(value)](key, value)
