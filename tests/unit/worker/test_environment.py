from __future__ import annotations

from pathlib import Path

from localr1.worker.environment import child_environment

_CHECKOUT = Path("/src/localr1")
_INSTALLED = Path("/venv/lib/python3.11/site-packages")


def test_drivers_and_loader_variables_pass() -> None:
    wanted = {
        "CUDA_VISIBLE_DEVICES": "1",
        "GGML_METAL_DEBUG": "1",
        "HOME": "/home/u",
        "LC_ALL": "C.UTF-8",
        "LD_LIBRARY_PATH": "/cuda",
        "OMP_NUM_THREADS": "2",
        "PATH": "/bin",
    }

    assert wanted.items() <= child_environment(wanted, package_root=_INSTALLED).items()


def test_everything_else_stays_behind() -> None:
    secrets = {
        "AWS_SECRET_ACCESS_KEY": "x",
        "CUDA_API_KEY": "x",
        "EDITOR": "vi",
        "GGML_TOKEN": "x",
        "HF_TOKEN": "x",
        "NVIDIA_API_KEY": "x",
        "OPENAI_API_KEY": "x",
        "PYTHONSTARTUP": "x",
    }

    passed = child_environment(secrets, package_root=_INSTALLED)

    assert passed == {"GGML_NO_BACKTRACE": "1"}


def test_checkout_is_named_before_what_the_parent_had() -> None:
    parent = {"PYTHONPATH": "/extra"}

    assert child_environment(parent, package_root=_CHECKOUT)["PYTHONPATH"] == (
        f"{_CHECKOUT}:/extra"
    )


def test_installed_copy_needs_no_python_path() -> None:
    assert "PYTHONPATH" not in child_environment({}, package_root=_INSTALLED)


def test_relative_entries_become_absolute() -> None:
    parent = {"PYTHONPATH": "lib"}

    assert child_environment(parent, package_root=_INSTALLED)["PYTHONPATH"] == str(
        Path.cwd() / "lib"
    )
