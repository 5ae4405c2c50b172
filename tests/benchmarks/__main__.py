"""Speed and memory as ratios against a named peer, both measured in this run: `make bench`."""

from tests.benchmarks.attention_beam import attention_beam
from tests.benchmarks.cells import main as cells
from tests.benchmarks.pipeline import pipeline

if __name__ == "__main__":
    pipeline()
    cells()
    attention_beam()
