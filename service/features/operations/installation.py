"""Packages that overwrite each other's files; asked by name, since importing them may fail."""

from importlib.metadata import PackageNotFoundError, version

_TWINS = (
    ("onnxruntime", "onnxruntime-gpu"),
    ("faiss-cpu", "faiss-gpu"),
    ("faiss-cpu", "faiss-gpu-cuvs"),
)


def twin_packages() -> str | None:
    """Which installed packages overwrite each other's files, and what to do; None = none."""
    for first, second in _TWINS:
        if _is_installed(first) and _is_installed(second):
            return (
                f"{first} and {second} are both installed and overwrite each other's files: "
                "uninstall both, then install one of the extras cpu and gpu"
            )
    return None


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
