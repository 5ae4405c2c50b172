"""A language model writes on from a context; the text appears as it is written.

python -m flows.generate --model language-model@champion --context "LA GRENOUILLE " --length 200 --temperature 0.8
"""

import sys

import torch

from flows.shared.command_line import Parser
from infra import tracking
from infra.errors import one_line_errors
from tasks.bundles.model_bundle import import_model
from tasks.decoding.generate_text import Prompt, generate_text
from tasks.decoding.score_text import load_text_model


def generate(model: str, prompt: Prompt) -> None:
    """Write to standard output. model: NAME@ALIAS in MLflow's registry, or the path of a model."""
    torch.set_num_threads(1)  # a step is too small to share
    generator = torch.Generator().manual_seed(prompt.seed)
    language = load_text_model(import_model(tracking.resolve_model(model), ("bundle", "ngram")), model)
    for piece in generate_text(language.model, language.tokenizer, prompt, generator):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


def main() -> None:
    default = Prompt()
    parser = Parser(description=__doc__)
    parser.add_argument("--model", required=True, metavar="NAME@ALIAS|PATH")
    parser.add_argument("--context", default=default.context, help="what the text begins with")
    parser.add_argument("--length", type=int, default=default.length, help="tokens to write")
    parser.add_argument("--temperature", type=float, default=default.temperature, help="0: always the most probable")
    parser.add_argument("--top-k", type=int, default=default.top_k, help="draw from the k most probable, 0 from all")
    parser.add_argument("--top-p", type=float, default=default.top_p, help="and from those that reach this probability")
    parser.add_argument("--seed", type=int, default=default.seed)
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
