"""Loading GGUF files: block types, q and k rows of llama files, metadata, rope scaling, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES
from gguf.constants import GGMLQuantizationType as Kind
from gguf.quants import quantize

from m2jax import sharding
from m2jax.models import params as parameters
from m2jax.models.config import ModelConfig, RopeScaling
from m2jax.weights.gguf_source import GgufSource, rope_scaling
from m2jax.weights.load import load, read_config
from tests.weights.tiny_model import CONFIGS, gguf_name, tensors, write_folder, write_gguf

LLAMA = CONFIGS["llama"]
WIDE = ModelConfig("qwen2", vocab_size=8, d_model=256, d_mlp=256, n_layers=1, n_heads=4, n_kv_heads=2, d_head=64)
Stored = dict[str, tuple[np.ndarray, Kind | None]]


def permute(rows: np.ndarray, n_heads: int) -> np.ndarray:
    """What llama.cpp's converter does to q and k of a llama model, row by row."""
    d_head = len(rows) // n_heads
    out = np.empty_like(rows)
    for head in range(n_heads):
        for i in range(d_head):
            source = i // 2 + (i % 2) * (d_head // 2)  # pairs (j, j + d_head / 2) come to stand side by side
            out[head * d_head + i] = rows[head * d_head + source]
    return out


def as_gguf(cfg: ModelConfig, weights: dict[str, np.ndarray], kind: Kind = Kind.F32) -> Stored:
    """Renamed, q and k permuted where the format does, matrices of type `kind`."""
    stored: Stored = {}
    for name, array in weights.items():
        if cfg.family == "llama" and "q_proj" in name:
            array = permute(array, cfg.n_heads)
        if cfg.family == "llama" and "k_proj" in name:
            array = permute(array, cfg.n_kv_heads)
        plain = array.ndim == 1 or kind in (Kind.F32, Kind.F16)
        array = array.astype(np.float16) if plain and array.ndim == 2 and kind == Kind.F16 else array
        stored[gguf_name(name)] = (array, None) if plain else (quantize(array, kind), kind)
    return stored


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3"])
def test_a_gguf_file_holds_the_same_model_as_the_folder(tmp_path: Path, name: str) -> None:
    cfg, weights = CONFIGS[name], tensors(CONFIGS[name])
    folder = write_folder(tmp_path / "hf", cfg, weights)
    file = write_gguf(tmp_path / "model.gguf", cfg, as_gguf(cfg, weights))
    for stacked in (False, True):
        from_folder = load(folder, stacked=stacked, dtype=jnp.float32)
        from_file = load(file, stacked=stacked, dtype=jnp.float32)
        assert from_file[0] == from_folder[0] == cfg
        jax.tree.map(np.testing.assert_array_equal, from_file[1], from_folder[1])


def step(kind: Kind, blocks: np.ndarray) -> np.ndarray:
    """The largest error that rounding to `kind` may make in each block of 32, [.., 1]."""
    largest, span = np.abs(blocks).max(-1, keepdims=True), np.ptp(blocks, -1, keepdims=True)
    return {
        Kind.F32: 0 * largest,
        Kind.F16: largest * 2**-11,
        Kind.BF16: largest * 2**-8,
        Kind.Q8_0: largest / 127 * 0.55,  # half a step, and the float16 scale
        Kind.Q4_1: span / 15 * 0.55,
        Kind.Q4_0: largest / 8 * 1.05,  # -8..7: the side without the extreme is cut by up to a step
    }[kind]


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_1, Kind.Q4_0])
def test_every_block_type_comes_back_within_its_rounding(tmp_path: Path, kind: Kind) -> None:
    weights = tensors(LLAMA)
    source = GgufSource(write_gguf(tmp_path / "model.gguf", LLAMA, as_gguf(LLAMA, weights, kind)))
    assert source.names() == weights.keys()
    for name, array in weights.items():
        got = source.read(name, (slice(None),) * array.ndim)
        assert got.dtype == np.float32 and got.shape == array.shape
        if array.ndim == 1:
            np.testing.assert_array_equal(got, array)
            continue
        blocks = array.reshape(len(array), -1, 32)
        assert (np.abs(got.reshape(blocks.shape) - blocks) <= step(kind, blocks)).all(), name


