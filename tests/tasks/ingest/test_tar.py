"""Our headers are those of the standard library, and what was appended is read back."""

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from tasks.ingest import tar

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=90)


@given(name=NAMES | st.sampled_from(["a" * 100, "a/" * 60 + "b"]), size=st.integers(0, 8**11 - 1))
def test_a_header_is_the_standard_librarys(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    try:
        expected = info.tobuf(tarfile.USTAR_FORMAT)
    except ValueError:  # a name that USTAR cannot hold
        return
    assert tar.header(name, size) == expected


@given(st.lists(st.dictionaries(NAMES.filter(str.isascii), st.binary(max_size=1500), max_size=3), max_size=4))
def test_members_come_back(appended):
    file = io.BytesIO()
    for several in appended:
        tar.append(file, several)
    file.write(tar.END)
    members = [member for several in appended for member in several.items()]
    assert list(tar.members(io.BytesIO(file.getvalue()))) == members
    with tarfile.open(fileobj=io.BytesIO(file.getvalue())) as whole:
        assert [(m.name, whole.extractfile(m).read()) for m in whole] == members
