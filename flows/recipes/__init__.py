"""What a recipe is. A recipe is a function without arguments that returns one; its name is how it is called for."""

from dataclasses import dataclass, field
from typing import Any

from models.interface import Beam
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.token_chunks import ChunkConfig
from tasks.bundles.add_decoding_resources import TranscriptLMConfig
from tasks.bundles.fit_classifier_vocabulary import LabelConfig
from tasks.bundles.fit_translation_vocabularies import TranslationTokensConfig
from tasks.bundles.search_dry_run import dry_run_captions, dry_run_search, dry_run_translation
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.photo_row import PhotoIngestConfig
from tasks.decoding.generate_text import Prompt
from tasks.features.augment import AugmentConfig
from tasks.features.front_end import FrontEnd
from tasks.features.image_front_end import ImageFrontEnd
from tasks.ingest.ingest_text import TextIngestConfig
from tasks.ngram.text_lines import LineSplitConfig
from tasks.ngram.train_ngram import NGramConfig, NGramTrainingConfig
from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.scoring.evaluate_translation import TranslationScoringConfig
from tasks.text.caption_vocabulary import CAPTION_TOKENS
from tasks.text.tokenizer import TokenizerConfig
from tasks.training.captions.train_captioner import CaptionTrainingConfig
from tasks.training.language.train_language_model import LMTrainingConfig
from tasks.training.optimizer import FitConfig
from tasks.training.parameter_groups import check_patterns
from tasks.training.train_asr import TrainingConfig
from tasks.training.train_classifier import ClassifierTrainingConfig
from tasks.training.train_translation import TranslationTrainingConfig


