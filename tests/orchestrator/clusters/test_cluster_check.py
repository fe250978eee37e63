"""The check of cluster files: clean ones pass, each fault is found at its line, nothing heavy is imported."""

import json
import os
import re
import subprocess
import sys
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from mpi_model.errors import ExperimentError
from orchestrator.cli import main
from orchestrator.clusters.lint.checking import _RULES, check_cluster_file
from orchestrator.clusters.lint.ray_schema import _ray_schema
from orchestrator.clusters.lint.records import CheckResult

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BAD = sorted((HERE / "bad").glob("*.yaml"))
CLEAN = sorted(HERE.glob("clean_*.yaml"))


def is_cluster_file(path: Path) -> bool:
    documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    return len(documents) == 1 and isinstance(documents[0], dict) and {"cluster_name", "provider"} <= set(documents[0])


SHIPPED = [ROOT / "cluster.yaml", *filter(is_cluster_file, sorted((ROOT / "cluster").glob("*.yaml")))]


@cache
def checked_once(path: Path) -> CheckResult:
    return check_cluster_file(path)


@pytest.fixture(autouse=True)
def _this_ray(monkeypatch):
    """The faults are written for the Ray that constraints.txt pins."""
    pinned = re.search(r"^ray==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), flags=re.M)
    assert pinned is not None
    assert version("ray") == pinned[1]


@pytest.mark.parametrize("path", SHIPPED + CLEAN, ids=lambda path: path.name)
def test_shipped_files_satisfy_ray_and_the_linter(path, monkeypatch):
    """Every cluster file that the project ships is valid for Ray and holds no error and no warning."""
    monkeypatch.chdir(ROOT)
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings.pop("min_workers", None)  # Ray's local provider takes it out, too, before it validates
    jsonschema.validate(settings, _ray_schema())

    checked = check_cluster_file(path)

    assert [found for found in checked.findings if found.severity != "note"] == []
    assert checked.clean


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_each_fault_is_found_at_its_line(path):
    """A file with one fault gets that finding, with its severity, its line and its remedy."""
    expected = re.fullmatch(r"# expect: (\w+) ([\w-]+) line (\d+)(?: \| (.*))?", path.read_text().splitlines()[0])
    assert expected is not None
    severity, rule, line, remedy = expected.groups()

    checked = checked_once(path)
    found = [one for one in checked.findings if (one.severity, one.rule, one.line) == (severity, rule, int(line))]
    assert found, checked.findings
    assert remedy is None or any(remedy in one.remedy for one in found)
    assert checked.clean is (severity == "note")


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_fault_brings_no_false_alarm(path):
    """Nothing but the planted fault is an error: a linter that cries wolf is switched off."""
    rule = path.read_text().split()[3]
    together = {"mounted-secret", "nightly", "ray-not-pinned", "start-commands", "no-profile", "no-token", "schema"}
    # One mistake can break two rules: without start commands there is no token either.
    errors = {one.rule for one in checked_once(path).findings if one.severity == "error"}

    assert errors <= {rule} | together


@pytest.mark.parametrize("path", [path for path in BAD if path.stem.startswith("old_")], ids=lambda path: path.stem)
def test_ray_refuses_the_deprecated_settings_that_the_check_refuses(path):
    """A deprecated setting that is called an error stops Ray's own validation, too."""
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(yaml.safe_load(path.read_text(encoding="utf-8"))))


def test_settings_that_ray_drops_are_no_error(tmp_path):
    """Empty sections of old files and a cluster-wide min_workers are dropped by Ray before it validates."""
    text = (HERE / "clean_aws.yaml").read_text() + "worker_nodes: {}\nhead_node: {}\nmin_workers: 1\n"
    (tmp_path / "cluster.yaml").write_text(text)
    validate_config(prepare_config(yaml.safe_load(text)))

    assert check_cluster_file(tmp_path / "cluster.yaml").clean


