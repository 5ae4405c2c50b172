"""A release to shards of those of its clips that the data set has not, and the list of all its rows."""

import re
from collections import Counter, defaultdict
from itertools import chain

import pyarrow.parquet as pq

from infra.artifact_store import Artifact, Draft, open_draft
from infra.errors import UserError, tell_user
from tasks.corpora import archive_index
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.utterance import SPLITS, Reject, Utterance
from tasks.datasets.hash_split import assign_sides
from tasks.datasets.release import Release, check_order, describe_release
from tasks.datasets.release_rows import RELEASE_ROWS, ClipPlaces, list_rows
from tasks.datasets.version_index import Row, describe_version, locales, read_quarantine, read_version
from tasks.ingest.finalize_ingest import finalize_ingest
from tasks.ingest.ingest_corpus import open_source, read_rows, write_shards
from tasks.ingest.split_corpus import sentence_hash
from tasks.steps.parquet_io import to_parquet, to_table
from tasks.steps.pipeline_step import step

ROWS = "release.parquet"
USED = ["source", "side", "speaker", "tags", "clip_sha256"]  # of the version before
NAMED_LOCALE = re.compile(r"common_voice_([A-Za-z]{2,3}(?:-[A-Za-z]+)*)_\d+")


@step
def ingest_release(parent: Artifact | None, release: Release, options: IngestConfig, places: ClipPlaces) -> Artifact:
    """Shards of the clips that `parent`, the version before, has not, with `release.parquet`: all rows of the release.

    Raises UserError, before any clip is decoded where it can be known then, for a release of another language, one
    that is older than what is in, one that lacks most of what is in, and where too many rows cannot be used.
    """
    out = open_draft("shards", ingest_release.key(parent, release, options)[:32])
    with out.lock():
        taking = _Taking(parent, release, options, out)
        taken = taking.shards(places.read())
        places.write(taking.places)
        return taken


