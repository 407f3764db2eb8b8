"""Writes a checkpoint of train.py as a model folder (config.json, model.safetensors) and, on request, golden logits."""

import argparse
import json
from pathlib import Path

import torch

from student import Student, StudentConfig, safetensors_bytes, tensors_of
from teacher import Teacher
from train import TEACHER


def half_split(matrix, head_dim: int):
    """Rows 2i and 2i+1 of every head become rows i and i + head_dim/2: the order of rotary pairs in model folders."""
    heads = matrix.view(-1, head_dim // 2, 2, matrix.shape[1])
    return heads.transpose(1, 2).reshape(matrix.shape).contiguous()


def config_json(c: StudentConfig) -> str:
    config = {
        "model_type": "sotto",
        "attention": "kernel4_rms",
        "gate": "bilinear",
        "head_eps": c.head_eps,
        "hidden_size": c.dim,
        "intermediate_size": c.hidden,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "num_key_value_heads": c.heads,
        "head_dim": c.head_dim,
        "vocab_size": c.vocab,
        "max_position_embeddings": c.context,
        "tie_word_embeddings": True,
        "rms_norm_eps": c.norm_eps,
        "rope_theta": c.rope_base,
    }
    return json.dumps(config, indent=2) + "\n"


def golden(student: Student, seed: int) -> str:
    """Logits at a few positions of one text of the teacher, for readers in other languages."""
    tokens, _ = Teacher(TEACHER).sample(1, student.config.context, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        logits = student.double()(tokens)[0]
    positions = [0, 1, 7, 31, 95, student.config.context - 1]
    rows = [{"position": p, "logits": [round(v, 7) for v in logits[p].tolist()]} for p in positions]
    return json.dumps({"tokens": tokens[0].tolist(), "rows": rows}) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="model folder")
    parser.add_argument("--golden", type=Path)
    args = parser.parse_args()
    saved = torch.load(args.checkpoint, weights_only=True)
    config = StudentConfig(**saved["config"])
    student = Student(config, torch.Generator().manual_seed(0))
    student.load_state_dict(saved["student"])
    tensors = tensors_of(student)
    for name in tensors:
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            tensors[name] = half_split(tensors[name], config.head_dim)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(config_json(config))
    metadata = {"format": "pt", "license": "apache-2.0"}
    (args.out / "model.safetensors").write_bytes(safetensors_bytes(tensors, metadata))
    if args.golden:
        args.golden.write_text(golden(student, 77))


if __name__ == "__main__":
    main()
