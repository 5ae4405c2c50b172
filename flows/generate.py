"""A language model writes on from a context; the text appears as it is written.

python -m flows.generate --model language-model@champion --context "LA GRENOUILLE " --length 200 --temperature 0.8
"""

import sys

import torch

from flows.command_line.parsers import PARSERS
from infra import tracking
from infra.errors import UserError, one_line_errors
from models.interface import LanguageModel
from models.search.language.ngram_lm import NGramGenerator
from models.search.language.text_generator import TextGenerator
from tasks.bundles.model_bundle import import_model, load_bundle
from tasks.decoding.generate_text import Prompt, generate_text
from tasks.ngram.train_ngram import open_ngram
from tasks.text.tokenizer import TextTokenizer, load_tokenizer


def generate(model: str, prompt: Prompt) -> None:
    """Write to standard output. model: NAME@ALIAS in MLflow's registry, or the path of a model."""
    torch.set_num_threads(1)  # a step is too small to share
    generator = torch.Generator().manual_seed(prompt.seed)
    for piece in generate_text(*load_generator(model), prompt, generator):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


def load_generator(model: str) -> tuple[TextGenerator, TextTokenizer]:
    """The model and its tokenizer. Raises UserError for a model that does not write."""
    artifact = import_model(tracking.resolve_model(model), ("bundle", "ngram"))
    if artifact.kind == "ngram":
        return NGramGenerator(open_ngram(artifact).model), load_tokenizer(artifact)
    bundle = load_bundle(artifact)
    if not isinstance(bundle.model, LanguageModel):
        raise UserError(f"model {model}: not a language model; give one of train_language_model or train_ngram")
    return bundle.model, bundle.tokenizer


def main() -> None:
    parser = PARSERS["flows.generate"]()
    given = vars(parser.parse_args())
    model = given.pop("model")
    try:
        prompt = Prompt(**given)
    except ValueError as error:
        parser.error(str(error))
    with one_line_errors():
        generate(model, prompt)


if __name__ == "__main__":
    main()
