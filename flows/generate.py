"""A language model writes on from a context; the text appears as it is written.

python -m flows.generate --model language-model@champion --context "LA GRENOUILLE " --length 200 --temperature 0.8
"""

import sys

import torch

from flows.command_line.parsers import PARSERS
from infra.errors import one_line_errors
from tasks.bundles.find_model import find_model
from tasks.decoding.generate_text import Prompt, generate_text
from tasks.decoding.score_text import load_text_model


def generate(model: str, prompt: Prompt) -> None:
    """Write to standard output. model: NAME@ALIAS in MLflow's registry, or the path of a model."""
    torch.set_num_threads(1)  # a step is too small to share
    generator = torch.Generator().manual_seed(prompt.seed)
    language = load_text_model(find_model(model, ("bundle", "ngram")), model)
    for piece in generate_text(language.model, language.tokenizer, prompt, generator):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


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
