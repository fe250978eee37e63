"""The price bound: the dearest cluster a file allows, from a dated table, or an honest "unknown"."""

import tomllib
from datetime import date
from itertools import product
from pathlib import Path

import pytest

from orchestrator.clusters.lint.checking import check_cluster_file

HERE = Path(__file__).resolve().parent
TABLE = tomllib.loads(
    (Path(__file__).parents[3] / "orchestrator" / "clusters" / "lint" / "prices.toml").read_text(encoding="utf-8")
)


def file_with(tmp_path: Path, most: str, *types: tuple[str, int]) -> Path:
    """The clean AWS file with other workers."""
    head, _, _ = (HERE / "clean_aws.yaml").read_text().partition("  worker:\n")
    text = head.replace("max_workers: 2\n", most)
    for number, (instance_type, workers) in enumerate(types):
        text += f"  w{number}:\n    resources: {{}}\n    max_workers: {workers}\n"
        text += f"    node_config: {{InstanceType: {instance_type}, InstanceMarketOptions: {{MarketType: spot}}}}\n"
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("most", [0, 1, 3, 5])
def test_the_bound_is_the_dearest_mixture_of_all(tmp_path, most):
    """No mixture of workers within the file's numbers costs more than the bound, and one costs exactly that."""
    prices = TABLE["eu-central-1"]
    types = (("g4dn.xlarge", 2), ("g5.xlarge", 1), ("m5.large", 4))

    bound = check_cluster_file(file_with(tmp_path, f"max_workers: {most}\n", *types)).price

    mixtures = product(*(range(workers + 1) for _, workers in types))
    costs = [
        prices["m5.large"] + sum(count * prices[kind] for count, (kind, _) in zip(mixture, types, strict=True))
        for mixture in mixtures
        if sum(mixture) <= most
    ]
    assert bound is not None
    assert bound.dollars == pytest.approx(max(costs))


def test_an_unknown_type_makes_the_sum_unknown(tmp_path):
    """A type without a price is named, and no sum pretends to hold it."""
    bound = check_cluster_file(file_with(tmp_path, "max_workers: 2\n", ("p5.48xlarge", 1), ("g5.xlarge", 2))).price

    assert bound is not None
    assert bound.dollars is None
    assert bound.unknown == ("p5.48xlarge",)


def test_a_file_without_a_largest_size_has_no_bound(tmp_path):
    """Without max_workers there is no number to print."""
    bound = check_cluster_file(file_with(tmp_path, "", ("g5.xlarge", 2))).price

    assert bound is not None
    assert bound.dollars is None


def test_hosts_of_ones_own_have_no_price():
    """The local provider rents nothing."""
    assert check_cluster_file(HERE / "clean_local.yaml").price is None


def test_the_table_is_dated_and_plausible():
    """The table says its day, and holds on-demand prices: cents to a few dollars, the same order everywhere."""
    assert isinstance(TABLE["date"], date)
    for region, prices in TABLE.items():
        if region != "date":
            for instance_type, price in prices.items():
                assert 0.01 < price < 10, (region, instance_type)
                assert price == pytest.approx(TABLE["us-east-1"][instance_type], rel=0.35)
