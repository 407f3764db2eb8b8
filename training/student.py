"""
The student: a Llama whose every function is a product or one reciprocal square root of a mean square.

Attention has the kernel (1 + s/4)^4 in place of the exponential. The kernel sums of a head are scaled by a learned power of the
number of visible keys and divided by their root mean square, softened by HEAD_EPS, in place of the sum of the weights. The gate of
the feed-forward half is the product of two linear maps.
"""

import json
import struct
from dataclasses import dataclass

import torch

from teacher import rope_tables, rotate


@dataclass(frozen=True)
class StudentConfig:
    dim: int = 128
    hidden: int = 384
    layers: int = 2
    heads: int = 8
    head_dim: int = 8
    vocab: int = 512
    context: int = 192
    norm_eps: float = 0.25
    head_eps: float = 1.0
    rope_base: float = 10000.0


# Scores leave |1 + s/4| <= this only against a penalty.
KERNEL_EDGE = 2.5


class KernelAttention(torch.autograd.Function):
    """
    Causal sums of (1 + q.k * scale)^4 v, with a penalty on the squares of the kernel's base outside its window. All arguments (batch, length,
    head_dim). The penalty enters as a gradient alone: `penalty` is its weight an entry.
    """

    @staticmethod
    def forward(ctx, q, k, v, visible, scale, penalty):
        base = torch.baddbmm(visible, q, k.transpose(1, 2), alpha=scale).mul_(visible)
        square = base * base
        out = torch.bmm(square * square, v)
        ctx.save_for_backward(q, k, v, base, square)
        ctx.scale, ctx.penalty = scale, penalty
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, base, square = ctx.saved_tensors
        grad_base = torch.bmm(grad, v.transpose(1, 2)).mul_(square).mul_(base).mul_(4)
        outside = torch.nn.functional.hardshrink(base, KERNEL_EDGE)
        grad_base.add_(outside, alpha=2 * ctx.penalty).mul_(ctx.scale)
        grad_v = torch.bmm((square * square).transpose(1, 2), grad)
        return torch.bmm(grad_base, k), torch.bmm(grad_base.transpose(1, 2), q), grad_v, None, None, None


class Student(torch.nn.Module):
    def __init__(self, config: StudentConfig, generator: torch.Generator):
        super().__init__()
        self.config = config
        c = config
        width = c.heads * c.head_dim

        def matrix(rows: int, columns: int, gain: float = 1.0):
            return torch.nn.Parameter(torch.randn(rows, columns, generator=generator) * gain * columns**-0.5)

        self.embedding = torch.nn.Parameter(torch.randn(c.vocab, c.dim, generator=generator) * 0.8)
        self.final_norm = torch.nn.Parameter(torch.full((c.dim,), 0.05))
        self.blocks = torch.nn.ModuleList()
        for _ in range(c.layers):
            block = torch.nn.Module()
            block.attention_norm = torch.nn.Parameter(torch.ones(c.dim))
            block.ffn_norm = torch.nn.Parameter(torch.ones(c.dim))
            block.decay = torch.nn.Parameter(torch.full((c.heads,), 0.5))
            block.wq, block.wk, block.wv = matrix(width, c.dim), matrix(width, c.dim), matrix(width, c.dim)
            block.wo = matrix(c.dim, width, 0.1)
            block.w1, block.w3 = matrix(c.hidden, c.dim), matrix(c.hidden, c.dim)
            block.w2 = matrix(c.dim, c.hidden, 0.1)
            self.blocks.append(block)
        cos, sin = rope_tables(c.context, c.head_dim, c.rope_base)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.register_buffer("visible", torch.ones(c.context, c.context).tril()[None], persistent=False)
        self.register_buffer("log_count", torch.arange(1, c.context + 1).float().log(), persistent=False)

    def forward(self, tokens, score_penalty: float = 0.0, see=lambda name, layer, value: None):
        """Logits (batch, length, vocab). `see` gets `square` (mean squares before norms) and `head` (of kernel sums)."""
        c = self.config
        batch, length = tokens.shape
        cos, sin = self.cos[:length], self.sin[:length]
        visible = self.visible[:, :length, :length]

        def normalise(x, gain, name, layer):
            square = x.square().mean(-1, keepdim=True)
            see(name, layer, square)
            return x * torch.rsqrt(square + c.norm_eps) * gain

        def split(y):
            return y.view(batch, length, c.heads, c.head_dim).transpose(1, 2)

        def flat(y):
            return y.reshape(batch * c.heads, length, c.head_dim)

        x = self.embedding[tokens]
        for l, block in enumerate(self.blocks):
            y = normalise(x, block.attention_norm, "square", l)
            q, k = rotate(split(y @ block.wq.T), cos, sin), rotate(split(y @ block.wk.T), cos, sin)
            v = split(y @ block.wv.T)
            scale = 0.25 * c.head_dim**-0.5
            sums = KernelAttention.apply(flat(q), flat(k), flat(v), visible, scale, score_penalty)
            sums = sums.view(batch, c.heads, length, c.head_dim)
            sums = sums * torch.exp(-block.decay[:, None] * self.log_count[:length])[:, :, None]
            square = sums.square().mean(-1, keepdim=True)
            see("head", l, square)
            mixed = sums * torch.rsqrt(square + c.head_eps)
            x = x + mixed.transpose(1, 2).reshape(batch, length, -1) @ block.wo.T
            y = normalise(x, block.ffn_norm, "square", l)
            x = x + ((y @ block.w1.T) * (y @ block.w3.T)) @ block.w2.T
        return normalise(x, self.final_norm, "final", c.layers) @ self.embedding.T


def tensors_of(student: Student) -> dict:
    """The weights under the names of Llama checkpoints on Hugging Face, and one more: the power of the key count, by head."""
    names = {"model.embed_tokens.weight": student.embedding, "model.norm.weight": student.final_norm}
    for l, b in enumerate(student.blocks):
        at = f"model.layers.{l}"
        names |= {
            f"{at}.input_layernorm.weight": b.attention_norm,
            f"{at}.self_attn.q_proj.weight": b.wq,
            f"{at}.self_attn.k_proj.weight": b.wk,
            f"{at}.self_attn.v_proj.weight": b.wv,
            f"{at}.self_attn.o_proj.weight": b.wo,
            f"{at}.self_attn.key_count_power.weight": b.decay,
            f"{at}.post_attention_layernorm.weight": b.ffn_norm,
            f"{at}.mlp.gate_proj.weight": b.w1,
            f"{at}.mlp.up_proj.weight": b.w3,
            f"{at}.mlp.down_proj.weight": b.w2,
        }
    return {name: value.detach().float().contiguous() for name, value in names.items()}


def safetensors_bytes(tensors: dict, metadata: dict) -> bytes:
    """A safetensors file of float32 tensors."""
    header, body = {"__metadata__": metadata}, b""
    for name in sorted(tensors):
        data = tensors[name].numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensors[name].shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