def test_settings_in_a_mounted_script_count(tmp_path):
    """A cluster file whose commands source a mounted script is judged with what that script exports."""
    text = (HERE / "clean_local.yaml").read_text()
    exported = "export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0"
    (tmp_path / "environment.sh").write_text(exported)
    path = tmp_path / "cluster.yaml"
    sourced = text.replace(exported, ". ~/.ray/environment.sh")
    path.write_text(sourced.replace("file_mounts:\n", "file_mounts:\n  ~/.ray/environment.sh: environment.sh\n"))
    assert check_cluster_file(path).clean

    (tmp_path / "environment.sh").write_text("umask 077")
    found = {one.rule for one in check_cluster_file(path).findings if one.severity == "warning"}

    assert found == {"no-token", "usage-statistics"}


def test_every_rule_has_a_bad_file():
    """No rule goes untried: each one finds something in some bad file."""
    from_files = {found.rule for path in BAD for found in checked_once(path).findings}
    sources = (ROOT / "orchestrator" / "clusters" / "lint").glob("*.py")
    named = {
        rule
        for path in sources
        for rule in re.findall(r'"(?:error|warning|note)", "([\w-]+)"', path.read_text(encoding="utf-8"))
    } - {"error", "warning", "note"}

    assert len(_RULES) > 25
    assert named - from_files == set()


def test_a_secret_is_found_and_never_repeated(capsys):
    """The report of a file with secrets holds none of them, in either format."""
    secrets = ("AKIAIOSFODNN7" + "EXAMPLE", "0123456789abcdef", "PRIVATE KEY--")
    for path in BAD:
        if "secret" in path.read_text().splitlines()[0]:
            for format in ("rich", "json"):
                assert main(["cluster", "check", str(path), "--format", format]) == 2
    said = capsys.readouterr()

    assert "secret" in said.out
    assert not any(secret in said.out + said.err for secret in secrets)


def test_exit_codes_and_json(capsys):
    """Scripts can rely on it: 0 for a clean file, 2 for another, and JSON with lines, rules and the price."""
    assert main(["cluster", "check", str(HERE / "clean_aws.yaml"), "--format", "json"]) == 0
    clean = json.loads(capsys.readouterr().out)
    assert main(["cluster", "check", str(HERE / "bad" / "min_over_max.yaml"), "--format", "json"]) == 2
    bad = json.loads(capsys.readouterr().out)

    assert clean["clean"] is True
    assert clean["price"]["region"] == "eu-central-1"
    (error,) = [found for found in bad["findings"] if found["severity"] == "error"]
    assert set(error) == {"severity", "rule", "line", "place", "problem", "remedy"}
    assert bad["clean"] is False


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a list",
        "cluster_name: [unclosed",
        "a: &a [*a]",
        "a: !!python/object/apply:os.system ['true']",
        "a: 2026-13-13",
        "a: 1\n---\nb: 2",
        "x: " + "[" * 500,
        "\n".join(["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]),
    ],
    ids=["empty", "list", "unclosed", "cyclic", "python", "date", "two documents", "deep", "laughs"],
)
def test_what_is_no_cluster_file_is_refused_in_one_line(text, tmp_path, capsys):
    """Broken, hostile or endless YAML is a person's error with exit code 2, quickly, never a traceback."""
    path = tmp_path / "cluster.yaml"
    path.write_text(text)

    assert main(["cluster", "check", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_missing_file_is_refused(tmp_path):
    """A wrong name is said, not traced."""
    with pytest.raises(ExperimentError, match="cannot read"):
        check_cluster_file(tmp_path / "nothing.yaml")


def test_the_linter_answers_at_once():
    """It needs neither Ray, torch, pandas nor an account, and answers within a second of a calm machine's time."""
    code = (
        "import sys; from orchestrator.cli import main\n"
        f"main(['cluster', 'check', r'{ROOT / 'cluster.yaml'}'])\n"
        "print(sorted({'ray', 'torch', 'pandas', 'numpy', 'boto3', 'optuna'} & set(sys.modules)), file=sys.stderr)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    begin = time.process_time(), os.times().children_user
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)

    assert found.stderr.strip() == "[]"
    assert os.times().children_user - begin[1] < 2
