"""The vCPU quotas that a cluster file needs: every mixture of nodes that it allows fits into them."""

import json
from itertools import product
from pathlib import Path

import pytest

from orchestrator.cli import main
from orchestrator.clusters.lint.checking import check_cluster_file

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
# Written down from AWS's pages of instance types (vCPUs) and from its list of quotas.
CORES = {"m5.large": 2, "g4dn.xlarge": 4, "g5.2xlarge": 8, "p3.2xlarge": 8, "c5.xlarge": 4}
FAMILIES = {"m5": "Standard", "c5": "Standard", "g4dn": "G and VT", "g5": "G and VT", "p3": "P"}


def file_with(tmp_path: Path, most: int, *types: tuple[str, int | None, bool]) -> Path:
    """The clean AWS file with other workers: instance type, its own bound, and whether it is spot."""
    head, _, _ = (HERE / "clean_aws.yaml").read_text().partition("  worker:\n")
    text = head.replace("max_workers: 2\n", f"max_workers: {most}\n")
    for number, (instance_type, workers, spot) in enumerate(types):
        bound = "" if workers is None else f"    max_workers: {workers}\n"
        market = ", InstanceMarketOptions: {MarketType: spot}" if spot else ""
        text += (
            f"  w{number}:\n    resources: {{}}\n{bound}    node_config: {{InstanceType: {instance_type}{market}}}\n"
        )
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("most", [0, 1, 3, 6])
def test_a_quota_is_the_largest_mixture_of_its_family_and_market(tmp_path, most):
    """No mixture of workers within the file's numbers needs more vCPUs of a quota, and one needs exactly as many."""
    types = (("g4dn.xlarge", None, True), ("g5.2xlarge", 2, True), ("g4dn.xlarge", 1, False), ("c5.xlarge", 2, False))
    found = {one.name: one.cores for one in check_cluster_file(file_with(tmp_path, most, *types)).quotas}

    largest: dict[str, int] = {}
    for mixture in product(*(range((most if bound is None else bound) + 1) for _, bound, _ in types)):
        if sum(mixture) <= most:
            used = {"Standard, on demand": CORES["m5.large"]}  # the head
            for count, (kind, _, spot) in zip(mixture, types, strict=True):
                name = f"{FAMILIES[kind.split('.')[0]]}, {'spot' if spot else 'on demand'}"
                used[name] = used.get(name, 0) + count * CORES[kind]
            largest = {name: max(largest.get(name, 0), used.get(name, 0)) for name in largest.keys() | used.keys()}
    assert found == largest


def test_the_shipped_file_says_what_to_ask_aws_for(capsys):
    """Codes and vCPUs of the shipped file, with the command that asks for them in its region, on one line."""
    assert main(["cluster", "check", str(ROOT / "cluster.yaml")]) == 0
    said = capsys.readouterr().out.splitlines()

    assert "needs a quota of 16 vCPUs in eu-central-1: G and VT, spot (L-3819A6DF)" in said
    assert "needs a quota of 8 vCPUs in eu-central-1: G and VT, on demand (L-DB2E81BA)" in said
    assert "needs a quota of 2 vCPUs in eu-central-1: Standard, on demand (L-1216C47A)" in said
    (command,) = [line for line in said if "aws service-quotas get-service-quota --region eu-central-1" in line]
    assert "L-3819A6DF L-DB2E81BA L-1216C47A" in command


def test_what_is_not_known_is_said_and_not_guessed(tmp_path, capsys):
    """A family without a known code and a size without a known number are named as unknown, in JSON too."""
    path = file_with(tmp_path, 2, ("p5.48xlarge", None, True), ("g5.metal", 1, False))
    main(["cluster", "check", str(path), "--format", "json"])
    quotas = {one["name"]: one for one in json.loads(capsys.readouterr().out)["quotas"]}
    main(["cluster", "check", str(path)])

    assert quotas["p5.48xlarge, spot"]["code"] == ""
    assert quotas["p5.48xlarge, spot"]["cores"] == 2 * 192
    assert quotas["G and VT, on demand"]["cores"] is None
    assert "vCPUs of unknown number" in capsys.readouterr().out


def test_hosts_of_ones_own_need_no_quota():
    """The local provider rents nothing."""
    assert check_cluster_file(HERE / "clean_local.yaml").quotas == ()