def decode_q4_k(block: bytes) -> list[float]:
    """ggml's block_q4_K: d, dmin float16; 8 six-bit scales and mins in 12 bytes; 256 four-bit numbers."""
    d, dmin = (float(x) for x in np.frombuffer(block[:4], np.float16))
    s, quants = block[4:16], block[16:]
    values = []
    for j in range(8):
        if j < 4:
            scale, low = s[j] & 63, s[j + 4] & 63
        else:
            scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4
            low = (s[j + 4] >> 4) | (s[j] >> 6) << 4
        for byte in quants[32 * (j // 2) :][:32]:
            values.append(d * scale * (byte >> 4 if j % 2 else byte & 15) - dmin * low)
    return values


def decode_q6_k(block: bytes) -> list[float]:
    """ggml's block_q6_K: low 4 bits, high 2 bits, 16 signed scales, d float16; 256 numbers of 6 bits."""
    low, high, scales = block[:128], block[128:192], np.frombuffer(block[192:208], np.int8)
    d = float(np.frombuffer(block[208:], np.float16)[0])
    values = []
    for i in range(256):
        half, quarter, place = i // 128, i % 128 // 32, i % 32
        nibble = low[64 * half + 32 * (quarter % 2) + place] >> 4 * (quarter // 2) & 15
        upper = high[32 * half + place] >> 2 * quarter & 3
        values.append(d * int(scales[i // 16]) * ((nibble | upper << 4) - 32))
    return values


@pytest.mark.parametrize(
    ("kind", "decode", "floats"), [(Kind.Q4_K, decode_q4_k, (0, 2)), (Kind.Q6_K, decode_q6_k, (208,))]
)
def test_k_quants_decode_as_the_format_says(
    tmp_path: Path, kind: Kind, decode: Callable[[bytes], list[float]], floats: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(1)
    stored = as_gguf(WIDE, tensors(WIDE))
    data = rng.integers(0, 256, (256, GGML_QUANT_SIZES[kind][1]), np.uint8)  # one block a row
    for at in floats:
        data[:, at : at + 2] = rng.uniform(1e-3, 1e-2, (256, 1)).astype(np.float16).view(np.uint8)
    stored["blk.0.ffn_down.weight"] = (data, kind)
    source = GgufSource(write_gguf(tmp_path / "model.gguf", WIDE, stored))
    got = source.read("model.layers.0.mlp.down_proj.weight", (slice(0, 20), slice(None)))
    np.testing.assert_allclose(got, [decode(row.tobytes()) for row in data[:20]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mesh_shape", [(1, 2, 4), (1, 8, 1)])
def test_slices_on_eight_devices_are_those_of_the_whole_model(tmp_path: Path, mesh_shape: tuple[int, int, int]) -> None:
    stored = as_gguf(LLAMA, tensors(LLAMA), Kind.Q4_1)
    file = write_gguf(tmp_path / "model.gguf", LLAMA, stored)
    for stacked in (False, True):
        _, whole = load(file, stacked=stacked, dtype=jnp.bfloat16)
        shardings = sharding.shardings(
            sharding.make_mesh(mesh_shape),
            parameters.logical_axes(LLAMA, stacked=stacked),
            parameters.abstract(LLAMA, stacked=stacked),
            sharding.Rules(),
        )
        _, spread = load(file, stacked=stacked, dtype=jnp.bfloat16, shardings=shardings)
        jax.tree.map(np.testing.assert_array_equal, spread, whole)


def llama3_factors(scaling: RopeScaling, theta: float, d_head: int) -> np.ndarray:
    """Llama 3.1's published rule, a frequency at a time."""
    factors = []
    for i in range(0, d_head, 2):
        wavelength = 2 * np.pi * theta ** (i / d_head)
        if wavelength < scaling.original_max_positions / scaling.high_freq_factor:
            factors.append(1.0)
        elif wavelength > scaling.original_max_positions / scaling.low_freq_factor:
            factors.append(scaling.factor)
        else:
            smooth = scaling.original_max_positions / wavelength - scaling.low_freq_factor
            smooth /= scaling.high_freq_factor - scaling.low_freq_factor
            factors.append(1 / ((1 - smooth) / scaling.factor + smooth))
    return np.array(factors, np.float32)


@pytest.mark.parametrize(
    ("scaling", "theta", "d_head"),
    [
        (RopeScaling(8.0, 1.0, 4.0, 8192), 500_000.0, 128),  # Llama-3.1-8B
        (RopeScaling(32.0, 1.0, 4.0, 8192), 500_000.0, 64),  # Llama-3.2-1B
        (RopeScaling(16.0, 1.0, 8.0, 4096), 10_000.0, 128),
        (RopeScaling(2.0, 1.0, 3.0, 2048), 100_000.0, 96),
    ],
)
def test_rope_scaling_is_found_from_its_factors(scaling: RopeScaling, theta: float, d_head: int) -> None:
    assert rope_scaling(llama3_factors(scaling, theta, d_head), theta, d_head) == scaling


@pytest.mark.parametrize(
    "factors", [np.linspace(8, 1, 64), np.linspace(1, 8, 32), np.full(64, 0.5), np.geomspace(1, 8, 64)]
)
def test_factors_of_another_kind_are_refused(factors: np.ndarray) -> None:
    with pytest.raises(ValueError, match="no Llama-3 rope scaling"):
        rope_scaling(factors.astype(np.float32), 500_000.0, 128)


def test_rope_factors_in_a_file_become_the_configuration(tmp_path: Path) -> None:
    cfg = CONFIGS["llama3"]
    stored = as_gguf(cfg, tensors(cfg))
    factors = llama3_factors(cfg.rope_scaling, cfg.rope_theta, cfg.d_head)
    assert read_config(write_gguf(tmp_path / "a.gguf", cfg, stored, rope_factors=factors)) == cfg
    ones = write_gguf(tmp_path / "b.gguf", cfg, stored, rope_factors=np.ones(4))
    assert read_config(ones).rope_scaling is None


def test_a_type_without_a_decoder_is_named(tmp_path: Path) -> None:
    stored = as_gguf(WIDE, tensors(WIDE))
    row = 256 // GGML_QUANT_SIZES[Kind.Q8_1][0] * GGML_QUANT_SIZES[Kind.Q8_1][1]
    stored["blk.0.ffn_up.weight"] = (np.zeros((256, row), np.uint8), Kind.Q8_1)
    with pytest.raises(ValueError, match="'blk.0.ffn_up.weight' .* has type Q8_1"):
        read_config(write_gguf(tmp_path / "model.gguf", WIDE, stored))


def test_faults_of_a_file_are_named(tmp_path: Path) -> None:
    stored = as_gguf(LLAMA, tensors(LLAMA))
    file = write_gguf(tmp_path / "model.gguf", LLAMA, stored)
    data, last = file.read_bytes(), list(stored)[-1]
    file.write_bytes(data[:-100])
    with pytest.raises(ValueError, match=f"'{last}' .* is truncated"):
        load(file, stacked=False, dtype=jnp.float32)
    file.write_bytes(data[:200])
    with pytest.raises(ValueError, match="truncated or damaged"):
        load(file, stacked=False, dtype=jnp.float32)
    file.write_bytes(b"PK" + data[2:])
    with pytest.raises(ValueError, match="is not a GGUF file"):
        load(file, stacked=False, dtype=jnp.float32)
    removed = stored.pop("blk.2.attn_k.weight")
    with pytest.raises(ValueError, match="lacks tensor 'model.layers.2.self_attn.k_proj.weight'"):
        load(write_gguf(file, LLAMA, stored), stacked=False, dtype=jnp.float32)
    stored["blk.2.attn_k.weight"], stored["blk.0.attn_sinks.weight"] = (
        removed,
        (np.zeros(8, np.float32), None),
    )
    with pytest.raises(ValueError, match="'blk.0.attn_sinks.weight', which a llama model has no place for"):
        load(write_gguf(file, LLAMA, stored), stacked=False, dtype=jnp.float32)


def test_an_architecture_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "m.gguf", LLAMA, as_gguf(LLAMA, tensors(LLAMA)), architecture="gemma3")
    with pytest.raises(ValueError, match="'gemma3' is not supported; one of llama, qwen2, qwen3"):
        read_config(file)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("llama.rope.scaling.type", "yarn", "rope scaling 'yarn'"),
        ("llama.expert_count", 8, "mixture of experts"),
        ("llama.rope.dimension_count", 4, "not of the key's size 8"),
        ("split.count", 2, "one part of a split GGUF"),
    ],
)
def test_metadata_that_would_change_the_forward_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str | int, message: str
) -> None:
    def add(writer: gguf.GGUFWriter, count: int) -> None:
        write_count(writer, count)
        writer.add_string(key, value) if isinstance(value, str) else writer.add_uint32(key, value)

    write_count = gguf.GGUFWriter.add_block_count
    monkeypatch.setattr(gguf.GGUFWriter, "add_block_count", add)
    file = write_gguf(tmp_path / "model.gguf", LLAMA, as_gguf(LLAMA, tensors(LLAMA)))
    with pytest.raises(ValueError, match=message):
        read_config(file)