class _Taking:
    """A release on its way in."""

    def __init__(self, parent: Artifact | None, release: Release, options: IngestConfig, out: Draft) -> None:
        self.options, self.out, self.corpus = options, out, release.corpus
        self.before: list[Row] = read_version(parent, USED) if parent else []
        self.bad: list[Row] = read_quarantine(parent) if parent else []
        self.seen = {row["clip_sha256"] for row in (*self.before, *self.bad)}
        self.about: Row = describe_version(parent) if parent else {"releases": [], "carved": None}
        self.source: CorpusFiles = open_source(release.corpus, options, out, self.seen)
        self.release = describe_release(release, self.source.files)

    def shards(self, known: dict[str, str]) -> Artifact:
        """known: the SHA-256 of clips by their places."""
        check_order(self.release, self.about["releases"])
        known = {place: clip for place, clip in known.items() if clip in self.seen}
        read = read_rows(self.source, self.corpus, self.options, SPLITS)
        rows, rejects, unplaced, places = list_rows(read, self.source, known)
        self.places = known | places if self.release.delta else places
        if not rows:
            first = f"; first {rejects[0].source}: {rejects[0].reason}" if rejects else ""
            raise UserError(f"release {self.release.name}: none of its {len(rejects)} rows can be used{first}")
        self._check_locale(rows)
        carved = self._divide(rows)
        rejects = [reject._replace(split=reject.split or "train") for reject in rejects]
        self._check_retracted(rows, rejects)
        self._charge(rows, [reject._asdict() for reject in rejects], "")
        missing = [reject.source for reject in rejects if reject.reason == "missing clip"]
        if missing:
            tell_user(f"{self.release.name}: {len(missing)} clips that it names are not in it, first {missing[0]}")
        new = [unplaced[name]._replace(split=side) for name, side in self._unknown(rows).items()]
        names = write_shards(chain(rejects, new), self._source_of(new), self.options, self.out)
        self.out.put(ROWS, to_parquet(to_table(rows, RELEASE_ROWS)))
        same = ("name", "date", "delta", "locale")  # wherever its files are
        told = {"release": {name: getattr(self.release, name) for name in same}, "carved": carved}
        told |= {"division": {"seed": self.options.seed, "shares": self._shares(carved=carved)}}
        taken = finalize_ingest(self.out, names, self.corpus, None, SPLITS, told)
        self._charge(rows, pq.read_table(taken.file("quarantine.parquet")).to_pylist(), taken.uri)
        return taken

    def _source_of(self, rows: list[Utterance]) -> CorpusFiles:
        """The release's files, with those that were left out of its copy where rows need them: pieces of a clip that
        was a whole one before.
        """
        source = self.source
        if any(source.locate(clip) in source.left_out for row in rows for clip in row.clips):
            self.out.remove(archive_index.INDEX)
            return open_source(self.corpus, self.options, self.out)
        return source

    def _shares(self, *, carved: bool) -> dict[str, float]:
        return ({} if carved else {"test": self.options.test_share}) | {"dev": self.options.dev_share}

    def _divide(self, rows: list[Row]) -> bool:
        """A side for the rows without a split; where there is no dev split also for those of train. Whether that is."""
        carved = self.about["carved"]
        if carved is None:
            carved = not any(row["divided"] or row["side"] == "dev" for row in rows)
        for row in rows:
            row["divided"] = row["divided"] or (carved and row["side"] == "train")
        mine = [row for row in rows if row["divided"]]
        placed, known = [*self.before, *(row for row in rows if not row["divided"])], dict[str, str]()
        for split in ("train", "dev", "test"):
            known |= {row["speaker"]: split for row in placed if row["side"] == split and row["speaker"]}
        speakers, sentences = [row["speaker"] for row in mine], [sentence_hash(row["text"]) for row in mine]
        sides = assign_sides(speakers, sentences, self._shares(carved=carved), self.options.seed, known)
        for row, side in zip(mine, sides, strict=True):
            row["side"] = side
        return carved

    def _check_locale(self, rows: list[Row]) -> None:
        wanted = {self.release.locale} - {""} or _locales(self.before)
        if wanted and (others := _locales(rows) - wanted):
            raise UserError(
                f"release {self.release.name} is of {', '.join(sorted(others))}, the data set of "
                f"{', '.join(sorted(wanted))}; give each language a data set of its own. Nothing was changed"
            )

    def _check_retracted(self, rows: list[Row], rejects: list[Reject]) -> None:
        there = {row["clip_sha256"] for row in rows}
        named = {reject.source.rpartition("/")[2] for reject in rejects}
        lost = [r for r in self.before if r["clip_sha256"] not in there and r["source"].rpartition("/")[2] not in named]
        share = len(lost) / len(self.before) if self.before else 0.0
        if not self.release.delta and share > self.release.retracted_budget:
            raise UserError(
                f"release {self.release.name} lacks {len(lost)} of the {len(self.before)} clips of the data set "
                f"({share:.0%}, first {lost[0]['source']}): another corpus, an incomplete one, or a delta segment "
                f"(--delta)? Up to {self.release.retracted_budget:.0%} may be withdrawn (--retracted-budget). Nothing "
                "was changed"
            )

    def _charge(self, rows: list[Row], rejects: list[Row], place: str) -> None:
        """Raises UserError where more of a split than the error budget cannot be used, of all its rows."""
        known_bad = {row["clip_sha256"] for row in self.bad}
        kept = Counter(row["side"] for row in rows)
        bad = defaultdict[str, list[Row]](list)
        for reject in rejects:
            bad[reject["split"]].append(reject)
        for split, those in bad.items():
            total = kept[split] + sum(row["stage"] == "read" for row in those)
            old = sum(r["side"] == split and r["clip_sha256"] in known_bad for r in rows)
            if len(those) + old > self.options.error_budget * total:
                reasons = Counter(row["reason"] for row in those).most_common()
                told, listed = ", ".join(f"{n} {reason}" for reason, n in reasons), f"; listed in {place}" * bool(place)
                raise UserError(
                    f"release {self.release.name}: split {split}: {len(those) + old} of {total} rows cannot be used "
                    f"({told}; first {those[0]['source']}){listed}; the budget is {self.options.error_budget:.0%}: get "
                    "the release again, or allow more with --set ingest.error_budget. Nothing was changed"
                )

    def _unknown(self, rows: list[Row]) -> dict[str, str]:
        """The source and the side of the first row of each clip that is not in."""
        seen = set(self.seen)
        wanted: dict[str, str] = {}
        for row in rows:
            if row["clip_sha256"] not in seen:
                seen.add(row["clip_sha256"])
                wanted[row["source"]] = row["side"]
        return wanted


def _locales(rows: list[Row]) -> set[str]:
    """What the rows, or else the names of their clips, say."""
    return locales(rows) or {found[1] for row in rows if (found := NAMED_LOCALE.search(row["source"]))}
