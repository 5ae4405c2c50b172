"""Features of photos against the bare backbone in a loop, and the beam over 64 photos at once against the same search
photo by photo: `python -m tests.benchmarks.captions`.

Processor time of one thread, the best of some rounds each: of the step that reads shards, decodes and resizes photos,
looks at them and writes feature shards; and of the backbone alone on pixels that are ready, as many at once, in the
form that is published (efficientnet-lite-pytorch: each convolution, then its normalization, channels first). Beside it,
as it runs here. The searched captioner is Flickr8k's, of random weights: all its captions are as long as they may be.
"""

import hashlib
import io
import os
import tempfile
from dataclasses import replace

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from flows.recipes import captioning
from infra.artifact_store import Artifact, new_draft
from models.backbones import efficientnet_lite
from models.interface import Padded
from tasks.features.backbone_weights import load_backbone, prepare_front_end
from tasks.features.extract_image_features import PHOTOS_AT_ONCE, extract_image_features
from tasks.features.image_front_end import ImageFrontEnd, photo_tensor
from tasks.ingest import tar
from tasks.steps.in_process import run_in_process
from tasks.steps.parquet_io import to_parquet
from tasks.text.tokenizer import TokenizerConfig, fit_on_texts
from tests.benchmarks.attention_beam import row, timed
from tests.benchmarks.pieces import processor_time

PHOTOS, LEAST = 96, 0.85
SEARCHED, WORDS, LONGEST, WIDTHS = 64, 2500, 12, {1: 5.0, 3: 4.0, 20: 1.2}  # and the least that batches gain


def captions() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="scriptorium-bench-") as folder, run_in_process():
        os.environ["SCRIPTORIUM_ARTIFACTS"] = f"{folder}/artifacts"
        shards, front_end = write_photos(), prepare_front_end(ImageFrontEnd())
        tokenizer, budgets = fit_on_texts(["a photo"], TokenizerConfig(kind="words"), "here"), iter((0.1, 0.2, 0.3))

        def ours() -> None:
            features = extract_image_features.fn(shards, tokenizer, front_end, next(budgets))  # anew for each budget
            assert features.read_json("statistics.json")["frames"] == PHOTOS * front_end.places

        backbone, published = load_backbone(front_end), load_backbone(front_end)
        for layer in published.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.data = layer.weight.data.contiguous()
        pixels = photo_tensor([np.zeros((front_end.size, front_end.size, 3), np.uint8)] * PHOTOS_AT_ONCE, front_end)

        @torch.inference_mode()
        def look(network: torch.nn.Module, images: torch.Tensor) -> None:
            for _ in range(PHOTOS // PHOTOS_AT_ONCE):
                network(images)

        folded, plain = efficientnet_lite.normalize, pixels.contiguous()
        look(backbone, pixels)
        alone, whole = processor_time(lambda: look(backbone, pixels)), processor_time(ours)
        efficientnet_lite.normalize = lambda x, conv, norm: norm(conv(x))
        bare = processor_time(lambda: look(published, plain))
        efficientnet_lite.normalize = folded
    whole, alone, bare = (1000 * seconds / PHOTOS for seconds in (whole, alone, bare))
    told = f"{whole:.1f} ms a photo, the published backbone alone {bare:.1f}, as it runs here {alone:.1f}"
    print(f"features of photos   {told}   of the published one's speed {bare / whole:.2f}   at least {LEAST:.2f}")


def captions_beam() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    recipe = captioning.show_attend_tell_flickr8k()
    front_end = ImageFrontEnd()
    model = recipe.model.build(front_end.annotation_size, WORDS).eval()
    places = torch.full((SEARCHED,), front_end.places)
    source = Padded(torch.randn(SEARCHED, front_end.places, front_end.annotation_size), places)
    for width, floor in WIDTHS.items():
        beam = replace(recipe.beam, width=width, max_length=LONGEST, mbr_scale=0.0)
        alone, slow = timed(model, [row(source, b) for b in range(SEARCHED)], beam)
        together, fast = timed(model, [source], beam)
        different = sum(one[0].tokens != other[0].tokens for one, other in zip(alone, together, strict=True))
        told = f"{SEARCHED / fast:.1f} photos/s, {SEARCHED / slow:.1f} one by one, {different} differ"
        print(f"captions, beam {width:<2}    {told}   {slow / fast:.1f}   at least {floor:.1f}", flush=True)
    for width in WIDTHS:
        beam = replace(recipe.beam, width=width, max_length=LONGEST)
        plain, risk = (
            timed(model, [source], replace(beam, mbr_scale=scale))[1] for scale in (0.0, recipe.beam.mbr_scale)
        )
        each, more = 1000 * plain / SEARCHED, 1000 * (risk - plain) / SEARCHED
        print(f"minimum Bayes risk, beam {width:<2}    {more:.1f} ms a photo, the search {each:.1f}", flush=True)


def write_photos() -> Artifact:
    """A shard of JPEGs of 500 x 375 pixels, as smooth as photos are."""
    index, file, random = [], io.BytesIO(), np.random.default_rng(0)
    with new_draft("shards") as out:
        with tar.SampleWriter(file) as shard:
            for i in range(PHOTOS):
                data = io.BytesIO()
                colors = Image.fromarray(random.integers(0, 256, (30, 40, 3), np.uint8))
                colors.resize((500, 375), Image.Resampling.BICUBIC).save(data, "JPEG", quality=90)
                offset, size = shard.write(f"{i:03d}", {"jpg": data.getvalue(), "json": b"{}"})
                row = {"key": f"{i:03d}", "split": "train", "shard": "a.tar", "offset": offset, "size": size}
                row |= {"sha256": hashlib.sha256(data.getvalue()).hexdigest(), "source": f"{i}.jpg"}
                index.append(row | {"captions": ["a photo"], "width": 500, "height": 375})
        out.put("a.tar", file.getvalue())
        out.put("index.parquet", to_parquet(pa.Table.from_pylist(index)))
    return out.result()


if __name__ == "__main__":
    captions()
    captions_beam()
