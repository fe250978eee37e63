"""Rules on data that a cluster file must not contain or copy: secrets, patients' data, working directories."""

import os
import re
from collections.abc import Iterator
from typing import Final

from orchestrator.clusters.lint.reading import ClusterFile, Place, with_home
from orchestrator.clusters.lint.records import Finding, finding

# The prefixes are those that the issuers publish so that scanners find leaked keys.
_PATTERNS: Final = {
    "an AWS access key": re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    "an AWS secret key": re.compile(r"(?i)aws_?secret_?access_?key\W{1,4}[A-Za-z0-9/+]{30,}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "a Ray token": re.compile(r"RAY_AUTH_TOKEN[=:]\s*['\"]?[A-Za-z0-9_-]{8,}"),
    "a token": re.compile(r"\b(gh[pousr]_|github_pat_|glpat-|hf_|xox[abp]-)[A-Za-z0-9_-]{16,}"),
    "a password": re.compile(
        r"(?i)\b(\w*(password|passwd|secret|api_?key)|\w*_token)\b\s*[=:]\s*['\"]?[A-Za-z0-9+=_-]{12,}"
    ),
    "a password in an address": re.compile(r"\b\w+://[^/\s:@]+:[^/\s@$]+@"),
}
# Names of files and folders that usually hold credentials, or patients' data.
_CREDENTIALS: Final = re.compile(r"(^|/)\.(aws|ssh|netrc|kube|docker)(/|$)|\.pem$|(^|/)id_(rsa|ed25519|ecdsa)$")
_PATIENTS: Final = re.compile(r"(?i)(^|[/_.-])(manifest|cohort|patients?|dicom|labels|predictions)([/_.-]|$)")
_PATIENT_FILES: Final = ("manifest.csv", "manifest.parquet", "cohort.parquet", "folds.parquet")


def _secrets(file: ClusterFile) -> Iterator[Finding]:
    """Secrets anywhere in the text, comments included. The message does not repeat what was found."""
    for number, line in enumerate(file.text.splitlines(), start=1):
        for name, pattern in _PATTERNS.items():
            if pattern.search(line):
                # One finding a line: several patterns match the same key.
                yield Finding(
                    severity="error",
                    rule="secret",
                    line=number,
                    place="(text)",
                    problem=f"this line seems to contain {name}; Ray copies the file to the head as plain text",
                    remedy="remove it, and revoke it where it was valid",
                )
                break
    if file.at("provider", "aws_credentials") is not None:
        problem = "the file contains credentials; Ray copies it to the head as plain text"
        remedy = "use a profile of the AWS command line here, and instance profiles on the nodes"
        yield finding(file, "error", "secret", ("provider", "aws_credentials"), problem, remedy)


def _mounts(file: ClusterFile) -> Iterator[Finding]:
    """Files that Ray copies to every node."""
    for place, local in _mounted(file):
        # The most serious finding of a mount is reported alone.
        if _CREDENTIALS.search(local):
            problem = "your credentials are copied to every node"
            yield finding(file, "error", "mounted-secret", place, problem, "remove it; nodes have their own profiles")
        elif _PATIENTS.search(local) or any(_holds(local, name) for name in _PATIENT_FILES):
            problem = "this looks like patients' data, copied to every node"
            yield finding(file, "warning", "mounted-patients", place, problem, "keep it on storage that nodes can read")
        elif local.rstrip("/") in ("", ".", "..", "~") or _holds(local, ".git"):
            problem = "a working directory with everything in it is copied to every node"
            yield finding(file, "warning", "mounted-folder", place, problem, "mount the wheel and constraints.txt")


def _holds(folder: str, name: str) -> bool:
    """Whether something of that name is in a folder of this machine; False for names that no file can have."""
    return os.path.exists(with_home(folder) / name)


def _mounted(file: ClusterFile) -> Iterator[tuple[Place, str]]:
    for remote, local in file.mapping("file_mounts").items():
        yield ("file_mounts", str(remote)), str(local)
    for number, path in enumerate(file.items("cluster_synced_files")):
        yield ("cluster_synced_files", number), str(path)


def _host_keys(file: ClusterFile) -> Iterator[Finding]:
    """SSH host keys, which Ray never checks."""
    if file.mapping("auth"):
        problem = "Ray calls ssh with StrictHostKeyChecking=no; the file cannot change that"
        remedy = "reach the hosts over a network you trust, a bastion, or AWS Session Manager"
        yield finding(file, "note", "ssh-host-keys", ("auth",), problem, remedy)


RULES: Final = (_secrets, _mounts, _host_keys)
