"""One retraining, step by step; each is skipped where an earlier run, which may have died, has done it."""

import time
from dataclasses import replace
from typing import Any, NamedTuple

from flows.kinds.model_kind import Data, held_out
from flows.kinds.speech import SPEECH
from flows.retraining.retrain_plan import RetrainPlan, RetrainRequest, Start, choose_start
from flows.shared.dataset_data import DatasetPlan, dataset_data
from flows.shared.evaluation_plan import require_recognizer, search_plan
from flows.shared.run_context import RunContext
from infra import model_registry
from infra.artifact_store import Artifact
from infra.errors import UserError, tell_user
from infra.model_registry import CHAMPION
from infra.tracking import find_version as find_model_version
from tasks.bundles.model_bundle import bundle_front_end, bundle_tokenizer, check_golden_outputs, import_model
from tasks.datasets.assemble_features import assemble_features, extract_version_features
from tasks.datasets.dataset_head import (
    TrainingNote,
    find_version,
    read_training_note,
    seen_releases,
    update_dataset,
    write_training_note,
)
from tasks.datasets.find_releases import find_new_releases
from tasks.datasets.release import Release
from tasks.datasets.version_index import describe_version
from tasks.publishing.publish_model import Registration, RunOutcome, publish_model, track_training
from tasks.publishing.report_promotion import Contest, PromotionPage, publish_decision, report_promotion
from tasks.training.run_training import Workers


class Challenger(NamedTuple):
    """A trained model. version: as it is registered. run_id: of its MLflow run."""

    outcome: RunOutcome
    data: Data
    published: Artifact

    @property
    def version(self) -> str:
        return self.published.read_json("publication.json")["version"]

    @property
    def run_id(self) -> str:
        return self.published.read_json("publication.json")["run_id"]


class Retrained(NamedTuple):
    """What a retraining came to. told: of the data set, and of releases that were refused. challenger: None where there
    was nothing to train. page: the evidence, None where there was no champion.
    """

    told: dict[str, Any]
    challenger: Challenger | None = None
    page: Artifact | None = None


