"""Speed and memory as ratios against a named peer, both measured in this run: `make bench`."""

from tests.benchmarks.attention_beam import attention_beam
from tests.benchmarks.captions import captions, captions_beam
from tests.benchmarks.cells import main as cells
from tests.benchmarks.pieces import main as pieces
from tests.benchmarks.pipeline import pipeline
from tests.benchmarks.transducer_beam import main as transducer_beam
from tests.benchmarks.transducer_loss import main as transducer_loss

if __name__ == "__main__":
    pipeline()
    pieces()
    cells()
    transducer_loss()
    transducer_beam()
    attention_beam()
    captions()
    captions_beam()
