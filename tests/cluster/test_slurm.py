"""`cluster/slurm.sbatch` on a real Slurm of two nodes, which namespaces of this machine make."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "cluster" / "slurm.sbatch"
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "unshare", "nsenter", "ip", "hostname")
PACKAGES = "apt-get install --no-install-recommends slurmctld slurmd slurm-client iproute2 util-linux procps hostname"


def test_the_batch_script_is_valid_bash():
    """A quoting mistake in the script is found here and not in a queue."""
    assert subprocess.run(["bash", "-n", SCRIPT], check=False).returncode == 0


@dataclass(frozen=True)
class Slurm:
    """Two hosts with Slurm; `shared` is the folder both see."""

    shared: Path

    def on(self, host: int, *command: str) -> str:
        """What a command prints on a host."""
        first = (self.shared / f"host-{host}.pid").read_text().strip()
        inside = ("nsenter", "--target", first, "--mount", "--uts", "--ipc", "--net", "--pid", f"--wd={self.shared}")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "SLURM_CONF": str(self.shared / "slurm.conf"),
            "POLARMAP_VENV": sys.prefix,
            "POLARMAP_STORE_BYTES": "100000000",
            "POLARMAP_JOIN_SECONDS": "600",  # a busy machine is slow, not wrong
        }
        if "POLARMAP_TEST_INSTALLED" not in os.environ:
            environment["PYTHONPATH"] = str(ROOT)
        ran = subprocess.run([*inside, *command], env=environment, capture_output=True, text=True, check=True)
        return ran.stdout.strip()

    def submit(self, folder: Path, *words: str) -> str:
        """Submit the script in a folder; returns the job's number."""
        options = ("--parsable", f"--chdir={folder}", "--cpus-per-task=1", "--time=30")
        return self.on(1, "sbatch", *options, str(SCRIPT), *words)

    def job(self, number: str) -> dict[str, str]:
        """What Slurm says of a job."""
        words = self.on(1, "scontrol", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def ended(self, number: str) -> bool:
        """Whether a job has ended, its last step and its script too."""
        return self.job(number)["JobState"] not in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING")

    def remains(self) -> list[str]:
        """Processes, files and tokens that a job left on the hosts."""
        kept = {Path(self.shared).parts[2], ROOT.parts[2]}
        remains = [path.name for path in self.shared.glob("**/.polarmap-*")]
        for host in (1, 2):
            names = self.on(host, "ps", "-eo", "comm=").split("\n")
            remains += [name for name in names if name.startswith(("ray", "gcs_server", "python", "polarmap", "srun"))]
            remains += set(self.on(host, "ls", "-A", "/tmp", "/dev/shm").split()) - {"/tmp:", "/dev/shm:", *kept}
        return remains


def until(true: Callable[[], object], what: str, seconds: float = 900) -> None:
    """Wait for something, and say what did not come."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """The two hosts, up; they and all they run are gone afterwards."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("namespaces of one's own need Linux and root")
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"{', '.join(missing)} not installed: {PACKAGES}")
    if subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "true"], check=False).returncode:
        pytest.skip("this container may not make namespaces")
    shared = tmp_path_factory.mktemp("slurm")
    shared.parent.chmod(0o755)
    with (shared / "hosts.log").open("w") as log:
        hosts = subprocess.Popen([ROOT / "tests/cluster/slurm_hosts.sh", shared, ROOT], stdout=log, stderr=log)
    try:
        until(lambda: all((shared / f"host-{number}.ready").exists() for number in (1, 2)), "hosts", 600)
        found = Slurm(shared)
        until(lambda: found.on(1, "sinfo", "--noheader", "--format=%D %T") == "2 idle", "two idle nodes", 600)
        yield found
    finally:
        hosts.terminate()
        hosts.wait(30)


def committed(folder: Path) -> dict[str, int]:
    """Finished cells of the tiny run, and when each was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("runs/tiny/cells/*/COMMIT.json")}


@pytest.mark.slow
def test_a_job_at_its_time_limit_requeues_itself_and_goes_on(slurm, make_tiny, tmp_path):
    """Slurm's notice ends the driver cleanly, and the next start of the job finishes the same run to the byte."""
    folder = slurm.shared / "limit"
    experiment = make_tiny(folder)
    words = ("--set", "folds.repeats=8")
    number = slurm.submit(folder, "experiment.toml", *words)
    until(lambda: len(committed(folder)) >= 2, "two finished cells")

    slurm.on(1, "scancel", "--batch", "--signal=TERM", number)  # what --signal=B:TERM@120 sends
    until(lambda: slurm.job(number)["Restarts"] == "1", "the job in the queue again")
    before = committed(folder)
    until(lambda: slurm.job(number)["JobState"] == "PENDING", "the first start's end")
    slurm.on(1, "scontrol", "hold", number)  # it stays there while the hosts are looked at
    assert slurm.remains() == []
    assert slurm.job(number)["JobState"] == "PENDING"
    slurm.on(1, "scontrol", "release", number)
    until(lambda: slurm.ended(number), "the job's end")

    log = (folder / f"polarmap-{number}.log").read_text()
    assert slurm.job(number)["JobState"] == "COMPLETED", log
    assert "polarmap ended with 130" in log
    assert len(committed(folder)) == 34
    assert before.items() <= committed(folder).items(), "a finished cell was done again"
    assert slurm.remains() == []
    # Which nodes had cells is not asked: while cells are shorter than a worker's start, Tune keeps to workers it has.
    assert "2 nodes, 1 CPUs" in log
    alone = shutil.copytree(folder, tmp_path / "alone", ignore=shutil.ignore_patterns("runs"))
    inline = [sys.executable, "-P", "-m", "orchestrator", "run", alone / experiment.name, "--runner", "inline", *words]
    subprocess.run(inline, check=True, capture_output=True)
    for name in ("cells", "candidates", "epochs", "predictions"):
        table = f"runs/tiny/tables/{name}.parquet"
        assert (folder / table).read_bytes() == (alone / table).read_bytes(), name


@pytest.mark.slow
def test_a_cancelled_job_stays_cancelled_and_leaves_nothing(slurm, make_tiny):
    """After scancel no job comes back by itself, no process, folder or token stays, and finished cells do."""
    folder = slurm.shared / "cancelled"
    make_tiny(folder)
    number = slurm.submit(folder, "experiment.toml", "--set", "folds.repeats=20")
    until(lambda: committed(folder), "a finished cell")

    slurm.on(1, "scancel", number)
    until(lambda: slurm.ended(number), "the job's end")

    job, log = slurm.job(number), (folder / f"polarmap-{number}.log").read_text()
    assert (job["JobState"], job["Restarts"]) == ("CANCELLED", "0"), log
    assert "polarmap ended with 130" in log
    assert committed(folder)
    assert slurm.remains() == []


@pytest.mark.slow
def test_the_jobs_exit_code_is_polarmaps_own(slurm, make_tiny):
    """A mistake in the experiment ends the job with polarmap's exit code and message, and is not tried again."""
    folder = slurm.shared / "mistake"
    make_tiny(folder)
    number = slurm.submit(folder, "no-such-experiment.toml")
    until(lambda: slurm.ended(number), "the job's end")

    job = slurm.job(number)
    assert (job["JobState"], job["ExitCode"], job["Restarts"]) == ("FAILED", "2:0", "0")
    assert "no-such-experiment.toml" in (folder / f"polarmap-{number}.log").read_text()
    assert slurm.remains() == []