class Retraining:
    """A request on its way from the watched place to a decision."""

    def __init__(self, order: RetrainRequest, plan: RetrainPlan) -> None:
        self.order, self.plan, self.started = order, plan, time.time()
        self.refused: dict[str, str] = {}

    def run(self) -> Retrained:
        order, plan = self.order, self.plan
        found = find_new_releases(plan.watched, plan.dataset, order.locale, plan.config.settle_seconds)
        if found.unfinished:
            tell_user(f"{', '.join(found.unfinished)}: still being copied; left for the next time")
        if not found.ready and self._is_decided():
            return self._nothing("nothing new")
        note = self._begin()
        champion = self._champion(note.champion)
        self._take_in(found.ready)
        if not seen_releases(plan.dataset):
            return self._nothing("no release yet")
        version = find_version(plan.dataset)
        if self._is_decided():
            return self._nothing("nothing new")
        if note.data != version.digest:
            note = TrainingNote(order.digest, version.digest, note.champion)
        self._write(note)
        start = choose_start(order, plan, version, champion)
        tell_user(f"{describe_version(version)['release']['name']}: recipe {start.name}: {start.reason}")
        challenger = self._train(start, version)
        note = note._replace(challenger=challenger.version)
        self._write(note)
        page = self._compare(challenger, start, champion, note) if champion else None
        decision = self._decide(challenger, note, page)
        self._write(note._replace(alias=decision.alias))
        return Retrained(self._told(version), challenger, page)

    def _is_decided(self) -> bool:
        """Whether what is asked for has been trained on the newest version, and held against the champion."""
        if not seen_releases(self.plan.dataset):
            return True
        note, version = read_training_note(self.plan.dataset, self.order.name), find_version(self.plan.dataset)
        return bool(note.alias) and (note.request, note.data) == (self.order.digest, version.digest)

    def _nothing(self, what: str) -> Retrained:
        """Raises UserError where there was something new, and none of it could be taken in."""
        if self.refused:
            raise UserError("; ".join(self.refused.values()))
        told = f"{what} below {self.plan.watched.uri}; nothing was trained"
        known = self._told(find_version(self.plan.dataset)) if seen_releases(self.plan.dataset) else {}
        return Retrained(known | {"trained": False, "told": told, "failed": {}})

    def _told(self, version: Artifact) -> dict[str, Any]:
        about = describe_version(version)
        names = ("number", "splits", "changes", "retracted_speakers")
        told = {"name": self.plan.dataset, "digest": version.digest, "release": about["release"]["name"]}
        return {"trained": True, "failed": self.refused, "dataset": told | {name: about[name] for name in names}}

    def _begin(self) -> TrainingNote:
        """The note of a run that died, as long as its champion is the same; or that of a new one."""
        order, current = self.order, find_model_version(self.order.name, CHAMPION)
        note = read_training_note(self.plan.dataset, order.name)
        died = note.request == order.digest and not note.alias
        if died and current in {note.champion, note.challenger}:
            return note
        return TrainingNote(order.digest, champion=current)

    def _write(self, note: TrainingNote) -> None:
        write_training_note(self.plan.dataset, self.order.name, note)

    def _champion(self, version: str) -> Artifact | None:
        """Its bundle. Raises UserError for one that cannot be used any more."""
        if not version:
            return None
        name = f"{self.order.name}/{version}"
        try:
            bundle = require_recognizer(import_model(model_registry.resolve_model(name)))
            check_golden_outputs(bundle)
        except UserError as problem:
            told = f"the champion, {name}, cannot be used ({problem}); scriptorium rollback {self.order.name}, or"
            raise UserError(f"{told} promote another; nothing was changed") from problem
        return bundle

    def _take_in(self, releases: tuple[Release, ...]) -> None:
        """One after the other, the oldest first. One that cannot be taken in is noted; a delta segment then waits for
        it, as it holds what is new alone, and a whole release does not.
        """
        waited = ""
        for release in releases:
            if release.delta and waited:
                self.refused[release.name] = f"release {release.name}: a delta segment, which waits for {waited}"
                continue
            known = replace(release, locale=self.order.locale, retracted_budget=self.plan.config.retracted_budget)
            try:
                told = update_dataset(self.plan.dataset, known, self.plan.ingest).told
            except UserError as problem:
                self.refused[release.name] = str(problem)
                waited = waited or ("" if self._is_old(release) else release.name)
            else:
                tell_user(told or f"release {release.name} is taken in")
                waited = waited if release.delta else ""

    def _is_old(self, release: Release) -> bool:
        """Whether a release came too late to be taken in, ever."""
        if not seen_releases(self.plan.dataset):
            return False
        dates = [one["date"] for one in describe_version(find_version(self.plan.dataset))["releases"]]
        return bool(release.date) and release.date < max(dates)

    def _train(self, start: Start, version: Artifact) -> Challenger:
        """Trained, measured and registered as challenger."""
        order, config = self.order, self.plan.config
        also = tuple(map(find_version, config.also))
        tokenizer = bundle_tokenizer(start.source) if start.source else None
        given = DatasetPlan(
            training=(version, *also), measured=version, tokenizer=tokenizer, leaks=config.leaks, mix=config.mix
        )
        data = dataset_data(given, start.recipe)
        inputs = (data.examples, data.tokenizer, replace(start.recipe.training, init_from=start.source))
        title = f"{order.name} of {self.plan.dataset} version {describe_version(version)['number']}"
        about = {"corpus": f"dataset:{self.plan.dataset}", "recipe": start.name, "name": order.name}
        publication = Registration(run_name=title, **about, alias=model_registry.CHALLENGER)
        key = SPEECH.train.key(*inputs)
        run = RunContext(title, self.started, order.name, key)
        with track_training(key, publication, start.recipe, (data.corpus, data.examples)):
            trained = SPEECH.train(*inputs, Workers(count=order.workers, run_name=title))
            bundle = SPEECH.finish(trained, data, start.recipe)
            outcome = SPEECH.outcome(bundle, data, start.recipe, held_out(data.corpus), run)
            published = publish_model(outcome, data.tokenizer, start.recipe, key, publication)
        return Challenger(outcome, data, published)

    def _compare(self, challenger: Challenger, start: Start, champion: Artifact, note: TrainingNote) -> Artifact:
        """The page of both models on the same rows, each with the search and the front end that it has."""
        data, split = challenger.data, challenger.outcome.splits[0]
        plan, front_end = search_plan(champion), bundle_front_end(champion)
        examples = data.examples
        if front_end != start.recipe.features:
            assert front_end is not None  # as `require_recognizer` has seen
            shards = (find_version(self.plan.dataset), *map(find_version, self.plan.config.also))
            made = [frames for one in shards for frames in extract_version_features(one, front_end)]
            budget = start.recipe.ingest.error_budget
            examples = assemble_features(data.corpus, tuple(dict.fromkeys(made)), data.tokenizer, budget)
        theirs = SPEECH.score(champion, examples, plan, split)
        ours = SPEECH.score(challenger.outcome.bundle, data.examples, start.recipe, split)
        tags = model_registry.version_tags(self.order.name, note.champion)
        known = [Artifact(kind, tags[kind]) for kind in ("dataset", "shards") if tags.get(kind)]
        there = next((one for one in known if one.exists()), None)
        names = {"challenger": note.challenger, "champion": note.champion}
        named = {role: f"{self.order.name} version {version}" for role, version in names.items()}
        title = f"{named['challenger']} against {named['champion']}"
        page = PromotionPage(title=title, split=split, rule=self.plan.config.promotion, **named)
        contest = Contest(ours.said[0], theirs.said[0], data.corpus, data.tokenizer, there)
        return report_promotion(contest, page)

    def _decide(self, challenger: Challenger, note: TrainingNote, page: Artifact | None) -> model_registry.Decision:
        name, version = self.order.name, challenger.version
        if page is None:
            return model_registry.apply_decision(name, version, model_registry.Decision(CHAMPION, "the first"))
        return publish_decision(page, name, version, note.champion, challenger.run_id)
