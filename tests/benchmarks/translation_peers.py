"""The peers of the Transformer, run by the python of their own environment: `make bench-peers`.

A stand-alone program: `python translation_peers.py FOLDER PEER THREADS` reads what tests/benchmarks/translation.py has
laid there and answers each line it reads with a round: a line of JSON with its seconds.
"""

import json
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

PAD, BOS, EOS, UNK = 0, 1, 2, 3


def joeynmt(folder, told):
    """An update by each batch, as its training loop has it."""
    from joeynmt.batch import Batch
    from joeynmt.loss import XentLoss
    from joeynmt.model import build_model
    from joeynmt.vocabulary import Vocabulary

    names = {"pad": "<pad>", "bos": "<s>", "eos": "</s>", "unk": "<unk>"}
    tokens = {f"{name}_token": token for name, token in names.items()}
    ids = {"pad_id": 1, "bos_id": 2, "eos_id": 3, "unk_id": 0}  # in the order in which it adds them
    special = SimpleNamespace(**tokens, **ids, sep_token=None, sep_id=None, lang_tags=[])
    theirs = torch.tensor([1, 2, 3, 0, *range(4, told["vocabulary"])])
    vocabulary = Vocabulary([str(i) for i in range(4, told["vocabulary"])], special)
    side = {
        "type": "transformer",
        "num_layers": told["layers"],
        "num_heads": told["heads"],
        "embeddings": {"embedding_dim": told["size"], "scale": True, "dropout": 0.1},
        "hidden_size": told["size"],
        "ff_size": told["feed_forward_size"],
        "dropout": 0.1,
        "layer_norm": "post",
    }
    config = {
        **{"initializer": "xavier_uniform", "embed_initializer": "xavier_uniform", "bias_initializer": "zeros"},
        **{"init_gain": 1.0, "embed_init_gain": 1.0, "tied_embeddings": True, "tied_softmax": True},
        **{"encoder": dict(side), "decoder": dict(side)},
    }
    model = build_model(config, vocabulary, vocabulary)
    model._loss_function = XentLoss(vocabulary.pad_index, smoothing=0.1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)
    model.train()

    def update(source, target):
        rows, (pad, eos) = torch.arange(len(source)), (vocabulary.pad_index, vocabulary.eos_index)
        batch = Batch(source, (source != pad).sum(1), None, target, None, rows, torch.device("cpu"), pad, eos, True)
        loss = model(return_type="loss", **vars(batch))[0] / batch.nseqs
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.zero_grad()

    batches = [
        tuple(theirs[torch.from_numpy(told["arrays"][f"{side}{i}"])] for side in ("source", "target"))
        for i in range(told["batches"])
    ]
    return lambda: [update(*batch) for batch in batches] and {}


