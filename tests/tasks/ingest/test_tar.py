"""Our tars are webdataset's, byte for byte, and what was written is read back."""

import io
import tarfile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from webdataset import TarWriter

from tasks.ingest import tar

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/."), min_size=1, max_size=120)
SAMPLES = st.lists(
    st.tuples(NAMES, st.dictionaries(st.sampled_from(["wav", "json", "tokens.npy"]), st.binary(max_size=1500))),
    max_size=4,
)


def ours(samples):
    file = io.BytesIO()
    with tar.SampleWriter(file) as writer:
        regions = [writer.write(key, members) for key, members in samples]
    return file.getvalue(), regions


def theirs(samples):
    file = io.BytesIO()
    with TarWriter(file, encoder=False, user="", group="", mode=0o644, mtime=0) as writer:
        for key, members in samples:
            writer.write({"__key__": key, **members})
    return file.getvalue()


@given(SAMPLES)
@example([("a" * 96, {"wav": b"x"}), ("a" * 97, {"wav": b"x"}), ("گفتار", {"wav": b"x" * 10240})])
@example([("k", {"wav": bytes(size)}) for size in (0, 511, 512, 513, 9 * 1024)])
def test_the_bytes_are_webdatasets(samples):
    assert ours(samples)[0] == theirs(samples)


@given(SAMPLES)
def test_a_region_holds_its_sample_and_no_other(samples):
    data, regions = ours(samples)
    for (key, members), (offset, size) in zip(samples, regions, strict=True):
        found = list(tar.members(io.BytesIO(data[offset : offset + size])))
        assert found == [(f"{key}.{name}", members[name]) for name in sorted(members)]
    every = [(f"{key}.{name}", members[name]) for key, members in samples for name in sorted(members)]
    assert list(tar.members(io.BytesIO(data))) == every


@pytest.mark.parametrize("size", [8**11 - 1, 8**11, 10 * 2**30, 2**40])
def test_a_member_of_more_than_eight_gigabytes_has_the_header_of_tarfile(size):
    info = tarfile.TarInfo("k.wav")
    info.size = size
    assert tar.header("k.wav", size) == info.tobuf(tarfile.PAX_FORMAT)
    with tarfile.open(fileobj=io.BytesIO(tar.header("k.wav", size))) as file:
        assert file.next().size == size
