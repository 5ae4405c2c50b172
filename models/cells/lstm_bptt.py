"""Back-propagation through time of the LSTM by hand, layer normalized (models/cells/lstm.py) or not.

With u_t = R h_{t-1}, z_t = driven_t + LN(u_t), and I, F, n, O of z_t: c_t = F c_{t-1} + I n, h_t = O tanh(LN(c_t)).
From the last step down, dh and dc what flows into h_t and c_t,

    dz_o = dh tanh(LN(c)) O (1 - O)               dc += LN'(dh O (1 - tanh(LN(c))^2))
    dz_i = dc n I (1 - I)      dz_f = dc c_{t-1} F (1 - F)      dz_n = dc I (1 - n^2)
    dc_{t-1} = dc F            dh_{t-1} = R^T LN'(dz)

The factors of dh and dc are made for all steps at once, and so are the gradients of R and of the normalizations:
a step back costs few small operations, which is what the autograd graph of the loop loses its time with.
"""

from typing import Any

import torch
from torch import Tensor

EPSILON = 1e-5  # nn.LayerNorm's
Norms = tuple[Tensor, Tensor, Tensor]  # gain of LN(u) (4 H,); gain and bias of LN(c) (H,)


def scan_lstm(driven: Tensor, weight: Tensor, norms: Norms | None, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """All h and c (T, B, H) of driven inputs (T, B, 4 H) in the order I, F, n, O; recurrent weight (4 H, H)."""
    kind = weight.dtype
    with torch.autocast(driven.device.type, enabled=False):
        arguments = (driven.to(kind), weight, *(norms or (None, None, None)), h.to(kind), c.to(kind))
        states: tuple[Tensor, Tensor] = _Scan.apply(*arguments)  # pyright: ignore[reportAssignmentType]
    return states


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, driven: Tensor, weight: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        gain_u, gain_c, bias_c, h, c = rest
        (time, batch, width), size = driven.shape, weight.shape[1]
        hs, cs = (driven.new_empty(time + 1, batch, size) for _ in range(2))
        hs[0], cs[0] = h, c
        gates, shown = driven.new_empty(time, batch, 4, size), driven.new_empty(time, batch, size)
        products = driven.new_empty(time, batch, width) if gain_u is not None else gates.flatten(2)
        turned, statistics, of_u = weight.t(), [], []
        # an unbind is one call for all steps: an index a step costs as much as the small products themselves
        views = (driven, products, gates.flatten(2), gates[:, :, :2], *gates.unbind(2), shown)
        steps = zip(*(x.unbind(0) for x in (*views, hs[:-1], cs[:-1], hs[1:], cs[1:])), strict=True)
        for z, u, all_four, first_two, i, f, n, o, tanh, h_before, c_before, h_after, c_after in steps:
            if gain_u is None:
                torch.addmm(z, h_before, turned, out=u)
            else:
                torch.mm(h_before, turned, out=u)
                normed, *of_u = torch.native_layer_norm(u, [width], gain_u, None, EPSILON)
                torch.add(z, normed, out=all_four)
            first_two.sigmoid_()
            n.tanh_()
            o.sigmoid_()
            now = torch.mul(f, c_before, out=c_after).addcmul_(i, n)
            if gain_u is not None:
                now, *of_c = torch.native_layer_norm(now, [size], gain_c, bias_c, EPSILON)
                statistics.append((*of_u, *of_c))
            torch.tanh(now, out=tanh)
            torch.mul(o, tanh, out=h_after)
        moments = [torch.stack(s) for s in zip(*statistics, strict=True)] or [None] * 4
        ctx.save_for_backward(weight, gain_u, gain_c, bias_c, products, gates, shown, hs, cs, *moments)
        ctx.set_materialize_grads(False)
        return hs[1:], cs[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        weight, gain_u, gain_c, bias_c, products, gates, shown, hs, cs, *moments = ctx.saved_tensors
        i, f, n, o = gates.unbind(2)
        slope_o, slope_c = shown * o * (1 - o), o * (1 - shown * shown)
        slopes = torch.stack((n * i * (1 - i), cs[:-1] * f * (1 - f), i * (1 - n * n)), 2)
        dz, into_c = torch.empty_like(gates), torch.empty_like(shown)
        all_du: list[Tensor] = []
        dh, dc = torch.zeros_like(hs[0]), torch.zeros_like(cs[0])
        to_h, to_c = (None if grad is None else grad.unbind(0) for grad in grads)
        views = (dz[:, :, :3], dz[:, :, 3], dz.flatten(2), into_c, slopes, slope_o, slope_c, f)
        steps = list(zip(*(x.unbind(0) for x in views), strict=True))
        for t in range(len(steps) - 1, -1, -1):
            dz_ifn, dz_o, du, into, slope_ifn, by_o, by_c, kept = steps[t]
            dh = dh if to_h is None else dh.add_(to_h[t])
            dc = dc if to_c is None else dc.add_(to_c[t])
            torch.mul(dh, by_o, out=dz_o)
            through = torch.mul(dh, by_c, out=into)
            if gain_u is not None:
                through = _through(through, cs[t + 1], moments[2][t], moments[3][t], gain_c, bias_c)
            dc += through
            torch.mul(dc[:, None], slope_ifn, out=dz_ifn)
            dc *= kept
            if gain_u is not None:
                du = _through(du, products[t], moments[0][t], moments[1][t], gain_u, None)
            all_du.append(du)
            torch.mm(du, weight, out=dh)
        of_weight = torch.cat(all_du[::-1]).t() @ hs[:-1].flatten(0, 1)
        if gain_u is None:
            return dz.flatten(2), of_weight, None, None, None, dh, dc
        of_u = _gains(dz.flatten(2), products, moments[0], moments[1], gain_u, None)
        of_c = _gains(into_c, cs[1:], moments[2], moments[3], gain_c, bias_c)
        return dz.flatten(2), of_weight, of_u[0], *of_c, dh, dc


def _through(grad: Tensor, x: Tensor, mean: Tensor, scale: Tensor, *affine: Tensor | None) -> Tensor:
    """The gradient that a normalization of x, (B, D), passes on."""
    mask = [True, False, False]
    return torch.ops.aten.native_layer_norm_backward.default(grad, x, [x.shape[-1]], mean, scale, *affine, mask)[0]


def _gains(grad: Tensor, x: Tensor, mean: Tensor, scale: Tensor, *affine: Tensor | None) -> tuple[Tensor, Tensor]:
    """The gradients of its gain and bias, over all steps of x, (T, B, D)."""
    mask = [False, True, affine[1] is not None]
    return torch.ops.aten.native_layer_norm_backward.default(grad, x, [x.shape[-1]], mean, scale, *affine, mask)[1:]
