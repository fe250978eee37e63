"""The manifest as a file: what is no table of exams, and how tracers are spelled."""

from pathlib import Path

import pytest

from mpi_model.errors import CohortError
from orchestrator.cohort.loading import load_cohort
from orchestrator.cohort.spellings import tracer_of

FILES: dict[str, tuple[str, bytes | None, str]] = {
    "absent": ("manifest.csv", None, "there is no manifest"),
    "spreadsheet": ("manifest.xlsx", b"PK", "not manifest.xlsx; save it as CSV"),
    "empty": ("manifest.csv", b"", "has no exams"),
    "header only": ("manifest.csv", b"patient_id,tracer,label,stress\n", "has no exams"),
    "western encoding": ("manifest.csv", "patient_id\nMüller".encode("cp1252"), "save it as 'CSV UTF-8'"),
    "open quote": ("manifest.csv", b'patient_id,tracer\n"a,b\n', "cannot be read as CSV"),
    "not parquet": ("manifest.parquet", b"hello", "cannot be read as Parquet"),
    "column twice": ("manifest.csv", b"label,label\n1,1\n", "columns 1 and 2 of the manifest have one name"),
    "nameless": ("manifest.csv", b"label,\n1,1\n", "a manifest column without a name"),
    "long row": (
        "manifest.csv",
        b"patient_id,label\na,1\nb,0,5\n",
        "manifest row 2 (line 3) has 3 cells, the header 2",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_table_of_exams_is_refused(tmp_path: Path, case: str) -> None:
    """Whatever a person points at gets one line and not a traceback from a parser."""
    name, content, fragment = FILES[case]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CohortError) as caught:
        load_cohort(tmp_path / name, size=16)
    assert fragment in str(caught.value)
    assert len(caught.value.problems) == 1


def test_a_manifest_without_a_header_is_refused_without_quoting_it(tmp_path: Path) -> None:
    """A first line of data is not read out as column names: it holds a patient's id."""
    (tmp_path / "manifest.csv").write_text("zoe,Tc-99m,1,a.png\nbob,Tc-99m,0,b.png\n")
    with pytest.raises(CohortError, match="column 'patient_id' is missing") as caught:
        load_cohort(tmp_path / "manifest.csv", size=16)
    assert "zoe" not in str(caught.value)


@pytest.mark.parametrize(
    ("tracer", "spellings"),
    [
        (
            "Tc-99m",
            "Tc-99m|Tc99m|99mTc|99m-Tc|TC 99M|tc|technetium|Technetium-99m|Tc-99m sestamibi|99mTc-tetrofosmin"
            "|sestamibi|Tc-99m MIBI|technetium Tc 99m sestamibi|Tc_99m",
        ),
        ("Tl-201", "Tl-201|Tl201|201Tl|201-Tl|TL 201|tl|thallium|Thallium-201|thallous chloride Tl 201|Tl-201 Cl"),
        (None, "|99m|201|Tc-201|Tl-99m|Tc-99m/Tl-201|Rb-82|FDG|dual|t|chloride|none"),
    ],
)
def test_common_tracer_spellings_are_understood_and_others_are_not_guessed(tracer: str | None, spellings: str) -> None:
    """A site's own spelling works; a wrong or mixed one is never taken for a tracer."""
    assert {spelling: tracer_of(spelling) for spelling in spellings.split("|")} == dict.fromkeys(
        spellings.split("|"), tracer
    )
