"""The packages form a line, and names of levels can be read without waiting for torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {"ablations": set(), "benchmarks": {"ablations"}, "report": set()}
# All that a GPU image has; the peers are imported only where an option asks for them.
MEASURING = {"torch", "numpy", "pandas", "sklearn", "torchvision", "tqdm", "PIL", "tabulate"} | {
    *("threadpoolctl", "scipy"),  # scikit-learn needs them
    "numba",  # for steps on a CPU alone
}
PEERS = {"joblib", "jax", "safetensors"}
WITHOUT_TORCH = ("levels", "design", "studyfile", "__main__")


def modules_of(package):
    """The package's files; the suites for pytest-benchmark are tests, not the package."""
    files = (ROOT / package).rglob("*.py")
    modules = [
        path for path in files if not path.name.startswith("bench_") and path.name != "conftest.py"
    ]
    assert modules, f"no modules under {package}/: is this test looking in the right place?"
    return modules


def imports(path, *, at_import=False):
    """Top-level names imported by one module, anywhere in it or as soon as it is imported."""
    nodes = ast.parse(path.read_text(encoding="utf-8"))
    nodes = nodes.body if at_import else list(ast.walk(nodes))
    plain = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    origin = {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module}
    assert not any(isinstance(n, ast.ImportFrom) and n.level for n in nodes), (
        f"{path.name} imports relatively, which this test does not follow"
    )
    return {name.partition(".")[0] for name in plain | origin}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_what_came_before(package):
    used = set().union(*map(imports, modules_of(package))) & MAY_IMPORT.keys()
    assert used - {package} <= MAY_IMPORT[package]


@pytest.mark.parametrize("package", ["ablations", "benchmarks"])
def test_what_trains_needs_only_what_a_gpu_image_has(package):
    known = MEASURING | sys.stdlib_module_names | MAY_IMPORT.keys()
    for path in modules_of(package):
        assert imports(path) <= known | PEERS
        assert imports(path, at_import=True) <= known


def test_the_report_needs_no_torch():
    used = set().union(*map(imports, modules_of("report")))
    assert not used & {"torch", "torchvision", "sklearn"}


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_names_and_plans_do_not_wait_for_torch(module):
    assert (ROOT / "ablations" / f"{module}.py").is_file()
    program = f"import sys, ablations.{module}; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "False"


def test_every_compute_module_has_tests_of_its_name():
    named = ("layers", "network", "losses", "optimizers", "regularisation", "training", "pictures")
    for name in named:
        assert (ROOT / "ablations" / f"{name}.py").is_file()
        assert (ROOT / "tests" / f"test_{name}.py").is_file()