def marian(told):
    """Our weights in Hugging Face's class of the same network."""
    from transformers import MarianConfig, MarianMTModel

    size, layers = told["size"], told["layers"]
    config = MarianConfig(
        vocab_size=told["vocabulary"],
        d_model=size,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=told["heads"],
        decoder_attention_heads=told["heads"],
        encoder_ffn_dim=told["feed_forward_size"],
        decoder_ffn_dim=told["feed_forward_size"],
        activation_function="relu",
        scale_embedding=True,
        pad_token_id=PAD,
        eos_token_id=EOS,
        forced_eos_token_id=None,
        decoder_start_token_id=BOS,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    model = MarianMTModel(config).eval()
    ours = {name: torch.from_numpy(told["weights"][name]) for name in told["weights"].files}
    target = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    for name in target:
        if name.endswith(("shared.weight", "embed_tokens.weight", "lm_head.weight")):
            target[name] = ours["embedding.weight"]
        elif "embed_positions" in name:
            target[name] = ours["positions"][: len(target[name])]
    for side in ("encoder", "decoder"):
        for k in range(layers):
            here, there = f"model.{side}.layers.{k}.", f"{'encoder' if side == 'encoder' else 'decoder.layers'}.{k}."
            parts = {"self_attn": "attention"} | ({"encoder_attn": "look"} if side == "decoder" else {})
            for theirs, own in parts.items():
                key, value = ours[f"{there}{own}.key_value.weight"].chunk(2)
                found = {"q_proj": ours[f"{there}{own}.query.weight"], "k_proj": key, "v_proj": value}
                found["out_proj"] = ours[f"{there}{own}.output.weight"]
                for name, weight in found.items():
                    target[f"{here}{theirs}.{name}.weight"] = weight
            norms = ["self_attn_layer_norm", *(["encoder_attn_layer_norm"] if side == "decoder" else [])]
            pairs = {name: f"norms.{i}" for i, name in enumerate([*norms, "final_layer_norm"])}
            for theirs, own in (pairs | {"fc1": "feed.0", "fc2": "feed.2"}).items():
                for kind in ("weight", "bias"):
                    target[f"{here}{theirs}.{kind}"] = ours[f"{there}{own}.{kind}"]
    model.load_state_dict(target)
    return model


def huggingface(folder, told):
    model, source = marian(told), torch.from_numpy(told["arrays"]["sentences"])
    size = told["length"]

    @torch.no_grad()
    def search():
        found = model.generate(
            input_ids=source,
            attention_mask=(source != PAD).long(),
            num_beams=told["width"],
            min_new_tokens=size,
            max_new_tokens=size,
            length_penalty=0.0,
            bad_words_ids=[[PAD], [BOS]],
            return_dict_in_generate=True,
            output_scores=True,
            do_sample=False,
        )
        return {"tokens": found.sequences[:, 1:].tolist(), "scores": found.sequences_scores.tolist()}

    return search


def ctranslate2(folder, told, kind="float32"):
    import ctranslate2 as ct2
    from ctranslate2.converters.transformers import MarianMTLoader

    place = Path(folder) / f"ctranslate2_{kind}"
    tokens = ["<pad>", "<s>", "</s>", "<unk>", *map(str, range(4, told["vocabulary"]))]
    loader = MarianMTLoader()
    loader._remove_pad_weights = lambda spec: None  # as if padding were the last token
    spec = loader.get_model_spec(marian(told))
    spec.decoder.start_from_zero_embedding = False  # as Marian's decoders do, and ours does not
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = "<s>", "</s>", "<unk>"
    spec.config.decoder_start_token = "<s>"
    spec.config.add_source_eos = False
    spec.validate()
    spec.optimize(quantization=None if kind == "float32" else kind)
    place.mkdir(exist_ok=True)
    spec.save(str(place))
    model = ct2.Translator(str(place), compute_type=kind, intra_threads=told["threads"], inter_threads=1)
    source = [[tokens[i] for i in row if i != PAD] for row in told["arrays"]["sentences"].tolist()]

    def search():
        found = model.translate_batch(
            source,
            beam_size=told["width"],
            min_decoding_length=told["length"],
            max_decoding_length=told["length"],
            length_penalty=0,
            return_scores=True,
            suppress_sequences=[["<pad>"], ["<s>"]],
        )
        rows = [[tokens.index(token) for token in one.hypotheses[0]] for one in found]
        return {"tokens": rows, "scores": [one.scores[0] for one in found]}

    return search


def ctranslate2_int8(folder, told):
    return ctranslate2(folder, told, "int8")


def serve(prepare, folder, threads):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    told = json.loads((Path(folder) / "workload.json").read_text()) | {"threads": threads}
    told["arrays"], told["weights"] = np.load(Path(folder) / "batches.npz"), np.load(Path(folder) / "weights.npz")
    work = prepare(folder, told)
    for _ in sys.stdin:
        begun, used = time.perf_counter(), time.process_time()
        answer = work()
        answer["seconds"], answer["processor"] = time.perf_counter() - begun, time.process_time() - used
        answer["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(globals()[sys.argv[2]], sys.argv[1], int(sys.argv[3]))