@dataclass(frozen=True, kw_only=True)
class LanguageRecipe:
    """Every config of a language model's run. model: the Config of a file in models/ that is a `LanguageModel`."""

    model: Any
    ingest: TextIngestConfig = field(default_factory=TextIngestConfig)
    tokens: TokenizerConfig = field(default_factory=TokenizerConfig)
    chunks: ChunkConfig = field(default_factory=ChunkConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    prompt: Prompt = field(default_factory=Prompt)

    @property
    def training(self) -> LMTrainingConfig:
        return LMTrainingConfig(
            model=self.model, chunks=self.chunks, batching=self.batching, fit=self.fit, prompt=self.prompt
        )


@dataclass(frozen=True, kw_only=True)
class NGramRecipe:
    """Every config of an n-gram model's run."""

    ingest: TextIngestConfig = field(default_factory=TextIngestConfig)
    tokens: TokenizerConfig = field(default_factory=TokenizerConfig)
    split: LineSplitConfig = field(default_factory=LineSplitConfig)
    ngram: NGramConfig = field(default_factory=NGramConfig)

    def __post_init__(self) -> None:
        if not self.tokens.specials:
            raise ValueError("tokens.specials=false: an n-gram model needs ids for sentence ends and what is unknown")
        if not self.split.dev_share:
            raise ValueError("split.dev_share=0: the model is measured on the lines that are held out")

    @property
    def training(self) -> NGramTrainingConfig:
        return NGramTrainingConfig(ngram=self.ngram, split=self.split)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Every config of a run. model: the Config of a file in models/ that maps audio to text. transcript_model: what the
    search fuses. adapt: to whom it listens. A beam that the model's search does not take, or an adaptation of nothing,
    is refused here, before anything is read.
    """

    model: Any
    ingest: IngestConfig = field(default_factory=IngestConfig)
    tokens: TokenizerConfig = field(default_factory=TokenizerConfig)
    features: FrontEnd = field(default_factory=FrontEnd)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    transcript_model: TranscriptLMConfig = field(default_factory=TranscriptLMConfig)
    beam: Beam = field(default_factory=Beam)
    adapt: AdaptationConfig = field(default_factory=AdaptationConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)

    def __post_init__(self) -> None:
        if self.beam.lm_weight and self.transcript_model.unit == "none":
            raise ValueError("beam.lm_weight: no language model; set transcript_model.unit=words, or the weight to 0")
        for name in ("trim_db", "frames"):
            if getattr(self.features, name):
                raise ValueError(f"features.{name} would shift the times of what is recognized; it is for classifiers")
        self.features.check_filters()
        self.augment.check(self.features.kind)
        model = dry_run_search(self.model, self.features, self.beam, self.transcript_model.unit)
        self.adapt.check(model)
        check_patterns(model, self.fit)

    @property
    def training(self) -> TrainingConfig:
        return TrainingConfig(
            model=self.model,
            front_end=self.features,
            augment=self.augment,
            batching=self.batching,
            fit=self.fit,
            adapt=self.adapt,
        )


@dataclass(frozen=True, kw_only=True)
class FineTuningRecipe:
    """What a training that starts from a model (--from) has of its own: network, front end, tokenizer, beam and
    adaptation are the model's.
    """

    ingest: IngestConfig = field(default_factory=IngestConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    transcript_model: TranscriptLMConfig = field(default_factory=TranscriptLMConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)


@dataclass(frozen=True, kw_only=True)
class ClassificationRecipe:
    """Every config of a classifier's run. model: the Config of a file in models/ that is a `Classifier`. features: the
    front end of clips, or `TokenizerConfig`: how texts are cut into tokens.
    """

    model: Any
    ingest: IngestConfig = field(default_factory=IngestConfig)
    labels: LabelConfig = field(default_factory=LabelConfig)
    features: FrontEnd | TokenizerConfig = field(default_factory=FrontEnd)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    adapt: AdaptationConfig = field(default_factory=AdaptationConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)

    def __post_init__(self) -> None:
        """Raises ValueError where the model cannot read what the features give it."""
        assert self.training

    @property
    def front_end(self) -> FrontEnd | None:
        """Of clips, None for texts."""
        return self.features if isinstance(self.features, FrontEnd) else None

    @property
    def training(self) -> ClassifierTrainingConfig:
        return ClassifierTrainingConfig(
            model=self.model,
            features=self.features,
            augment=self.augment,
            batching=self.batching,
            fit=self.fit,
            adapt=self.adapt,
        )


@dataclass(frozen=True, kw_only=True)
class TranslationRecipe:
    """Every config of a translator's run. model: the Config of a file in models/ that maps tokens to tokens.
    max_tokens: training pairs with a longer side are left out. bpe_dropout: the probability that a merge is left out as
    a training pair is cut anew in each epoch (Provilkov et al. 2020), 0 for none. batching: of tokens, where others
    have frames: a batch has as many pairs as fit with the longer of their two sides.
    """

    model: Any
    ingest: IngestConfig = field(default_factory=IngestConfig)
    tokens: TranslationTokensConfig = field(default_factory=TranslationTokensConfig)
    max_tokens: int = 256
    bpe_dropout: float = 0.0
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    beam: Beam = field(default_factory=Beam)
    scoring: TranslationScoringConfig = field(default_factory=TranslationScoringConfig)

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be honored, before anything is read."""
        assert self.training
        if self.bpe_dropout and {self.tokens.source.kind, self.tokens.target.kind} != {"bpe"}:
            raise ValueError(
                "bpe_dropout leaves out merges of BPE: set tokens.source.kind and tokens.target.kind to bpe"
            )
        dry_run_translation(self.model, self.beam)

    @property
    def training(self) -> TranslationTrainingConfig:
        return TranslationTrainingConfig(
            model=self.model,
            languages=(self.ingest.source_language, self.ingest.target_language),
            joint=self.tokens.joint,
            max_tokens=self.max_tokens,
            bpe_dropout=self.bpe_dropout,
            batching=self.batching,
            fit=self.fit,
        )


@dataclass(frozen=True, kw_only=True)
class TranslationFineTuningRecipe:
    """What a training that starts from a translator (--from) has of its own: network, vocabularies and beam are the
    model's, and so are the languages, which may be left out. max_tokens, bpe_dropout, batching: as in
    `TranslationRecipe`.
    """

    ingest: IngestConfig = field(default_factory=IngestConfig)
    max_tokens: int = 256
    bpe_dropout: float = 0.0
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    scoring: TranslationScoringConfig = field(default_factory=TranslationScoringConfig)


@dataclass(frozen=True, kw_only=True)
class CaptioningRecipe:
    """Every config of a captioner's run. model: the Config of a file in models/ that is a `Captioner`. train_backbone:
    whether the backbone learns too, which then looks at the photos in every update; else its features are stored.
    batching: of tokens, where others have frames.
    """

    model: Any
    train_backbone: bool = False
    ingest: PhotoIngestConfig = field(default_factory=PhotoIngestConfig)
    tokens: TokenizerConfig = CAPTION_TOKENS
    features: ImageFrontEnd = field(default_factory=ImageFrontEnd)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    beam: Beam = field(default_factory=Beam)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be honored, before anything is read."""
        assert self.training
        dry_run_captions(self.model, self.features, self.beam)

    @property
    def training(self) -> CaptionTrainingConfig:
        return CaptionTrainingConfig(
            model=self.model,
            front_end=self.features,
            batching=self.batching,
            fit=self.fit,
            train_backbone=self.train_backbone,
        )


@dataclass(frozen=True, kw_only=True)
class CaptionFineTuningRecipe:
    """What a training that starts from a captioner (--from) has of its own: network, front end, vocabulary and beam are
    the model's. train_backbone: as in `CaptioningRecipe`.
    """

    train_backbone: bool = True
    ingest: PhotoIngestConfig = field(default_factory=PhotoIngestConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)


StartsFromModel = FineTuningRecipe | TranslationFineTuningRecipe | CaptionFineTuningRecipe
