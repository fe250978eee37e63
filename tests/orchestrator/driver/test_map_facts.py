"""What a run keeps of its maps: fingerprints that find a map again, segment means that are means of segments."""

import numpy as np
import pytest

from mpi_model.maps import FULL_SCALE, Maps
from orchestrator.cohort.segments import SEGMENTS_17
from orchestrator.driver.map_facts import facts_of_maps, segment_columns
from orchestrator.importers.painting import painting_basis


def _maps(stress: np.ndarray) -> Maps:
    here = np.ones(len(stress), dtype=np.bool_)
    return Maps(stress=stress, rest=np.zeros_like(stress), has_stress=here, has_rest=~here, tracer=here.astype(np.int8))


def test_segment_means_are_those_that_the_painter_was_given():
    """A map painted from 17 values gives the values back, in the order of the AHA's numbers; no rest map, no values."""
    values = np.random.default_rng(0).uniform(0.4, 0.7, (3, 17))  # the painter overshoots at steep edges
    painted = np.einsum("es,shw->ehw", values, painting_basis(64, SEGMENTS_17))
    stress = np.rint(np.clip(painted, 0, 1) * FULL_SCALE).astype(np.uint16)[:, np.newaxis]
    facts = facts_of_maps(_maps(stress))
    assert facts[segment_columns("stress")].to_numpy() == pytest.approx(values, abs=0.02)
    assert facts.filter(like="rest_").isna().all(axis=None)


def test_a_grey_map_has_one_fingerprint_in_grey_and_in_coloured_cohorts():
    """In three channels beside coloured maps, or alone in one, it is the same map; one level elsewhere is not."""
    grey = np.random.default_rng(1).integers(0, FULL_SCALE, (1, 1, 16, 16)).astype(np.uint16)
    other = grey.copy()
    other[0, 0, 8, 8] ^= 1
    prints = [facts_of_maps(_maps(one))["stress_sha256"][0] for one in (grey, np.repeat(grey, 3, axis=1), other)]
    assert prints[0] == prints[1] != prints[2]
