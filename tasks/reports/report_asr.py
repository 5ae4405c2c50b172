"""Scores to a self-contained HTML page: numbers, learning curve, and utterances to look at and to play."""

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from infra.artifact_store import Artifact
from models.registry import architecture_modules
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.reports.html_page import html_cards, html_figure, html_section, html_table, join_html, put_page
from tasks.reports.plots.plot_learning_curve import plot_learning_curves
from tasks.reports.plots.plot_reliability import plot_reliability
from tasks.reports.report_utterances import UtteranceOutput, utterance_articles
from tasks.reports.sections.recognizer_sections import comparison_sections, corpus_sections, error_sections
from tasks.reports.sections.run_section import run_section
from tasks.reports.utterance_table import SoundLimits, choose_sounds, rank_utterances, utterance_table, write_sounds
from tasks.scoring.compare_transcripts import Baseline
from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.steps.parquet_parts import read_parts
from tasks.steps.pipeline_step import step
from tasks.steps.run_facts import NO_FACTS, RunFacts

TWO_SEARCHES = Markup(
    '<p class="note">After each epoch dev is decoded greedily, with the weights of that epoch: the curve. The numbers '
    "at the top are of the final search, with its beam and language model where it has them, and of the weights that "
    "were kept. So the two differ.</p>"
)
COLUMNS = Markup(
    '<p class="note">Oracle WER: of the best of the hypotheses that the search kept. Without words: utterances with '
    "an empty reference. Cut: those whose text reached beam.max_length.</p>"
)
INLINE_BYTES = 600_000  # of MP3 in the page, of all splits
PARTS = ("substitutions", "deletions", "insertions", "reference")  # of a word error rate


@dataclass(frozen=True, kw_only=True)
class ASRPage:
    """title: what the page is about. architecture, lm_architecture: of the model and of the neural language model in
    its bundle, whose code is part of the task's key. adapt: as the transcripts were made. scoring: how a comparison is
    tested. settings: of the run, as names and values.
    """

    title: str
    architecture: str
    splits: tuple[str, ...]
    lm_architecture: str = ""
    adapt: AdaptationConfig = AdaptationConfig()
    scoring: ScoringConfig = ScoringConfig()
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def code(self) -> tuple[str, ...]:
        return architecture_modules(self.architecture, self.lm_architecture)


@dataclass(frozen=True)
class ReportInputs:
    """What a page is made of; transcripts and scores one for each of its splits. trained_on: the features that the
    bundle was trained on, None where they are not there. baselines: what the first split is compared with.
    """

    bundle: Artifact
    shards: Artifact
    features: Artifact
    transcripts: tuple[Artifact, ...]
    scores: tuple[Artifact, ...]
    trained_on: Artifact | None = None
    baselines: tuple[Baseline, ...] = ()

    def every(self) -> tuple[Artifact, ...]:
        others = [one.transcripts for one in self.baselines if one.transcripts]
        return (self.bundle, self.shards, self.features, *self.transcripts, *self.scores, *others)


@step
def report_asr(material: ReportInputs, page: ASRPage, run: RunFacts = NO_FACTS) -> Artifact:
    """`report.html`, `report.json` with the same numbers, `comparison.json` and `corpus.json`, whole tables of errors
    in `errors/`, and the sound of utterances in `audio/`. run: of the run that made the page.
    """
    training = material.bundle.read_json("training.json")
    scores = {s: a.read_json("scores.json") for s, a in zip(page.splits, material.scores, strict=True)}
    main, summary = page.splits[0], material.shards.read_json("summary.json")
    errors = error_sections(dict(zip(page.splits, material.transcripts, strict=True)), material.trained_on)
    compared = comparison_sections(main, material.transcripts[0], material.baselines, page.scoring)
    corpus = corpus_sections(material.shards, material.features, material.bundle)
    curves = plot_learning_curves(training["history"], "nats a token", "dev error rates")
    body = [_numbers(scores), corpus.first, *compared.html, html_section("Learning curve", curves, TWO_SEARCHES)]
    sounds, limits = [], SoundLimits(inline_bytes=INLINE_BYTES // len(page.splits))
    for split, transcripts in zip(page.splits, material.transcripts, strict=True):
        ranked = rank_utterances(read_parts(transcripts))
        sounds.append(choose_sounds(ranked, material.shards, limits))
        body += [utterance_table(split, ranked, sounds[-1])]
    body += errors.html
    for split, told in scores.items():
        body += _confidence(split, told)
        groups = [_breakdown("length", told["by_seconds"]), _breakdown("speaker", told["by_speaker"])]
        body += [html_section(f"{split}: by length and speaker", *groups)]
    heard = UtteranceOutput(material.bundle, material.shards, material.features, material.transcripts[0], page.adapt)
    body += [html_section(f"{main}: what the model heard, and when", *utterance_articles(heard, main))]
    body += [*corpus.html, run_section(run.facts, material.bundle, dict(page.settings), material.every())]
    told = {"title": page.title, "scores": scores, "corpus": summary, "run": dict(run.facts)}
    data = {"report.json": told, **compared.data, **corpus.data}
    return put_page(page.title, body, data, [*write_sounds(sounds), *errors.files.items()])


def _numbers(scores: dict[str, Any]) -> Markup:
    names = ("split", "WER", "95 % interval", "CER", "oracle WER", "substitutions", "deletions")
    names += ("insertions", "words", "utterances", "without words", "cut at the limit of length", "minutes")
    rows, cards = [], []
    for split, s in scores.items():
        low, high = s["wer_interval"]
        interval = f"{low:.2%} to {high:.2%}"
        cards.append((f"WER, {split}", f"{s['wer']:.2%}", f"95\u00a0% interval {interval}; CER {s['cer']:.2%}"))
        cells = [f"{s['wer']:.2%}", interval, f"{s['cer']:.2%}", f"{s['oracle_wer']:.2%}"]
        cells += [str(s["words"][name]) for name in PARTS]
        cells += [str(s[name]) for name in ("utterances", "silent", "truncated")]
        rows.append([split, *cells, f"{s['seconds'] / 60:.1f}"])
    return join_html((html_cards(cards), html_table(names, rows), COLUMNS))


def _confidence(split: str, told: dict[str, Any]) -> list[Markup]:
    """How far it can be trusted; nothing where the search knows none."""
    if not told["reliability"]:
        return []
    apart = Markup("<p>expected calibration error <b>{:.3f}</b>, mean confidence {:.2f}</p>")
    picture = html_figure(plot_reliability(told["reliability"]), "share of words right, and utterances, by confidence")
    numbers = apart.format(told["calibration_error"], told["confidence"])
    return [html_section(f"{split}: confidence", numbers, picture)]


def _breakdown(group: str, rows: list[dict[str, Any]]) -> Markup:
    ranked = rows if len(rows) <= 40 else sorted(rows, key=lambda r: -r["wer"])[:40]
    cells = [
        [Markup("<code>{}</code>").format(r["group"][:24]), f"{r['wer']:.1%}", str(r["words"]), str(r["utterances"])]
        for r in ranked
    ]
    return html_table((group, "WER", "words", "utterances"), cells)
