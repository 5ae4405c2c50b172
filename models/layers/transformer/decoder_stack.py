"""Transformer layers that see no future, over many steps at once or one after the other, with what they have seen.

What is kept of the past are its keys and values, `Cache`. A row holds its own `read` tokens, from the left, whatever
other rows hold: rows of different age share a tensor. Nothing beyond the last `context` tokens is seen, or kept.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from models.layers.transformer.layer import LayerOptions, TransformerLayer, last_norm
from models.layers.transformer.multi_head_attention import KeysValues, MultiHeadAttention
from models.layers.transformer.positions import Angles, rotate
from models.search.state_pytree import GrowingState

# steps: of each layer the keys and values (B, P, 2, M, d) of the last min(read, context - 1) tokens of each row.
Cache = GrowingState


class Looked(NamedTuple):
    """What a decoder looks at: for each layer its own keys and values of B sources (B, T, M, d)."""

    layers: tuple[KeysValues, ...]
    real: Tensor  # (B, 1, 1, T) bool, false on padding


class _Pass(NamedTuple):
    """What all layers of one pass share. seen: (B or 1, 1, T, P + T) bool, or None, where `causal` says it."""

    past: tuple[Tensor, ...] | None
    seen: Tensor | None
    causal: bool
    angles: Tensor | None


class DecoderStack(nn.Module):
    """context: the tokens that a step may see, its own among them, 0 for all. rotary: positions as angles."""

    def __init__(
        self, options: LayerOptions, layers: int, *, looks: bool = False, context: int = 0, rotary: bool = False
    ) -> None:
        super().__init__()
        self.options, self.context = options, context
        self.layers = nn.ModuleList(TransformerLayer(options, looks=looks) for _ in range(layers))
        self.norm = last_norm(options)
        self.angles = Angles(options.size // options.heads) if rotary else None

    def begin(self, batch_size: int) -> Cache:
        weight, o = next(self.parameters()), self.options
        none = weight.new_zeros(batch_size, 0, 2, o.heads, o.size // o.heads)
        return Cache((none,) * len(self.layers), torch.zeros(batch_size, dtype=torch.long, device=weight.device))

    def look_at(self, h: Tensor, real: Tensor) -> Looked:
        """What an encoder gives (B, T, size), with a mask (B, T), as all layers look at it."""
        looks = cast("list[MultiHeadAttention]", [layer.look for layer in self.layers])
        return Looked(tuple(look.keys_values(h) for look in looks), real[:, None, None])

    def forward(self, x: Tensor, memory: Looked | None = None) -> Tensor:
        """x (B, T, size) from the beginning, all steps at once."""
        return self._run(x, self._pass(x, None), memory)[0]

    def advance(self, x: Tensor, lengths: Tensor, cache: Cache, memory: Looked | None = None) -> tuple[Tensor, Cache]:
        """The same of steps (B, T, size) that go on after a cache, and the cache at each row's own end."""
        y, known, _ = self._run(x, self._pass(x, cache), memory)
        return y, self._kept(cache, known, lengths.to(x.device))

    def step(self, x: Tensor, cache: Cache, memory: Looked | None = None) -> tuple[Tensor, Cache, Tensor | None]:
        """One step (N, size); also what the last layer attends to (N, T) in a memory of B rows, N = B K."""
        y, known, weights = self._run(x[:, None], self._pass(x[:, None], cache), memory, weigh=memory is not None)
        return y[:, 0], self._kept(cache, known, torch.ones_like(cache.read)), weights

    def _run(
        self, x: Tensor, how: _Pass, memory: Looked | None, *, weigh: bool = False
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None]:
        """x (B, T, size) through all layers; of each the keys and values of past and x in one (B, P + T, 2, M, d)."""
        seen, weights = [], []
        for k, layer in enumerate(self.layers):

            def attend(h: Tensor, k: int = k, attention: MultiHeadAttention = layer.attention) -> Tensor:  # pyright: ignore[reportArgumentType]
                q, known = attention.queries(h), attention.joined(h)
                if how.angles is not None:
                    keys, values = known.unbind(2)
                    q, known = rotate(q, how.angles), torch.stack((rotate(keys, how.angles), values), 2)
                known = known if how.past is None else torch.cat((how.past[k], known), 1)
                seen.append(known)
                return attention(q, KeysValues(*known.unbind(2)), how.seen, causal=how.causal)

            def look(h: Tensor, k: int = k, attention: MultiHeadAttention = layer.look) -> Tensor:  # pyright: ignore[reportArgumentType]
                assert memory is not None
                known = memory.layers[k]
                q = attention.queries(h).view(len(known.keys), -1, *known.keys.shape[2:])
                if weigh and k == len(self.layers) - 1:
                    context, paid = attention.with_weights(q, known, memory.real)
                    weights.append(paid.flatten(0, 1))
                else:
                    context = attention(q, known, memory.real)
                return context.view_as(h)

            x = layer(x, attend, look if memory is not None else None)
        return self.norm(x), tuple(seen), weights[0] if weights else None

    def _pass(self, x: Tensor, cache: Cache | None) -> _Pass:
        steps = torch.arange(x.shape[1], device=x.device)
        if cache is None:
            seen, causal = None, True
            if 0 < self.context < x.shape[1]:
                apart = steps[:, None] - steps
                seen, causal = ((apart >= 0) & (apart < self.context))[None, None], False
            return _Pass(None, seen, causal, self._angles(steps[None], x))
        angles = self._angles(cache.read[:, None] + steps, x)
        kept, size = self._most(cache.read)[:, None, None], cache.steps[0].shape[1]
        if x.shape[1] == 1 and bool((kept == size).all()):
            return _Pass(cache.steps, seen=None, causal=False, angles=angles)
        places = torch.arange(size, device=x.device)
        of_past = (places < kept).expand(-1, len(steps), -1)
        apart = steps[:, None] - steps
        of_new = (apart >= 0).expand(len(x), -1, -1)
        if self.context:
            of_past = of_past & (kept - places + steps[:, None] < self.context)
            of_new = of_new & (apart < self.context)
        seen = torch.cat((of_past, of_new), 2)[:, None]
        return _Pass(cache.steps, seen, causal=False, angles=angles)

    def _angles(self, positions: Tensor, x: Tensor) -> Tensor | None:
        if self.angles is None:
            return None
        return self.angles(positions, int(positions.max()) + 1 if positions.numel() else 1, x)

    def _most(self, read: Tensor) -> Tensor:
        """How many of so many tokens are kept."""
        return read.clamp(max=self.context - 1) if self.context else read

    def _kept(self, cache: Cache, known: tuple[Tensor, ...], lengths: Tensor) -> Cache:
        """The cache after steps of which each row has its own length; known: of each layer (B, P + T, 2, M, d)."""
        past, whole, read = cache.steps[0].shape[1], known[0].shape[1], cache.read + lengths
        before, most = self._most(cache.read), self._most(read)
        size = int(most.max()) if len(most) else 0
        if bool((before == past).all() & (lengths == whole - past).all()):
            return Cache(tuple(layer[:, whole - size :] for layer in known), read)
        places = (before + lengths - most)[:, None] + torch.arange(size, device=read.device)
        places = torch.where(places < before[:, None], places, places - before[:, None] + past)
        places = places.clamp(max=whole - 1)  # beyond a row's own end: whatever is there is not seen
        rows = torch.arange(len(read), device=read.device)[:, None]
        return Cache(tuple(layer[rows, places] for layer in known), read)
