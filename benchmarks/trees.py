"""Two states of the code side by side: commits unpacked into a folder that goes away again.

Commits are archived, not checked out, so that neither the working tree nor the repository
is touched. The working tree is copied, so that it may be edited while it is timed.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("ablations",)  # what the timed workloads import
WORKING_TREE = "working tree"


class TreeError(ValueError):
    """Code to be compared cannot be had."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A state of the code that can be imported from a folder."""

    name: str  # as it was asked for
    commit: str  # hash, or `working tree`
    folder: Path


def load_trees(base: str, head: str | None, folder: Path, *, here: Path) -> tuple[Tree, Tree]:
    """Unpack both sides below `folder`; without a head the working tree is the other side.

    Args:
        here: somewhere in the repository.

    Raises:
        TreeError: no repository, an unknown commit, one without the packages, open conflicts.
    """
    root = find_root(here)
    commits = resolve(root, base), None if head is None else resolve(root, head)
    first = Tree(base, commits[0], unpack(root, commits[0], folder / "base"))
    if head is None or commits[1] is None:
        copied = copy_working_tree(root, folder / "head")
        return first, Tree(WORKING_TREE, WORKING_TREE, copied)
    return first, Tree(head, commits[1], unpack(root, commits[1], folder / "head"))


def find_root(here: Path) -> Path:
    """The top folder of the repository that holds a folder."""
    failing = f"there are no commits to compare in {here}; run this in a clone of the project"
    return Path(_git(here, "rev-parse", "--show-toplevel", failing=failing).strip())


def resolve(root: Path, name: str) -> str:
    """The full hash of a commit, given by any of its names."""
    failing = (
        f"unknown commit {name!r}; give a branch, a tag or a hash that `git log` knows here (a "
        "shallow clone knows only its last commits)"
    )
    asked = ("--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return _git(root, "rev-parse", *asked, failing=failing).strip()


def unpack(root: Path, commit: str, folder: Path) -> Path:
    """Write the packages of a commit below a folder."""
    folder.mkdir(parents=True)
    tar = folder / "commit.tar"
    failing = f"commit {commit[:12]} has no {PACKAGES[0]}/; choose commits of this project"
    words = ("archive", "--format=tar", f"--output={tar}", commit, "--", *PACKAGES)
    _git(root, *words, failing=failing)
    with tarfile.open(tar) as archive:
        archive.extractall(folder, filter="data")
    tar.unlink()
    return folder


def copy_working_tree(root: Path, folder: Path) -> Path:
    """Copy the packages as they are now, untracked files included and ignored ones not."""
    conflicts = _git(root, "diff", "--name-only", "--diff-filter=U", "-z").split("\0")
    if conflicts[0]:
        raise TreeError(
            f"the working tree has open conflicts in {conflicts[0]}; resolve them, or name a "
            "commit as HEAD"
        )
    listed = _git(root, "ls-files", "-z", "-co", "--exclude-standard", "--", *PACKAGES)
    files = [root / name for name in dict.fromkeys(listed.split("\0")) if name]
    there = [file for file in files if file.is_file()]  # a deleted one is still listed
    if not there:
        raise TreeError(f"{root} has no {PACKAGES[0]}/; run this in a clone of the project")
    for file in there:
        target = folder / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return folder


def has_changes(here: Path) -> bool:
    """Whether the working tree's packages differ from the commit that is checked out."""
    root = find_root(here)
    return bool(_git(root, "status", "--porcelain", "--", *PACKAGES).strip())


def _git(where: Path, *words: str, failing: str = "git failed") -> str:
    """What git answers.

    Args:
        failing: said before git's own words when it does not.
    """
    try:
        return subprocess.run(
            ["git", "-C", str(where), *words],
            capture_output=True,
            check=True,
            timeout=120,
            encoding="utf-8",
            errors="surrogateescape",  # as Python reads file names
        ).stdout
    except subprocess.CalledProcessError as error:
        reason = " ".join(str(error.stderr).split())
        raise TreeError(f"{failing} ({reason})" if reason else failing) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TreeError(f"git cannot be run ({error})") from None
