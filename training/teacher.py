"""The teacher: a llama2.c checkpoint (version 0) in torch, and fast batched sampling from it."""

import struct
from pathlib import Path

import numpy as np
import torch

BOS = 1


def rope_tables(length: int, head_dim: int, base: float = 10000.0):
    """Cosine and sine of every (position, pair); pair i of a head is its features 2i and 2i+1."""
    rates = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates[None, :]
    return angles.cos().float(), angles.sin().float()


def rotate(x, cos, sin):
    """Turns the pairs in the last dimension of x; cos and sin broadcast against (..., pairs)."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


class Teacher:
    def __init__(self, path: Path):
        data = path.read_bytes()
        header = struct.unpack("<7i", data[:28])
        self.dim, self.hidden, self.layers, self.heads, self.kv_heads, vocab, self.context = header
        assert vocab > 0, "the teacher's output head is its embedding"
        self.vocab = vocab
        self.head_dim = self.dim // self.heads
        values = np.frombuffer(data, dtype="<f4", offset=28)
        at = 0

        def take(*shape: int):
            nonlocal at
            count = int(np.prod(shape))
            out = torch.from_numpy(values[at : at + count].copy()).reshape(shape)
            at += count
            return out

        kv_dim = self.kv_heads * self.head_dim
        n, d, h = self.layers, self.dim, self.hidden
        self.embedding = take(vocab, d)
        self.attention_norm = take(n, d)
        self.wq, self.wk, self.wv, self.wo = take(n, d, d), take(n, kv_dim, d), take(n, kv_dim, d), take(n, d, d)
        self.ffn_norm = take(n, d)
        self.w1, self.w2, self.w3 = take(n, h, d), take(n, d, h), take(n, h, d)
        self.final_norm = take(d)

    @staticmethod
    def _norm(x, gain):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * gain

    @torch.no_grad()
    def sample(self, count: int, length: int, generator: torch.Generator):
        """
        Texts at temperature 1 from the beginning of a story.

        Returns tokens (count, length), the first of each BOS, and the log-probabilities of the next token at each of the first
        length - 1 positions (count, length - 1, vocab) in half precision.
        """
        group = self.heads // self.kv_heads
        cos, sin = rope_tables(length, self.head_dim)
        shape = (self.layers, count, self.kv_heads, length, self.head_dim)
        keys, values = torch.zeros(shape), torch.zeros(shape)
        tokens = torch.full((count, length), BOS, dtype=torch.int64)
        log_probs = torch.empty(count, length - 1, self.vocab, dtype=torch.float16)
        scale = self.head_dim**-0.5
        for t in range(length - 1):
            x = self.embedding[tokens[:, t]]
            for l in range(self.layers):
                y = self._norm(x, self.attention_norm[l])
                q = rotate((y @ self.wq[l].T).view(count, self.heads, self.head_dim), cos[t], sin[t])
                keys[l, :, :, t] = rotate((y @ self.wk[l].T).view(count, self.kv_heads, self.head_dim), cos[t], sin[t])
                values[l, :, :, t] = (y @ self.wv[l].T).view(count, self.kv_heads, self.head_dim)
                grouped = q.view(count, self.kv_heads, group, self.head_dim) * scale
                weights = (grouped @ keys[l, :, :, : t + 1].transpose(-1, -2)).softmax(-1)
                mixed = weights @ values[l, :, :, : t + 1]
                x = x + mixed.reshape(count, self.dim) @ self.wo[l].T
                y = self._norm(x, self.ffn_norm[l])
                x = x + (torch.nn.functional.silu(y @ self.w1[l].T) * (y @ self.w3[l].T)) @ self.w2[l].T
            lp = (self._norm(x, self.final_norm) @ self.embedding.T).log_softmax(-1)
            log_probs[:, t] = lp.half()
            # The exponential race: argmax of p / e with e exponential is a sample of p.
            race = torch.empty_like(lp).exponential_(generator=generator)
            tokens[:, t + 1] = (lp - race.log()).argmax(-1)
        return tokens, log_probs
