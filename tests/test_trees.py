"""Two states of the code side by side, from real repositories."""

import os
import subprocess

import pytest

from benchmarks.trees import WORKING_TREE, TreeError, find_root, has_changes, load_trees


def git(where, *words):
    names = {"GIT_AUTHOR_NAME": "a", "GIT_COMMITTER_NAME": "a", "GIT_CONFIG_NOSYSTEM": "1"}
    mails = {"GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_EMAIL": "a@b", "HOME": str(where)}
    done = subprocess.run(
        ["git", "-C", str(where), *words],
        env={**os.environ, **names, **mails},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def write(root, **modules):
    (root / "ablations").mkdir(exist_ok=True)
    for name, content in modules.items():
        (root / "ablations" / f"{name}.py").write_text(content)


@pytest.fixture
def repository(tmp_path):
    """Two commits, `first` and `second`, that differ in one module; `other` is a branch."""
    root = tmp_path / "clone"
    root.mkdir()
    git(root, "init", "--initial-branch=main")
    (root / ".gitignore").write_text("*.secret\n")
    for tag in ("first", "second"):
        write(root, __init__="", training=f"STATE = {tag!r}\n")
        (root / "README.md").write_text(tag)
        git(root, "add", "-A")
        git(root, "commit", "-m", tag)
        git(root, "tag", tag)
    git(root, "branch", "other", "first")
    return root


def state(tree):
    return (tree.folder / "ablations" / "training.py").read_text()


def test_two_commits_lie_side_by_side(repository, tmp_path):
    base, head = load_trees("other", "second", tmp_path / "t", here=repository)
    assert state(base) == "STATE = 'first'\n"
    assert state(head) == "STATE = 'second'\n"
    assert (base.name, base.commit) == ("other", git(repository, "rev-parse", "first"))
    assert (head.name, head.commit) == ("second", git(repository, "rev-parse", "second"))


def test_only_the_packages_that_are_timed_are_unpacked(repository, tmp_path):
    base, _ = load_trees("first", "second", tmp_path / "t", here=repository)
    assert sorted(p.name for p in base.folder.iterdir()) == ["ablations"]


def test_without_a_head_the_working_tree_is_copied_as_it_is(repository, tmp_path):
    """Edited and new files are part of it, ignored and deleted ones are not."""
    write(repository, training="STATE = 'edited'\n", added="")
    (repository / "ablations" / "x.secret").write_text("")
    (repository / "ablations" / "__init__.py").unlink()
    base, head = load_trees("second", None, tmp_path / "t", here=repository / "ablations")
    assert state(base) == "STATE = 'second'\n"
    assert state(head) == "STATE = 'edited'\n"
    assert (head.name, head.commit) == (WORKING_TREE, WORKING_TREE)
    names = sorted(p.name for p in (head.folder / "ablations").iterdir())
    assert names == ["added.py", "training.py"]


def test_a_copy_does_not_change_with_the_working_tree(repository, tmp_path):
    _, head = load_trees("second", None, tmp_path / "t", here=repository)
    write(repository, training="STATE = 'later'\n")
    assert state(head) == "STATE = 'second'\n"


def test_neither_the_working_tree_nor_the_repository_is_touched(repository, tmp_path):
    def everything():
        files = [path for path in repository.rglob("*") if path.is_file()]
        return {path: path.read_bytes() for path in files if path.name != "index"}

    write(repository, training="STATE = 'edited'\n")
    before = everything()
    load_trees("first", None, tmp_path / "t", here=repository)
    load_trees("first", "second", tmp_path / "u", here=repository)
    assert everything() == before
    assert git(repository, "worktree", "list").count("\n") == 0


def test_the_root_is_found_from_a_folder_below_it(repository):
    assert find_root(repository / "ablations") == repository


def test_changes_are_those_of_the_packages(repository):
    (repository / "README.md").write_text("edited")
    assert not has_changes(repository)
    write(repository, added="")
    assert has_changes(repository)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("nonsense", "unknown commit 'nonsense'; give a branch, a tag or a hash"),
        ("--all", "unknown commit '--all'"),
        ("", "unknown commit ''"),
        ("first:ablations", "unknown commit 'first:ablations'"),
    ],
)
def test_a_commit_that_is_not_there_is_named(repository, tmp_path, base, message):
    with pytest.raises(TreeError) as error:
        load_trees(base, None, tmp_path / "t", here=repository)
    assert message in str(error.value)


def test_a_folder_without_a_repository_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(TreeError, match=r"run this in a clone of the project .*not a git repo"):
        load_trees("HEAD", None, tmp_path / "t", here=tmp_path)


def test_without_git_the_message_says_what_is_missing(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TreeError, match="git cannot be run"):
        find_root(repository)


def test_a_commit_of_another_project_is_refused(repository, tmp_path):
    git(repository, "rm", "-r", "-q", "ablations")
    git(repository, "commit", "-m", "third")
    with pytest.raises(TreeError, match=r"commit [0-9a-f]{12} has no ablations/; choose commits"):
        load_trees("first", "HEAD", tmp_path / "t", here=repository)
    with pytest.raises(TreeError, match="has no ablations/; run this in a clone"):
        load_trees("first", None, tmp_path / "u", here=repository)


def test_open_conflicts_are_refused(repository, tmp_path):
    git(repository, "checkout", "-q", "other")
    write(repository, training="STATE = 'third'\n")
    git(repository, "commit", "-a", "-m", "third")
    git(repository, "merge", "main")
    with pytest.raises(TreeError, match=r"open conflicts in ablations/training\.py; resolve"):
        load_trees("first", None, tmp_path / "t", here=repository)
